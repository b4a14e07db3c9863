/*
 * What operators do to recipients that match: retry, drop, hold, release. Many at once go a part at
 * a time.
 */
#include "flow/ask-private.h"

#include "base/json.h"
#include "base/log.h"
#include "flow/limits_use-private.h"
#include "flow/query-private.h"

#include <stdio.h>
#include <stdlib.h>

/* Messages at rest in one turn of the loop: that are read back, and that are looked at. */
enum { SWEEP_READ = 500, SWEEP_LOOK = 20000, ASKED_COUNTED = 4096 };

int ask_say_count(struct buf *out, const char *what, size_t n)
{
	json_open(out, NULL, '{');
	json_number(out, what, (int64_t)n);
	json_close(out, '}');
	return 200;
}

bool ask_is_there(const struct broker *b, const struct msgid *id)
{
	const struct queued *m = map_get(&b->ids, msgid_span(id));

	return (m != NULL && m->durable) || parking_find(&b->parking, id) != NULL;
}

/* ---- some of them ----------------------------------------------------------------------- */

static const struct verb {
	const char *done; /* in the answer */
	enum outcome outcome;
	enum broker_record record;
	enum log_event event;
	const char *reply;
} verbs[] = {
    [BROKER_RETRY] = {"retried", OUTCOME_NONE, BROKER_RECORDS, EV_ADMIN, ""},
    [BROKER_DROP] = {"dropped", OUTCOME_DROPPED, BROKER_RESULT, EV_DROPPED,
	"Dropped by an operator"},
    [BROKER_RELEASE] = {"released", OUTCOME_NONE, BROKER_RELEASED, EV_RELEASED,
	"Released by an operator"},
    [BROKER_HOLD] = {"held", OUTCOME_HELD, BROKER_HELD, EV_HELD, "Held by an operator"},
};

static const char *answer_word(const struct asked *asked)
{
	return asked->dry ? "matched" : verbs[asked->verb].done;
}

bool asked_concerns(const struct asked *asked, const struct queued_rcpt *r, int64_t now)
{
	bool waits = r->outcome == OUTCOME_NONE || r->outcome == OUTCOME_DEFERRED;

	if (r->task != NULL && r->task->state == TASK_ACTIVE)
		return false;
	switch (asked->verb) {
	case BROKER_DROP: return !outcome_final(r->outcome);
	case BROKER_RELEASE: return r->outcome == OUTCOME_HELD || r->not_before > now;
	case BROKER_HOLD: return waits;
	case BROKER_RETRY:
		return waits && r->not_before <= now &&
		       (r->task != NULL ? r->task->state == TASK_WAITING : r->due > now);
	}
	return false;
}

static bool is_meant(const struct asked *asked, const struct queued_rcpt *r, int64_t now)
{
	return asked_concerns(asked, r, now) && filter_has_rcpt(&asked->filter, r);
}

static size_t count_meant(const struct asked *asked, const struct queued *m, int64_t now)
{
	size_t n = 0;

	for (size_t i = 0; filter_has_message(&asked->filter, m) && i < m->n_rcpt; i++)
		n += is_meant(asked, &m->rcpt[i], now);
	return n;
}

/* Takes the changed recipients out of their tasks. */
static void take_out(struct broker *b, struct queued *m, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		struct task *t = m->rcpt[c->rcpt[i].index].task;

		queued_apply(b, m, &c->rcpt[i]);
		m->rcpt[c->rcpt[i].index].task = NULL;
		if (t != NULL && --t->n_rcpt == 0)
			task_free(b, t);
	}
}

static void log_act(const struct verb *v, const struct queued *m, size_t n)
{
	struct logline l;
	char id[MSGID_TEXT + 1];

	msgid_format(&m->id, id);
	log_begin(&l, v->event);
	log_str(&l, "id", id);
	log_number(&l, "recipients", (int64_t)n);
	log_str(&l, "reason", "operator");
	log_end(&l);
}

static void asked_append(struct broker *b, struct queued *m, enum broker_record record,
    struct change *c, struct asked *asked)
{
	struct append *a = append_new(b, APPEND_CHANGE, record, &m->id);
	struct buf counted;

	buf_init(&counted, ASKED_COUNTED);
	if (asked->verb == BROKER_RELEASE)
		a->charged = limits_pay(b, m, c, &counted);

	change_encode(c, &a->meta);
	buf_fini(&counted);
	a->about = m;
	m->appends++;
	a->asked = asked;
	asked->pending++;
	append_send(b, a, true);
}

/* Those that are meant, as a change. */
static void put_meant(
    const struct asked *asked, const struct queued *m, struct change *c, int64_t now)
{
	const struct verb *v = &verbs[asked->verb];

	for (size_t i = 0; i < m->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[i];

		if (is_meant(asked, r, now))
			c->rcpt[c->n_rcpt++] = (struct change_rcpt){.index = (uint32_t)i,
			    .number = r->number + 1,
			    .attempts = r->attempts,
			    .outcome = v->outcome,
			    .reply = span_str(v->reply)};
	}
}

