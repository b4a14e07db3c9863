/* Connections: those of a way, idle or with a job. A slot stays taken until the worker says that
 * the connection is closed. */
#include "flow/broker-private.h"

#include <stdlib.h>

enum { WORKER_CONNS_MAX = 4000 }; /* below what a channel may have outstanding (JOB) */

struct conn *conn_by_number(struct broker *b, uint64_t number)
{
	return map_get(&b->conns, span_of(&number, sizeof(number)));
}

/* ---- lists ------------------------------------------------------------------------------- */

static void leave_idle(struct conn *c)
{
	if (!c->idle)
		return;
	c->idle = false;
	TAILQ_REMOVE(&c->way->idle, c, of_way);
	TAILQ_REMOVE(&c->way->group->idle, c, of_group);
}

static void enter_idle(struct conn *c)
{
	c->idle = true;
	TAILQ_INSERT_HEAD(&c->way->idle, c, of_way);
	TAILQ_INSERT_TAIL(&c->way->group->idle, c, of_group);
}

struct conn *conn_new(struct broker *b, struct way *w, unsigned worker, uint64_t number)
{
	struct conn *c = gw_calloc(1, sizeof(*c));

	c->number = number;
	map_put(&b->conns, span_of(&c->number, sizeof(c->number)), c);
	c->worker = worker;
	c->way = w;
	w->n_conns++;
	w->group->n_conns++;
	if (w->group->whole != NULL)
		w->group->whole->n_conns++;
	b->n_conns++;
	b->worker[worker].conns++;
	return c;
}

void conn_free(struct broker *b, struct conn *c)
{
	struct way *w = c->way;

	if (w->turned == c)
		pull_over(b, w);
	leave_idle(c);
	map_del(&b->conns, span_of(&c->number, sizeof(c->number)));
	w->n_conns--;
	w->group->n_conns--;
	w->group->n_closing -= c->closing;
	if (w->group->whole != NULL) {
		w->group->whole->n_conns--;
		limit_others(b, w->group);
	}
	b->n_conns--;
	b->worker[c->worker].conns--;
	if (!TAILQ_EMPTY(&b->starved))
		group_soon(b, TAILQ_FIRST(&b->starved));
	free(c);
}

void conn_busy(struct conn *c, enum priority class)
{
	leave_idle(c);
	c->messages++;
	if (c->jobs++ > 0)
		return;
	c->way->n_busy++;
	c->bulk = class == PRIORITY_BULK;
	c->way->group->n_bulk += c->bulk;
	way_review(c->way);
}

void conn_rests(struct conn *c)
{
	if (--c->jobs > 0)
		return;
	c->way->n_busy--;
	c->way->group->n_bulk -= c->bulk;
	c->bulk = false;
	way_review(c->way);
}

struct conn *conn_turned(struct broker *b, struct way *w, unsigned worker, uint64_t number)
{
	struct conn *c = conn_new(b, w, worker, number);

	w->turned = c;
	enter_idle(c);
	return c;
}

/* With the messages that are on it. */
static void leave_group(const struct conn *c, struct group *g)
{
	g->n_conns--;
	g->n_closing -= c->closing;
	if (g->whole != NULL)
		g->whole->n_conns--;
}

static void enter_group(const struct conn *c, struct group *g)
{
	g->n_conns++;
	g->n_closing += c->closing;
	if (g->whole != NULL)
		g->whole->n_conns++;
	for (unsigned i = 0; i < c->jobs; i++)
		limit_take(g);
}

static void conn_moves(struct conn *c, struct way *to)
{
	struct way *from = c->way;
	bool idle = c->idle;

	leave_idle(c);
	leave_group(c, from->group);
	from->n_conns--;
	from->n_busy -= c->jobs > 0;
	from->group->n_bulk -= c->bulk;
	c->way = to;
	enter_group(c, to->group);
	to->n_conns++;
	to->n_busy += c->jobs > 0;
	to->group->n_bulk += c->bulk;
	if (idle)
		enter_idle(c);
}

