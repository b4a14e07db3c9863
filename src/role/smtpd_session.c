/* One client: what its engine asks, and the verdicts. */
#include "role/smtpd_auth.h"
#include "role/smtpd_handling.h"
#include "role/smtpd_callout.h"
#include "role/smtpd_limits.h"
#include "role/smtpd_lookup.h"
#include "role/smtpd_etrn.h"
#include "role/smtpd_tls.h"
#include "role/smtpd_turn.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/accept.h"

#include <stdio.h>

/* ---- log ----------------------------------------------------------------------------------- */

static void put_place(struct logline *l, struct place p)
{
	char text[512];

	if (p.file == NULL)
		return;
	snprintf(text, sizeof(text), "%s:%u", p.file, p.line);
	log_str(l, "rule", text);
}

void session_log_reject(struct session *s, const char *stage, const struct reply *r,
    const char *reason, struct place place, struct span rcpt)
{
	struct logline l;
	char sid[MSGID_TEXT + 1], esc[16];

	msgid_format(&s->sid, sid);
	snprintf(esc, sizeof(esc), "%u.%u.%u", r->esc[0], r->esc[1], r->esc[2]);
	log_begin(&l, EV_REJECT);
	log_str(&l, "sid", sid);
	log_str(&l, "listener", s->conf->name);
	log_str(&l, "ip", s->ip);
	log_str(&l, "stage", stage);
	log_number(&l, "code", r->code);
	log_str(&l, "esc", esc);
	log_str(&l, "reason", reason);
	put_place(&l, place);
	if (s->txn != NULL)
		log_text(&l, "from", s->txn->from);
	if (rcpt.p != NULL)
		log_text(&l, "to", rcpt);
	if (strcmp(reason, "limit") == 0)
		session_limits_log(s, &l);
	log_end(&l);
	metric_add(METRIC_REJECTS, 1);
}

/* ---- verdicts ------------------------------------------------------------------------------ */

void session_say(struct session *s, const struct reply *r)
{
	server_answer(&s->engine, r, loop_now(s->smtpd->loop));
}

static void answer_later(struct session *s, const struct verdict *v)
{
	s->delayed = v->reply;
	s->delayed_until = loop_now(s->smtpd->loop) + v->delay;
}

void session_greet(struct session *s)
{
	struct verdict ready = {.reply = REPLY(220, 0, 0, 0, ""), .delay = s->conf->greet_delay};

	if (session_needs_handshake(s))
		return; /* process() makes it, and asks again */
	if (s->smtpd->stopping) {
		session_say(s, &REPLY(421, 4, 3, 2, "This server is going down"));
		return;
	}
	if (!s->io.tls && stream_peek(&s->io)) {
		server_early(&s->engine, loop_now(s->smtpd->loop));
		return;
	}
	if (ready.delay > 0 && s->trust == NULL)
		answer_later(s, &ready);
	else
		session_say(s, &ready.reply);
}

static void on_helo(struct session *s, const struct server_event *ev)
{
	if (!s->helo_given) {
		buf_clear(&s->helo);
		buf_add_span(&s->helo, ev->name);
	}
	s->listener->engine.wall_ahead = clock_wall() - loop_now(s->smtpd->loop);
	session_identify(s);
}

/* Is it somebody who may send here, and as this sender? */
static bool may_send(struct session *s, const struct server_event *ev)
{
	struct accept_client client;
	struct verdict v;

	session_client(s, &client);
	accept_mail(session_config(s), &client, &ev->address, &v);
	if (v.ok)
		return true;
	session_log_reject(s, "mail", &v.reply, v.reason, v.place, SPAN_NONE);
	session_say(s, &v.reply);
	return false;
}

/* Does a limit let it come now, or when it has waited? */
static bool within_limits(struct session *s, const struct server_event *ev, bool *wait)
{
	struct verdict v = {.ok = true};

	if (session_limits_mail(s, ev->address.kind == ADDRESS_NULL, ev->size, &v, wait))
		return true;
	session_log_reject(s, "mail", &v.reply, v.reason, v.place, SPAN_NONE);
	session_say(s, &v.reply);
	return false;
}

void session_begun(struct session *s)
{
	struct reply r = txn_grant(s->txn);

	session_useful(s);
	session_say(s, &r);
}

static void begin_message(struct session *s, const struct server_event *ev)
{
	bool wait = false;

	if (!within_limits(s, ev, &wait))
		return;
	txn_free(&s->txn);
	s->txn = txn_new(s, ev);
	if (wait)
		session_limits_wait(s, ev->size);
	else
		session_begun(s);
}

static void on_mail(struct session *s, const struct server_event *ev)
{
	const struct reply *refusal = smtpd_refusal(s->smtpd);
	struct accept_client client;

	if (!may_send(s, ev))
		return;
	if (refusal != NULL) {
		session_log_reject(
		    s, "mail", refusal, "not_accepting", (struct place){0}, SPAN_NONE);
		session_say(s, refusal);
		return;
	}
	session_client(s, &client);
	if (accept_asks_sender(session_config(s), &client, &ev->address))
		lookup_domain(s, ev, true, begin_message);
	else
		begin_message(s, ev);
}

