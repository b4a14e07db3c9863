/*
 * Limits at the COMMIT: may this message be taken, must it be held, and what is counted of it. And
 * what becomes of that when its record is durable, or is not.
 */
#include "flow/limits-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- life
 * ---------------------------------------------------------------------------------------- */

void limits_init(struct broker *b, const struct broker_params *p, uint64_t seed)
{
	struct limits_params params = {.calendar = p->calendar != NULL ? p->calendar : limit_utc,
	    .arg = p->calendar_arg,
	    .seed = seed,
	    .rows_max = p->limit_rows};
	struct broker_limits *l = gw_calloc(1, sizeof(*l));

	b->limits = l;
	l->counts = limits_new(&params);
	limits_configure(l->counts, b->config);
	map_init(&l->lines, seed + 1);
	map_init(&l->standing, seed + 2);
	map_init(&l->told, seed + 3);
	heap_init(&l->due);
	heap_init(&l->told_due);
	TAILQ_INIT(&l->told_order);
	TAILQ_INIT(&l->under_way);
	TAILQ_INIT(&l->seen);
	l->index_below = UINT64_MAX;
	l->checkpoint_due = INT64_MAX;
}

void limits_fini(struct broker *b)
{
	struct broker_limits *l = b->limits;
	struct standing *s;
	struct asking *a;
	size_t at = 0;

	while ((s = map_next(&l->standing, &at)) != NULL)
		standing_free(b, &s);
	told_forget(b);
	while ((a = TAILQ_FIRST(&l->seen)) != NULL) {
		TAILQ_REMOVE(&l->seen, a, link);
		free(a);
	}
	reading_fini(&l->reading);
	reading_fini(&l->whole);
	counting_fini(&l->counting);
	map_fini(&l->lines);
	map_fini(&l->standing);
	map_fini(&l->told);
	heap_fini(&l->due);
	heap_fini(&l->told_due);
	limits_free(&l->counts);
	free(l);
	b->limits = NULL;
}

void limits_reconfigure(struct broker *b, int64_t now)
{
	limits_configure(b->limits->counts, b->config);
	lines_look(b, now);
	told_take_back(b, now);
	if (limits_any(b->limits->counts))
		checkpoint_begin(b, b->limits->newest);
	checkpoint_index(b);
	checkpoint_wanted(b, now);
}

void limits_clock(struct broker *b)
{
	limits_clock_set(b->limits->counts);
	lines_look(b, b->now);
	told_again(b);
}

/* ---- whom a message concerns -------------------------------------------------------------------
 */

struct limit_ask limits_ask_of(const struct envelope *e, uint64_t octets)
{
	return (struct limit_ask){.account = span_first(e->account, ASKING_TEXT),
	    .tenant = span_first(e->tenant, ASKING_TEXT),
	    .listener = span_first(e->listener, ASKING_TEXT),
	    .client_ip = span_first(e->client_ip, ASKING_TEXT),
	    .null_sender = e->from.n == 0,
	    .recipients = (uint32_t)e->n_rcpt,
	    .octets = octets};
}

bool limits_plan(const struct broker *b, struct limit_ask *ask)
{
	const struct account *a;

	ask->plan = SPAN_NONE;
	if (ask->account.n == 0 || b->config->n_plan == 0 || b->config->users == NULL)
		return true;
	if (b->accounts == NULL)
		return false;
	a = accounts_find(b->accounts, ask->account);
	if (a != NULL)
		ask->plan = a->plan;
	return true;
}

void limits_plan_if_known(const struct broker *b, struct limit_ask *ask)
{
	if (!limits_plan(b, ask))
		ask->plan = SPAN_NONE;
}

bool limits_has_plan(const struct broker *b, const struct limit_rule *rule, const char *subject)
{
	struct limit_ask ask = {.account = span_str(subject)};
	const struct plan *p;

	if (rule->key != LIMIT_BY_ACCOUNT || !limits_plan(b, &ask))
		return true;
	p = config_plan(b->config, ask.plan);
	return p != NULL && strcmp(p->name, rule->plan) == 0;
}

static struct span put_text(char **to, struct span s)
{
	struct span copy = span_of(*to, s.n);

	if (s.n > 0)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return copy;
}

struct asking *asking_new(const struct limit_ask *ask, int64_t stamp)
{
	size_t n = ask->account.n + ask->tenant.n + ask->listener.n + ask->client_ip.n;
	struct asking *a = gw_calloc(1, sizeof(*a) + n);
	char *to = a->text;

