/* What operators do to the queue: retry and drop. All of it at once goes a part at a time. */
#include "flow/broker-private.h"

#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>

enum { SWEEP_STEP = 500 }; /* messages at rest in one turn of the loop */

static int say_count(struct buf *out, const char *what, size_t n)
{
	json_open(out, NULL, '{');
	json_number(out, what, (int64_t)n);
	json_close(out, '}');
	return 200;
}

static bool is_there(const struct broker *b, const struct msgid *id)
{
	const struct queued *m = map_get(&b->ids, msgid_span(id));

	return (m != NULL && m->durable) || parking_find(&b->parking, id) != NULL;
}

/* ---- retry ------------------------------------------------------------------------------ */

size_t retry_queued(struct broker *b, struct queued *m, int64_t now)
{
	struct task *t;
	size_t n = 0;

	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state != TASK_WAITING)
			continue;
		n += t->n_rcpt;
		task_wait(b, t, now);
	}
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task != NULL && m->rcpt[i].task->state == TASK_WAITING)
			m->rcpt[i].due = now;
	}
	return n;
}

size_t retry_parked(struct broker *b, struct parked *p, int64_t now)
{
	struct resting *r = parked_rest(p);
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome > OUTCOME_DEFERRED || r[i].due <= now)
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

/* An operator's retry also wakes the sites that rest. */
static void wake_resting(struct broker *b, int64_t now)
{
	size_t at = 0;
	struct site *s;

	while ((s = map_next(&b->sites, &at)) != NULL) {
		if (s->rest_until > 0)
			heap_set(&b->resting, &s->rest, now);
		blame_site_works(b, s);
	}
}

int broker_retry(struct broker *b, const struct msgid *id, struct buf *out, int64_t now)
{
	struct parked *p = id != NULL ? parking_find(&b->parking, id) : NULL;
	size_t n;

	if (id != NULL && !is_there(b, id))
		return query_not_found(out);
	if (id == NULL)
		n = retry_all(b, now);
	else if (p != NULL)
		n = retry_parked(b, p, now);
	else
		n = retry_queued(b, map_get(&b->ids, msgid_span(id)), now);
	wake_resting(b, now);
	broker_tick(b, now);
	return say_count(out, "retried", n);
}

/* ---- drop ------------------------------------------------------------------------------- */

/* Takes the dropped recipients out of their tasks. */
static void drop_apply(struct broker *b, struct queued *m, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		struct task *t = m->rcpt[c->rcpt[i].index].task;

		queued_apply(b, m, &c->rcpt[i]);
		m->rcpt[c->rcpt[i].index].task = NULL;
		if (t != NULL && --t->n_rcpt == 0)
			task_free(b, t);
	}
}

static void log_drop(const struct queued *m, size_t n)
{
	struct logline l;
	char id[MSGID_TEXT + 1];

	msgid_format(&m->id, id);
	log_begin(&l, EV_DROPPED);
	log_str(&l, "id", id);
	log_number(&l, "recipients", (int64_t)n);
	log_str(&l, "reason", "operator");
	log_end(&l);
}

static bool may_drop(const struct queued_rcpt *r)
{
	return !outcome_final(r->outcome) && (r->task == NULL || r->task->state != TASK_ACTIVE);
}

void asked_append(struct broker *b, struct queued *m, enum broker_record record,
    const struct change *c, struct asked *asked)
{
	struct append *a = append_new(b, APPEND_CHANGE, record, &m->id);

	change_encode(c, &a->meta);
	a->about = m;
	m->appends++;
	a->asked = asked;
	asked->pending++;
	append_send(b, a, true);
}

