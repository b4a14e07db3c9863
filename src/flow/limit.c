/* The counters of all limits: which there are, room in them, and what is counted. */
#include "flow/limit-private.h"

#include <stdlib.h>
#include <string.h>

enum { TIDY_LOOK = 64 }; /* rows, for one that is wanted */

/* ---- counters ---------------------------------------------------------------------------------
 */

struct limits *limits_new(const struct limits_params *p)
{
	struct limits *l = gw_calloc(1, sizeof(*l));

	l->p = *p;
	if (l->p.rows_max == 0)
		l->p.rows_max = LIMIT_ROWS_MAX;
	return l;
}

/* Anybody may have any number of them. */
static bool is_foreign(const struct limit_counter *c)
{
	return c->key == LIMIT_BY_ADDRESS || c->key == LIMIT_BY_NET;
}

static void row_free(struct limits *l, struct limit_row *r)
{
	gw_assert(r->pending == 0);
	l->n_foreign -= is_foreign(r->counter);
	map_del(&r->counter->rows, span_of(r->subject, r->subject_length));
	l->n_row--;
	free(r->mark);
	free(r);
}

static void forget_names(struct limit_counter *c)
{
	for (size_t i = 0; i < c->n_only; i++)
		free(c->only[i]);
	c->n_only = 0;
}

static void rows_clear(struct limits *l, struct limit_counter *c)
{
	struct limit_row *r;
	size_t at = 0;

	while ((r = map_next(&c->rows, &at)) != NULL) {
		if (r->pending == 0)
			row_free(l, r);
	}
}

static void counter_free(struct limits *l, struct limit_counter *c)
{
	rows_clear(l, c);
	gw_assert(map_len(&c->rows) == 0);
	forget_names(c);
	map_fini(&c->rows);
	free(c);
}

void limits_free(struct limits **pl)
{
	struct limits *l = *pl;

	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n_counter; i++)
		counter_free(l, l->counter[i]);
	free(l);
	*pl = NULL;
}

struct limit_counter *counter_find(struct limits *l, enum limit_key key, enum limit_what what,
    uint32_t seconds, enum limit_calendar calendar)
{
	for (size_t i = 0; i < l->n_counter; i++) {
		struct limit_counter *c = l->counter[i];

		if (c->key == key && c->what == what && c->seconds == seconds &&
		    (seconds > 0 || c->calendar == calendar))
			return c;
	}
	return NULL;
}

static struct limit_counter *counter_of(struct limits *l, const struct limit_rule *r)
{
	return counter_find(l, r->key, r->what, r->seconds, r->calendar);
}

static struct limit_counter *counter_new(struct limits *l, const struct limit_rule *r)
{
	struct limit_counter *c;

	if (l->n_counter == CONFIG_COUNTERS_MAX) /* the configuration was refused long before */
		return NULL;
	c = gw_calloc(1, sizeof(*c));
	c->key = r->key;
	c->what = r->what;
	c->seconds = r->seconds;
	c->calendar = r->calendar;
	map_init(&c->rows, l->p.seed + 2 * l->n_counter + 1);
	l->counter[l->n_counter++] = c;
	return c;
}

static char *copy_of(const char *name)
{
	size_t n = strlen(name) + 1;

	return memcpy(gw_calloc(1, n), name, n);
}

static void want(struct limits *l, const struct limit_rule *r)
{
	struct limit_counter *c = counter_of(l, r);

	if (c == NULL)
		c = counter_new(l, r);
	if (c == NULL)
		return;
	c->wanted = true;
	if (r->only == NULL || c->n_only == CONFIG_LIMITS_MAX)
		c->any = true;
	else
		c->only[c->n_only++] = copy_of(r->only);
}

/* What is reserved in a counter is decided first: until then it stays, and counts. */
static bool may_go(const struct limit_counter *c)
{
	const struct limit_row *r;
	size_t at = 0;

	while ((r = map_next(&c->rows, &at)) != NULL) {
		if (r->pending > 0)
			return false;
	}
	return true;
}

static void drop_unwanted(struct limits *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_counter; i++) {
		struct limit_counter *c = l->counter[i];

		if (c->wanted || !may_go(c))
			l->counter[n++] = c;
		else
			counter_free(l, c);
	}
	l->n_counter = n;
	l->tidy = 0;
}

static void mark_wanted(struct limits *l, const struct config *c)
{
	for (size_t i = 0; i < c->n_limit; i++)
		want(l, &c->limit[i]);
	for (size_t i = 0; i < c->n_plan; i++) {
		for (size_t k = 0; k < c->plan[i].n_limit; k++)
			want(l, &c->plan[i].limit[k]);
	}
}

