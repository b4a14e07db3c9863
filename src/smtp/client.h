/*
 * The client side of SMTP and LMTP (RFC 5321, 2033) as a pure engine. One
 * engine is one connection that can carry many transactions. Its owner
 * (role/sender.c, the wire tests, the fuzzer):
 *
 *	client_new (connected)                  client_send when CLIENT_READY
 *	client_feed(input), client_next(event)  client_body / client_body_end at CLIENT_WANT_BODY
 *						client_answer at CLIENT_BEFORE_DOT
 *	write client_output, client_sent        client_deadline / client_tick / client_eof
 *	client_say, CLIENT_ANSWER               for STARTTLS and AUTH, whose sense the owner knows
 *
 * After every call drain client_next until it returns 0 or -1, then write the
 * output; a feed that took only a part is repeated with the rest after that.
 * While there are events client_feed takes nothing. client_sent comes before
 * the replies to what was sent are fed: a reply to a command that has not left
 * is a lie.
 *
 * The promise: for every recipient of a transaction exactly one CLIENT_RCPT
 * comes, then one CLIENT_DONE; a desynchronised or lying peer can never mark
 * the wrong recipient as taken (replies are matched to commands one by one and
 * anything unexpected ends the session with the open recipients deferred).
 * CLIENT_CLOSED is the last event of an engine.
 *
 * Chunks (RFC 3030): content of chunks_from octets and more goes by BDAT to an
 * SMTP peer with CHUNKING. It says on the way that it wants no more, which DATA
 * cannot; below that size DATA costs a round trip less. The dot is then BDAT
 * LAST with nothing in it but the CRLF that a last line lacks, sent when every
 * chunk was answered with 2xx, so all that is said of the dot here is true of it.
 * A chunk that is refused is the verdict for all recipients; in the middle of
 * another one it ends the session, since that cannot be ended otherwise.
 *
 * Content that is BODY_BINARYMIME goes in chunks, whatever its size, to a peer with BINARYMIME,
 * and octet for octet: nothing is added to it. It never goes by DATA.
 *
 * What is forgiven, as it can mislead nobody: replies that end with LF alone,
 * octets that may not stand in one (they become '?'), no text, extensions listed
 * twice or misspelt, 552 for too many recipients, any 2xx where 250 belongs, an
 * error reply to a chunk that comes before its end.
 *
 * Memory: at most 800 octets for the engine. The output grows with what waits in it
 * up to CLIENT_OUT_MAX, a reply up to REPLY_TEXT_MAX (that to EHLO up to
 * REPLY_TOTAL_MAX); both are kept from one transaction to the next and given
 * back by client_tick a second after the last one, so an idle connection costs
 * the engine alone.
 */
#ifndef GW_SMTP_CLIENT_H
#define GW_SMTP_CLIENT_H

#include "base/buf.h"
#include "mail/envelope.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"

enum {
	CLIENT_OUT_MAX = 131072,
	CLIENT_MEMORY_MAX = CLIENT_OUT_MAX + REPLY_TOTAL_MAX + 1024,
	CLIENT_ADDRESS_MAX = 1000, /* a longer address is refused by us: 5.1.3, 5.1.7 */
};

/* Borrowed by every engine made with it, for the engine's life. */
struct client_config {
	struct span hostname; /* our name in EHLO/LHLO */
	bool lmtp;
	bool helo_only; /* for a peer that hung up on EHLO: say HELO at once */
	/* Microseconds, RFC 5321 section 4.5.3.2: greeting 5 min, HELO 5 min, MAIL 5 min,
	   RCPT 5 min, DATA 2 min, body block 3 min (and the reply to a chunk), end of data 10 min,
	   QUIT short. Each is the total time for a whole reply, or for CLIENT_BLOCK octets of
	   content to leave. */
	int64_t t_greeting, t_helo, t_mail, t_rcpt, t_data, t_block, t_end, t_quit;
	/* All replies from MAIL to 354 together: an hour. */
	int64_t t_envelope;
	/* Octets a second at which content must leave on the whole: it has t_block and the time
	   that its size needs at this rate, a kilobyte. */
	uint32_t least_rate;
	/* The smallest content that goes in chunks, where CHUNKING is offered, and their octets. */
	uint64_t chunks_from;
	uint32_t chunk;
};
enum {
	CLIENT_BLOCK = 4096,
	CLIENT_CHUNK = 131072,  /* octets in a chunk */
	CLIENT_CHUNKS_OPEN = 4, /* chunks without a reply, with PIPELINING */
	CLIENT_CHUNKS_FROM = 1048576,
};
/* The RFC's values, no name, SMTP. */
void client_config_defaults(struct client_config *c);
/* No wait is longer than this; for the peers of tests, and those who know theirs. */
void client_config_hurry(struct client_config *c, int64_t most);

