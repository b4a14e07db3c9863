/*
 * The client side of SMTP and LMTP (RFC 5321, 2033) as a pure engine. One
 * engine is one connection that can carry many transactions. Its owner
 * (role/sender.c, the wire tests, the fuzzer):
 *
 *	client_init (connected)                 client_send when CLIENT_READY
 *	client_feed(input), client_next(event)  client_body / client_body_end at CLIENT_WANT_BODY
 *	write client_output, client_sent        client_deadline / client_tick / client_eof
 *
 * The promise: for every recipient of a transaction exactly one CLIENT_RCPT
 * comes, then one CLIENT_DONE; a desynchronised or lying peer can never mark
 * the wrong recipient as taken (replies are matched to commands one by one and
 * anything unexpected ends the session with the open recipients deferred).
 */
#ifndef GW_SMTP_CLIENT_H
#define GW_SMTP_CLIENT_H

#include "base/buf.h"
#include "mail/envelope.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"

struct client_config {
	struct span hostname; /* our name in EHLO/LHLO */
	bool lmtp;
	/* Microseconds, RFC 5321 section 4.5.3.2: greeting 5 min, HELO 5 min, MAIL 5 min,
	   RCPT 5 min, DATA 2 min, body block 3 min, end of data 10 min, QUIT short. */
	int64_t t_greeting, t_helo, t_mail, t_rcpt, t_data, t_block, t_end, t_quit;
};
/* The RFC's values. */
void client_config_defaults(struct client_config *c);

struct client_rcpt {
	struct span addr; /* canonical */
	uint8_t state;	  /* engine's own; zero at the start */
};

/* Borrowed until CLIENT_DONE or CLIENT_CLOSED. */
struct client_txn {
	struct span from; /* empty: <> */
	struct client_rcpt *rcpt;
	size_t n_rcpt;
	uint64_t size; /* octets of content */
	enum body_type body_type;
	bool eight_bit; /* the content has octets above 127 */
};

enum client_event_type {
	CLIENT_READY,	  /* greeted and EHLO done, or a transaction is over: client_send or client_quit */
	CLIENT_WANT_BODY, /* give the content with client_body, then client_body_end */
	CLIENT_RCPT,	  /* the fate of recipient "rcpt": reply; see "sure" */
	CLIENT_DONE,	  /* the transaction is over */
	CLIENT_CLOSED,	  /* the connection is to be closed; reply says why */
};

/* Who made the reply in an event. */
enum client_source { CLIENT_FROM_PEER, CLIENT_FROM_US };

struct client_event {
	enum client_event_type type;
	size_t rcpt;
	struct reply reply; /* text borrowed until the next call */
	enum client_source source;
	const char *stage; /* "connect" "greeting" "helo" "mail" "rcpt" "data" "body" "eom" "quit" */
	bool past_dot;	   /* the dot was sent and no verdict came: the peer may have taken it */
	bool site;	   /* the failure speaks of the host, not of this recipient (greeting, HELO, timeout) */
};

struct client;

/* The engine owns its memory (bounded: CLIENT_MEMORY_MAX); NULL when out of memory. */
struct client *client_new(const struct client_config *config, int64_t now) gw_checked;
void client_free(struct client **c);

size_t client_feed(struct client *c, struct span in, int64_t now);
int client_next(struct client *c, struct client_event *ev) gw_checked;

/* Only after CLIENT_READY. Recipients that cannot be sent (size, 8-bit for a peer without
 * 8BITMIME: 5.6.3) get their CLIENT_RCPT without a byte on the wire. */
void client_send(struct client *c, struct client_txn *txn, int64_t now);
/* Takes as much of the content as the output has room for; returns the octets taken. */
size_t client_body(struct client *c, struct span data, int64_t now);
/* The content is whole: the end is sent. */
void client_body_end(struct client *c, int64_t now);
/* The content cannot be completed: the connection ends without the dot; recipients are deferred. */
void client_body_abort(struct client *c, int64_t now);
void client_quit(struct client *c, int64_t now);

struct span client_output(const struct client *c);
void client_sent(struct client *c, size_t n, int64_t now);
int64_t client_deadline(const struct client *c);
void client_tick(struct client *c, int64_t now);
/* The peer closed, or the connection broke. */
void client_eof(struct client *c, int64_t now);

/* What the peer offered (bits 1 << EXT_... of ehlo.def) and its SIZE (0: none). */
uint32_t client_extensions(const struct client *c);
uint64_t client_peer_size(const struct client *c);

#endif
