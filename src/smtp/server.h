/*
 * The server side of SMTP as a pure engine (RFC 5321): bytes in, events out,
 * verdicts in, bytes out. It holds no descriptor, no clock, no thread and calls
 * nobody back. One engine is one session; its owner (role/smtpd.c, the wire
 * tests, the fuzzer) does this:
 *
 *	server_init; answer SERVER_CONNECT
 *	loop: n = server_feed(s, unread input, now); the first n bytes are consumed
 *	      while server_next(s, &ev) == 1: look at ev; where it asks, server_answer()
 *	      (now or later: while a verdict is due, feed takes nothing)
 *	      again while feed took something
 *	      write server_output(), then server_sent()
 *	      at server_deadline(): server_tick(); at end of input: server_eof()
 *
 * A feed takes at most one command or one piece of content, so each event comes
 * from one feed. Spans in events point into the input of that feed, or into the engine, and are
 * valid until the next call of server_feed. The owner offers all unread input, and has
 * room for at least SERVER_AUTH_LINE_MAX octets of it. The engine keeps no copy of
 * what the client sends: a secret is in the owner's input and nowhere else.
 *
 * Who speaks out of turn is sent away, as its input may be somebody else's mail:
 * input before the greeting (server_early) and input that was already there
 * behind a DATA command, which RFC 2920 section 3.1 makes the last of a group:
 * 554 5.5.0 and the end, whatever the verdict would have been, so that content
 * sent too early can never run as commands. The same goes for input behind STARTTLS,
 * which whoever sits on the line could have put there. A line with a bare CR or LF ends the
 * session too. So does content with one, but only behind its CRLF.CRLF: nothing
 * of it is ever read as a command.
 *
 * BDAT (RFC 3030): the octets of a chunk are content whatever becomes of it, so a chunk that is
 * refused is read and forgotten before the reply; when their number is not to be understood the
 * session ends. The content is made of lines, with DATA or with BDAT: a last one without CRLF gets
 * it, since nobody could be sent the message otherwise and no signature covers its absence (RFC
 * 6376 section 3.4.3).
 *
 * With BODY=BINARYMIME the content is any octets, and nothing is added to it: it comes by BDAT
 * alone, and everybody behind this engine goes by the body type, not by the way it came. That its
 * header is made of lines the owner sees to, who knows where it ends.
 *
 * SMTPUTF8 (RFC 6531): MAIL and RCPT may then have UTF-8 in their paths, and in ORCPT. Of the
 * addresses in events the domain is ASCII all the same (A-labels), the local part as it came.
 */
#ifndef GW_SMTP_SERVER_H
#define GW_SMTP_SERVER_H

#include "base/buf.h"
#include "mail/address.h"
#include "mail/body.h"
#include "mail/envelope.h"
#include "mail/etrn.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"

enum server_auth { SERVER_AUTH_NEVER, SERVER_AUTH_TLS, SERVER_AUTH_ALWAYS };

/* Borrowed by every engine made with it; shared by all sessions of a listener. The owner may change
 * mechanisms and starttls at any time: the next EHLO offers what is then there. */
