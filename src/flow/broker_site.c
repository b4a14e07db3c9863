/* Sites with their connections, and tasks: who may be delivered where, and when. */
#include "flow/broker-private.h"

#include <stdlib.h>

enum { WORKER_CONNS_MAX = 4000 }; /* below what a channel may have outstanding (JOB) */

/* ---- sites ----------------------------------------------------------------------------- */

/* "group|where": by hand, since each recipient passes here. */
static void site_key(const struct routed *r, char *to, size_t size)
{
	size_t a = strlen(r->shape->name), n = strlen(r->site);

	gw_assert(a + 1 + n < size);
	memcpy(to, r->shape->name, a);
	to[a] = '|';
	memcpy(to + a + 1, r->site, n + 1);
}

struct site *site_get(struct broker *b, const struct routed *r)
{
	char key[SITE_KEY_MAX + 64];
	struct site *s;

	site_key(r, key, sizeof(key));
	s = map_get(&b->sites, span_str(key));
	if (s != NULL)
		return s;
	s = gw_calloc(1, sizeof(*s));
	s->magic = SITE_MAGIC;
	memcpy(s->key, key, strlen(key) + 1);
	s->target = r->target;
	s->shape = r->shape;
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->crowd);
	map_put(&b->sites, span_str(s->key), s);
	return s;
}

void site_release(struct broker *b, struct site *s)
{
	if (s->n_ready + s->n_waiting + s->n_active + s->n_conns + s->n_parked > 0 ||
	    s->rest_until > 0 || s->is_hungry)
		return;
	map_del(&b->sites, span_str(s->key));
	s->magic = 0;
	free(s);
}

void site_failed(struct broker *b, struct site *s, int64_t now)
{
	/* Connections that fail together are one failure of the site. */
	if (s->rest_until > 0)
		return;
	s->failures++;
	s->rest_until = sched_rest(s->failures, now, &b->dice);
	heap_set(&b->resting, &s->rest, s->rest_until);
}

/* ---- tasks ----------------------------------------------------------------------------- */

static size_t *state_count(struct site *s, enum task_state state)
{
	return state == TASK_READY     ? &s->n_ready
	       : state == TASK_WAITING ? &s->n_waiting
				       : &s->n_active;
}

static void task_leave(struct broker *b, struct task *t)
{
	--*state_count(t->site, t->state);
	heap_del(&b->due, &t->node);
	if (t->state == TASK_READY) {
		TAILQ_REMOVE(&t->site->ready, t, link);
		site_hungry(b, t->site);
	}
	if (t->state == TASK_ACTIVE)
		b->n_active--;
}

static void task_enter(struct task *t, enum task_state state)
{
	t->state = state;
	++*state_count(t->site, state);
}

void task_ready(struct broker *b, struct task *t)
{
	task_leave(b, t);
	task_enter(t, TASK_READY);
	TAILQ_INSERT_TAIL(&t->site->ready, t, link);
	heap_set(&b->due, &t->node,
	    sched_born(t->site->shape, t->msg->accepted, b->resumed) + t->site->shape->expire);
}

void task_wait(struct broker *b, struct task *t, int64_t due)
{
	task_leave(b, t);
	task_enter(t, TASK_WAITING);
	heap_set(&b->due, &t->node, due);
}

static void task_activate(struct broker *b, struct task *t)
{
	task_leave(b, t);
	task_enter(t, TASK_ACTIVE);
	b->n_active++;
}

static struct task *task_new(struct queued *m, struct site *s)
{
	struct task *t = gw_calloc(1, sizeof(*t));

	t->msg = m;
	t->site = s;
	TAILQ_INSERT_TAIL(&m->task_list, t, of_msg);
	m->tasks++;
	task_enter(t, TASK_WAITING);
	return t;
}

void task_free(struct broker *b, struct task *t)
{
	struct queued *m = t->msg;
	struct site *s = t->site;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t)
			m->rcpt[i].task = NULL;
	}
	task_leave(b, t);
	TAILQ_REMOVE(&m->task_list, t, of_msg);
	m->tasks--;
	free(t);
	site_release(b, s);
}

static size_t task_room(const struct site *s)
{
	return s->target.kind == TARGET_MAILDIR ? 1 : TASK_RCPT_MAX;
}

/* A task of this filing that has room, for that site. */
static struct task *task_for(struct queued *m, struct site *s, struct task *after)
{
	struct task *t = after ? TAILQ_NEXT(after, of_msg) : TAILQ_FIRST(&m->task_list);

	for (; t != NULL; t = TAILQ_NEXT(t, of_msg)) {
		if (t->site == s && t->n_rcpt < task_room(s))
			return t;
	}
	return NULL;
}

static void file_one(
    struct broker *b, struct queued *m, struct queued_rcpt *r, struct task *old_last, int64_t now)
{
	struct routed where;
	struct site *s;
	struct task *t;

	route_of(b->config, r->addr, &where);
	s = site_get(b, &where);
	t = task_room(s) == 1 ? NULL : task_for(m, s, old_last);
	if (t == NULL)
		t = task_new(m, s);
	r->task = t;
	r->due = sched_stored(s->shape, r->attempts, r->due, now);
	t->n_rcpt++;
	if (t->n_rcpt == 1 || r->due < t->node.key)
		t->node.key = r->due; /* not in the heap yet: remembers the earliest */
}

static void start_filed(struct broker *b, struct task *t, int64_t now)
{
	int64_t due = t->node.key;
	struct site *s = t->site;

	if (due > now) {
		task_wait(b, t, due);
		return;
	}
	task_ready(b, t);
	site_pump(b, s, now);
}