void conns_move(struct broker *b, struct way *from, struct way *to)
{
	size_t at = 0;
	struct conn *c;

	while (from->n_conns > 0 && (c = map_next(&b->conns, &at)) != NULL) {
		if (c->way == from)
			conn_moves(c, to);
	}
}

/* The job on it is over. A worker closes a used-up connection itself and says so. */
void conn_idle(struct broker *b, struct conn *c)
{
	conn_rests(c);
	if (c->jobs > 0)
		return;
	if (b->worker[c->worker].kind == WORKER_MDA)
		conn_free(b, c);
	else if (c->way->turned == c)
		enter_idle(c);
	else if (c->way->group->by_pull) /* the queue before us had it */
		conn_dismiss(b, c);
	else if (c->stale && !c->closing)
		conn_dismiss(b, c);
	else if (c->closing || c->messages >= c->way->group->shape->per_connection)
		return;
	else if (c->way->group->n_conns - c->way->group->n_closing > limit_most(c->way->group))
		conn_dismiss(b, c);
	else
		enter_idle(c);
}

void conn_dismiss(struct broker *b, struct conn *c)
{
	struct broker_effect *e = effect_add(b, EFFECT_CLOSE);

	e->peer = c->worker;
	e->number = c->number;
	leave_idle(c);
	c->closing = true;
	c->way->group->n_closing++;
}

void conns_thin(struct broker *b, struct group *g)
{
	struct conn *c;

	while (g->n_conns - g->n_closing > limit_most(g) && (c = TAILQ_FIRST(&g->idle)) != NULL)
		conn_dismiss(b, c);
}

/* ---- one for a job ------------------------------------------------------------------------- */

static struct conn *idle_conn(const struct broker *b, const struct way *w)
{
	struct conn *c;

	TAILQ_FOREACH(c, &w->idle, of_way)
	{
		if (!b->worker[c->worker].blocked)
			return c;
	}
	return NULL;
}

int conn_worker(const struct broker *b, enum broker_worker_kind kind)
{
	int best = -1;

	for (int i = 0; i < BROKER_WORKERS_MAX; i++) {
		const struct worker *w = &b->worker[i];

		if (!w->up || w->kind != kind || w->blocked || w->conns >= WORKER_CONNS_MAX)
			continue;
		if (best < 0 || w->conns < b->worker[best].conns)
			best = i;
	}
	return best;
}

/* For other hosts of the group, or of the same group from another source: one at a time. */
static void make_room(struct broker *b, struct group *g)
{
	struct group *other;

	if (g->n_closing > 0)
		return;
	if (!TAILQ_EMPTY(&g->idle)) {
		conn_dismiss(b, TAILQ_FIRST(&g->idle));
		return;
	}
	if (g->whole == NULL || g->limit != LIMIT_CONNECTIONS_TOTAL)
		return;
	TAILQ_FOREACH(other, &g->whole->groups, of_whole)
	{
		if (other->n_closing > 0)
			return;
	}
	TAILQ_FOREACH(other, &g->whole->groups, of_whole)
	{
		if (!TAILQ_EMPTY(&other->idle)) {
			conn_dismiss(b, TAILQ_FIRST(&other->idle));
			return;
		}
	}
}

struct conn *conn_get(struct broker *b, const struct site *s)
{
	struct group *g = s->group;
	struct conn *c = idle_conn(b, s->way);
	int worker;

	if (c != NULL || s->target.kind == TARGET_ODMR)
		return c; /* nobody is called: who wants it comes */
	if (!limit_connection(g)) {
		make_room(b, g);
		return NULL;
	}
	worker = conn_worker(b, target_is_local(&s->target) ? WORKER_MDA : WORKER_SENDER);
	if (worker < 0) {
		group_starves(b, g);
		return NULL;
	}
	return conn_new(b, s->way, (unsigned)worker, b->next_number++);
}