	a->stamp = stamp;
	a->ask = *ask;
	a->ask.plan = SPAN_NONE;
	a->ask.account = put_text(&to, ask->account);
	a->ask.tenant = put_text(&to, ask->tenant);
	a->ask.listener = put_text(&to, ask->listener);
	a->ask.client_ip = put_text(&to, ask->client_ip);
	return a;
}

int64_t limits_stamp(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;

	l->stamp = l->stamp < now ? now : l->stamp + 1;
	return l->stamp;
}

const char *limits_place(const struct place *p, char to[LIMITS_PLACE])
{
	snprintf(to, LIMITS_PLACE, "%s:%u", p->file != NULL ? p->file : "?", p->line);
	return to;
}

/* ---- charges
 * ------------------------------------------------------------------------------------- */

struct charged *charged_new(struct broker *b, struct limit_charge *charge, int64_t stamp)
{
	struct charged *c;

	if (charge == NULL)
		return NULL;
	c = gw_calloc(1, sizeof(*c));
	c->charge = charge;
	c->stamp = stamp;
	TAILQ_INSERT_TAIL(&b->limits->under_way, c, link);
	return c;
}

static void charged_free(struct broker *b, struct charged **pc)
{
	TAILQ_REMOVE(&b->limits->under_way, *pc, link);
	free(*pc);
	*pc = NULL;
}

void limits_undone(struct broker *b, struct append *a)
{
	if (a->charged == NULL)
		return;
	limits_give_back(b->limits->counts, &a->charged->charge);
	charged_free(b, &a->charged);
	b->limits->given_back = true;
}

void charged_settle(struct broker *b, struct append *a, int64_t now)
{
	if (a->charged == NULL)
		return;
	limits_settle(b->limits->counts, &a->charged->charge, a->charged->stamp, now);
	charged_free(b, &a->charged);
}

/* ---- the verdict
 * --------------------------------------------------------------------------------- */

static void log_verdict(enum log_event event, const struct envelope *e,
    const struct limit_rule *rule, const char *subject, int64_t opens, int64_t now)
{
	char id[MSGID_TEXT + 1], text[LIMIT_TEXT], place[LIMITS_PLACE];
	struct logline l;

	msgid_format(&e->id, id);
	log_begin(&l, event);
	log_str(&l, "id", id);
	log_str(&l, "limit", limit_text(rule, text));
	log_str(&l, "subject", subject);
	if (opens == INT64_MAX)
		log_str(&l, "opens", "never");
	else
		log_seconds(&l, "opens", opens > now ? opens - now : 0);
	log_str(&l, "place", limits_place(&rule->place, place));
	log_end(&l);
}

static void refuse(
    const struct envelope *e, const struct limit_verdict *v, int64_t now, struct limits_said *said)
{
	metric_add(METRIC_LIMIT_REFUSED, 1);
	log_verdict(EV_LIMIT_REFUSED, e, v->rule, v->subject, v->opens, now);
	said->word = LIMITS_REFUSED;
	said->limit = broker_limit_new(v->rule, v->subject, v->used,
	    v->opens == INT64_MAX   ? INT64_MAX
	    : v->opens > now + 1000 ? v->opens - now
				    : 1000);
}

/* The recipients that nothing else holds, as a change. Ours stand behind what a rule of their
 * domain says: each recipient once. */
static void hold_rest(struct broker *b, const struct envelope *e, struct change *all,
    const struct change *before, const struct change_rcpt *like)
{
	size_t k = 0;

	all->rcpt = arena_alloc(&b->scratch, e->n_rcpt * sizeof(*all->rcpt));
	for (size_t i = 0; i < e->n_rcpt; i++) {
		if (k < before->n_rcpt && before->rcpt[k].index == i) {
			all->rcpt[i] = before->rcpt[k++];
			continue;
		}
		all->rcpt[i] = *like;
		all->rcpt[i].index = (uint32_t)i;
	}
	all->n_rcpt = e->n_rcpt;
}

static void encode_held(
    struct broker *b, const struct envelope *e, const struct limit_rule *rule, struct buf *out)
{
	char text[LIMIT_TEXT], place[LIMITS_PLACE], reply[LIMIT_TEXT + 64];
	struct change before = {.n_rcpt = 0}, all = {.id = e->id, .when = e->accepted};
	struct change_rcpt like = {.number = 1, .outcome = OUTCOME_HELD, .esc = {4, 7, 28}};

	snprintf(
	    reply, sizeof(reply), "Limit of %s: held until there is room", limit_text(rule, text));
	like.reply = span_str(reply);
	like.rule = span_str(limits_place(&rule->place, place));
	if (e->held.n > 0)
		gw_assert(change_decode(&before, e->held, &b->scratch) == 0);
	hold_rest(b, e, &all, &before, &like);
	change_encode(&all, out);
}