/* What may have been sent already is filed only for a worker that comes to name it (broker_once.c).
 */
static bool may_be_filed(const struct broker *b, const struct queued_rcpt *r)
{
	return queued_fileable(r) || (b->frozen && r->outcome == OUTCOME_MAYBE);
}

void queued_file(struct broker *b, struct queued *m, int64_t now)
{
	struct task *old_last = TAILQ_LAST(&m->task_list, task_list_head), *t, *next;

	blame_hand(b, &m->id);
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (may_be_filed(b, &m->rcpt[i]) && m->rcpt[i].task == NULL)
			file_one(b, m, &m->rcpt[i], old_last, now);
	}
	m->appends++; /* the message stays while its tasks start, whatever becomes of them */
	t = old_last ? TAILQ_NEXT(old_last, of_msg) : TAILQ_FIRST(&m->task_list);
	for (; t != NULL; t = next) {
		next = TAILQ_NEXT(t, of_msg);
		start_filed(b, t, now);
	}
	m->appends--;
}

/* ---- connections ----------------------------------------------------------------------- */

struct conn *conn_by_number(struct broker *b, uint64_t number)
{
	return map_get(&b->conns, span_of(&number, sizeof(number)));
}

static struct conn *conn_new(struct broker *b, struct site *s, unsigned worker, uint64_t number)
{
	struct conn *c = gw_calloc(1, sizeof(*c));

	c->number = number;
	map_put(&b->conns, span_of(&c->number, sizeof(c->number)), c);
	c->worker = worker;
	c->site = s;
	TAILQ_INSERT_HEAD(&s->conns, c, link);
	s->n_conns++;
	b->n_conns++;
	b->worker[worker].conns++;
	return c;
}

void conn_free(struct broker *b, struct conn *c)
{
	struct site *s = c->site;

	map_del(&b->conns, span_of(&c->number, sizeof(c->number)));
	TAILQ_REMOVE(&s->conns, c, link);
	s->n_conns--;
	b->n_conns--;
	b->worker[c->worker].conns--;
	free(c);
}

/* The job on it is over. A worker closes a used-up connection itself and says so. */
void conn_idle(struct broker *b, struct conn *c)
{
	struct site *s = c->site;

	if (--c->jobs > 0)
		return;
	TAILQ_REMOVE(&s->conns, c, link);
	TAILQ_INSERT_HEAD(&s->conns, c, link); /* the warmest first */
	if (s->target.kind == TARGET_MAILDIR)
		conn_free(b, c);
}

static struct conn *idle_conn(const struct broker *b, struct site *s)
{
	struct conn *c;

	TAILQ_FOREACH(c, &s->conns, link)
	{
		if (c->jobs == 0 && c->messages < s->shape->per_connection &&
		    !b->worker[c->worker].blocked)
			return c;
	}
	return NULL;
}

/* The worker of the right kind with the fewest connections, or -1. */
static int pick_worker(const struct broker *b, enum broker_worker_kind kind)
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

static struct conn *get_conn(struct broker *b, struct site *s)
{
	struct conn *c = idle_conn(b, s);
	/* one knocks, the others wait */
	size_t most = s->failures > 0 || s->suspected ? 1 : s->shape->connections;
	int worker;

	if (c != NULL || s->n_conns >= most)
		return c;
	worker = pick_worker(b, s->target.kind == TARGET_MAILDIR ? WORKER_MDA : WORKER_SENDER);
	return worker < 0 ? NULL : conn_new(b, s, (unsigned)worker, b->next_number++);
}

/* ---- who goes next ---------------------------------------------------------------------- */

static bool may_pump(const struct broker *b, const struct site *s)
{
	return !b->recovering && !b->frozen && b->may_start && !b->stopping && s->rest_until == 0;
}

static void settle_rejected(struct broker *b, struct task *t, int64_t now)
{
	struct reply r = route_reply(t->site->target.reply);

	task_activate(b, t);
	task_settle_all(
	    b, t, NULL, reply_temporary(&r) ? OUTCOME_DEFERRED : OUTCOME_FAILED, &r, now);
}

void site_pump(struct broker *b, struct site *s, int64_t now)
{
	struct task *t;

	gw_check_magic(s, SITE_MAGIC);
	if (!may_pump(b, s)) {
		site_release(b, s);
		return;
	}
	s->n_active++; /* the site stays while its list is walked */
	while ((t = blame_next_task(s)) != NULL) {
		struct conn *c;

		if (account_holds(b, t, now))
			continue;
		if (s->target.kind == TARGET_REJECT) {
			settle_rejected(b, t, now);
			continue;
		}
		c = get_conn(b, s);
		if (c == NULL)
			break;
		task_activate(b, t);
		job_start(b, t, c);
	}
	s->n_active--;
	site_release(b, s);
}

void site_pump_all(struct broker *b, int64_t now)
{
	size_t at = 0;
	struct site *s;

	while ((s = map_next(&b->sites, &at)) != NULL)
		site_pump(b, s, now);
}

/* ---- jobs that outlived the queue -------------------------------------------------------- */

struct task *task_like(struct task *t)
{
	return task_new(t->msg, t->site);
}

void job_adopt(struct broker *b, struct task *t, unsigned worker, uint64_t job, uint64_t conn)
{
	struct conn *c = conn_by_number(b, conn);

	if (c == NULL)
		c = conn_new(b, t->site, worker, conn);
	task_activate(b, t);
	job_resume(b, t, c, job);
}
