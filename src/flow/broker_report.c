/*
 * Reports: what senders are told of their mail (RFC 3461 sections 4 to 6). One record is both the
 * report and what became of the recipients it speaks of. Who hears of it: the return path; of one
 * of our own reports that failed the administrator, and of that nobody, but the log.
 */
#include "flow/broker-private.h"

#include "base/log.h"
#include "base/metric.h"
#include "config/classify.h"
#include "flow/derive-private.h"
#include "mail/header.h"

#include <stdlib.h>

/* What stands behind a message that comes back. */
enum { BACK_ROOM = 1024 };

/* Who asks to hear of a delay where the configuration warns nobody. */
#define WARN_ASKED (INT64_C(4) * 3600 * 1000000)

/* ---- what is told, and whom ------------------------------------------------------------------ */

struct span tell_whom(const struct broker *b, const struct queued *m, uint32_t index)
{
	const struct queued_rcpt *r = &m->rcpt[index];
	struct span admin = span_str(b->config->admin);

	if (m->is_report)
		return span_eq_case(r->addr, admin) ? SPAN_NONE : admin;
	return queued_from(m, r);
}

static bool is_local(const struct task *t)
{
	return t->site->target.kind != TARGET_MX && t->site->target.kind != TARGET_RELAY;
}

/* RFC 2852 section 4.1: of a host that does not keep the time of mode N, and where it is traced. */
static bool relay_is_told(const struct handling *h, bool kept)
{
	return h->by != BY_NONE && (h->by_trace || (h->by == BY_NOTIFY && !kept));
}

void telling_init(
    const struct broker *b, const struct task *t, const struct job *j, struct telling *out)
{
	const struct shape *shape = t->site->shape;
	int64_t born = sched_born(shape, queued_born(t->msg), b->resumed);

	*out = (struct telling){.done = is_local(t) ? DSN_DELIVERED : DSN_RELAYED,
	    .passed_on = j != NULL && j->dsn && !is_local(t),
	    .relayed = j != NULL && !is_local(t) && relay_is_told(&t->msg->handling, j->time),
	    .born = born,
	    .until = born + shape->expire};
}

/* One report at most comes of a task: its room is asked for once. */
static bool admitted(struct broker *b, struct telling *told, struct span to, int64_t now)
{
	if (!told->asked)
		told->admitted = storm_admits(b, to, now);
	told->asked = true;
	return told->admitted;
}

/* RFC 3461 section 4.1: unset is failure, and delay as we please. */
static bool wants(uint8_t notify, enum dsn_notify what)
{
	return notify == 0 ? what != NOTIFY_SUCCESS : (notify & what) != 0;
}

static bool is_late(const struct broker *b, const struct telling *told, const struct queued *m,
    const struct queued_rcpt *r, int64_t now)
{
	int64_t warn = b->config->dsn.warn;

	/* RFC 2852: its sender has said himself when it is late (broker_deadline.c). */
	if (m->handling.by == BY_NOTIFY)
		return false;
	if (r->warned || m->is_report || m->priority == PRIORITY_BULK)
		return false;
	if (warn == 0 && (r->notify & NOTIFY_DELAY))
		warn = WARN_ASKED;
	return warn > 0 && now - told->born >= warn;
}

static enum tell tell_delay(struct broker *b, struct telling *told, const struct queued *m,
    struct change_rcpt *c, int64_t now)
{
	const struct queued_rcpt *r = &m->rcpt[c->index];

	c->warned = r->warned;
	if (!wants(r->notify, NOTIFY_DELAY) || !is_late(b, told, m, r, now) ||
	    !admitted(b, told, tell_whom(b, m, c->index), now))
		return TELL_NOBODY;
	c->warned = true;
	return TELL_REPORT;
}

bool tell_deadline(struct broker *b, struct telling *told, const struct queued *m,
    const struct change_rcpt *c, int64_t now)
{
	struct span to = tell_whom(b, m, c->index);

	return to.n > 0 && !m->is_report && wants(m->rcpt[c->index].notify, NOTIFY_DELAY) &&
	       admitted(b, told, to, now);
}

enum tell tell_of(struct broker *b, struct telling *told, const struct queued *m,
    struct change_rcpt *c, int64_t now)
{
	struct span to = tell_whom(b, m, c->index);
	uint8_t notify = m->rcpt[c->index].notify;

	if (to.n == 0)
		return TELL_NOBODY;
	switch (c->outcome) {
	case OUTCOME_FAILED:
	case OUTCOME_EXPIRED:
		if (!wants(notify, NOTIFY_FAILURE))
			return TELL_NOBODY;
		return admitted(b, told, to, now) ? TELL_REPORT : TELL_LATER;
	case OUTCOME_DELIVERED:
		if (m->is_report || (notify & NOTIFY_NEVER))
			return TELL_NOBODY;
		return told->relayed || (wants(notify, NOTIFY_SUCCESS) && !told->passed_on)
			   ? TELL_REPORT
			   : TELL_NOBODY;
	case OUTCOME_DEFERRED: return tell_delay(b, told, m, c, now);
	default: return TELL_NOBODY;
	}
}

