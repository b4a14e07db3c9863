/*
 * For the tests of the server engine: a session with an owner that takes
 * everything (or refuses one thing) and writes down what it was told.
 */
#ifndef GW_TESTS_UNIT_SMTP_SESSION_H
#define GW_TESTS_UNIT_SMTP_SESSION_H

#include "smtp/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SECOND = 1000000 };

static const struct server_config config = {
    .hostname = {(const uint8_t *)"mx.test", 7},
    .banner = {(const uint8_t *)"ESMTP", 5},
    .extensions = EXT_ALL,
    .message_size = 10000,
    .recipients = 5,
    .transactions = 3,
    .bad_commands = 4,
    .command_timeout = 300 * INT64_C(1000000),
    .data_timeout = 300 * INT64_C(1000000),
    .data_rate = 100,
};

/*
 * A session with an owner that accepts everything and writes down what it is
 * told: one letter for each event, C H M T(ls) A(uth) a(nswer) g(one) R D b E r(eset) x(refused)
 * .(end).
 */
struct session {
	struct server server;
	int64_t now;
	struct buf in, out, content;
	char log[4096];
	size_t logged;
	unsigned accepted, commands;
	bool ended;
	const char *reason; /* of the last END or REFUSED */
	struct server_event last;
	uint16_t refuse_with; /* instead of taking what refuse_type asks */
	enum server_event_type refuse_type;
	uint16_t auth_code;    /* the verdict on AUTH and what follows it; 0: 535 */
	const char *auth_text; /* "words" if NULL */
	const char *said;      /* for a test to keep what replies() gave */
};

static void take_events(struct session *t);

static void session_start(struct session *t, const struct server_config *c)
{
	*t = (struct session){.now = SECOND};
	buf_init(&t->in, 1 << 24);
	buf_init(&t->out, 1 << 24);
	buf_init(&t->content, 1 << 24);
	server_init(&t->server, c, t->now);
	take_events(t);
}

static void session_end(struct session *t)
{
	server_fini(&t->server);
	buf_fini(&t->in);
	buf_fini(&t->out);
	buf_fini(&t->content);
}

static void answer(struct session *t, uint16_t code)
{
	struct reply r = {.code = code, .text = SPAN("words")};

	r.esc[0] = code == 354 ? 0 : (uint8_t)(code / 100);
	server_answer(&t->server, &r, t->now);
}

static void note(struct session *t, char letter)
{
	if (letter == 'b' && t->logged && t->log[t->logged - 1] == 'b')
		return;
	if (t->logged + 1 < sizeof(t->log))
		t->log[t->logged++] = letter;
}

static void answer_auth(struct session *t)
{
	uint16_t code = t->auth_code ? t->auth_code : 535;
	struct reply r = {.code = code, .text = span_str(t->auth_text ? t->auth_text : "words")};

	r.esc[0] = (uint8_t)(code / 100);
	server_answer(&t->server, &r, t->now);
}

static void verdict(struct session *t, const struct server_event *ev)
{
	static const uint16_t yes[] = {[SERVER_CONNECT] = 220,
	    [SERVER_HELO] = 250,
	    [SERVER_MAIL] = 250,
	    [SERVER_TLS] = 220,
	    [SERVER_RCPT] = 250,
	    [SERVER_DATA] = 354,
	    [SERVER_EOM] = 250};

	if (ev->type == SERVER_AUTH || ev->type == SERVER_AUTH_LINE)
		answer_auth(t);
	else if (t->refuse_with && t->refuse_type == ev->type)
		answer(t, t->refuse_with);
	else
		answer(t, yes[ev->type]);
}

static void take_event(struct session *t, const struct server_event *ev)
{
	note(t, "CHMTAagRDbErx.XQO"[ev->type]);
	t->last = *ev;
	if (ev->reason)
		t->reason = ev->reason;
	switch (ev->type) {
	case SERVER_BODY: buf_add_span(&t->content, ev->data); break;
	case SERVER_RESET: buf_clear(&t->content); break;
	case SERVER_AUTH_GONE:
	case SERVER_REFUSED: break;
	case SERVER_END: t->ended = true; break;
	default: t->accepted += ev->type == SERVER_EOM; verdict(t, ev);
	}
}

static void take_output(struct session *t)
{
	struct span out = server_output(&t->server);

	buf_add_span(&t->out, out);
	server_sent(&t->server, out.n);
}

static void take_events(struct session *t)
{
	struct server_event ev;

	while (server_next(&t->server, &ev) == 1)
		take_event(t, &ev);
	take_output(t);
}

static void pump(struct session *t)
{
	size_t n;

	do {
		take_events(t);
		n = server_feed(&t->server, buf_view(&t->in), t->now);
		buf_drop(&t->in, n);
		assert_true(n > 0 || !t->server.has_pending);
	} while (n > 0);
}

static void say_span(struct session *t, struct span text)
{
	buf_add_span(&t->in, text);
	pump(t);
}

static void say(struct session *t, const char *text)
{
	say_span(t, span_str(text));
}

/* The replies so far, as one string, and forgets them. */
static const char *replies(struct session *t)
{
	static char text[65536];

	span_to_cstr(buf_view(&t->out), text, sizeof(text));
	buf_clear(&t->out);
	return text;
}

#define ENVELOPE "EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"

static inline void to_data(struct session *t, const struct server_config *c)
{
	session_start(t, c);
	say(t, ENVELOPE "DATA\r\n");
	assert_string_equal(t->log, "CHMRD");
	replies(t);
}

/* A second message, hidden in a first. */
#define EVIL "MAIL FROM:<evil@b.test>\r\nRCPT TO:<x@d.test>\r\nDATA\r\nSubject: evil\r\n\r\n"

#endif
