/*
 * Mail that a limit holds: lines, in the order of acceptance, one for each counter and subject.
 * When there is room the first of a line goes: it is counted, a RELEASED record says both, and when
 * that is durable its recipients are due. Nobody passes one who stands in front of him in a line
 * that concerns both: who comes to a line that is not empty stands at its end, and who finds
 * another limit closed on his way out goes over to its line, to the place of his stamp.
 */
#include "flow/limits-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdlib.h>

enum {
	UNREADABLE_AGAIN = 300 * 1000000,
	ACCOUNTS_AGAIN = 1000000,
	PENDING_AGAIN = 50000, /* what keeps it back is only reserved */
	STAMP_AHEAD = 1000000, /* of the clock, because of so many at once */
};
#define NEVER_AGAIN (INT64_C(3600) * 1000000)

/* What no limit of this configuration concerns, or cannot be read now. */
static const struct limit_rule aside = {.key = LIMIT_BY_ALL, .seconds = UINT32_MAX};

static struct standing *of_node(struct heap_node *n)
{
	return (struct standing *)((char *)n - offsetof(struct standing, node));
}

/* ---- lines
 * --------------------------------------------------------------------------------------- */

static size_t line_key(const struct limit_rule *rule, const char *subject, char to[LINE_KEY_MAX])
{
	uint32_t seconds = rule->seconds;
	size_t n = strlen(subject) + 1;

	to[0] = (char)rule->key;
	to[1] = (char)rule->what;
	to[2] = (char)(seconds > 0 ? 0 : rule->calendar);
	memcpy(to + 3, &seconds, sizeof(seconds));
	memcpy(to + LINE_SUBJECT, subject, n);
	return LINE_SUBJECT + n;
}

const char *line_subject(const struct line *line)
{
	return line->key + LINE_SUBJECT;
}

struct line *line_find(const struct broker *b, const struct limit_rule *rule, const char *subject)
{
	char key[LINE_KEY_MAX];
	size_t n = line_key(rule, subject, key);

	return map_get(&b->limits->lines, span_of(key, n));
}

static struct line *line_get(struct broker *b, const struct limit_rule *rule, const char *subject)
{
	struct line *line = line_find(b, rule, subject);
	char key[LINE_KEY_MAX];
	size_t n = line_key(rule, subject, key);

	if (line != NULL)
		return line;
	line = gw_calloc(1, sizeof(*line) + n);
	memcpy(line->key, key, n);
	line->key_length = n;
	line->counter = (struct limit_rule){.key = rule->key,
	    .what = rule->what,
	    .seconds = rule->seconds,
	    .calendar = rule->calendar};
	heap_init(&line->standing);
	map_put(&b->limits->lines, span_of(line->key, n), line);
	return line;
}

void line_look(struct broker *b, struct line *line, int64_t when)
{
	if (when == INT64_MAX)
		heap_del(&b->limits->due, &line->node);
	else
		heap_set(&b->limits->due, &line->node, when);
}

void lines_look(struct broker *b, int64_t now)
{
	struct line *line;
	size_t at = 0;

	while ((line = map_next(&b->limits->lines, &at)) != NULL)
		line_look(b, line, now);
}

static void line_leave(struct broker *b, struct standing *s)
{
	struct line *line = s->line;

	if (line == NULL)
		return;
	heap_del(&line->standing, &s->node);
	s->line = NULL;
	if (heap_min(&line->standing) != NULL) {
		line_look(b, line, b->now);
		return;
	}
	line_look(b, line, INT64_MAX);
	map_del(&b->limits->lines, span_of(line->key, line->key_length));
	heap_fini(&line->standing);
	free(line);
}

