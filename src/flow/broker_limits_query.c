/* Limits for operators: what is in force, who is near, until when, and what is held behind it. */
#include "flow/limits-private.h"

#include "base/json.h"

#include <stdlib.h>

enum {
	RULE_ROOM = 2048,
	SUBJECT_ROOM = 256 + 6 * LIMIT_SUBJECT_MAX,
	MOST_DEFAULT = 20,
	MOST_MAX = 1000,     /* whatever who asks wants: the route has it, too */
	LOOKS_MAX = 1 << 18, /* subjects looked at for one answer: the queue has other work */
};

struct entry {
	struct limit_state state;
	char subject[LIMIT_SUBJECT_MAX];
};

struct shown {
	struct broker *b;
	struct span subject; /* empty: everybody */
	struct entry *entry; /* of one rule: those nearest to it */
	size_t n, most;
	size_t seen, full, left;
	int64_t now;
	struct buf *out;
};

/* ---- whom it concerns -------------------------------------------------------------------------
 */

static bool concerns(const struct shown *s, const struct limit_rule *rule, struct span subject)
{
	char name[LIMIT_SUBJECT_MAX];

	if (rule->only != NULL && !span_eq(subject, span_str(rule->only)))
		return false;
	if (rule->plan == NULL)
		return true;
	span_to_cstr(subject, name, sizeof(name));
	return limits_has_plan(s->b, rule, name);
}

static size_t held_behind(
    const struct broker *b, const struct limit_rule *rule, const char *subject)
{
	const struct line *line = line_find(b, rule, subject);

	return line != NULL ? line->standing.len : 0;
}

/* ---- the nearest ------------------------------------------------------------------------------
 */

/* What is over it stands before what is near it; then who opens last, then who has used most. */
static int nearer(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	if (a->state.opens != b->state.opens)
		return a->state.opens > b->state.opens ? -1 : 1;
	if (a->state.used != b->state.used)
		return a->state.used > b->state.used ? -1 : 1;
	return strcmp(a->subject, b->subject);
}

/* The list has room for twice what is shown: when it is full, the farther half goes. */
static void add_entry(struct shown *s, struct span subject, const struct limit_state *state)
{
	struct entry *e;

	if (s->n == 2 * s->most) {
		qsort(s->entry, s->n, sizeof(*s->entry), nearer);
		s->n = s->most;
	}
	e = &s->entry[s->n++];
	e->state = *state;
	if (e->state.opens <= s->now)
		e->state.opens = 0;
	span_to_cstr(subject, e->subject, sizeof(e->subject));
}

/* Those of whom nothing is counted any more, and mail is held: there is room, it goes soon. */
static void collect_lines(struct shown *s, const struct limit_rule *rule)
{
	const struct broker_limits *l = s->b->limits;
	const struct line *line;
	size_t at = 0;

	while (s->left > 0 && (line = map_next(&l->lines, &at)) != NULL) {
		struct span subject = span_str(line_subject(line));
		struct limit_state state;

		s->left--;
		if (!limit_same_counter(rule, &line->counter) || !concerns(s, rule, subject))
			continue;
		state = limits_state(l->counts, rule, subject, 1, s->now);
		if (state.used > 0)
			continue;
		s->seen++;
		add_entry(s, subject, &state);
	}
}

static void collect(struct shown *s, const struct limit_rule *rule)
{
	struct limit_state state;
	struct span subject;
	size_t at = 0;

	s->n = s->seen = s->full = 0;
	collect_lines(s, rule);
	while (
	    s->left > 0 && limits_next(s->b->limits->counts, rule, &at, s->now, &subject, &state)) {
		s->left--;
		if (state.used == 0 || !concerns(s, rule, subject))
			continue;
		s->seen++;
		s->full += state.opens > s->now;
		add_entry(s, subject, &state);
	}
	qsort(s->entry, s->n, sizeof(*s->entry), nearer);
	if (s->n > s->most)
		s->n = s->most;
}

/* How the one who was asked for stands. */
static void collect_one(struct shown *s, const struct limit_rule *rule, const char *subject)
{
	struct limit_state state =
	    limits_state(s->b->limits->counts, rule, span_str(subject), 1, s->now);

	s->n = 0;
	add_entry(s, span_str(subject), &state);
	s->seen = 1;
	s->full = state.opens > s->now;
}

/* ---- written ----------------------------------------------------------------------------------
 */

static void put_entry(const struct shown *s, const struct limit_rule *rule, const struct entry *e)
{
	struct buf *out = s->out;
	size_t held = held_behind(s->b, rule, e->subject);

	json_open(out, NULL, '{');
	json_str(out, "subject", e->subject);
	json_number(out, "used", (int64_t)e->state.used);
	json_number(out, "left", e->state.used < rule->n ? (int64_t)(rule->n - e->state.used) : 0);
	json_bool(out, "full", e->state.opens > s->now);
	if (e->state.opens > s->now && e->state.opens != INT64_MAX)
		json_time(out, "opens", e->state.opens + s->b->wall_ahead);
	json_number(out, "held", (int64_t)held);
	json_close(out, '}');
}

