/*
 * What became of the recipients of a task: judged, counted, told to the log of events, applied in
 * memory, and appended to the log; a failure in one record with the report of it.
 */
#include "flow/broker-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdio.h>
#include <stdlib.h>

static void log_outcome(
    const struct queued *m, const struct site *s, const struct change_rcpt *c, int64_t now)
{
	static const enum log_event events[] = {[OUTCOME_NONE] = EV_DEFERRED,
	    [OUTCOME_DELIVERED] = EV_DELIVERED,
	    [OUTCOME_DEFERRED] = EV_DEFERRED,
	    [OUTCOME_FAILED] = EV_BOUNCED,
	    [OUTCOME_EXPIRED] = EV_EXPIRED,
	    [OUTCOME_DROPPED] = EV_DROPPED,
	    [OUTCOME_MAYBE] = EV_DEFERRED,
	    [OUTCOME_HELD] = EV_HELD};
	struct logline l;
	char id[MSGID_TEXT + 1], esc[16];

	msgid_format(&m->id, id);
	snprintf(esc, sizeof(esc), "%u.%u.%u", c->esc[0], c->esc[1], c->esc[2]);
	log_begin(&l, events[c->outcome]);
	log_str(&l, "id", id);
	log_number(&l, "rcpt", c->index);
	log_str(&l, "group", s->shape->name);
	log_number(&l, "code", c->code);
	log_str(&l, "esc", esc);
	log_number(&l, "attempt", c->attempts);
	log_seconds(&l, "total", now - m->accepted);
	if (c->outcome == OUTCOME_DEFERRED)
		log_seconds(&l, "next", c->due - now);
	log_str(&l, "site", s->key + strlen(s->shape->name) + 1);
	log_text(&l, "to", m->rcpt[c->index].addr);
	log_text(&l, "host", c->host);
	log_text(&l, "reply", c->reply);
	log_end(&l);
}

static void count_outcome(const struct queued *m, enum outcome o)
{
	if (o == OUTCOME_DELIVERED) {
		metric_add(METRIC_DELIVERED, 1);
		metric_add(METRIC_SENT_BYTES, (int64_t)m->size);
	} else if (o == OUTCOME_DEFERRED) {
		metric_add(METRIC_DEFERRED, 1);
	} else if (o == OUTCOME_FAILED || o == OUTCOME_EXPIRED) {
		metric_add(METRIC_BOUNCED, 1);
	}
}

/* RFC 3461 section 4.1: no report where the sender asked for none; never for a report. */
static bool wants_report(const struct queued *m, const struct change_rcpt *c)
{
	uint8_t notify = m->rcpt[c->index].notify;

	if (c->outcome != OUTCOME_FAILED && c->outcome != OUTCOME_EXPIRED)
		return false;
	return m->from.n > 0 && (notify == 0 || (notify & NOTIFY_FAILURE));
}

/* The states of one task's recipients, sorted into plain changes and failures to be reported. */
struct sorted {
	struct change plain, failed;
	int64_t due;
	bool progress;            /* somebody got it */
	char unsure[UNSURE_TEXT]; /* of those that may have been delivered; the same for all */
};

/*
 * RFC 5321 section 4.5.3.1.10, RFC 9422: more recipients than the peer takes at a time go in the
 * next transaction, which is the sooner the better, if this one got anywhere.
 */
static bool goes_next(const struct change_rcpt *c, bool progress)
{
	return progress && c->outcome == OUTCOME_DEFERRED && c->code == 452 && c->esc[1] == 5 &&
	       c->esc[2] == 3;
}

static bool has_progress(const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (c->rcpt[i].outcome == OUTCOME_DELIVERED)
			return true;
	}
	return false;
}

/* Turns what a worker said of a recipient into its new state. */
static void judge(
    struct broker *b, const struct task *t, struct change_rcpt *c, struct sorted *s, int64_t now)
{
	const struct queued *m = t->msg;
	const struct shape *shape = t->site->shape;

	c->number = m->rcpt[c->index].number + 1;
	c->attempts = m->rcpt[c->index].attempts + 1;
	c->due = 0;
	if (c->outcome == OUTCOME_NONE)
		c->outcome = OUTCOME_DEFERRED;
	if (c->outcome != OUTCOME_DEFERRED)
		return;
	if (sched_expired(shape, sched_born(shape, m->accepted, b->resumed), now)) {
		c->outcome = OUTCOME_EXPIRED;
		return;
	}
	if (goes_next(c, s->progress)) {
		c->due = now;
		return;
	}
	if (s->due == 0)
		s->due = sched_next(shape, c->attempts, now, &b->dice);
	c->due = s->due;
}