void session_log_rcpt(struct session *s, const struct server_event *ev, const struct verdict *v)
{
	char text[512];
	int n =
	    snprintf(text, sizeof(text), "%.*s@%.*s", SPAN_ARG(span_first(ev->address.local, 64)),
		SPAN_ARG(span_first(ev->address.domain, 255)));

	session_log_reject(s, "rcpt", &v->reply, v->reason, v->place, span_of(text, (size_t)n));
}

static void say_rcpt(struct session *s, const struct server_event *ev, const struct verdict *v)
{
	if (!v->ok)
		session_log_rcpt(s, ev, v);
	if (v->delay > 0)
		answer_later(s, v);
	else
		session_say(s, &v->reply);
}

/* asked: what others said of it, or NULL; it is freed. */
static void take_permitted(
    struct session *s, const struct server_event *ev, struct verdict *v, struct asked *asked)
{
	if (asked == NULL)
		asked = asked_new(s);
	if (!txn_take_rcpt(s->txn, ev, asked, v)) {
		asked_wait(asked, ev);
		return;
	}
	asked_free(&asked);
	say_rcpt(s, ev, v);
}

/* Others were asked, and all is judged again: accounts may have changed meanwhile. */
void session_rcpt_again(struct session *s, const struct server_event *ev, struct asked *asked)
{
	struct accept_client client;
	struct verdict v;

	session_client(s, &client);
	client.from = s->txn->from;
	accept_rcpt(session_config(s), &client, &ev->address, &v);
	if (v.ok) {
		take_permitted(s, ev, &v, asked);
		return;
	}
	asked_free(&asked);
	say_rcpt(s, ev, &v);
}

static void take_rcpt(struct session *s, const struct server_event *ev)
{
	session_rcpt_again(s, ev, NULL);
}

static void on_rcpt(struct session *s, const struct server_event *ev)
{
	struct accept_client client;
	struct verdict v;

	session_client(s, &client);
	client.from = s->txn->from;
	accept_rcpt(session_config(s), &client, &ev->address, &v);
	if (v.ok && v.asks_dns)
		lookup_domain(s, ev, false, take_rcpt);
	else if (v.ok)
		take_permitted(s, ev, &v, NULL);
	else
		say_rcpt(s, ev, &v);
}

/* What is unread behind DATA was sent before we said 354; behind BDAT it is the chunk. */
static void on_data(struct session *s, const struct server_event *ev, size_t unread)
{
	if (unread > 0 && !ev->chunked)
		server_early(&s->engine, loop_now(s->smtpd->loop));
	else
		session_say(s, &REPLY(354, 0, 0, 0, "End data with <CRLF>.<CRLF>"));
}

static void on_end_of_data(struct session *s, const struct server_event *ev)
{
	const char *reason = "";
	struct reply r;

	if (txn_end(s->txn, ev->facts, &r, &reason))
		return; /* the queue will say */
	session_log_reject(s, "eom", &r, reason, (struct place){0}, SPAN_NONE);
	session_say(s, &r); /* its text may be the transaction's */
	txn_free(&s->txn);
}

/* What is there already was said in the clear, by whomever: it is no part of what follows. */
static void on_starttls(struct session *s, size_t unread)
{
	if (unread > 0 || stream_peek(&s->io)) {
		server_early(&s->engine, loop_now(s->smtpd->loop));
		return;
	}
	session_say(s, &REPLY(220, 2, 0, 0, "Go ahead with TLS"));
	/* Who logged in before is forgotten, here as in the engine: its ticket goes into no
	 * envelope. */
	auth_forget(s);
	s->identified = NULL;
}

void session_on_event(struct session *s, const struct server_event *ev, size_t unread)
{
	switch (ev->type) {
	case SERVER_CONNECT: session_greet(s); break;
	case SERVER_HELO: on_helo(s, ev); break;
	case SERVER_MAIL: on_mail(s, ev); break;
	case SERVER_TLS: on_starttls(s, unread); break;
	case SERVER_AUTH:
	case SERVER_AUTH_LINE:
	case SERVER_AUTH_GONE: auth_event(s, ev); break;
	case SERVER_ATRN: turn_event(s, ev, unread); break;
	case SERVER_RCPT: on_rcpt(s, ev); break;
	case SERVER_XCLIENT: session_xclient(s, ev); break;
	case SERVER_DATA: on_data(s, ev, unread); break;
	case SERVER_BODY: txn_body(s->txn, ev->data); break;
	case SERVER_EOM: on_end_of_data(s, ev); break;
	case SERVER_RESET: txn_free(&s->txn); break;
	case SERVER_REFUSED:
		session_log_reject(
		    s, ev->stage, &ev->reply, ev->reason, (struct place){0}, SPAN_NONE);
		break;
	case SERVER_END: break;
	case SERVER_ETRN: etrn_event(s, ev); break;
	}
}