struct client_rcpt {
	struct span addr;  /* canonical */
	struct span orcpt; /* "type;address", not yet xtext; or empty */
	uint8_t notify;    /* enum dsn_notify; 0: unset */
	uint8_t state;     /* engine's own; set by client_send */
	uint16_t length;   /* the same: of its command, once that was said */
};

/* Borrowed, with all it points to, until CLIENT_DONE. */
struct client_txn {
	struct span from;  /* empty: <> */
	struct span envid; /* not yet xtext; or empty */
	enum dsn_ret ret;
	bool smtputf8; /* its header has UTF-8 and may go to a peer with SMTPUTF8 only */
	struct client_rcpt *rcpt;
	size_t n_rcpt;
	uint64_t size;     /* octets that client_body will be given, exactly */
	bool size_unknown; /* size is an estimate: it is not said, and the owner alone knows when
			      all was given */
	/* "HOLDFOR=3600", for a peer that offers FUTURERELEASE, of who submits a message; or empty.
	   A relay says nothing of it: what it sends was released. */
	struct span release;
	struct handling handling; /* what of it the peer is told is up to what it offers */
	int32_t by_left; /* of its time to be delivered in (handling.by): seconds from now on */
	bool final; /* the peer puts it into mailboxes: nobody behind it has to keep the time */
	struct span unfit; /* not empty: why the content cannot go to this peer, 554 5.6.3 */
	enum body_type body_type;
	bool eight_bit; /* the content has octets above 127 */
	/* Stop before the dot, with CLIENT_BEFORE_DOT: nothing of it is in the output until
	   client_answer says so. */
	bool ask_before_dot;
};

/* What the peer's EHLO says of LIMITS (RFC 9422); 0: nothing. */
struct client_limits {
	uint32_t mailmax;       /* transactions in this session: the owner counts them */
	uint32_t rcptmax;       /* recipients in one */
	uint32_t rcptdomainmax; /* different domains among them */
};

enum client_event_type {
	CLIENT_READY, /* greeted and EHLO done, or a transaction is over: client_send or client_quit
		       */
	CLIENT_WANT_BODY,  /* give the content with client_body, then client_body_end */
	CLIENT_BEFORE_DOT, /* the content is whole; all recipients without a CLIENT_RCPT were taken
			      by the peer: may the dot be sent? client_answer, within t_block */
	CLIENT_RCPT,       /* the fate of recipient "rcpt": reply; 2xx only with the verdict on the
			      content */
	CLIENT_DONE,       /* the transaction is over */
	CLIENT_ANSWER, /* what the peer said to client_say: reply; client_say, client_send ... */
	CLIENT_CLOSED, /* the connection is to be closed; reply says why */
};

/* Who made the reply in an event. */
enum client_source { CLIENT_FROM_PEER, CLIENT_FROM_US };

struct client_event {
	enum client_event_type type;
	size_t rcpt;
	struct reply
	    reply; /* RCPT, CLOSED, ANSWER; text borrowed until the next call but client_next */
	enum client_source source;
	/* "greeting" "helo" "command" (client_say) "mail" "rcpt" "data" "body" (and its chunks)
	   "eom" "quit"; "idle": between transactions */
	const char *stage;
	bool past_dot; /* the dot was sent and no verdict came: the peer may have taken it */
	/* The failure speaks of the host, not of this recipient (greeting, HELO, timeout, 421, a
	   lost connection, nonsense). Not set when an idle connection ends with EOF or 421. */
	bool site;
};

struct client;

/* The engine owns its memory (bounded: CLIENT_MEMORY_MAX); never NULL. */
struct client *client_new(const struct client_config *config, int64_t now) gw_checked;
/* Frees and nulls; *c may be NULL. */
void client_free(struct client **c);

/* Returns the octets taken: 0 while there are events; all of them once the session is over. */
size_t client_feed(struct client *c, struct span in, int64_t now);
/* 1: *ev is filled; 0: nothing now; -1: CLIENT_CLOSED was given. */
int client_next(struct client *c, struct client_event *ev) gw_checked;

