/*
 * What became of the recipients of a task: judged, counted, told to the log of events, applied in
 * memory, and appended to the log; what is reported in one record with the report of it.
 */
#include "flow/broker-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdio.h>
#include <stdlib.h>

/* class: what the reply means and one; 0: not judged. */
static void log_outcome(const struct queued *m, const struct site *s, const struct change_rcpt *c,
    uint8_t class, enum tell tell, int64_t now)
{
	static const char *const told[] = {
	    [TELL_NOBODY] = "no", [TELL_REPORT] = "yes", [TELL_LATER] = "summary"};
	static const enum log_event events[] = {[OUTCOME_NONE] = EV_DEFERRED,
	    [OUTCOME_DELIVERED] = EV_DELIVERED,
	    [OUTCOME_DEFERRED] = EV_DEFERRED,
	    [OUTCOME_FAILED] = EV_BOUNCED,
	    [OUTCOME_EXPIRED] = EV_EXPIRED,
	    [OUTCOME_DROPPED] = EV_DROPPED,
	    [OUTCOME_MAYBE] = EV_DEFERRED,
	    [OUTCOME_HELD] = EV_HELD,
	    [OUTCOME_UNTOLD] = EV_BOUNCED,
	    [OUTCOME_EXPANDED] = EV_EXPANDED};
	struct logline l;
	char id[MSGID_TEXT + 1], esc[16];

	msgid_format(&m->id, id);
	snprintf(esc, sizeof(esc), "%u.%u.%u", c->esc[0], c->esc[1], c->esc[2]);
	log_begin(&l, events[c->outcome]);
	log_str(&l, "id", id);
	log_number(&l, "rcpt", c->index);
	log_str(&l, "group", s->shape->name);
	if (c->vmta.n > 0)
		log_text(&l, "vmta", c->vmta);
	if (c->tls.n > 0)
		log_text(&l, "tls", c->tls);
	if (class != 0)
		log_str(&l, "class", class_word(class));
	log_number(&l, "code", c->code);
	log_str(&l, "esc", esc);
	log_number(&l, "attempt", c->attempts);
	log_seconds(&l, "total", now - m->accepted);
	if (c->outcome == OUTCOME_DEFERRED)
		log_seconds(&l, "next", c->due - now);
	if (c->outcome == OUTCOME_FAILED || c->outcome == OUTCOME_EXPIRED)
		log_str(&l, "report", told[tell]);
	if (c->rule.n > 0)
		log_text(&l, "rule", c->rule);
	log_str(&l, "site", s->name);
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
		metric_add(METRIC_EXPIRED, o == OUTCOME_EXPIRED);
	}
}

/* The states of one task's recipients, sorted into plain changes and those to be reported. */
struct sorted {
	struct change plain, told;
	struct telling telling;
	struct span untold;       /* who hears of some of them later; empty: nobody */
	int64_t due;              /* by the schedule: the same for all */
	int64_t first;            /* the earliest of all */
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

/* What a rule makes of it; the time it names is the next try's. */
static int64_t judge_by_rule(
    struct broker *b, const struct task *t, struct change_rcpt *c, int64_t now)
{
	const struct on_reply *rule;

	if (c->code < 400 || (c->outcome != OUTCOME_DEFERRED && c->outcome != OUTCOME_FAILED))
		return 0;
	rule = rule_of(b, t->site->group, c, now);
	if (rule == NULL)
		return 0;
	c->rule = rule_place(b, rule);
	if (rule->kind == ON_REPLY_BOUNCE)
		c->outcome = OUTCOME_FAILED;
	if (rule->kind != ON_REPLY_RETRY)
		return 0;
	c->outcome = OUTCOME_DEFERRED;
	return now + rule->time;
}

/* Turns what a worker said of a recipient into its new state. */
static void judge(struct broker *b, const struct task *t, const struct job *j,
    struct change_rcpt *c, struct sorted *s, int64_t now)
{
	const struct queued *m = t->msg;
	const struct shape *shape = t->site->shape;
	int64_t due;

