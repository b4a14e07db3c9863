/*
 * ETRN (RFC 1985): a host that was away asks for its mail. What waits there is counted by the
 * sites, so that the answer takes no longer for a million messages; those at rest are made due by a
 * walk over all of them, a part in each turn of the loop. A run for one name begins once a minute
 * at most: what is under way is not tried faster by asking again.
 */
#include "flow/broker-private.h"
#include "flow/reach.h"

#include <stdio.h>
#include <stdlib.h>

/* Of the walk in one turn; names that are remembered. */
enum { LOOK = 20000, RUNS_MAX = 1024 };
#define RUN_EVERY (INT64_C(60) * 1000000)

struct etrn_run {
	TAILQ_ENTRY(etrn_run) link;
	int64_t at;
	char name[ETRN_TEXT_MAX];
};

void etrn_init(struct broker *b, uint64_t seed)
{
	map_init(&b->etrn.map, seed);
	TAILQ_INIT(&b->etrn.list);
}

static void forget(struct broker *b, struct etrn_run *r)
{
	map_del(&b->etrn.map, span_str(r->name));
	TAILQ_REMOVE(&b->etrn.list, r, link);
	free(r);
}

void etrn_fini(struct broker *b)
{
	struct etrn_run *r;

	while ((r = TAILQ_FIRST(&b->etrn.list)) != NULL)
		forget(b, r);
	map_fini(&b->etrn.map);
}

/* ---- once a minute ----------------------------------------------------------------------------
 */

static void forget_old(struct broker *b, int64_t now)
{
	struct etrn_run *r;

	while ((r = TAILQ_FIRST(&b->etrn.list)) != NULL && now - r->at >= RUN_EVERY)
		forget(b, r);
}

static void remember(struct broker *b, const char *name, int64_t now)
{
	struct etrn_run *r = gw_calloc(1, sizeof(*r));

	snprintf(r->name, sizeof(r->name), "%s", name);
	r->at = now;
	map_put(&b->etrn.map, span_str(r->name), r);
	TAILQ_INSERT_TAIL(&b->etrn.list, r, link);
}

/* ---- what there is ------------------------------------------------------------------------------
 */

/* What is asked for, and what of it may go. */
struct etrn_walk {
	enum etrn_kind kind;
	struct span name;
	struct reach reach;
	uint64_t messages;
	const struct ruling *pause; /* of one of the groups that may not go; NULL: none */
	uint32_t walk;              /* sites are marked with it */
	int64_t now;
};

static bool group_has_name(const struct group *g, struct span name)
{
	return span_eq(span_str(g->shape->name), name) || span_eq(span_str(g->name), name);
}

static bool is_meant(const struct etrn_walk *p, const struct site *s)
{
	if (p->kind == ETRN_GROUP)
		return group_has_name(s->group, p->name);
	if (s->names != NULL)
		return reach_has_domain(&p->reach, span_str(s->names->domain));
	return reach_has_site(&p->reach, s->name);
}

static void each_site(struct broker *b, struct etrn_walk *p,
    void (*fn)(struct broker *b, struct etrn_walk *p, struct site *s))
{
	struct names *d = map_get(&b->names, p->name);
	size_t at = 0;
	struct site *s;

	/* The hosts of DNS take it all. */
	if (p->kind == ETRN_NODE && p->reach.n == 0) {
		for (s = d != NULL ? TAILQ_FIRST(&d->sites) : NULL; s != NULL;
		     s = TAILQ_NEXT(s, of_names))
			fn(b, p, s);
		return;
	}
	while ((s = map_next(&b->sites, &at)) != NULL) {
		if (is_meant(p, s))
			fn(b, p, s);
	}
}

static size_t pending_at(const struct site *s)
{
	return s->n_pending + s->n_ready + s->n_waiting + s->n_active;
}

static const struct ruling *pause_of(const struct site *s, int64_t now)
{
	const struct rulings *r = s->group->rulings;

	return r != NULL && r->pause.until > now ? &r->pause : NULL;
}

static void count(struct broker *b, struct etrn_walk *p, struct site *s)
{
	const struct ruling *pause = pause_of(s, p->now);

	(void)b;
	if (pause == NULL)
		p->messages += pending_at(s);
	else if (pending_at(s) > 0)
		p->pause = pause;
}