/* Ends every recipient that no worker has right now. */
static void drop_message(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	struct change c = {.id = m->id, .when = now};

	c.rcpt = gw_calloc(m->n_rcpt, sizeof(*c.rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (may_drop(r))
			c.rcpt[c.n_rcpt++] = (struct change_rcpt){.index = (uint32_t)i,
			    .number = r->number + 1,
			    .attempts = r->attempts,
			    .outcome = OUTCOME_DROPPED,
			    .reply = SPAN("Dropped by an operator")};
	}
	if (c.n_rcpt > 0) {
		asked_append(b, m, BROKER_RESULT, &c, asked);
		asked->dropped += c.n_rcpt;
		drop_apply(b, m, &c);
		log_drop(m, c.n_rcpt);
	}
	free(c.rcpt);
}

void asked_settle(struct broker *b, struct asked *asked)
{
	struct broker_effect *e;

	if (--asked->pending > 0)
		return;
	e = effect_add(b, EFFECT_ANSWER);
	e->peer = asked->asker;
	e->number = asked->request;
	e->status = 200;
	e->octets = (uint32_t)asked->dropped;
	e->flag = asked->release;
	free(asked);
}

static void act_on(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	if (asked->release)
		asked->dropped += blame_release(b, m, asked, now);
	else
		drop_message(b, m, asked, now);
}

static bool concerns(struct parked *p, const struct asked *asked)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (!asked->release || r[i].outcome == OUTCOME_HELD)
			return true;
	}
	return false;
}

/* Those at rest are read back one after the other; each is on its way out before the next comes. */
void sweep_go_on(struct broker *b, int64_t now)
{
	struct parked *p;

	for (size_t i = 0; b->sweep.asked != NULL && i < SWEEP_STEP; i++) {
		struct queued *m;

		p = pool_next(&b->parking.pool, &b->sweep.at);
		if (p == NULL) {
			struct asked *asked = b->sweep.asked;

			b->sweep.asked = NULL;
			asked_settle(b, asked);
			return;
		}
		m = concerns(p, b->sweep.asked) ? parked_revive(b, p, now) : NULL;
		if (m != NULL)
			act_on(b, m, b->sweep.asked, now);
	}
}

static void act_on_all(struct broker *b, struct asked *asked, int64_t now)
{
	struct queued *m, *next;

	for (m = TAILQ_FIRST(&b->messages); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->durable)
			act_on(b, m, asked, now);
	}
	if (parking_len(&b->parking) == 0)
		return;
	asked->pending++;
	b->sweep = (struct sweep){.asked = asked};
}

static int nothing_done(struct asked *asked, struct buf *out)
{
	const char *what = asked->release ? "released" : "dropped";

	free(asked);
	return say_count(out, what, 0);
}

static int act_on_one(
    struct broker *b, const struct msgid *id, struct asked *asked, struct buf *out, int64_t now)
{
	struct queued *m = queued_find(b, id, now);

	if (m == NULL) {
		free(asked);
		return query_problem(out, 500, "Cannot be read",
		    "the message lies in a part of the spool that cannot be read",
		    "godwit spool verify names the damage");
	}
	act_on(b, m, asked, now);
	if (asked->pending > 0)
		return 0;
	queued_settle(b, m);
	return nothing_done(asked, out);
}

/* Drops, or releases, one message or all. */
static int act(struct broker *b, const struct msgid *id, const struct asked *order, struct buf *out,
    int64_t now)
{
	struct asked *asked;

	if (id != NULL && !is_there(b, id))
		return query_not_found(out);
	if (b->frozen)
		return query_problem(out, 503, "Not ready",
		    "the workers have not said yet which messages they have under way",
		    "try again in a moment");
	if (id == NULL && b->sweep.asked != NULL)
		return query_problem(out, 409, "Under way",
		    "all messages are being dropped or released already",
		    "wait for the other command");
	asked = gw_calloc(1, sizeof(*asked));
	*asked = *order;
	if (id != NULL)
		return act_on_one(b, id, asked, out, now);
	act_on_all(b, asked, now);
	return asked->pending > 0 ? 0 : nothing_done(asked, out);
}

int broker_drop(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now)
{
	struct asked order = {.asker = asker, .request = request};

	return act(b, id, &order, out, now);
}

int broker_release(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now)
{
	struct asked order = {.asker = asker, .request = request, .release = true};

	return act(b, id, &order, out, now);
}
