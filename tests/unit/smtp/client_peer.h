/*
 * The other end of a client engine, for its unit tests: says replies, lets all
 * output leave first, and counts the events that come of it.
 */
#ifndef GW_TESTS_CLIENT_PEER_H
#define GW_TESTS_CLIENT_PEER_H

#include "smtp/client-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct client_config config;

struct tally {
	unsigned told, delivered, done, ready, want, closed;
	unsigned code;            /* of the last CLIENT_RCPT */
	struct client_event last; /* CLIENT_RCPT or CLIENT_CLOSED */
};

static inline struct tally drain(struct client *c)
{
	struct client_event ev;
	struct tally t = {0};

	while (client_next(c, &ev) == 1) {
		t.told += ev.type == CLIENT_RCPT;
		t.code = ev.type == CLIENT_RCPT ? ev.reply.code : t.code;
		t.delivered += ev.type == CLIENT_RCPT && reply_ok(&ev.reply);
		t.done += ev.type == CLIENT_DONE;
		t.ready += ev.type == CLIENT_READY;
		t.want += ev.type == CLIENT_WANT_BODY;
		t.closed += ev.type == CLIENT_CLOSED;
		if (ev.type == CLIENT_RCPT || ev.type == CLIENT_CLOSED)
			t.last = ev;
	}
	return t;
}

static inline void flush(struct client *c)
{
	while (client_output(c).n != 0)
		client_sent(c, client_output(c).n, 0);
}

static inline struct tally say(struct client *c, const char *text)
{
	struct span s = span_str(text);

	flush(c);
	assert_int_equal(client_feed(c, s, 0), s.n);
	return drain(c);
}

static inline struct client *greeted(const char *ehlo)
{
	struct client *c;

	client_config_defaults(&config);
	config.hostname = SPAN("me.example");
	c = client_new(&config, 0);
	assert_non_null(c);
	assert_int_equal(say(c, "220 hi\r\n").ready, 0);
	assert_int_equal(say(c, ehlo).ready, 1);
	return c;
}

static inline struct client_txn one_rcpt(struct client_rcpt *rcpt, size_t size)
{
	*rcpt = (struct client_rcpt){.addr = SPAN("b@b.example")};
	return (struct client_txn){
	    .from = SPAN("a@a.example"), .rcpt = rcpt, .n_rcpt = 1, .size = size};
}

/* Up to CLIENT_WANT_BODY. */
static inline struct client *at_body(struct client_txn *txn)
{
	struct client *c = greeted("250-mx\r\n250 PIPELINING\r\n");

	client_send(c, txn, 0);
	assert_int_equal(say(c, "250 ok\r\n250 ok\r\n354 go\r\n").want, 1);
	return c;
}

#endif