	c->number = m->rcpt[c->index].number + 1;
	c->attempts = m->rcpt[c->index].attempts + 1;
	c->due = 0;
	if (c->outcome == OUTCOME_NONE)
		c->outcome = OUTCOME_DEFERRED;
	due = j != NULL ? judge_by_rule(b, t, c, now) : 0;
	if (c->outcome != OUTCOME_DEFERRED)
		return;
	if (sched_expired(shape, sched_born(shape, queued_born(m), b->resumed), now)) {
		c->outcome = OUTCOME_EXPIRED;
		return;
	}
	if (due == 0 && goes_next(c, s->progress))
		due = now;
	if (due == 0 && j != NULL && j->soon)
		due = s->due = s->due ? s->due : sched_rest(1, now, &b->dice);
	if (due == 0 && t->site->target.kind == TARGET_ODMR)
		due = pull_again(t->site, now);
	if (due == 0 && s->due == 0)
		s->due = sched_next(shape, m->priority, c->attempts, now, &b->dice);
	c->due = deadline_next(m, due != 0 ? due : s->due, now);
	if (s->first == 0 || c->due < s->first)
		s->first = c->due;
}

static void remember_said(struct group *g, const struct change_rcpt *c)
{
	char text[128];

	if ((c->outcome != OUTCOME_DEFERRED && c->outcome != OUTCOME_FAILED) || deadline_said(c))
		return;
	span_to_cstr(c->reply, text, sizeof(text));
	if (c->code == 0) /* nobody said it: our words */
		snprintf(g->said, sizeof(g->said), "%s", text);
	else
		snprintf(g->said, sizeof(g->said), "%u %u.%u.%u %s", c->code, c->esc[0], c->esc[1],
		    c->esc[2], text);
}

void append_change(struct broker *b, struct queued *m, struct job *j, const struct change *c)
{
	enum broker_record record = BROKER_DEFERRED;
	struct append *a;

	if (j != NULL && j->expanded)
		return; /* the message that takes its place says so */
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

/* Its sender hears of it when he may hear of more. */
static void set_aside(struct broker *b, const struct queued *m, struct change_rcpt *c,
    struct sorted *out, int64_t now)
{
	out->untold = tell_whom(b, m, c->index);
	c->outcome = OUTCOME_UNTOLD;
	c->due = storm_ends(b, out->untold, now);
}

static void sort_one(struct broker *b, struct task *t, const struct job *j, size_t index,
    const struct change_rcpt *said, struct sorted *out, int64_t now)
{
	struct queued *m = t->msg;
	struct change_rcpt c;
	struct change *to;
	enum tell tell;
	uint8_t class;

	c = *said;
	c.index = (uint32_t)index;
	once_judge(t, &c, out->unsure);
	judge(b, t, j, &c, out, now);
	class = class_judge(b, &c);
	tell = tell_of(b, &out->telling, m, &c, now);
	log_outcome(m, t->site, &c, class, tell, now);
	count_outcome(m, c.outcome);
	if (tell == TELL_LATER)
		set_aside(b, m, &c, out, now);
	to = tell == TELL_REPORT ? &out->told : &out->plain;
	to->rcpt[to->n_rcpt++] = c;
	remember_said(t->site->group, &c);
	count_change(b, &m->rcpt[c.index], &c, now);
	queued_apply(b, m, &c);
	m->rcpt[c.index].class = class;
	m->rcpt[c.index].task = outcome_open(c.outcome) ? t : NULL;
	if (!outcome_open(c.outcome))
		t->n_rcpt--;
}

static void sorted_init(
    struct broker *b, struct sorted *s, const struct task *t, const struct job *j, int64_t now)
{
	const struct queued *m = t->msg;

	*s = (struct sorted){
	    .plain = {.id = m->id, .when = now}, .told = {.id = m->id, .when = now}};
	s->plain.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
	s->told.rcpt = gw_calloc(m->n_rcpt, sizeof(struct change_rcpt));
	telling_init(b, t, j, &s->telling);
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

	sorted_init(b, &s, t, j, now);
	s.progress = has_progress(c);
	m->appends++; /* the message stays until this is through */
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t)
			sort_one(b, t, j, i, said_of(c, i, &at), &s, now);
	}
	if (s.plain.n_rcpt > 0)
		append_change(b, m, j, &s.plain);
	if (s.untold.n > 0)
		storm_untold(b, s.untold, &m->id, now);
	if (s.told.n_rcpt > 0)
		report_send(b, m, &s.told, j, &s.telling, now);
	free(s.plain.rcpt);
	free(s.told.rcpt);
	if (t->n_rcpt == 0)
		task_free(b, t);
	else
		task_wait(b, t, s.first ? s.first : now);
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