struct line *line_before(struct broker *b, const struct limit_ask *ask, int64_t before,
    const struct line *but, const struct limit_rule **found)
{
	char subject[LIMIT_SUBJECT_MAX];
	const struct limit_rule *rule;
	struct line *line;
	size_t at = 0;

	if (map_len(&b->limits->lines) == 0)
		return NULL;
	while ((rule = limit_next(b->config, ask->plan, &at)) != NULL) {
		if (!limit_applies(rule, ask) || !limit_subject(rule->key, ask, subject))
			continue;
		line = line_find(b, rule, subject);
		if (line == NULL || line == but || heap_min(&line->standing)->key >= before)
			continue;
		*found = rule;
		return line;
	}
	return NULL;
}

/* ---- who stands
 * ---------------------------------------------------------------------------------- */

struct standing *standing_find(const struct broker *b, const struct msgid *id)
{
	return map_get(&b->limits->standing, msgid_span(id));
}

struct standing *standing_new(struct broker *b, const struct msgid *id, struct asking *a)
{
	struct standing *s = gw_calloc(1, sizeof(*s));

	s->id = *id;
	s->asking = a;
	map_put(&b->limits->standing, msgid_span(&s->id), s);
	return s;
}

void standing_free(struct broker *b, struct standing **ps)
{
	struct standing *s = *ps;

	line_leave(b, s);
	map_del(&b->limits->standing, msgid_span(&s->id));
	free(s->asking);
	free(s);
	*ps = NULL;
}

void stand(struct broker *b, struct standing *s, const struct limit_rule *rule, const char *subject,
    int64_t look)
{
	struct line *line = line_get(b, rule, subject);
	bool first;

	s->line = line;
	s->waits = false;
	heap_set(&line->standing, &s->node, s->asking->stamp);
	first = heap_min(&line->standing) == &s->node;
	if (first && look != INT64_MAX)
		line_look(b, line, look);
}

static size_t count_held(const struct queued *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_rcpt; i++)
		n += held_by_limit(&m->rcpt[i]);
	return n;
}

void limits_left(struct broker *b, const struct queued *m)
{
	struct standing *s = standing_find(b, &m->id);

	if (s != NULL && count_held(m) == 0)
		standing_free(b, &s);
}

/* ---- on the way out
 * -------------------------------------------------------------------------------- */

static void log_released(const struct queued *m, const struct standing *s, int64_t now)
{
	char id[MSGID_TEXT + 1];
	struct logline l;

	msgid_format(&m->id, id);
	log_begin(&l, EV_LIMIT_RELEASED);
	log_str(&l, "id", id);
	log_seconds(&l, "held", now > s->asking->stamp ? now - s->asking->stamp : 0);
	log_end(&l);
}