/* From now on it has its place: what comes behind it stays behind it, though it is not durable yet.
 */
static void hold(struct broker *b, struct envelope *e, const struct limit_ask *ask,
    const struct limit_rule *rule, const char *subject, int64_t opens, int64_t now,
    struct limits_said *said)
{
	struct asking *a = asking_new(ask, limits_stamp(b, now));

	metric_add(METRIC_LIMIT_HELD, 1);
	log_verdict(EV_LIMIT_HELD, e, rule, subject, opens, now);
	said->word = LIMITS_HELD;
	buf_init(&said->held, ENVELOPE_HELD_MAX);
	encode_held(b, e, rule, &said->held);
	e->held = buf_view(&said->held);
	e->counted = a->stamp;
	stand(b, standing_new(b, &e->id, a), rule, subject, INT64_MAX);
}

/* Held by rules of their domains, whatever limits say: there is nobody left to be held, and nobody
 * whom it would overtake. */
static bool all_held(struct broker *b, const struct envelope *e)
{
	struct change c = {.n_rcpt = 0};

	return e->held.n > 0 && change_decode(&c, e->held, &b->scratch) == 0 &&
	       c.n_rcpt == e->n_rcpt;
}

static void judge(struct broker *b, struct envelope *e, const struct limit_ask *ask, int64_t now,
    struct limits_said *said)
{
	struct broker_limits *l = b->limits;
	const struct limit_rule *rule = NULL;
	struct limit_verdict v;
	struct limit_charge *charge = limits_reserve(l->counts, b->config, ask, false, now, &v);
	struct line *line = NULL;

	if (v.rule != NULL &&
	    (v.rule->over == LIMIT_REFUSE || v.opens == INT64_MAX || all_held(b, e))) {
		refuse(e, &v, now, said);
		told_look(b, ask, now);
		return;
	}
	if (v.rule == NULL && !all_held(b, e))
		line = line_before(b, ask, INT64_MAX, NULL, &rule);
	if (line != NULL)
		limits_give_back(l->counts, &charge);
	if (v.rule != NULL)
		hold(b, e, ask, v.rule, v.subject, v.opens, now, said);
	else if (line != NULL)
		hold(b, e, ask, rule, line_subject(line), now, now, said);
	else if (charge != NULL)
		said->charged = charged_new(b, charge, e->counted = limits_stamp(b, now));
	if (v.near)
		told_look(b, ask, now);
}

void limits_judge(
    struct broker *b, struct envelope *e, uint64_t octets, int64_t now, struct limits_said *said)
{
	struct limit_ask ask = limits_ask_of(e, octets);

	*said = (struct limits_said){.word = LIMITS_PASS};
	if (e->origin == ORIGIN_SYSTEM || !limits_any(b->limits->counts))
		return;
	if (limits_plan(b, &ask))
		judge(b, e, &ask, now, said);
	else
		said->word = LIMITS_UNSURE;
}

/* ---- its record
 * ----------------------------------------------------------------------------------- */

/* A charge is counted, a place in a line is for good. */
void limits_durable(struct broker *b, struct append *a, int64_t now)
{
	struct standing *s;

	charged_settle(b, a, now);
	s = a->stands ? standing_find(b, &a->id) : NULL;
	if (s == NULL)
		return;
	s->ready = true;
	if (s->line != NULL)
		line_look(b, s->line, now);
}

void limits_refused(struct broker *b, struct append *a)
{
	struct standing *s = a->stands ? standing_find(b, &a->id) : NULL;

	limits_undone(b, a);
	if (s != NULL)
		standing_free(b, &s);
}

/* ---- time
 * ---------------------------------------------------------------------------------------- */

void limits_tick(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;

	checkpoint_tick(b, now);
	told_tick(b, now);
	if (l->given_back)
		lines_look(b, now);
	l->given_back = false;
	if (!b->frozen && !b->recovering && !b->stopping)
		lines_tick(b, now);
	if (now >= l->tidy_due) {
		limits_tidy(l->counts, TIDY_LOOK, now);
		l->tidy_due = now + TIDY_EVERY;
	}
}

int64_t limits_deadline(const struct broker *b)
{
	const struct broker_limits *l = b->limits;
	const struct heap_node *n = heap_min(&l->due);
	int64_t at = l->given_back ? b->now : l->checkpoint_due;

	if (n != NULL && n->key < at && !b->frozen && !b->recovering && !b->stopping)
		at = n->key;
	n = heap_min(&l->told_due);
	if (n != NULL && n->key < at)
		at = n->key;
	return limits_rows(l->counts) > 0 && l->tidy_due < at ? l->tidy_due : at;
}