/* ---- off it goes --------------------------------------------------------------------------------
 */

/* What ended workers on its way there keeps its rest. */
static void knock(struct broker *b, struct way *w, int64_t now)
{
	bad_hosts_pardon(b, w);
	if (w->rest_until > now && !w->paused)
		heap_set(&b->resting, &w->rest, now);
}

static void pull(struct broker *b, struct etrn_walk *p, struct site *s)
{
	if (pause_of(s, p->now) != NULL)
		return;
	s->etrn_walk = p->walk;
	if (s->names != NULL)
		names_doubt(s->names, p->now);
	knock(b, s->way, p->now);
}

static void wake_tasks(struct broker *b, struct queued *m, uint32_t walk, int64_t now)
{
	struct task *t;

	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state != TASK_WAITING || t->not_before > now || t->site->etrn_walk != walk ||
		    t->node.key <= now)
			continue;
		task_wait(b, t, now);
		for (size_t i = 0; i < m->n_rcpt; i++) {
			if (m->rcpt[i].task == t)
				m->rcpt[i].due = now;
		}
	}
}

static void start(struct broker *b, struct etrn_walk *p)
{
	struct etrn_runs *e = &b->etrn;
	struct queued *m;

	p->walk = e->number + 1;
	each_site(b, p, pull);
	TAILQ_FOREACH(m, &b->messages, link)
	wake_tasks(b, m, p->walk, p->now);
	e->again = e->on;
	if (e->on)
		return;
	e->number++;
	e->on = true;
	e->at = (struct pool_walk){0};
}

static void wake_resting(struct broker *b, struct parked *p, int64_t now)
{
	struct resting *r = parked_rest(p);
	bool some = false;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome > OUTCOME_DEFERRED || r[i].due <= now || r[i].site == NULL ||
		    r[i].site->etrn_walk != b->etrn.number || resting_not_before(p, &r[i]) > now)
			continue;
		r[i].due = now;
		some = true;
	}
	if (some && p->in == NULL)
		parked_schedule(b, p);
}

void etrn_go_on(struct broker *b, int64_t now)
{
	struct etrn_runs *e = &b->etrn;
	struct parked *p;

	for (size_t i = 0; e->on && i < LOOK; i++) {
		p = pool_next(&b->parking.pool, &e->at);
		if (p != NULL) {
			wake_resting(b, p, now);
			continue;
		}
		e->on = e->again;
		e->again = false;
		e->number += e->on;
		e->at = (struct pool_walk){0};
	}
}

/* ---- the answer ---------------------------------------------------------------------------------
 */

static enum etrn_status judge(struct broker *b, struct etrn_walk *p, const char *name)
{
	if (p->messages == 0)
		return p->pause != NULL ? ETRN_PAUSED : ETRN_EMPTY;
	if (map_get(&b->etrn.map, span_str(name)) != NULL)
		return ETRN_RUNNING;
	if (map_len(&b->etrn.map) >= RUNS_MAX)
		return ETRN_BUSY;
	remember(b, name, p->now);
	start(b, p);
	return p->reach.shared ? ETRN_STARTED : ETRN_COUNTED;
}

/* Whether others have mail at a place that is shared is not told. */
static enum etrn_status told(enum etrn_status is, const struct etrn_walk *p)
{
	return p->reach.shared && is == ETRN_EMPTY ? ETRN_STARTED : is;
}

void broker_etrn(
    struct broker *b, enum etrn_kind kind, struct span name, struct broker_etrn *out, int64_t now)
{
	struct etrn_walk p = {.kind = kind, .name = name, .now = now};
	char text[ETRN_TEXT_MAX];

	*out = (struct broker_etrn){.status = ETRN_BUSY};
	if (b->recovering)
		return;
	b->now = now;
	forget_old(b, now);
	if (kind != ETRN_GROUP)
		reach_init(&p.reach, b->config, kind, name);
	each_site(b, &p, count);
	out->status = told(judge(b, &p, etrn_text(kind, name, text)), &p);
	out->messages = p.messages < UINT32_MAX ? (uint32_t)p.messages : UINT32_MAX;
	if (out->status == ETRN_PAUSED)
		snprintf(out->why, sizeof(out->why), "%s", p.pause->why);
	reach_fini(&p.reach);
	broker_tick(b, now);
}