struct server_config {
	struct span hostname;
	struct span banner;    /* text behind the host name in the 220, e.g. "ESMTP" */
	uint32_t extensions;   /* bits 1 << EXT_..., what EHLO offers */
	uint64_t message_size; /* largest message, octets; 0: any */
	uint32_t recipients;   /* per message; beyond: 452 4.5.3 */
	uint32_t transactions; /* per session; beyond: 421 4.7.0 */
	uint32_t bad_commands; /* unknown, malformed, out of order or useless (NOOP, RSET, VRFY ...)
				  in a row without progress; beyond: 421 4.7.0 and the end */
	int64_t command_timeout; /* microseconds for one whole command (total, not per byte) */
	int64_t
	    data_timeout;   /* content may pause that long, or fall behind data_rate by that long */
	uint32_t data_rate; /* octets a second that must arrive on average; 0: any */
	int64_t verdict_timeout; /* 0: none (the owner has its own) */
	int64_t future_release;  /* messages may be kept for so long (RFC 4865); 0: they may not */
	int64_t wall_ahead;      /* of "now": for the dates of that; may change at any time */
	bool lmtp;             /* RFC 2033: LHLO in place of EHLO, and a reply for each recipient */
	bool xclient_login;    /* XCLIENT LOGIN= is taken */
	uint32_t by_least;     /* seconds: who wants a message back has to wait that long
				  (DELIVERBY); 0: not said */
	bool starttls;         /* offered, while there is no TLS */
	bool need_tls;         /* all but EHLO, NOOP, RSET, HELP, QUIT before TLS: 530 5.7.0 */
	enum server_auth auth; /* when AUTH is offered */
	bool turns;            /* ATRN is offered (RFC 2645), and no mail is taken */
	uint32_t mechanisms;   /* bits 1 << SASL_...; -PLUS only shows where it can be bound;
				  none: nobody can log in at present (454) */
};

/*
 * A verdict of 421 always ends the session. When several events come of one
 * feed their order is REFUSED, AUTH_GONE, RESET, the one that asks, END.
 */
enum server_event_type {
	SERVER_CONNECT, /* verdict: 220 (text ignored, the banner is sent); anything else = the end
			 */
	SERVER_HELO,    /* verdict: 250 (text ignored) or a refusal; name, esmtp */
	SERVER_MAIL,    /* verdict; address, size, body_type */
	SERVER_TLS,     /* STARTTLS; verdict 220 (then see server_tls_due) or a refusal */
	SERVER_AUTH, /* verdict: 334 with a challenge (base64 already, SERVER_CHALLENGE_MAX), 235,
			or a refusal; mechanism, has_initial, data: the initial response, still
			base64. No other event of a login comes before the verdict. */
	SERVER_AUTH_LINE, /* the same verdicts; data: the client's answer to a 334, still base64.
			     "*" is answered by the engine with 501 5.7.0 and SERVER_AUTH_GONE */
	SERVER_AUTH_GONE, /* no verdict: the exchange that was on is over without success. After a
			     refusal, which ends it too, and before END it is not said. */
	SERVER_RCPT,      /* verdict; address */
	SERVER_DATA,    /* verdict: 354 to go on, or a refusal; asked only with >= 1 recipient. Also
			   asked at the first BDAT, when chunked is set, 354 is not said and unread
			   input is what it should be */
	SERVER_BODY,    /* no verdict; data: a piece of the content, dots unstuffed */
	SERVER_EOM,     /* verdict; facts. 2xx ends the transaction as accepted, else as refused. */
	SERVER_RESET,   /* no verdict: the transaction that was open is forgotten */
	SERVER_REFUSED, /* no verdict: the engine itself refused something; stage, reply, reason */
	SERVER_END,     /* no verdict: the session is over once the output is written; reason */
	SERVER_XCLIENT, /* verdict: 220 (text ignored: the banner; the session begins anew, known is
			   what was said and TLS), 421 or 554 (the end), or a refusal: all is as
			   it was; data: the arguments, which xclient_decode() takes */

	/* ---- orders to the queue: outside of transactions, verdict 250 to 253 or a refusal */
	SERVER_ETRN, /* etrn, name: as written, its grammar is that of mail/etrn.h */
	SERVER_ATRN, /* verdict: 250, and the session is turned round (server_turned), or a
			refusal; name: the domains with commas between them, or empty */
};

