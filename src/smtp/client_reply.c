/* What each reply means for the step it answers; one that nobody asked for ends the session. */
#include "smtp/client-private.h"

#include <stdio.h>

/* ---- the session ends */

void client_desync(struct client *c, const struct reply *r, const char *what)
{
	enum { QUOTED = 80 };
	int n = snprintf(c->note, sizeof(c->note), "the peer is out of step: %s: %u %.*s", what,
	    (unsigned)r->code, SPAN_ARG(span_first(r->text, QUOTED)));
	struct reply out = {451, {4, 5, 0}, span_of(c->note, (size_t)n)};

	client_fail(c, out, true);
}

struct verdict client_from_peer(const struct client *c, const struct reply *r)
{
	return (struct verdict){.reply = *r, .stage = client_stage(c), .source = CLIENT_FROM_PEER};
}

/* LMTP: the recipient whose verdict comes next. */
static size_t awaited(struct client *c)
{
	gw_assert(c->accepted > 0);
	while (c->txn->rcpt[c->eom_at].state != RCPT_ACCEPTED)
		c->eom_at++;
	return c->eom_at;
}

static void one(struct client *c, size_t rcpt, const struct verdict *v)
{
	c->txn->rcpt[rcpt].state = RCPT_DONE;
	c->one = rcpt;
	c->one_verdict = *v;
	c->one_due = true;
}

/* 421 (RFC 5321 section 3.8): it comes at any time and is the last word. */
static void goodbye(struct client *c, const struct reply *r)
{
	struct verdict v = client_from_peer(c, r);

	v.site = c->state != CLIENT_S_IDLE;
	if (c->state == CLIENT_S_EOM && !c->excess && c->config->lmtp) {
		one(c, awaited(c), &v);
		v.past_dot = client_past_dot(c);
	} else if (c->excess) {
		v.past_dot = client_past_dot(c);
	}
	client_end(c, &v);
}

/* ---- what is due */

bool client_reply_due(const struct client *c)
{
	switch (c->state) {
	case CLIENT_S_HELO:
	case CLIENT_S_SAID:
	case CLIENT_S_EOM: return buf_len(&c->out) == 0;
	case CLIENT_S_ENVELOPE:
		return c->reply_at != c->send_at &&
		       c->sent >= c->reply_mark + client_step_length(c, c->reply_at);
	case CLIENT_S_BODY:
	case CLIENT_S_REFUSED: return client_chunk_reply_due(c);
	case CLIENT_S_IDLE:
	case CLIENT_S_ASK: return false;
	case CLIENT_S_GREETING:
	case CLIENT_S_QUIT:
	case CLIENT_S_END: break;
	}
	return true;
}

void client_excess(struct client *c, int64_t now)
{
	if (c->excess || c->state == CLIENT_S_END)
		return;
	c->excess = true;
	c->ready_due = c->body_due = c->ask_due = c->answer_due = false;
	client_set_deadline(c, now, c->config->t_quit);
	if (client_past_dot(c))
		return;
	/* A dot that did not leave must not: its reply could not be told from this one. */
	buf_clear(&c->out);
	if (c->state == CLIENT_S_EOM || c->state == CLIENT_S_ASK)
		c->state = CLIENT_S_BODY;
	c->chunks_due = 0;
}

/* ---- greeting, EHLO, HELO */

/* A peer that says no here says it to everybody. */
static void turned_away(struct client *c, const struct reply *r)
{
	struct verdict v = client_from_peer(c, r);

	v.site = true;
	client_end(c, &v);
}

static void on_greeting(struct client *c, const struct reply *r, int64_t now)
{
	if (reply_ok(r)) {
		c->helo = c->config->helo_only && !c->config->lmtp;
		client_say_hello(c, now);
	} else if (r->code >= 400) {
		turned_away(c, r);
	} else {
		client_desync(c, r, "as a greeting");
	}
}

static struct span take_line(struct span *s)
{
	ptrdiff_t at = span_find(*s, '\n');
	struct span line = at < 0 ? *s : span_first(*s, (size_t)at);

	*s = at < 0 ? SPAN_NONE : span_skip(*s, (size_t)at + 1);
	return line;
}

static void learn_extensions(struct client *c, struct span text)
{
	(void)take_line(&text); /* the peer's name */
	while (text.n != 0)
		client_learn_extension(c, span_trim(take_line(&text)));
}

static bool knows_no_ehlo(const struct reply *r)
{
	return r->code == 500 || r->code == 502 || r->code == 504;
}

static void on_hello(struct client *c, const struct reply *r, int64_t now)
{
	if (reply_ok(r)) {
		if (!c->helo)
			learn_extensions(c, r->text);
		c->reader.keep_all = false;
		client_become_idle(c, now);
	} else if (knows_no_ehlo(r) && !c->helo && !c->config->lmtp) {
		c->helo = true;
		client_say_hello(c, now);
	} else if (r->code >= 400) {
		turned_away(c, r);
	} else {
		client_desync(c, r, "in reply to HELO");
	}
}

/* ---- the envelope */

static void on_rset(struct client *c, const struct reply *r)
{
	if (reply_ok(r))
		return;
	/* What the peer remembers of the last transaction is not known. */
	client_desync(c, r, "in reply to RSET");
}

