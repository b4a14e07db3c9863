/* The verdicts of the owner, and what they make of the session. */
#include "smtp/server-private.h"

static void answer_connect(struct server *s, const struct reply *r)
{
	struct reply greeting = {.code = 220, .text = s->config->banner};

	if (r->code == 220) {
		server_say_host(s, &greeting);
		s->state = SERVER_S_START;
	} else {
		server_say(s, r);
		server_finish(s, "refused");
	}
}

static void answer_helo(struct server *s)
{
	struct buf text;

	buf_init(&text, 2048);
	buf_add_span(&text, s->config->hostname);
	if (s->asked_esmtp)
		server_ehlo(s, &text);
	server_say_plain(s, &(struct reply){.code = 250, .text = buf_view(&text)});
	if (s->state == SERVER_S_START) {
		s->state = SERVER_S_IDLE;
		s->bad = s->bad_logins;
	}
	s->esmtp = s->asked_esmtp;
	buf_fini(&text);
}

static void answer_data(struct server *s, const struct reply *r)
{
	static const struct reply go = REPLY_INIT(354, 0, 0, 0, "End with <CRLF>.<CRLF>");

	if (s->chunked) {
		server_answer_chunk(s, r);
		return;
	}
	gw_assert(r->code == 354 || r->code >= 400);
	server_say(s, r->code == 354 && r->text.n == 0 ? &go : r);
	if (r->code == 354 && !s->ended)
		server_body_start(s);
}

static void answer_eom(struct server *s, const struct reply *r)
{
	s->open = false;
	server_forget(s);
	s->state = SERVER_S_IDLE;
	server_say_each(s, r);
}

static void apply(struct server *s, const struct reply *r)
{
	switch (s->asked) {
	case SERVER_CONNECT: answer_connect(s, r); return;
	case SERVER_DATA: answer_data(s, r); break;
	case SERVER_EOM: answer_eom(s, r); break;
	case SERVER_HELO:
		if (reply_ok(r)) {
			answer_helo(s);
			return;
		}
		server_say(s, r);
		break;
	case SERVER_MAIL:
		server_say(s, r);
		if (reply_ok(r) && !s->ended) {
			s->state = SERVER_S_MAIL;
			s->open = true;
			s->transactions++;
		}
		break;
	case SERVER_RCPT:
		server_say(s, r);
		s->recipients_ok += reply_ok(r);
		s->recipients_refused += !reply_ok(r);
		break;
	case SERVER_TLS: server_answer_tls(s, r); break;
	case SERVER_ETRN: server_answer_etrn(s, r); return;
	case SERVER_ATRN: server_answer_atrn(s, r); break;
	case SERVER_XCLIENT: server_answer_xclient(s, r); break;
	case SERVER_AUTH:
	case SERVER_AUTH_LINE: server_answer_auth(s, r); break;
	default: die("no verdict was due");
	}
	/* A refusal is no progress, nor is a challenge; that of one recipient among many is no
	 * offence either. Who guesses passwords does not buy more tries with other commands. */
	if (r->code == 334)
		return;
	if (r->code < 400)
		s->bad = s->bad_logins;
	else if (s->asked != SERVER_RCPT && s->asked != SERVER_EOM)
		s->bad++;
}

void server_answer(struct server *s, const struct reply *r, int64_t now)
{
	struct reply cut = *r;

	gw_check_magic(s, SERVER_MAGIC);
	if (s->ended)
		return;
	gw_assert(s->verdict_due && !s->has_pending && !s->reset_due && !s->gone_due);
	gw_assert(r->code >= 200 && r->code < 600);
	if (r->code != 334)
		cut.text = span_first(cut.text, ANSWER_TEXT_MAX);
	s->verdict_due = false;
	s->now = now;
	apply(s, &cut);
	if (r->code == 421)
		server_finish(s, "refused");
	server_boundary(s, now);
}