static void put_rule(const struct shown *s, const struct limit_rule *rule)
{
	char text[LIMIT_TEXT], place[LIMITS_PLACE];
	struct buf *out = s->out;
	struct buf rate;
	size_t i;

	buf_init(&rate, 64);
	limit_rate_text(rule, &rate);
	json_open(out, NULL, '{');
	json_str(out, "limit", limit_text(rule, text));
	json_str(out, "key", limit_key_word(rule->key));
	if (rule->only != NULL)
		json_str(out, "only", rule->only);
	json_str(out, "what", limit_what_word(rule->what));
	json_text(out, "rate", buf_view(&rate));
	json_bool(out, "calendar", rule->seconds == 0);
	json_number(out, "n", (int64_t)rule->n);
	json_str(out, "over", limit_over_word(rule->over));
	if (rule->plan != NULL)
		json_str(out, "plan", rule->plan);
	json_str(out, "place", limits_place(&rule->place, place));
	json_number(out, "subjects", (int64_t)s->seen);
	json_number(out, "full", (int64_t)s->full);
	json_open(out, "nearest", '[');
	for (i = 0; i < s->n && buf_space(out) > RULE_ROOM + SUBJECT_ROOM; i++)
		put_entry(s, rule, &s->entry[i]);
	json_close(out, ']');
	json_close(out, '}');
	buf_fini(&rate);
}

/* The subject that this text is for a rule: a name, or the net of an address. */
static bool subject_of(
    const struct limit_rule *rule, struct span text, char subject[LIMIT_SUBJECT_MAX])
{
	struct limit_ask ask = {
	    .account = text, .tenant = text, .listener = text, .client_ip = text};

	return rule->key != LIMIT_BY_ALL && limit_subject(rule->key, &ask, subject);
}

static bool is_known(const struct shown *s, const struct limit_rule *rule, const char *subject)
{
	struct limit_state state =
	    limits_state(s->b->limits->counts, rule, span_str(subject), 1, s->now);

	if (rule->key == LIMIT_BY_ADDRESS || rule->key == LIMIT_BY_NET || rule->only != NULL)
		return true;
	if (rule->key == LIMIT_BY_ACCOUNT &&
	    accounts_find(s->b->accounts, span_str(subject)) != NULL)
		return true;
	return state.used > 0;
}

static void show_rule(struct shown *s, const struct limit_rule *rule)
{
	char subject[LIMIT_SUBJECT_MAX];

	if (buf_space(s->out) < 2 * RULE_ROOM + SUBJECT_ROOM)
		return;
	if (s->subject.n == 0) {
		collect(s, rule);
		put_rule(s, rule);
	} else if (subject_of(rule, s->subject, subject) && concerns(s, rule, span_str(subject)) &&
		   is_known(s, rule, subject)) {
		collect_one(s, rule, subject);
		put_rule(s, rule);
	}
}

int broker_limits(
    struct broker *b, struct span subject, uint32_t most, struct buf *out, int64_t now)
{
	const struct config *c = b->config;
	struct shown s = {.b = b,
	    .subject = subject,
	    .most = most == 0         ? MOST_DEFAULT
		    : most < MOST_MAX ? most
				      : MOST_MAX,
	    .left = LOOKS_MAX,
	    .now = now,
	    .out = out};

	s.entry = gw_calloc(2 * s.most, sizeof(*s.entry));
	json_open(out, NULL, '{');
	json_time(out, "now", now + b->wall_ahead);
	json_open(out, "limits", '[');
	for (size_t i = 0; i < c->n_limit; i++)
		show_rule(&s, &c->limit[i]);
	for (size_t i = 0; i < c->n_plan; i++) {
		for (size_t k = 0; k < c->plan[i].n_limit; k++)
			show_rule(&s, &c->plan[i].limit[k]);
	}
	json_close(out, ']');
	json_bool(out, "complete", s.left > 0);
	json_number(out, "not_limited", (int64_t)limits_unlimited(b->limits->counts));
	json_close(out, '}');
	free(s.entry);
	return 200;
}

void limits_summary(const struct broker *b, struct buf *out)
{
	const struct told *t;
	int64_t full = 0;

	TAILQ_FOREACH(t, &b->limits->told_order, link)
	{
		full += t->left == 0;
	}
	json_number(out, "limited", (int64_t)map_len(&b->limits->standing));
	json_number(out, "limits_full", full);
}