struct server_event {
	enum server_event_type type;
	struct span name;         /* HELO: argument; ETRN: of whom */
	enum etrn_kind etrn;      /* ETRN */
	bool esmtp;               /* HELO: it was EHLO */
	struct address address;   /* MAIL, RCPT */
	uint64_t size;            /* MAIL: SIZE=, 0 if not given */
	enum body_type body_type; /* MAIL: BODY= */
	bool smtputf8;            /* MAIL: SMTPUTF8; RCPT: the same of its MAIL */
	enum dsn_ret ret;         /* MAIL: RET= */
	struct span envid;        /* MAIL: ENVID=, still xtext (xtext.h); or empty */
	uint8_t notify;           /* RCPT: NOTIFY=, enum dsn_notify; 0: unset */
	struct span orcpt;        /* RCPT: ORCPT=, still xtext behind "type;"; or empty */
	struct handling
	    handling;    /* MAIL: MT-PRIORITY=, REQUIRETLS, HOLDFOR=, HOLDUNTIL=, the mode of BY= */
	int32_t by_time; /* MAIL: BY=, seconds from now on */
	struct span data; /* BODY, AUTH, AUTH_LINE, XCLIENT */
	int mechanism;    /* AUTH: enum sasl_mechanism */
	bool has_initial; /* AUTH: there was an initial response, perhaps empty ("=") */
	bool chunked;     /* DATA: it is a BDAT */
	const struct body_facts *facts; /* EOM */
	struct reply reply;             /* REFUSED */
	const char *stage;  /* REFUSED: "connect" "helo" "tls" "auth" "mail" "rcpt" "data" "eom"
			       "etrn" "turn" "command" "xclient" */
	const char *reason; /* REFUSED, END: slug for log and metrics, e.g. "bare_lf", "timeout" */
};

enum server_state {
	SERVER_S_CONNECT, /* before the greeting */
	SERVER_S_START,   /* greeted, no HELO yet */
	SERVER_S_IDLE,    /* HELO done, no transaction */
	SERVER_S_MAIL,    /* MAIL accepted */
	SERVER_S_BODY,    /* behind 354, or in a chunk */
	SERVER_S_CHUNKS,  /* between two chunks of a message */
	SERVER_S_EOM,     /* the verdict on the message is due */
	SERVER_S_AUTH,    /* behind 334: the next line is an answer to it */
	SERVER_S_END,
};

struct server {
	uint32_t magic;
	enum server_state state;
	const struct server_config *config;
	struct server_event pending;  /* the event to be given out */
	enum server_event_type asked; /* what the verdict that is due is about */
	uint32_t granted;             /* bits of EXT_GRANTED */
	uint32_t each, repeat; /* LMTP: recipients of this message; replies that are still due */
	uint32_t recipients_ok, recipients_refused, transactions, bad;
	uint32_t bad_logins;                  /* are never forgotten: bad falls back to them */
	uint16_t xclient_said, xclient_asked; /* bits 1 << XCLIENT_... */
	bool has_pending;
	bool verdict_due, ended, end_given, esmtp, asked_esmtp;
	bool open;      /* the owner was told of a transaction and not yet of its end */
	bool reset_due; /* a RESET is to be given out */
	bool gone_due;  /* an AUTH_GONE is to be given out */
	bool tls, tls_due, binds, authenticated;
	bool closing, eof;
	bool turned;               /* 250 to ATRN: this engine has nothing more to say */
	bool xclient, login_asked; /* may say XCLIENT; the one that is asked about has a LOGIN */
	uint8_t overflow;          /* a too long line is being discarded */
	uint8_t dot;               /* where in CRLF . CRLF the content stands */
	uint8_t refuse;            /* a refusal of the content that waits for its end */
	bool smtputf8;             /* the open transaction is one of SMTPUTF8 */
	bool binary;               /* the body of the open transaction is any octets */
	bool chunked, last;        /* the content comes by BDAT; this chunk is the last one */
	uint8_t eom;               /* the end is to be given out behind the last piece */
	struct body_scan body;
	uint64_t received; /* octets of content on the wire */
	uint64_t left;     /* of this chunk */
	struct buf late;   /* the reply to a chunk that is being swallowed, or that is said to each
			      recipient; before: A-labels of the path of the last MAIL or RCPT,
			      where it had U-labels */
	int64_t deadline, started, held;
	int64_t now;    /* of the last call that said it */
	struct buf out; /* replies; ceiling SERVER_OUT_MAX, memory only while there are any */
	const char *end_reason;
};

