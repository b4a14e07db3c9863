/* Workers come, name what they hold, close connections, and go. */
#include "flow/broker-private.h"

#include <stdlib.h>

static void thaw(struct broker *b, int64_t now)
{
	if (b->recovering)
		return;
	for (int i = 0; i < BROKER_WORKERS_MAX; i++) {
		if (b->worker[i].up && !b->worker[i].named)
			return;
	}
	if (!b->frozen)
		return;
	once_thaw(b, now);
	b->frozen = false;
	group_pump_all(b, now);
}

void broker_worker_up(struct broker *b, unsigned worker, enum broker_worker_kind kind)
{
	gw_assert(worker < BROKER_WORKERS_MAX);
	b->worker[worker] = (struct worker){.up = true, .kind = kind};
	blame_worker_up(b, worker);
}

void broker_worker_blocked(struct broker *b, unsigned worker, bool blocked, int64_t now)
{
	size_t at = 0;
	struct job *j;

	gw_assert(worker < BROKER_WORKERS_MAX);
	b->worker[worker].blocked = blocked;
	while (!blocked && (j = map_next(&b->jobs, &at)) != NULL) {
		if (j->worker == worker)
			job_send_body(b, j);
	}
	if (!blocked)
		group_pump_all(b, now);
}

static void drop_jobs(struct broker *b, unsigned worker, int64_t now)
{
	size_t at = 0;
	struct job *j;

	while ((j = map_next(&b->jobs, &at)) != NULL) {
		if (j->worker == worker)
			job_lost(b, j, now);
	}
}

static void drop_conns(struct broker *b, unsigned worker)
{
	size_t at = 0;
	struct conn *c;

	while ((c = map_next(&b->conns, &at)) != NULL) {
		struct way *w = c->way;

		if (c->worker != worker || c->jobs > 0)
			continue;
		conn_free(b, c);
		way_release(b, w);
	}
}

void broker_worker_down(struct broker *b, unsigned worker, int64_t now)
{
	gw_assert(worker < BROKER_WORKERS_MAX);
	if (!b->worker[worker].up)
		return;
	drop_jobs(b, worker, now);
	drop_conns(b, worker);
	b->worker[worker].up = false;
	blame_worker_down(b, worker, now);
	thaw(b, now);
	group_pump_all(b, now);
}

void broker_holding_done(struct broker *b, unsigned worker, int64_t now)
{
	b->worker[worker].named = true;
	thaw(b, now);
	group_pump_all(b, now);
}

void broker_conn_closed(struct broker *b, unsigned worker, uint64_t number, int64_t now)
{
	struct conn *c = conn_by_number(b, number);
	struct way *w;

	/* With a job on it: the worker closed it before the job came, and opens it again. */
	if (c == NULL || c->worker != worker || c->jobs > 0)
		return;
	w = c->way;
	conn_free(b, c);
	way_pump(b, w, now);
}

/* ---- jobs that outlived the queue -------------------------------------------------------- */

/*
 * An earlier job that waits to be confirmed and a later one that runs may name the same
 * recipient: it belongs to the later one.
 */
static bool may_leave(const struct task *from, uint64_t job)
{
	return from->state != TASK_ACTIVE ||
	       (from->job != NULL && from->job->adopted && from->job->number < job);
}

struct task *task_carve(
    struct broker *b, struct queued *m, uint64_t job, const uint32_t *rcpt, size_t n)
{
	struct task *t = NULL;

	for (size_t i = 0; i < n; i++) {
		struct queued_rcpt *r = rcpt[i] < m->n_rcpt ? &m->rcpt[rcpt[i]] : NULL;
		struct task *from = r ? r->task : NULL;

		if (from == NULL || from == t || !may_leave(from, job))
			continue;
		if (t == NULL)
			t = task_like(from);
		/* Their sites may differ: a reload since the job was given parted them. */
		if (!span_eq(t->from, from->from))
			continue;
		r->task = t;
		t->n_rcpt++;
		if (--from->n_rcpt == 0 && from->state != TASK_ACTIVE)
			task_free(b, from);
	}
	return t;
}

int broker_holding(struct broker *b, unsigned worker, uint64_t job, uint64_t conn,
    const struct msgid *id, const uint32_t *rcpt, size_t n)
{
	struct queued *m = queued_find(b, id, b->now);
	const struct conn *c = conn_by_number(b, conn);
	struct task *t;

	if (b->worker[worker].named || !b->worker[worker].up)
		return GW_EFORMAT;
	/* Several jobs may name one connection: one runs, the others wait to be confirmed. */
	if (c != NULL && c->worker != worker)
		return GW_EFORMAT;
	if (m == NULL && message_known(b, id))
		return b->read_error == GW_EIO ? GW_EIO : 0; /* damaged: it goes nowhere */
	if (m == NULL || map_get(&b->jobs, span_of(&job, sizeof(job))) != NULL)
		return 0; /* finished already: its result will only be confirmed */
	t = task_carve(b, m, job, rcpt, n);
	if (t != NULL)
		job_adopt(b, t, worker, job, conn);
	else
		queued_settle(b, m); /* read back for nothing */
	return 0;
}
