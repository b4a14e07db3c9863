/*
 * Mail that may have been delivered: the dot was sent and no answer came.
 *
 * Of normal mail it is deferred, and sent again. At-most-once mail asks before its dot
 * (PAST_DOT): its recipients are OUTCOME_MAYBE in the log before the dot may leave, and
 * nobody gives them out again. They end with what the worker says; if nobody can say it any more
 * (the worker died, or no worker names the job to a new queue) they have failed, and the
 * report says that the message may have been delivered.
 */
#include "flow/broker-private.h"

#include <stdio.h>
#include <stdlib.h>

bool once_wanted(const struct queued *m, const struct site *s)
{
	return m->at_most_once || s->shape->at_most_once;
}

/* ---- before the dot --------------------------------------------------------------------- */

/* Some of the job's recipients, each once, in order. */
static bool may_be_named(const struct job *j, const uint32_t *rcpt, size_t n)
{
	const struct queued *m = j->msg;

	for (size_t i = 0; i < n; i++) {
		if ((i > 0 && rcpt[i] <= rcpt[i - 1]) || rcpt[i] >= m->n_rcpt ||
		    m->rcpt[rcpt[i]].task != j->task)
			return false;
	}
	return n > 0;
}

static bool may_ask(const struct job *j, unsigned worker)
{
	return j != NULL && j->worker == worker && j->once && !j->asked && !j->finished &&
	       j->sent == j->msg->size;
}

static void note_maybe(
    struct broker *b, struct queued *m, const uint32_t *rcpt, struct change *c, int64_t now)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[rcpt[i]];

		c->rcpt[i] = (struct change_rcpt){.index = rcpt[i],
		    .number = r->number + 1,
		    .attempts = r->attempts,
		    .outcome = OUTCOME_MAYBE,
		    .due = now,
		    .reply = SPAN("Its end is being sent")};
		queued_apply(b, m, &c->rcpt[i]);
	}
}

int broker_past_dot(
    struct broker *b, unsigned worker, uint64_t number, const uint32_t *rcpt, size_t n, int64_t now)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));
	struct change c;
	struct append *a;

	if (!may_ask(j, worker) || !may_be_named(j, rcpt, n))
		return GW_EFORMAT;
	j->asked = true;
	c = (struct change){.id = j->msg->id, .when = now, .n_rcpt = n};
	c.rcpt = gw_calloc(n, sizeof(*c.rcpt));
	note_maybe(b, j->msg, rcpt, &c, now);
	a = append_new(b, APPEND_PAST_DOT, BROKER_PAST_DOT, &c.id);
	change_encode(&c, &a->meta);
	free(c.rcpt);
	a->about = j->msg;
	a->number = number;
	j->msg->appends++;
	append_send(b, a, true);
	return 0;
}

/* Written or not: the worker waits for it, unless it gave the job back or is gone meanwhile. */
void once_appended(struct broker *b, struct append *a, int status)
{
	struct job *j = map_get(&b->jobs, span_of(&a->number, sizeof(a->number)));
	struct queued *m = a->about;

	if (j != NULL && !j->finished) {
		struct broker_effect *e = effect_add(b, EFFECT_GO);

		j->go = status == 0;
		e->peer = j->worker;
		e->number = j->number;
		e->flag = j->go;
	}
	append_free(b, &a);
	m->appends--;
	queued_settle(b, m);
}

/* ---- behind the dot --------------------------------------------------------------------- */

static const char *reason_of(const struct change_rcpt *c, char *text, size_t size, bool once)
{
	snprintf(text, size, "May have been delivered%s. No answer came to the end of it: %.*s",
	    once ? ", and is not sent again as it asks for at most once" : "",
	    SPAN_ARG(span_first(c->reply, UNSURE_TEXT / 2)));
	return text;
}

/*
 * An unconfirmed result of an attempt before the one that PAST_DOT speaks of, told again to a new
 * queue: it says nothing of that one.
 */
static bool is_stale(const struct queued_rcpt *r, const struct change_rcpt *c)
{
	return r->outcome == OUTCOME_MAYBE && !outcome_final(c->outcome) && c->attempts != 0 &&
	       c->attempts <= r->attempts;
}

void once_judge(const struct task *t, struct change_rcpt *c, char text[UNSURE_TEXT])
{
	const struct queued *m = t->msg;
	bool noted = m->rcpt[c->index].outcome == OUTCOME_MAYBE, once;

	if ((noted && c->outcome == OUTCOME_NONE) || is_stale(&m->rcpt[c->index], c))
		c->outcome = OUTCOME_MAYBE;
	if (c->outcome != OUTCOME_MAYBE)
		return;
	once = noted || once_wanted(m, t->site);
	c->outcome = once ? OUTCOME_FAILED : OUTCOME_DEFERRED;
	c->code = 0;
	memcpy(c->esc, (uint8_t[]){once ? 5 : 4, 4, 2}, sizeof(c->esc));
	c->reply = span_str(reason_of(c, text, UNSURE_TEXT, once));
}