/* Its recipients that a limit holds, due from now on, or when their sender wants it. */
static void put_release(const struct queued *m, struct change *c)
{
	c->rcpt = gw_calloc(m->n_rcpt, sizeof(*c->rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[i];

		if (held_by_limit(r))
			c->rcpt[c->n_rcpt++] = (struct change_rcpt){.index = (uint32_t)i,
			    .number = r->number + 1,
			    .attempts = r->attempts,
			    .outcome = OUTCOME_NONE,
			    .due = m->release > 0 ? DUE_AT_RELEASE : 0,
			    .reply = SPAN("The limit has room")};
	}
}

/* The record says that they are due, and what is counted; nothing is tried before it is durable. */
static void write_release(struct broker *b, struct queued *m, const struct standing *s,
    struct limit_charge *charge, int64_t now)
{
	struct append *a = append_new(b, APPEND_CHANGE, BROKER_RELEASED, &m->id);
	struct change c = {.id = m->id, .when = now};
	struct buf counted;

	buf_init(&counted, ASKING_MAX);
	if (!s->paid) {
		c.when = limits_stamp(b, now);
		asking_encode(&s->asking->ask, &counted);
		c.counted = buf_view(&counted);
	}
	put_release(m, &c);
	change_encode(&c, &a->meta);
	free(c.rcpt);
	buf_fini(&counted);
	a->charged = charged_new(b, charge, c.when);
	a->released = true;
	a->about = m;
	m->appends++;
	append_send(b, a, true);
}

/* Behind all who stand there: one that cannot be read is not to keep the next one waiting either.
 */
static void step_aside(struct broker *b, struct standing *s, int64_t now)
{
	s->asking->stamp = limits_stamp(b, now);
	stand(b, s, &aside, "", now + UNREADABLE_AGAIN);
}

/* A message that cannot be read now steps aside: those behind it are not to blame. One whose
 * deadline has come ends while it is read back, and its place is gone with it. */
static void let_go(struct broker *b, struct standing *s, struct limit_charge *charge, int64_t now)
{
	const struct msgid id = s->id;
	struct queued *m;

	line_leave(b, s);
	m = queued_find(b, &id, now);
	s = standing_find(b, &id);
	if (m != NULL && s != NULL && count_held(m) > 0) {
		write_release(b, m, s, charge, now);
		return;
	}
	limits_give_back(b->limits->counts, &charge);
	if (m == NULL && s != NULL && message_known(b, &id))
		step_aside(b, s, now);
	else if (s != NULL)
		standing_free(b, &s);
}

/* Its time to be tried begins now. Stamps run ahead of a clock that was set back before the start:
 * for years perhaps, and no time to be tried is as long. */
static void begins_anew(struct queued *m, int64_t stamp, int64_t now)
{
	int64_t when = stamp < now + STAMP_AHEAD ? stamp : now;

	if (when > m->accepted)
		m->accepted = when;
}

void limits_let_go(struct broker *b, struct append *a, int64_t now)
{
	struct queued *m = a->about;
	struct standing *s = standing_find(b, &m->id);
	struct change c;

	charged_settle(b, a, now);
	if (!a->released)
		return;
	arena_clear(&b->scratch);
	gw_assert(change_decode(&c, buf_view(&a->meta), &b->scratch) == 0);
	if (s != NULL)
		log_released(m, s, now);
	metric_add(METRIC_LIMIT_RELEASED, 1);
	for (size_t i = 0; i < c.n_rcpt; i++)
		queued_apply(b, m, &c.rcpt[i]);
	begins_anew(m, c.when, now);
	queued_file(b, m, now);
}

struct charged *limits_pay(
    struct broker *b, struct queued *m, struct change *c, struct buf *counted)
{
	struct standing *s = standing_find(b, &m->id);
	struct limit_charge *charge;
	struct limit_verdict v;
	struct limit_ask ask;
	bool concerns = false;

	for (size_t i = 0; i < c->n_rcpt; i++)
		concerns = concerns || held_by_limit(&m->rcpt[c->rcpt[i].index]);
	if (s == NULL || s->paid || s->line == NULL || !concerns)
		return NULL;
	ask = s->asking->ask;
	limits_plan_if_known(b, &ask);
	charge = limits_reserve(b->limits->counts, b->config, &ask, true, c->when, &v);
	c->when = limits_stamp(b, c->when);
	asking_encode(&s->asking->ask, counted);
	c->counted = buf_view(counted);
	s->paid = true;
	begins_anew(m, c->when, b->now);
	line_look(b, s->line, b->now);
	return charged_new(b, charge, c->when);
}

/* ---- the first of a line
 * --------------------------------------------------------------------------- */

static bool go_over(struct broker *b, struct standing *s, const struct limit_rule *rule,
    const char *subject, int64_t look)
{
	line_leave(b, s);
	stand(b, s, rule, subject, look);
	return true;
}

/* More than the limit is by itself, since that was made smaller: it goes when nothing else is
 * counted. */
static int64_t opens_alone(struct broker *b, const struct limit_verdict *v, int64_t now)
{
	struct limit_state state;

	if (v->rule->n == 0)
		return now + NEVER_AGAIN;
	state = limits_state(b->limits->counts, v->rule, span_str(v->subject), v->rule->n, now);
	return state.opens;
}

/* True: look at the line again, if it is still there. */
static bool closed(struct broker *b, struct standing *s, const struct limit_ask *ask,
    const struct limit_verdict *v, int64_t now)
{
	int64_t opens = v->opens == INT64_MAX ? opens_alone(b, v, now) : v->opens;
	struct limit_charge *charge;
	struct limit_verdict forced;

	if (v->opens == INT64_MAX && opens <= now) {
		charge = limits_reserve(b->limits->counts, b->config, ask, true, now, &forced);
		let_go(b, s, charge, now);
		return true;
	}
	if (opens <= now)
		opens = now + PENDING_AGAIN;
	if (line_find(b, v->rule, v->subject) != s->line)
		return go_over(b, s, v->rule, v->subject, opens);
	line_look(b, s->line, opens);
	return false;
}

static bool try_first(struct broker *b, struct line *line, int64_t now)
{
	struct standing *s = of_node(heap_min(&line->standing));
	struct limit_ask ask = s->asking->ask;
	const struct limit_rule *rule;
	struct limit_charge *charge;
	struct limit_verdict v;
	struct line *other;

	if (!s->ready) {
		line_look(b, line, INT64_MAX);
		return false;
	}
	if (!limits_plan(b, &ask)) {
		line_look(b, line, now + ACCOUNTS_AGAIN);
		return false;
	}
	if (s->paid) {
		let_go(b, s, NULL, now);
		return true;
	}
	other = line_before(b, &ask, s->asking->stamp, line, &rule);
	if (other != NULL)
		return go_over(b, s, rule, line_subject(other), INT64_MAX);
	charge = limits_reserve(b->limits->counts, b->config, &ask, false, now, &v);
	if (v.rule != NULL)
		return closed(b, s, &ask, &v, now);
	let_go(b, s, charge, now);
	if (v.near)
		told_look(b, &ask, now);
	return true;
}

void lines_tick(struct broker *b, int64_t now)
{
	struct heap_node *n;
	unsigned left = LINE_TURN;

	while (left > 0 && (n = heap_min(&b->limits->due)) != NULL && n->key <= now) {
		if (try_first(b, (struct line *)n, now))
			left--;
	}
}

/* ---- after a start
 * ----------------------------------------------------------------------------------- */

/* The limit that would hold it, though there may be room: those in front of it go first. */
static const struct limit_rule *rule_for(const struct broker *b, const struct limit_ask *ask)
{
	const struct limit_rule *rule, *best = NULL;
	size_t at = 0;

	while ((rule = limit_next(b->config, ask->plan, &at)) != NULL) {
		if (limit_applies(rule, ask) && (best == NULL || rule->over > best->over))
			best = rule;
	}
	return best;
}

static void place_one(struct broker *b, struct standing *s, int64_t now)
{
	struct limit_ask ask = s->asking->ask;
	struct limit_verdict v;
	struct limit_charge *charge;
	const struct limit_rule *rule;
	char subject[LIMIT_SUBJECT_MAX];

	limits_plan_if_known(b, &ask);
	charge = limits_reserve(b->limits->counts, b->config, &ask, false, now, &v);
	limits_give_back(b->limits->counts, &charge);
	rule = v.rule == NULL ? rule_for(b, &ask) : NULL;
	if (v.rule != NULL)
		stand(b, s, v.rule, v.subject, now);
	else if (rule != NULL && limit_subject(rule->key, &ask, subject))
		stand(b, s, rule, subject, now);
	else
		stand(b, s, &aside, "", now);
}

void lines_place(struct broker *b, int64_t now)
{
	struct standing *s;
	size_t at = 0;

	while ((s = map_next(&b->limits->standing, &at)) != NULL) {
		if (s->line == NULL && s->waits)
			place_one(b, s, now);
	}
}

/* The accounts are known, or others have other plans: who stood aside may belong elsewhere. */
void limits_accounts(struct broker *b, int64_t now)
{
	struct line *line = line_find(b, &aside, "");

	while (line != NULL && heap_min(&line->standing) != NULL) {
		struct standing *s = of_node(heap_min(&line->standing));

		line_leave(b, s);
		s->waits = true;
		line = line_find(b, &aside, "");
	}
	lines_place(b, now);
	lines_look(b, now);
}