static void on_mail(struct client *c, const struct reply *r)
{
	struct verdict v = client_from_peer(c, r);

	if (reply_ok(r))
		return;
	if (r->code < 400) {
		client_desync(c, r, "in reply to MAIL");
		return;
	}
	c->mail_refused = true;
	client_fan(c, &v);
}

/* RFC 5321 section 4.5.3.1.10: 552 was once the code for too many recipients. Where an enhanced
 * code says what else is meant (5.2.2, 5.3.4), it is believed. */
static void mend_552(struct reply *r)
{
	if (r->code != 552 || (r->esc[0] != 0 && r->esc[1] != 5))
		return;
	r->code = 452;
	memcpy(r->esc, (uint8_t[]){4, 5, 3}, sizeof(r->esc));
}

static void on_rcpt(struct client *c, struct reply *r, size_t rcpt)
{
	struct verdict v;

	if (r->code >= 300 && r->code < 400) {
		client_desync(c, r, "in reply to RCPT");
	} else if (!c->mail_refused && reply_ok(r)) {
		c->txn->rcpt[rcpt].state = RCPT_ACCEPTED;
		c->accepted++;
	} else if (reply_ok(r)) {
		client_desync(c, r, "in reply to RCPT after a refused MAIL");
	} else if (!c->mail_refused) {
		mend_552(r);
		v = client_from_peer(c, r);
		one(c, rcpt, &v);
	}
}

static void on_data(struct client *c, const struct reply *r, int64_t now)
{
	struct verdict v = client_from_peer(c, r);

	if (r->code >= 400) {
		client_fan(c, &v);
		client_txn_over(c, now);
	} else if (reply_ok(r)) {
		client_desync(c, r, "in reply to DATA");
	} else if (c->accepted > 0) {
		client_body_begin(c, now);
	} else if (c->config->lmtp) {
		/* RFC 2033 section 4.2: DATA must fail, and how many replies would follow? */
		client_desync(c, r, "in reply to DATA for nobody");
	} else {
		/* RFC 2920 section 3.1: an empty message ends it. */
		c->lone_dot = true;
		client_dot(c, now);
	}
}

static void on_step(struct client *c, struct reply *r, size_t step, int64_t now)
{
	if (step == STEP_RSET)
		on_rset(c, r);
	else if (step == STEP_MAIL)
		on_mail(c, r);
	else if (step < client_step_data(c))
		on_rcpt(c, r, step - STEP_RCPT);
	else
		on_data(c, r, now);
}

static void on_envelope(struct client *c, struct reply *r, int64_t now)
{
	size_t step = c->reply_at;

	on_step(c, r, step, now);
	if (c->state != CLIENT_S_ENVELOPE)
		return;
	c->reply_mark += client_step_length(c, step);
	c->reply_at = client_step_from(c, step + 1);
	if (c->reply_at != c->send_at)
		client_step_due(c, now);
	client_pump(c, now);
	if (c->state != CLIENT_S_ENVELOPE || c->reply_at != c->send_at)
		return;
	/* Nothing is due and nothing could be sent: the content's turn, or nobody is left. */
	if (c->chunked && c->accepted > 0 && !c->mail_refused)
		client_body_begin(c, now);
	else
		client_txn_over(c, now);
}

/* ---- the verdict on the content */

/* RFC 2033 section 4.2: one reply for each accepted RCPT, in that order. */
static void on_eom_lmtp(struct client *c, const struct verdict *v, int64_t now)
{
	one(c, awaited(c), v);
	c->accepted--;
	if (c->accepted == 0) {
		c->owes_rset = false;
		client_txn_over(c, now);
	} else {
		client_set_deadline(c, now, c->config->t_end);
	}
}

static void on_eom(struct client *c, const struct reply *r, int64_t now)
{
	struct verdict v = client_from_peer(c, r);

	if (r->code >= 300 && r->code < 400) {
		client_desync(c, r, "in reply to the content");
	} else if (c->config->lmtp) {
		on_eom_lmtp(c, &v, now);
	} else {
		client_fan(c, &v);
		c->owes_rset = false;
		client_txn_over(c, now);
	}
}

void client_on_reply(struct client *c, struct reply *r, int64_t now)
{
	struct verdict v = client_from_peer(c, r);

	if (c->state == CLIENT_S_QUIT)
		client_end(c, &v);
	else if (r->code == 421)
		goodbye(c, r);
	else if (c->excess)
		client_desync(c, r, "an answer to nothing");
	else if (c->state == CLIENT_S_GREETING)
		on_greeting(c, r, now);
	else if (c->state == CLIENT_S_HELO)
		on_hello(c, r, now);
	else if (c->state == CLIENT_S_SAID)
		client_on_answer(c, &v, now);
	else if (c->state == CLIENT_S_ENVELOPE)
		on_envelope(c, r, now);
	else if (c->state == CLIENT_S_BODY || c->state == CLIENT_S_REFUSED)
		client_on_chunk(c, r, now);
	else if (c->state == CLIENT_S_EOM)
		on_eom(c, r, now);
}