void limits_configure(struct limits *l, const struct config *c)
{
	for (size_t i = 0; i < l->n_counter; i++) {
		l->counter[i]->wanted = l->counter[i]->any = false;
		forget_names(l->counter[i]);
	}
	mark_wanted(l, c);
	drop_unwanted(l);
}

bool limits_any(const struct limits *l)
{
	return l->n_counter > 0;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

/* Some rows more, for those that count nothing any more. */
void limits_tidy(struct limits *l, size_t look, int64_t now)
{
	while (look > 0 && l->n_counter > 0) {
		struct limit_counter *c = l->counter[l->tidy % l->n_counter];
		struct limit_row *r = map_next(&c->rows, &c->tidy_at);

		look--;
		if (r == NULL) {
			c->tidy_at = 0;
			l->tidy++;
			continue;
		}
		row_refresh(l, r, now);
		if (row_empty(r))
			row_free(l, r);
	}
}

static bool has_room(const struct limits *l, const struct limit_counter *c)
{
	return l->n_row < l->p.rows_max && (!is_foreign(c) || l->n_foreign < l->p.rows_max / 2);
}

static struct limit_row *row_new(
    struct limits *l, struct limit_counter *c, struct span subject, int64_t now)
{
	struct limit_row *r;

	if (!has_room(l, c))
		limits_tidy(l, TIDY_LOOK, now);
	if (!has_room(l, c))
		return NULL;
	r = gw_calloc(1, sizeof(*r) + subject.n + 1);
	r->counter = c;
	if (subject.n > 0)
		memcpy(r->subject, subject.p, subject.n);
	r->subject_length = (uint16_t)subject.n;
	map_put(&c->rows, span_of(r->subject, subject.n), r);
	l->n_row++;
	l->n_foreign += is_foreign(c);
	return r;
}

struct limit_row *row_get(
    struct limits *l, struct limit_counter *c, struct span subject, bool make, int64_t now)
{
	struct limit_row *r = map_get(&c->rows, subject);

	if (r == NULL && make)
		r = row_new(l, c, subject, now);
	else if (r != NULL)
		row_refresh(l, r, now);
	return r;
}

/* ---- a message
 * ----------------------------------------------------------------------------------- */

/* Its subjects by key, each looked for once. */
struct subjects {
	const struct limit_ask *ask;
	enum { UNASKED, NOBODY, KNOWN } state[LIMIT_KEYS];
	char text[LIMIT_KEYS][LIMIT_SUBJECT_MAX];
};

static bool subject_of(struct subjects *s, enum limit_key key)
{
	if (s->state[key] == UNASKED) {
		bool hidden =
		    s->ask->null_sender && key != LIMIT_BY_ACCOUNT && key != LIMIT_BY_TENANT;

		s->state[key] =
		    !hidden && limit_subject(key, s->ask, s->text[key]) ? KNOWN : NOBODY;
	}
	return s->state[key] == KNOWN;
}

static bool counts(const struct limit_counter *c, const char *subject)
{
	for (size_t i = 0; !c->any && i < c->n_only; i++) {
		if (strcmp(c->only[i], subject) == 0)
			return true;
	}
	return c->any;
}

/* The rows that this message counts in, with nothing reserved yet. */
static struct limit_charge *rows_of(
    struct limits *l, const struct limit_ask *ask, struct subjects *s, int64_t now)
{
	struct limit_charge *charge =
	    gw_calloc(1, sizeof(*charge) + l->n_counter * sizeof(charge->part[0]));
	bool full = false;

	for (size_t i = 0; i < l->n_counter; i++) {
		struct limit_counter *c = l->counter[i];
		struct limit_row *r;

		if (!subject_of(s, c->key) || !counts(c, s->text[c->key]))
			continue;
		r = row_get(l, c, span_str(s->text[c->key]), true, now);
		full = full || r == NULL;
		if (r == NULL)
			continue;
		/* from now on it stays, whatever the others need room for */
		charge->part[charge->n].row = r;
		charge->part[charge->n].n = limit_amount(c->what, ask);
		r->pending += charge->part[charge->n++].n;
	}
	l->unlimited += full;
	return charge;
}

static const struct limit_part *part_of(
    const struct limit_charge *charge, const struct limit_rule *rule)
{
	for (size_t i = 0; i < charge->n; i++) {
		const struct limit_counter *c = charge->part[i].row->counter;

		if (c->key == rule->key && c->what == rule->what && c->seconds == rule->seconds &&
		    (c->seconds > 0 || c->calendar == rule->calendar))
			return &charge->part[i];
	}
	return NULL;
}

/* Is this one to be named rather than the one so far? What never fits is told at once. */
static bool graver(const struct limit_verdict *v, const struct limit_rule *rule, int64_t opens)
{
	if (v->rule == NULL)
		return true;
	if ((opens == INT64_MAX) != (v->opens == INT64_MAX))
		return opens == INT64_MAX;
	if (rule->over != v->rule->over)
		return rule->over < v->rule->over;
	return opens > v->opens;
}

static void judge_rule(const struct limit_charge *charge, const struct limit_rule *rule,
    int64_t now, struct limit_verdict *v)
{
	const struct limit_part *p = part_of(charge, rule);
	struct limit_row before;
	int64_t opens;

	if (p == NULL)
		return;
	v->near = v->near || row_used(p->row) >= rule->n ||
		  limit_is_near(rule, rule->n - row_used(p->row));
	if (row_used(p->row) <= rule->n)
		return;
	before = *p->row;
	before.pending -= p->n;
	opens = row_opens(&before, rule->n, p->n, now);
	if (!graver(v, rule, opens))
		return;
	v->rule = rule;
	v->opens = opens;
	v->used = row_used(&before);
	memcpy(v->subject, p->row->subject, (size_t)p->row->subject_length + 1);
}

static void judge(const struct limit_charge *charge, const struct config *c,
    const struct limit_ask *ask, int64_t now, struct limit_verdict *v)
{
	const struct limit_rule *rule;
	size_t at = 0;

	while ((rule = limit_next(c, ask->plan, &at)) != NULL) {
		if (limit_applies(rule, ask))
			judge_rule(charge, rule, now, v);
	}
}

struct limit_charge *limits_reserve(struct limits *l, const struct config *c,
    const struct limit_ask *ask, bool force, int64_t now, struct limit_verdict *v)
{
	struct subjects s = {.ask = ask};
	struct limit_charge *charge;

	v->rule = NULL;
	v->near = false;
	if (l->n_counter == 0)
		return NULL;
	charge = rows_of(l, ask, &s, now);
	judge(charge, c, ask, now, v);
	if (charge->n == 0 || (v->rule != NULL && !force))
		limits_give_back(l, &charge);
	return charge;
}

void limits_give_back(struct limits *l, struct limit_charge **pc)
{
	struct limit_charge *charge = *pc;

	(void)l;
	if (charge == NULL)
		return;
	for (size_t i = 0; i < charge->n; i++)
		charge->part[i].row->pending -= charge->part[i].n;
	free(charge);
	*pc = NULL;
}

void limits_settle(struct limits *l, struct limit_charge **pc, int64_t when, int64_t now)
{
	struct limit_charge *charge = *pc;

	if (charge == NULL)
		return;
	for (size_t i = 0; i < charge->n; i++)
		row_count(l, charge->part[i].row, charge->part[i].n, when, now);
	limits_give_back(l, pc);
}

void limits_count(struct limits *l, const struct limit_ask *ask, int64_t when, int64_t now)
{
	struct subjects s = {.ask = ask};
	struct limit_charge *charge = rows_of(l, ask, &s, now);

	limits_settle(l, &charge, when, now);
}

/* ---- looking ------------------------------------------------------------------------------------
 */

struct limit_state limits_state(struct limits *l, const struct limit_rule *rule,
    struct span subject, uint64_t amount, int64_t now)
{
	struct limit_counter *c = counter_of(l, rule);
	const struct limit_row *r = c != NULL ? row_get(l, c, subject, false, now) : NULL;

	if (r == NULL)
		return (struct limit_state){0, amount > rule->n ? INT64_MAX : now};
	return (struct limit_state){row_used(r), row_opens(r, rule->n, amount, now)};
}

bool limits_next(struct limits *l, const struct limit_rule *rule, size_t *at, int64_t now,
    struct span *subject, struct limit_state *state)
{
	struct limit_counter *c = counter_of(l, rule);
	struct limit_row *r;

	while (c != NULL && (r = map_next(&c->rows, at)) != NULL) {
		row_refresh(l, r, now);
		if (row_empty(r) || (rule->only != NULL && strcmp(rule->only, r->subject) != 0))
			continue;
		*subject = span_of(r->subject, r->subject_length);
		*state = (struct limit_state){row_used(r), row_opens(r, rule->n, 1, now)};
		return true;
	}
	return false;
}

size_t limits_rows(const struct limits *l)
{
	return l->n_row;
}

uint64_t limits_unlimited(const struct limits *l)
{
	return l->unlimited;
}