enum {
	SERVER_LINE_MAX = 2048,           /* of a command with its CRLF */
	SERVER_AUTH_LINE_MAX = 12288 + 2, /* of AUTH and of a line behind 334, where there are
					     logins (RFC 4954 section 4) */
	SERVER_TURN_DOMAINS = 100,        /* in one ATRN */
	SERVER_CHALLENGE_MAX = 8192,      /* text of a 334 */
	SERVER_OUT_MAX = 65536,
	SERVER_OUT_HIGH = 32768, /* with more than that unsent, feed takes nothing */
};

void server_init(struct server *s, const struct server_config *config, int64_t now);
void server_fini(struct server *s);

/* Returns the bytes taken: 0 if a verdict is due, an event waits, a line is not whole yet, the
 * output is full or the session over. */
size_t server_feed(struct server *s, struct span in, int64_t now);
/* 1: *ev is filled (and answered next if it asks); 0: feed more input; -1: the session is over. */
int server_next(struct server *s, struct server_event *ev) gw_checked;
/* The verdict on the event that asked; text is copied into the output. Ignored after the end. */
void server_answer(struct server *s, const struct reply *r, int64_t now);

struct span server_output(const struct server *s);
/* Too much of it is unsent: feed takes nothing until it is. */
bool server_is_full(const struct server *s);
void server_sent(struct server *s, size_t n);

/* When to call server_tick at the latest; INT64_MAX while only the owner is awaited. */
int64_t server_deadline(const struct server *s);
void server_tick(struct server *s, int64_t now);
/*
 * The client closed its side and feed takes nothing more of what it sent: an open
 * transaction is forgotten, nothing of it is delivered. If the verdict on a whole
 * message is due, the session ends behind the reply to it.
 */
void server_eof(struct server *s, int64_t now);
/* The owner wants the session to end: 421 at the next command boundary, an open body is let finish.
 */
void server_shutdown(struct server *s, int64_t now);
/*
 * TLS. For implicit TLS the owner makes the handshake while the verdict on SERVER_CONNECT is due
 * and calls server_tls_started() before it answers. For STARTTLS: 220 was answered; when the output
 * is written (server_tls_due is true and there is no output left) it makes the handshake and calls
 * server_tls_started(); until then feed takes nothing. What was known of the client is forgotten.
 * binds: channel bindings exist, -PLUS can be offered. Unread input behind a STARTTLS ends the
 * session (server_early, or the engine itself when it sees it). When the client takes longer for
 * the handshake than for a command, server_tick ends the session without a word.
 */
bool server_tls_due(const struct server *s);
void server_tls_started(struct server *s, bool binds, int64_t now);
bool server_has_tls(const struct server *s);
bool server_is_authenticated(const struct server *s);
/* Which extensions of EXT_GRANTED this client may use: the next EHLO names these. Said before the
 * verdict on SERVER_HELO; until then none. */
void server_grant(struct server *s, uint32_t extensions);
/* ATRN was answered with 250: feed takes nothing more, and behind the output the connection is the
 * owner's, who speaks as a client there. */
bool server_turned(const struct server *s);
/* The owner needs the session's place: says so, whatever is under way, unless a verdict is due. */
void server_evict(struct server *s, const struct reply *r, const char *reason);
/* Before the verdict on SERVER_CONNECT: this client is a proxy that may say XCLIENT. */
void server_allow_xclient(struct server *s);
/* It may, and has not yet: it is not its own session. */
bool server_awaits_xclient(const struct server *s);
/* Instead of the verdict on SERVER_CONNECT, SERVER_DATA, SERVER_ATRN or SERVER_TLS, or while
 * server_tls_due: there is unread input already. Else no-op. */
void server_early(struct server *s, int64_t now);
/* The owner cannot take content for a while: feed takes nothing and the client's time stands still.
 */
void server_hold(struct server *s, bool hold, int64_t now);

#endif