/* ---- what stands in it ----------------------------------------------------------------------- */

enum reply_class report_class(const struct broker *b, const struct change_rcpt *c)
{
	return change_unsure(c) ? REPLY_UNSURE
				: classify_reply(b->config, c->code, c->esc, c->reply);
}

static enum dsn_action action_of(const struct telling *told, enum outcome o)
{
	switch (o) {
	case OUTCOME_DELIVERED: return told->done;
	case OUTCOME_HELD:
	case OUTCOME_DEFERRED: return DSN_DELAYED;
	case OUTCOME_EXPANDED: return DSN_EXPANDED;
	default: return DSN_FAILED;
	}
}

enum dsn_language report_language(const struct broker *b, struct span head)
{
	return dsn_language_chosen(b->config->dsn.language, head);
}

/* The rows of a report. */
struct report {
	struct dsn dsn;
	struct dsn_rcpt *rcpt;
	bool failed; /* one at least */
};

static void add_rcpt(struct broker *b, struct report *to, const struct append *a,
    const struct change_rcpt *c, int64_t when)
{
	const struct queued_rcpt *r = &a->about->rcpt[c->index];
	enum dsn_action action = action_of(&a->told, c->outcome);

	to->failed = to->failed || action == DSN_FAILED;
	to->rcpt[to->dsn.n_rcpt++] = (struct dsn_rcpt){.addr = r->addr,
	    .orcpt = r->orcpt,
	    .change = c,
	    .last_attempt = when,
	    .action = action,
	    .class =
		action == DSN_FAILED || action == DSN_DELAYED ? report_class(b, c) : REPLY_OTHER,
	    .until = action == DSN_DELAYED ? a->told.until + b->wall_ahead : 0};
}

/* The header alone, without what may stand behind it in front of the pieces. */
static struct span only_header(struct span head)
{
	struct header_scan s;

	header_scan_init(&s);
	return span_first(head, header_scan_feed(&s, head));
}

static void report_init(struct broker *b, struct report *r, const struct append *a,
    const struct change *c, struct span head)
{
	const struct queued *m = a->about;
	int64_t when = c->when + b->wall_ahead;

	*r = (struct report){
	    .dsn = {.reporting_host = span_str(b->config->hostname),
		.to = tell_whom(b, m, c->rcpt[0].index),
		.envid = m->envid,
		.original_head = only_header(head),
		.id = m->id,
		.report_id = a->id,
		.arrived = m->accepted + b->wall_ahead,
		.deliver_by = m->handling.by != BY_NONE ? m->handling.by_at + b->wall_ahead : 0,
		.hold_until = m->handling.hold_until,
		.now = when,
		.language = report_language(b, head),
		.texts = b->config->dsn.texts,
		.smtputf8 = m->smtputf8,
		.eight_bit = m->eight_bit}};
	r->rcpt = gw_calloc(c->n_rcpt, sizeof(*r->rcpt));
	r->dsn.rcpt = r->rcpt;
	for (size_t i = 0; i < c->n_rcpt; i++)
		add_rcpt(b, r, a, &c->rcpt[i], when);
}

/* Does the message come back? RFC 3461 section 4.3: only where something failed. */
static bool comes_back(const struct broker *b, const struct queued *m)
{
	/* RFC 8689 section 5: of what had to go over TLS only the header. */
	return m->ret == RET_FULL && !m->handling.require_tls && m->size <= b->config->dsn.full &&
	       m->body_type != BODY_BINARYMIME;
}

/* ---- writing it ------------------------------------------------------------------------------ */

/* GW_EIO: it was to come back whole, and cannot be read. */
static int write_one(struct broker *b, struct append *a, struct report *r, struct span ends)
{
	const struct queued *m = a->about;
	struct rcpt to = {.addr = r->dsn.to};
	struct derived d = {
	    .envelope = {.accepted = r->dsn.now - b->wall_ahead,
		.rcpt = &to,
		.n_rcpt = 1,
		.origin = ORIGIN_SYSTEM,
		.handling = {.require_tls = m->handling.require_tls},
		/* A storm of them is no more urgent than the mail it is about. */
		.priority = m->priority == PRIORITY_BULK ? PRIORITY_BULK : PRIORITY_NORMAL},
	    .content = r->dsn.whole,
	    .ends = ends};
	struct buf front, back;
	struct dsn_form form;
	int err;

	buf_init(&front, dsn_room(r->dsn.n_rcpt));
	buf_init(&back, BACK_ROOM);
	form = dsn_write(&r->dsn, &front);
	d.head_length = form.head;
	if (r->dsn.whole)
		dsn_back(&r->dsn, &back);
	gw_assert(d.head_length > 0 && !buf_failed(&back));
	d.front = buf_view(&front);
	d.back = buf_view(&back);
	d.envelope.smtputf8 = form.smtputf8;
	d.envelope.facts.eight_bit = form.eight_bit;
	d.envelope.body_type = form.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	err = derive_write(b, a, &d);
	buf_fini(&front);
	buf_fini(&back);
	return err;
}