static void remember_said(struct site *s, const struct change_rcpt *c)
{
	char text[128];

	if (c->outcome != OUTCOME_DEFERRED && c->outcome != OUTCOME_FAILED)
		return;
	span_to_cstr(c->reply, text, sizeof(text));
	if (c->code == 0) /* nobody said it: our words */
		snprintf(s->said, sizeof(s->said), "%s", text);
	else
		snprintf(s->said, sizeof(s->said), "%u %u.%u.%u %s", c->code, c->esc[0], c->esc[1],
		    c->esc[2], text);
}

void append_change(struct broker *b, struct queued *m, struct job *j, const struct change *c)
{
	enum broker_record record = BROKER_DEFERRED;
	struct append *a;

	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (outcome_final(c->rcpt[i].outcome))
			record = BROKER_RESULT;
		else if (c->rcpt[i].outcome == OUTCOME_HELD && record == BROKER_DEFERRED)
			record = BROKER_HELD;
	}
	a = append_new(b, APPEND_CHANGE, record, &m->id);
	change_encode(c, &a->meta);
	a->about = m;
	a->job = j;
	m->appends++;
	if (j != NULL)
		j->appends++;
	append_send(b, a, false);
}

static void count_change(
    struct broker *b, const struct queued_rcpt *r, const struct change_rcpt *c, int64_t now)
{
	const struct change_rcpt before = {
	    .outcome = r->outcome, .code = r->code, .esc = {r->esc[0], r->esc[1], r->esc[2]}};

	counted_change(b, &before, c, now);
}

static void sort_one(struct broker *b, struct task *t, size_t index, const struct change_rcpt *said,
    struct sorted *out, int64_t now)
{
	struct queued *m = t->msg;
	struct change_rcpt c;
	struct change *to;

	c = *said;
	c.index = (uint32_t)index;
	once_judge(t, &c, out->unsure);
	judge(b, t, &c, out, now);
	to = wants_report(m, &c) ? &out->failed : &out->plain;
	to->rcpt[to->n_rcpt++] = c;
	log_outcome(m, t->site, &c, now);
	count_outcome(m, c.outcome);
	remember_said(t->site, &c);
	count_change(b, &m->rcpt[c.index], &c, now);
	queued_apply(b, m, &c);
	m->rcpt[c.index].task = outcome_open(c.outcome) ? t : NULL;
	if (!outcome_open(c.outcome))
		t->n_rcpt--;
}

static void sorted_init(struct sorted *s, const struct queued *m, int64_t now)
{
	*s = (struct sorted){
	    .plain = {.id = m->id, .when = now}, .failed = {.id = m->id, .when = now}};
	s->plain.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
	s->failed.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
}

/* Recipients the worker did not speak of are as good as not tried. */
static const struct change_rcpt *said_of(const struct change *c, size_t index, size_t *at)
{
	static const struct change_rcpt nothing = {.outcome = OUTCOME_NONE,
	    .code = 451,
	    .esc = {4, 3, 0},
	    .reply = {(const uint8_t *)"No result was reported", 22}};

	while (*at < c->n_rcpt && c->rcpt[*at].index < index)
		++*at;
	return *at < c->n_rcpt && c->rcpt[*at].index == index ? &c->rcpt[*at] : &nothing;
}

void task_settle(
    struct broker *b, struct task *t, struct job *j, const struct change *c, int64_t now)
{
	struct queued *m = t->msg;
	struct sorted s;
	size_t at = 0;

	sorted_init(&s, m, now);
	s.progress = has_progress(c);
	m->appends++; /* the message stays until this is through */
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t)
			sort_one(b, t, i, said_of(c, i, &at), &s, now);
	}
	if (s.plain.n_rcpt > 0)
		append_change(b, m, j, &s.plain);
	if (s.failed.n_rcpt > 0)
		report_failed(b, m, &s.failed, j, now);
	free(s.plain.rcpt);
	free(s.failed.rcpt);
	if (t->n_rcpt == 0)
		task_free(b, t);
	else
		task_wait(b, t, s.due ? s.due : now);
	m->appends--;
	queued_settle(b, m);
}

void task_settle_all(struct broker *b, struct task *t, struct job *j, enum outcome o,
    const struct reply *r, int64_t now)
{
	struct queued *m = t->msg;
	struct change c = {.id = m->id, .when = now};

	c.rcpt = gw_calloc(t->n_rcpt, sizeof(*c.rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task != t)
			continue;
		c.rcpt[c.n_rcpt] = (struct change_rcpt){
		    .index = (uint32_t)i, .outcome = o, .code = r->code, .reply = r->text};
		memcpy(c.rcpt[c.n_rcpt].esc, r->esc, sizeof(r->esc));
		c.n_rcpt++;
	}
	{
		struct change_rcpt *list = c.rcpt;

		task_settle(b, t, j, &c, now);
		free(list);
	}
}
