/*
 * DELIVERBY (RFC 2852): what happens to a message when its time is over. Mode R: each recipient
 * that is still here fails, whatever it waits for, held or not, and none is tried later. Mode N:
 * its sender is told once that it is delayed, and nothing else changes.
 *
 * The deadline is one of "now" (clock_now()), like the time of acceptance: a wall clock that is set
 * moves neither.
 */
#include "flow/broker-private.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEADLINE_TEXT_MAX = 256 };

/* So long before the deadline is the last attempt, where the schedule has one only behind it. */
#define LAST_TRY (INT64_C(60) * 1000000)

/* A receiver counts from the command on that said it. */
void deadline_of_commit(struct envelope *e, int64_t now)
{
	e->handling.by_at += now - e->accepted;
}

/* ---- when ----------------------------------------------------------------------------------- */

static bool is_waiting(enum outcome o)
{
	return o == OUTCOME_NONE || o == OUTCOME_DEFERRED || o == OUTCOME_HELD;
}

static bool concerns(enum deliver_by by, enum outcome o, bool warned)
{
	return is_waiting(o) && (by == BY_RETURN || (by == BY_NOTIFY && !warned));
}

int64_t deadline_of_task(const struct task *t)
{
	const struct queued *m = t->msg;

	if (m->handling.by == BY_RETURN)
		return m->handling.by_at;
	for (size_t i = 0; m->handling.by == BY_NOTIFY && i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t && !m->rcpt[i].warned)
			return m->handling.by_at;
	}
	return INT64_MAX;
}

int64_t deadline_of_parked(const struct parked *p)
{
	const struct resting *r = parked_rest((struct parked *)(uintptr_t)p);

	for (uint32_t i = 0; p->by != BY_NONE && i < p->n_open; i++) {
		if (concerns((enum deliver_by)p->by, (enum outcome)r[i].outcome, r[i].warned))
			return parked_by_at(p);
	}
	return INT64_MAX;
}

int64_t deadline_next(const struct queued *m, int64_t due, int64_t now)
{
	int64_t last = m->handling.by_at - LAST_TRY;

	return m->handling.by == BY_RETURN && due > last && last > now + LAST_TRY ? last : due;
}

/* ---- mode R --------------------------------------------------------------------------------- */

/* What was said of one of them last, or nothing. */
static const char *last_words(struct broker *b, struct task *t)
{
	struct queued *m = t->msg;

	queued_load_said(b, m);
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t && m->rcpt[i].said[0] != '\0')
			return m->rcpt[i].said;
	}
	return "";
}

static void fail(struct broker *b, struct task *t, int64_t now)
{
	static const char over[] = "Not delivered in the time that its sender named";
	struct reply r = REPLY(0, 5, 4, 7, ""); /* our words: no code */
	const char *said = last_words(b, t);
	char text[DEADLINE_TEXT_MAX];

	snprintf(text, sizeof(text), said[0] != '\0' ? "%s; the last time: %s" : "%s", over, said);
	r.text = span_str(text);
	task_settle_all(b, t, NULL, OUTCOME_FAILED, &r, now);
}

bool deadline_said(const struct change_rcpt *c)
{
	return c->code == 0 && c->outcome == OUTCOME_FAILED && c->esc[0] == 5 && c->esc[1] == 4 &&
	       c->esc[2] == 7;
}

/* ---- mode N --------------------------------------------------------------------------------- */

/* What is told changes nothing of a recipient but that its sender knows: the last words stay. */
static struct change_rcpt told_now(const struct queued_rcpt *r, size_t index)
{
	struct change_rcpt c = {.index = (uint32_t)index,
	    .number = r->number + 1,
	    .attempts = r->attempts,
	    .outcome = r->outcome == OUTCOME_HELD ? OUTCOME_HELD : OUTCOME_DEFERRED,
	    .due = r->outcome == OUTCOME_HELD ? 0 : r->due,
	    .code = r->code,
	    .esc = {r->esc[0], r->esc[1], r->esc[2]},
	    .reply = span_str(r->said),
	    .tls = span_str(r->tls),
	    .vmta = span_str(r->vmta),
	    .rule = span_str(r->rule),
	    .warned = true};

	if (r->said[0] != '\0')
		return c;
	c.reply = SPAN("Not delivered yet in the time that its sender named");
	c.code = 0;
	memcpy(c.esc, (const uint8_t[]){4, 4, 7}, sizeof(c.esc));
	return c;
}

struct told {
	struct change report, plain; /* what nobody wants to hear is noted: it is the one time */
	struct telling telling;
};

static void tell_one(struct broker *b, struct queued *m, size_t index, struct told *to, int64_t now)
{
	struct queued_rcpt *r = &m->rcpt[index];
	struct change_rcpt c = told_now(r, index);
	struct change *list = tell_deadline(b, &to->telling, m, &c, now) ? &to->report : &to->plain;

	list->rcpt[list->n_rcpt++] = c;
	r->number = c.number;
	r->outcome = c.outcome;
	r->warned = true;
}

static void tell(struct broker *b, struct task *t, int64_t now)
{
	struct queued *m = t->msg;
	struct told to = {
	    .report = {.id = m->id, .when = now}, .plain = {.id = m->id, .when = now}};

	queued_load_said(b, m);
	telling_init(b, t, NULL, &to.telling);
	to.report.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
	to.plain.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t && !m->rcpt[i].warned)
			tell_one(b, m, i, &to, now);
	}
	if (to.plain.n_rcpt > 0)
		append_change(b, m, NULL, &to.plain);
	if (to.report.n_rcpt > 0)
		report_send(b, m, &to.report, NULL, &to.telling, now);
	free(to.report.rcpt);
	free(to.plain.rcpt);
}

/* ---- both ----------------------------------------------------------------------------------- */

static bool is_over(const struct broker *b, const struct queued *m, int64_t now)
{
	return m->handling.by != BY_NONE && now >= m->handling.by_at && !b->recovering &&
	       !b->frozen;
}

bool deadline_meets_held(
    const struct broker *b, const struct queued *m, const struct queued_rcpt *r, int64_t now)
{
	return r->outcome == OUTCOME_HELD && r->task == NULL && is_over(b, m, now) &&
	       concerns(m->handling.by, r->outcome, r->warned);
}

enum deadline deadline_meet(struct broker *b, struct task *t, int64_t now)
{
	if (!is_over(b, t->msg, now) || deadline_of_task(t) == INT64_MAX)
		return DEADLINE_NOTHING;
	if (t->msg->handling.by == BY_RETURN) {
		fail(b, t, now);
		return DEADLINE_OVER;
	}
	tell(b, t, now);
	task_schedule(b, t);
	return DEADLINE_TOLD;
}
