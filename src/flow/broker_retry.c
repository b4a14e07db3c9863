/* What operators make due now: one message or all of them, and the sites that rest. */
#include "flow/ask-private.h"

#include "flow/query-private.h"

size_t retry_queued(struct broker *b, struct queued *m, int64_t now)
{
	struct task *t;
	size_t n = 0;

	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state != TASK_WAITING || t->not_before > now)
			continue;
		n += t->n_rcpt;
		task_wait(b, t, now);
	}
	for (size_t i = 0; i < m->n_rcpt; i++) {
		t = m->rcpt[i].task;
		if (t != NULL && t->state == TASK_WAITING && t->not_before <= now)
			m->rcpt[i].due = now;
	}
	return n;
}

size_t retry_parked(struct broker *b, struct parked *p, int64_t now)
{
	struct resting *r = parked_rest(p);
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome > OUTCOME_DEFERRED || r[i].due <= now ||
		    resting_not_before(p, &r[i]) > now)
			continue;
		r[i].due = now;
		n++;
	}
	if (p->in == NULL)
		parked_schedule(b, p);
	return n;
}

static size_t retry_all(struct broker *b, int64_t now)
{
	struct pool_walk at = {0};
	struct queued *m;
	struct parked *p;
	size_t n = 0;

	TAILQ_FOREACH(m, &b->messages, link)
	n += retry_queued(b, m, now);
	while ((p = pool_next(&b->parking.pool, &at)) != NULL)
		n += retry_parked(b, p, now);
	return n;
}

void retry_wake_resting(struct broker *b, int64_t now)
{
	size_t at = 0;
	struct way *w;

	while ((w = map_next(&b->ways, &at)) != NULL) {
		if (w->rest_until > 0)
			heap_set(&b->resting, &w->rest, now);
		blame_way_works(b, w);
	}
}

int broker_retry(struct broker *b, const struct msgid *id, struct buf *out, int64_t now)
{
	struct parked *p = id != NULL ? parking_find(&b->parking, id) : NULL;
	size_t n;

	if (id != NULL && !ask_is_there(b, id))
		return query_not_found(out);
	if (id == NULL)
		n = retry_all(b, now);
	else if (p != NULL)
		n = retry_parked(b, p, now);
	else
		n = retry_queued(b, map_get(&b->ids, msgid_span(id)), now);
	retry_wake_resting(b, now);
	broker_tick(b, now);
	return ask_say_count(out, "retried", n);
}