/* RFC 2852: will the peer return it in time, or is there no need? Else why not: then client_send
 * would fail its recipients with that, and another host may be better. */
bool client_keeps_time(
    const struct client *c, const struct client_txn *txn, struct reply *why) gw_checked;
/* Only after CLIENT_READY. Recipients beyond the peer's limits are deferred without a byte on the
 * wire (452 4.5.3), in the order given, so that those in front have their turn. Recipients that
 * cannot be sent (5.3.4 larger than the peer's SIZE, 5.6.3 unfit: 8-bit for a peer without 8BITMIME
 * or binary for one without BINARYMIME, 5.6.7 an address and 5.6.9 a header that needs SMTPUTF8 for
 * one without it, 5.4.7 its time is over or the peer does not keep it, 5.1.3 and 5.1.7 address with
 * controls) get their CLIENT_RCPT without a byte on
 * the wire. */
void client_send(struct client *c, struct client_txn *txn, int64_t now);
/* Between transactions: one line, without its CRLF, whose reply comes as CLIENT_ANSWER. The engine
 * overwrites what it keeps of it, so that it may be a secret. Does nothing once the session is
 * over. */
void client_say(struct client *c, struct span line, int64_t now);
/* Between transactions, and nothing came that was not asked for: after a 220 to STARTTLS only then
 * may TLS begin. What came behind that reply was said by whoever is on the line. */
bool client_quiet(const struct client *c);
/* After CLIENT_ANSWER, TLS is on: what the peer said before is forgotten (RFC 3207 section 4.2);
 * EHLO again, then CLIENT_READY. */
void client_start_over(struct client *c, int64_t now);
/* Takes as much of the content as the output has room for; returns the octets taken. A bare CR or
 * LF (RFC 5321 section 2.3.8) ends the connection without the dot: 554 5.6.0. All is taken, and
 * ignored, once the session is over. */
size_t client_body(struct client *c, struct span data, int64_t now);
/* The content is whole: the end is sent, behind a CRLF if the last line lacks one. When it was not
 * txn->size octets (where that is known) the connection ends without the dot: 451 4.3.0. */
void client_body_end(struct client *c, int64_t now);
/* After CLIENT_BEFORE_DOT: the dot is sent, or the connection ends without it and the recipients
 * are deferred (451 4.3.2). Does nothing once the session is over. */
void client_answer(struct client *c, bool send_dot, int64_t now);
/* The content turned out to be nothing for this peer: the connection ends without the dot; r, which
 * is permanent, is for all recipients. Its text is borrowed until CLIENT_CLOSED was given. */
void client_body_refuse(struct client *c, const struct reply *r, int64_t now);
/* The content cannot be completed: the connection ends without the dot; recipients are deferred. */
void client_body_abort(struct client *c, int64_t now);
/* QUIT when ready; at another time the session ends at once, open recipients are deferred. */
void client_quit(struct client *c, int64_t now);

/* What is to be written; empty once the session is over. Valid until the next call but these two.
 */
struct span client_output(const struct client *c);
void client_sent(struct client *c, size_t n, int64_t now);
/* When to call client_tick at the latest; INT64_MAX: never. */
int64_t client_deadline(const struct client *c);
void client_tick(struct client *c, int64_t now);
/* The peer closed, or the connection broke. */
void client_eof(struct client *c, int64_t now);

/* What the peer offered (bits 1 << EXT_... of ehlo.def), its SIZE (0: none), and the mechanisms of
 * its AUTH that we know (bits 1 << SASL_...). */
uint32_t client_extensions(const struct client *c);
struct client_limits client_peer_limits(const struct client *c);
uint64_t client_peer_size(const struct client *c);
uint32_t client_mechanisms(const struct client *c);
/* The peer offers CHUNKING and does not know BDAT (500 to 504 to the first chunk, which deferred
 * the recipients): speak to it with chunks_from = UINT64_MAX. This engine does from then on. */
bool client_chunks_unknown(const struct client *c);
/* Content that is BODY_BINARYMIME can go as it is: the peer offers it and CHUNKING, and is not
 * known to refuse BDAT (chunks_from = UINT64_MAX, or seen here). */
/* What needs SMTPUTF8 can go: it is offered, with 8BITMIME. */
bool client_takes_utf8(const struct client *c);
bool client_takes_binary(const struct client *c);

#endif