static void change_meant(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	struct change c = {.id = m->id, .when = now};

	c.rcpt = gw_calloc(m->n_rcpt, sizeof(*c.rcpt));
	put_meant(asked, m, &c, now);
	if (c.n_rcpt > 0) {
		asked_append(b, m, verbs[asked->verb].record, &c, asked);
		asked->done += c.n_rcpt;
		take_out(b, m, &c);
		log_act(&verbs[asked->verb], m, c.n_rcpt);
	}
	if (c.n_rcpt > 0 && asked->verb == BROKER_RELEASE) {
		m->kills = 0;
		queued_file(b, m, now);
	}
	free(c.rcpt);
}

/* A task goes as one: with one of its recipients all of it is due. */
static size_t retry_meant(
    struct broker *b, struct queued *m, const struct asked *asked, int64_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct task *t = m->rcpt[i].task;

		if (t == NULL || !is_meant(asked, &m->rcpt[i], now) || t->node.key <= now)
			continue;
		n += t->n_rcpt;
		task_wait(b, t, now);
		for (size_t k = 0; k < m->n_rcpt; k++) {
			if (m->rcpt[k].task == t)
				m->rcpt[k].due = now;
		}
	}
	return n;
}

/* What a list says of a message at rest is true of it awake, too: where those go that are in no
 * task, and whose account keeps them back. */
static void lend_marks(struct broker *b, struct queued *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];
		struct site *s;

		if (outcome_final(r->outcome))
			continue;
		r->by_account = r->by_account || (m->by_account && r->outcome <= OUTCOME_DEFERRED);
		if (r->task != NULL)
			continue;
		s = site_of_rcpt(b, m, r);
		s->n_waiting++; /* it stays meanwhile */
		r->site = s;
	}
}

static void take_marks(struct broker *b, struct queued *m, struct site **held)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].site != NULL)
			held[n++] = (struct site *)(uintptr_t)m->rcpt[i].site;
		m->rcpt[i].site = NULL;
	}
	while (n-- > 0) {
		held[n]->n_waiting--;
		site_release(b, held[n]);
	}
}

static void act_marked(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	if (asked->dry)
		asked->done += count_meant(asked, m, now);
	else if (asked->verb == BROKER_RETRY)
		asked->done += retry_meant(b, m, asked, now);
	else
		change_meant(b, m, asked, now);
}

static void act_on(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	struct site **held;

	if (!filter_has_message(&asked->filter, m))
		return;
	held = gw_calloc(m->n_rcpt, sizeof(struct site *));
	lend_marks(b, m);
	act_marked(b, m, asked, now);
	take_marks(b, m, held);
	free(held);
}

/* ---- the answer --------------------------------------------------------------------------- */

static char *asked_json(const struct asked *asked)
{
	char *text = gw_calloc(1, 64);

	snprintf(text, 64, "{\"%s\":%zu}", answer_word(asked), asked->done);
	return text;
}

void asked_settle(struct broker *b, struct asked *asked)
{
	struct broker_effect *e;
	char *text;

	if (--asked->pending > 0)
		return;
	text = asked_json(asked);
	e = effect_add(b, EFFECT_ANSWER);
	e->peer = asked->asker;
	e->number = asked->request;
	e->status = 200;
	e->octets = (uint32_t)asked->done;
	e->flag = asked->verb == BROKER_RELEASE;
	e->data = span_str(text);
	effect_own(b, text);
	free(asked);
}

static int asked_at_once(struct asked *asked, struct buf *out)
{
	int status = ask_say_count(out, answer_word(asked), asked->done);

	free(asked);
	return status;
}

/* ---- all that match ------------------------------------------------------------------------- */

/* Is there a recipient it could concern, as far as is known without reading it back? */
static bool may_concern(struct parked *p, const struct asked *asked, int64_t now)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		struct queued_rcpt q = {.outcome = (enum outcome)r[i].outcome,
		    .due = r[i].due,
		    .not_before = resting_not_before(p, &r[i])};

		if (asked_concerns(asked, &q, now))
			return filter_may_have(&asked->filter, p, now);
	}
	return false;
}

/* Can all that is asked be told from what is in memory? */
static bool known_at_rest(struct parked *p, const struct filter *f)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].site == NULL)
			return false;
	}
	return filter_needs_no_reading(f);
}

static size_t count_known(struct parked *p, const struct asked *asked, int64_t now)
{
	const struct resting *r = parked_rest(p);
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_open; i++) {
		struct queued_rcpt q = {.outcome = (enum outcome)r[i].outcome,
		    .due = r[i].due,
		    .not_before = resting_not_before(p, &r[i])};

		n += asked_concerns(asked, &q, now) &&
		     filter_has_resting(&asked->filter, p, &r[i], now);
	}
	return n;
}

/* How many of its recipients are meant; it stays where it is. */
static size_t count_resting(
    struct broker *b, struct parked *p, const struct asked *asked, int64_t now)
{
	struct queued *m;
	size_t n;