void report_log(const struct msgid *id, const struct msgid *about, struct span to,
    const char *action, size_t recipients)
{
	char text[MSGID_TEXT + 1];
	struct logline l;

	msgid_format(id, text);
	log_begin(&l, EV_REPORT);
	log_str(&l, "id", text);
	log_str(&l, "action", action);
	if (about != NULL) {
		msgid_format(about, text);
		log_str(&l, "about", text);
	}
	log_number(&l, "recipients", (int64_t)recipients);
	log_text(&l, "to", to);
	log_end(&l);
}

static const char *word_of(const struct report *r, const struct queued *m)
{
	static const char *const words[] = {[DSN_FAILED] = "failed",
	    [DSN_DELAYED] = "delayed",
	    [DSN_DELIVERED] = "delivered",
	    [DSN_RELAYED] = "relayed",
	    [DSN_EXPANDED] = "expanded"};

	for (size_t i = 1; i < r->dsn.n_rcpt; i++) {
		if (r->rcpt[i].action != r->rcpt[0].action)
			return "mixed";
	}
	return m->is_report ? "double-bounce" : words[r->rcpt[0].action];
}

static void note_report(const struct report *r, const struct append *a)
{
	report_log(&a->id, &a->about->id, r->dsn.to, word_of(r, a->about), r->dsn.n_rcpt);
	metric_add(a->about->is_report ? METRIC_DOUBLE_BOUNCES : METRIC_REPORTS, 1);
}

/* ---- copies to the administrator ------------------------------------------------------------- */

/* Those of the classes he wants to hear of stay in it. */
static void keep_copied(const struct broker *b, struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->dsn.n_rcpt; i++) {
		if (r->rcpt[i].action == DSN_FAILED &&
		    (b->config->dsn.copy >> r->rcpt[i].class & 1))
			r->rcpt[n++] = r->rcpt[i];
	}
	r->dsn.n_rcpt = n;
}

/* It says nothing that the log does not say: where it is lost, or too many were sent, it is lost.
 */
static void write_copy(struct broker *b, struct append *of, struct report *r, int64_t now)
{
	struct span admin = span_str(b->config->admin);
	struct append *a;
	struct msgid id;

	if (of->about->is_report || span_eq_case(r->dsn.to, admin))
		return;
	keep_copied(b, r);
	if (r->dsn.n_rcpt == 0 || !storm_admits(b, admin, now))
		return;
	id = own_id(b, now);
	r->dsn.to = admin;
	r->dsn.report_id = id;
	r->dsn.whole = false;
	a = derive_begin(b, of->about, NULL, &id);
	gw_assert(write_one(b, a, r, SPAN_NONE) == 0);
	report_log(&id, &of->about->id, admin, "copy", r->dsn.n_rcpt);
	metric_add(METRIC_REPORT_COPIES, 1);
}

/* ---- from the change to the report ----------------------------------------------------------- */

/* What it says of recipients stands in a->meta until its header is at hand. */
static void write_report(struct broker *b, struct append *a, struct span head, int64_t now)
{
	struct buf ends = a->meta;
	struct change c;
	struct report r;

	blame_hand(b, &a->about->id);
	arena_clear(&b->scratch);
	buf_init(&a->meta, ENVELOPE_ARENA);
	gw_assert(change_decode(&c, buf_view(&ends), &b->scratch) == 0);
	report_init(b, &r, a, &c, head);
	r.dsn.whole = r.failed && comes_back(b, a->about);
	if (write_one(b, a, &r, buf_view(&ends)) != 0) {
		r.dsn.whole = false;
		gw_assert(write_one(b, a, &r, buf_view(&ends)) == 0);
	}
	note_report(&r, a);
	if (r.failed && b->config->dsn.copy != 0)
		write_copy(b, a, &r, now);
	free(r.rcpt);
	buf_fini(&ends);
}

void report_send(struct broker *b, struct queued *m, const struct change *c, struct job *j,
    const struct telling *told, int64_t now)
{
	size_t n = m->head_length < HEAD_COPY_MAX ? m->head_length : HEAD_COPY_MAX;
	struct msgid id = own_id(b, now);
	struct append *a = derive_begin(b, m, j, &id);
	struct broker_effect *e;

	a->told = *told;
	change_encode(c, &a->meta);
	if (m->content != NULL) {
		write_report(b, a, span_of(m->content->bytes, n), now);
		return;
	}
	e = effect_add(b, EFFECT_READ_HEAD);
	e->token = a;
	e->piece = m->body;
	e->octets = (uint32_t)n;
}

void broker_head(struct broker *b, void *token, struct span head, int64_t now)
{
	write_report(b, token, head, now);
}
