/* What the engine of a connection says: the next message, verdicts, the end. */
#include "role/sender.h"

#include "base/clock.h"

#include <string.h>

/* ---- messages ------------------------------------------------------------------------------- */

/* What is left of its time, now that it is about to be said: a second that has begun is gone. */
static void set_time(struct client_txn *txn)
{
	int64_t left = (txn->handling.by_at - clock_wall()) / USEC_PER_SEC;

	txn->by_left = left > INT32_MAX ? INT32_MAX : left < INT32_MIN ? INT32_MIN : (int32_t)left;
}

/* A host that does not keep the time of what is to come back: the next one may. False: c is
 * leaving. */
static bool keeps_time(struct conn *c)
{
	struct client_txn *txn = &c->job->txn;
	struct reply why;

	set_time(txn);
	if (txn->by_left <= 0 || client_keeps_time(c->engine, txn, &why))
		return true;
	if (c->messages > 0) {
		conn_again(c);
		conn_leave(c);
	} else {
		conn_unfit(c, &why, "mail");
	}
	return false;
}

static void send_job(struct conn *c)
{
	c->ready = false;
	c->limit = INT64_MAX;
	c->messages++;
	job_fit(c->job, c->engine);
	client_send(c->engine, &c->job->txn, loop_now(c->sender->loop));
}

void conn_next_job(struct conn *c)
{
	uint32_t mailmax = client_peer_limits(c->engine).mailmax;

	c->ready = true;
	if (mailmax != 0 && mailmax < c->most)
		c->most = mailmax;
	if (c->job != NULL) {
		if (c->messages == 0 && c->walk != NULL)
			walk_note(c->walk, NULL);
		if (c->job->pull != NULL)
			pull_begin(c);
		else if (keeps_time(c))
			send_job(c);
	} else if (c->messages >= c->most || c->sender->stopping || c->number == 0) {
		conn_leave(c);
	} else {
		c->limit = loop_now(c->sender->loop) + c->patience;
	}
}

/* A reused connection that the peer had closed meanwhile says nothing of this message. */
static bool is_stale(const struct conn *c, const struct client_event *ev)
{
	return c->messages > 1 && !c->job->body_started && ev->site &&
	       ev->source == CLIENT_FROM_US && strcmp(ev->stage, "mail") == 0;
}

/*
 * May another host be tried after what was said in reply to MAIL? The connection was lost, or the
 * host says goodbye (421): that speaks of the host. Or an address of IPv6 was refused, and there is
 * one of IPv4: reputation and reverse names differ by family, and the other one may be welcome.
 */
static bool may_move(struct conn *c, const struct client_event *ev)
{
	if (c->walk == NULL || !job_untouched(c->job) || strcmp(ev->stage, "mail") != 0)
		return false;
	if (ev->site)
		return true;
	return ev->source == CLIENT_FROM_PEER && walk_to_v4(c->walk);
}

static void note_refusal(struct job *j, const struct client_event *ev)
{
	if (ev->source != CLIENT_FROM_PEER)
		return;
	if (ev->reply.code == 421 || strcmp(ev->stage, "greeting") == 0)
		j->refused = true;
}

/* The next attempt is on another connection, and goes by DATA. */
static void note_chunks(struct conn *c)
{
	if (c->config.chunks_from != UINT64_MAX && client_chunks_unknown(c->engine))
		clear_hosts_add(
		    &c->sender->unchunked, c->peer.text, "bdat", loop_now(c->sender->loop));
}

static void on_rcpt(struct conn *c, const struct client_event *ev)
{
	note_chunks(c);
	if (c->job == NULL || c->job->order.n_rcpt <= ev->rcpt || c->moving || is_stale(c, ev))
		return;
	note_refusal(c->job, ev);
	if (may_move(c, ev)) {
		c->moving = true;
		walk_note(c->walk, ev);
		return;
	}
	job_said(c->job, ev->rcpt, ev, c->peer.text);
}

static void on_done(struct conn *c)
{
	struct job *j = c->job;

	c->wants_body = false;
	if (j == NULL)
		return;
	if (c->moving) {
		conn_move(c);
		return;
	}
	for (size_t i = 0; i < j->order.n_rcpt; i++) {
		if (!j->rcpt[i].known)
			return; /* stale: it starts again on a new connection */
	}
	job_finish(j);
	walk_free(&c->walk); /* the connection stays with its host */
}

/* Nobody waits for it any more: the connection was given up by its queue. */
static void on_before_dot(struct conn *c)
{
	if (c->job != NULL)
		job_ask_go(c->job);
}

/* Before the first message, or to what a pull said. */
static void on_answer(struct conn *c, const struct client_event *ev)
{
	if (c->guard.state == GUARD_DONE && c->job != NULL && c->job->pull != NULL)
		pull_answer(c, ev);
	else
		guard_answer(c, ev);
}

static void on_event(struct conn *c, const struct client_event *ev)
{
	switch (ev->type) {
	case CLIENT_READY:
		if (guard_ready(c))
			conn_next_job(c);
		break;
	case CLIENT_WANT_BODY: c->wants_body = true; break;
	case CLIENT_BEFORE_DOT: on_before_dot(c); break;
	case CLIENT_RCPT: on_rcpt(c, ev); break;
	case CLIENT_DONE: on_done(c); break;
	case CLIENT_ANSWER: on_answer(c, ev); break;
	case CLIENT_CLOSED: break;
	}
}

/* ---- the end ------------------------------------------------------------------------------- */

static bool hung_up_on_ehlo(const struct conn *c, const struct client_event *last)
{
	return c->hung_up && !c->lmtp && last->source == CLIENT_FROM_US &&
	       strcmp(last->stage, "helo") == 0;
}

/* The host did not come as far as MAIL. RFC 5321 section 3.1 has 554 as a greeting of hosts that
 * take no mail at all: the next one may, whatever the code. */
static void turned_away(struct conn *c, const struct client_event *last)
{
	note_refusal(c->job, last);
	walk_note(c->walk, last);
	if (hung_up_on_ehlo(c, last))
		(void)walk_with_helo(c->walk);
	conn_move(c);
}

static void tell_loss(struct conn *c, const struct client_event *last)
{
	struct client_event ev = *last;
	struct job *j = c->job;

	ev.site = true;
	if (reply_ok(&ev.reply))
		ev.reply = REPLY(451, 4, 4, 2, "The connection ended before the message was sent");
	note_refusal(j, &ev);
	job_said_all(j, &ev, c->peer.text);
	job_finish(j);
}

/* The engine is through. A job that is left over goes on, or gets its reason. */
static void closed(struct conn *c, const struct client_event *last)
{
	struct job *j = c->job;

	if (j != NULL && j->pull == NULL && c->messages > 1 && !j->body_started &&
	    !j->rcpt[0].known)
		conn_again(c);
	else if (guard_lost(c, last))
		; /* and it has seen to the job */
	else if (j != NULL && c->messages == 0 && c->walk != NULL)
		turned_away(c, last);
	else if (j != NULL)
		tell_loss(c, last);
	conn_close(c);
}

bool conn_events(struct conn *c)
{
	struct client_event ev,
	    last = {.reply = REPLY(451, 4, 4, 2, "The connection ended"), .stage = "idle"};
	int more;

	while ((more = client_next(c->engine, &ev)) == 1) {
		on_event(c, &ev);
		last = ev;
	}
	if (more == 0)
		return true;
	closed(c, &last);
	return false;
}