/* While workers still name what they hold, one may come that knows of the later attempt. */
void once_set_aside(struct broker *b, struct task *t, const struct change *c, int64_t now)
{
	struct queued *m = t->msg;
	struct task *aside = NULL;

	for (size_t i = 0; b->frozen && i < c->n_rcpt; i++) {
		uint32_t index = c->rcpt[i].index;

		if (index >= m->n_rcpt || m->rcpt[index].task != t ||
		    !is_stale(&m->rcpt[index], &c->rcpt[i]))
			continue;
		if (aside == NULL)
			aside = task_like(t);
		m->rcpt[index].task = aside;
		aside->n_rcpt++;
		t->n_rcpt--;
	}
	if (aside != NULL)
		task_wait(b, aside, now);
}

static size_t count_noted(const struct task *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->msg->n_rcpt; i++) {
		const struct queued_rcpt *r = &t->msg->rcpt[i];

		n += r->task == t && r->outcome == OUTCOME_MAYBE;
	}
	return n;
}

/* The same for every recipient of the task that PAST_DOT named; the others were not tried. */
static void settle_noted(
    struct broker *b, struct task *t, const struct change_rcpt *said, int64_t now)
{
	const struct queued *m = t->msg;
	struct change c = {.id = m->id, .when = now};
	struct change_rcpt *list = gw_calloc(count_noted(t), sizeof(*list));

	c.rcpt = list;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task != t || m->rcpt[i].outcome != OUTCOME_MAYBE)
			continue;
		list[c.n_rcpt] = *said;
		list[c.n_rcpt++].index = (uint32_t)i;
	}
	task_settle(b, t, NULL, &c, now);
	free(list);
}

/* True: the job's worker died, and its recipients are settled: they ended as maybe delivered, or
 * the dot was not sent and they are deferred, so that a PAST_DOT on its way is outdone. */
bool once_lost(struct broker *b, struct task *t, bool past_dot, int64_t now)
{
	static const struct change_rcpt maybe = {
	    .outcome = OUTCOME_MAYBE, .reply = {(const uint8_t *)"the sending process ended", 25}};
	static const struct change_rcpt not_sent = {.outcome = OUTCOME_DEFERRED,
	    .code = 451,
	    .esc = {4, 3, 0},
	    .reply = {
		(const uint8_t *)"The sending process ended before the message was sent", 53}};

	if (count_noted(t) == 0)
		return false;
	settle_noted(b, t, past_dot ? &maybe : &not_sent, now);
	return true;
}

/* ---- after a start ---------------------------------------------------------------------- */

static bool is_noted(struct parked *p)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome == OUTCOME_MAYBE)
			return true;
	}
	return false;
}

void once_recovered(struct broker *b, struct parked *p)
{
	if (!b->had_past_dot || !is_noted(p))
		return;
	b->doubt = gw_realloc(b->doubt, (b->n_doubt + 1) * sizeof(*b->doubt));
	b->doubt[b->n_doubt++] = p->id;
}

/* The noted recipients of this task, in one of their own. */
static struct task *take_noted(struct broker *b, struct task *from)
{
	struct queued *m = from->msg;
	struct task *t = task_like(from);

	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (r->task != from || r->outcome != OUTCOME_MAYBE)
			continue;
		r->task = t;
		t->n_rcpt++;
		from->n_rcpt--;
	}
	if (from->n_rcpt == 0)
		task_free(b, from);
	return t;
}

static void settle_doubt(struct broker *b, struct queued *m, int64_t now)
{
	static const struct change_rcpt said = {
	    .outcome = OUTCOME_MAYBE, .reply = {(const uint8_t *)"the program was restarted", 25}};

	m->appends++; /* it stays until this is through */
	for (size_t i = 0; i < m->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[i];

		if (r->outcome == OUTCOME_MAYBE && r->task != NULL && r->task->state != TASK_ACTIVE)
			settle_noted(b, take_noted(b, r->task), &said, now);
	}
	m->appends--;
	queued_settle(b, m);
}

/* While the broker is frozen: what is read back must not start. What cannot be read back rests on,
 * and is not given out either (queued_file). */
void once_thaw(struct broker *b, int64_t now)
{
	gw_assert(b->frozen);
	for (size_t i = 0; i < b->n_doubt; i++) {
		struct queued *m = queued_find(b, &b->doubt[i], now);

		if (m != NULL)
			settle_doubt(b, m, now);
	}
	free(b->doubt);
	b->doubt = NULL;
	b->n_doubt = 0;
}