	if (known_at_rest(p, &asked->filter))
		return count_known(p, asked, now);
	m = parked_view(b, p);
	if (m == NULL)
		return 0;
	n = count_meant(asked, m, now);
	queued_view_free(b, &m);
	return n;
}

/* How many were read back, about. */
static size_t act_on_resting(struct broker *b, struct parked *p, struct asked *asked, int64_t now)
{
	struct queued *m;
	size_t n;

	if (!may_concern(p, asked, now))
		return 0;
	n = count_resting(b, p, asked, now);
	if (asked->dry || n == 0) {
		asked->done += asked->dry ? n : 0;
		return !known_at_rest(p, &asked->filter);
	}
	m = parked_revive(b, p, now);
	if (m == NULL)
		return 1;
	act_on(b, m, asked, now);
	queued_settle(b, m);
	return 1;
}

/* Those at rest are read back one after the other; each is on its way out before the next comes. */
void sweep_go_on(struct broker *b, int64_t now)
{
	struct parked *p;
	size_t read = 0;

	for (size_t i = 0; b->sweep.asked != NULL && i < SWEEP_LOOK && read < SWEEP_READ; i++) {
		p = pool_next(&b->parking.pool, &b->sweep.at);
		if (p == NULL) {
			struct asked *asked = b->sweep.asked;

			b->sweep.asked = NULL;
			asked_settle(b, asked);
			return;
		}
		read += act_on_resting(b, p, b->sweep.asked, now);
	}
}

static void act_on_all(struct broker *b, struct asked *asked, int64_t now)
{
	struct queued *m, *next;

	asked->pending++;
	for (m = TAILQ_FIRST(&b->messages); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (next != NULL)
			next->appends++; /* what is given out here could send it to rest */
		if (m->durable)
			act_on(b, m, asked, now);
		if (next != NULL)
			next->appends--;
		queued_settle(b, m);
	}
	if (parking_len(&b->parking) > 0)
		b->sweep = (struct sweep){.asked = asked};
	else
		asked->pending--;
}

/* ---- one message ------------------------------------------------------------------------------
 */

static int act_on_one(
    struct broker *b, const struct msgid *id, struct asked *asked, struct buf *out, int64_t now)
{
	struct parked *p = parking_find(&b->parking, id);
	struct queued *m;

	if (asked->dry && p != NULL) {
		asked->done = count_resting(b, p, asked, now);
		return asked_at_once(asked, out);
	}
	m = queued_find(b, id, now);
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
	return asked_at_once(asked, out);
}

static struct asked *asked_new(const struct broker_command *c)
{
	struct asked *asked = gw_calloc(1, sizeof(*asked) + c->filter.n + 1);

	if (c->filter.n > 0)
		memcpy(asked->text, c->filter.p, c->filter.n);
	asked->asker = c->asker;
	asked->request = c->request;
	asked->verb = c->verb;
	asked->dry = c->dry;
	return asked;
}

/* 0, or the status of the refusal. */
static int may_act(struct broker *b, const struct broker_command *c, struct buf *out)
{
	if (c->id != NULL && !ask_is_there(b, c->id))
		return query_not_found(out);
	if (b->frozen)
		return query_problem(out, 503, "Not ready",
		    "the workers have not said yet which messages they have under way",
		    "try again in a moment");
	if (c->id == NULL && b->sweep.asked != NULL)
		return query_problem(out, 409, "Under way",
		    "another command goes over all messages already", "wait for the other command");
	return 0;
}

int broker_act(struct broker *b, const struct broker_command *c, struct buf *out, int64_t now)
{
	struct filter_error bad;
	struct asked *asked;
	int status;

	if (c->verb == BROKER_RETRY && !c->dry && c->filter.n == 0)
		return broker_retry(b, c->id, out, now);
	asked = asked_new(c);
	bad = filter_parse(span_of(asked->text, c->filter.n), &asked->filter);
	if (c->filter.n > 0 && bad.word.n == 0 && filter_is_empty(&asked->filter))
		bad = (struct filter_error){
		    span_of(asked->text, c->filter.n), "says nothing: all must be said"};
	status = bad.word.n > 0 ? filter_problem(span_of(asked->text, c->filter.n), &bad, out)
				: may_act(b, c, out);
	if (status != 0) {
		free(asked);
		return status;
	}
	if (c->id != NULL)
		return act_on_one(b, c->id, asked, out, now);
	if (c->verb == BROKER_RETRY && !c->dry)
		retry_wake_resting(b, now);
	act_on_all(b, asked, now);
	return asked->pending > 0 ? 0 : asked_at_once(asked, out);
}

int broker_drop(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now)
{
	struct broker_command c = {BROKER_DROP, false, id, SPAN_NONE, asker, request};

	return broker_act(b, &c, out, now);
}

int broker_release(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now)
{
	struct broker_command c = {BROKER_RELEASE, false, id, SPAN_NONE, asker, request};

	return broker_act(b, &c, out, now);
}
