/*
 * Delivery status notifications: a multipart/report of three parts (words,
 * message/delivery-status, the header of the message or all of it), RFC 3464, 6522; with addresses
 * beyond ASCII their international forms, RFC 6533. The words are in the language that is asked
 * for (mail/dsn_text.def), or an operator's own (mail/dsn_texts.h).
 * Composing is pure: the same input gives the same bytes.
 *
 * Nothing from outside (addresses, replies, host names, the copied header) can
 * begin a line or write a boundary: such text is cleaned, folded and cut. Of the header only
 * well-formed fields are copied, 60 kB at most. A message that comes back whole is not cleaned; the
 * boundary is made of report_id, which has 80 random bits and is drawn after the message was
 * stored: whoever wrote the message cannot know it.
 */
#ifndef GW_MAIL_DSN_H
#define GW_MAIL_DSN_H

#include "base/buf.h"
#include "mail/change.h"
#include "mail/dsn_language.h"
#include "mail/reply_class.h"

struct dsn_texts;

/* RFC 3464 section 2.3.3. */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_rcpt {
	struct span addr;
	struct span orcpt;                /* "rfc822;..." or empty */
	const struct change_rcpt *change; /* host and reply as reported */
	int64_t last_attempt;             /* 0: not reported */
	enum dsn_action action;
	enum reply_class class; /* FAILED, DELAYED: what its reply means */
	int64_t until;          /* DELAYED: it is tried until then; 0: not reported */
};

struct dsn {
	struct span reporting_host; /* our name */
	struct span to;             /* the sender of the message it is about */
	struct span envid;
	struct span original_head; /* its header block; empty if it could not be read */
	struct msgid id;           /* of the message it is about */
	struct msgid report_id;    /* of this report: Message-ID and boundary come from it */
	int64_t arrived, now;      /* wall-clock microseconds */
	int64_t deliver_by;        /* DELIVERBY: until when; 0: nobody said it */
	int64_t hold_until;        /* FUTURERELEASE: not before when; 0: nobody said it */
	const struct dsn_rcpt *rcpt;
	size_t n_rcpt;
	enum dsn_language language;
	const struct dsn_texts *texts; /* go before ours; or NULL */
	bool smtputf8;  /* the receiver of the report can read UTF-8 in headers and addresses */
	bool whole;     /* the message comes back, not its header alone */
	bool eight_bit; /* it has octets above 127 */
	bool binary;    /* it has lines that are none, or too long ones: not for a way of lines */
};

/* What a composed report asks of the way it goes (its envelope). */
struct dsn_form {
	size_t head;    /* octets of its header block including the empty line; 0: out failed */
	bool smtputf8;  /* its header or that of a part has UTF-8: RFC 6531 */
	bool eight_bit; /* octets above 127 anywhere, those of a message that comes back included */
};

/*
 * Appends header and body of the report, CRLF lines of at most 998 octets, 7-bit unless the
 * receiver reads UTF-8 or the message is in it. Where the message comes back whole: what stands
 * before it; dsn_back() what stands behind. out has room for dsn_room().
 */
struct dsn_form dsn_write(const struct dsn *d, struct buf *out);
void dsn_back(const struct dsn *d, struct buf *out);
/* The same; the length of the header block alone, 0 if out failed. */
size_t dsn_compose(const struct dsn *d, struct buf *out);
/* No report about so many recipients (or summary of so many rows) is longer, without the message
 * that comes back whole. */
size_t dsn_room(size_t n_rcpt);

/*
 * One report about many messages of one sender: how many failed and why, and the first of them one
 * by one. No header of a message comes back.
 */
struct dsn_summary_row {
	struct span addr;
	struct span orcpt;   /* or empty */
	struct span subject; /* of its message, as in its header; or empty: not known */
	struct msgid msgid;  /* of its message */
	const struct change_rcpt *change; /* host and reply as reported */
	int64_t last_attempt;             /* 0: not reported */
	enum reply_class class;
};

struct dsn_summary {
	struct span reporting_host, to;
	struct msgid report_id;
	int64_t since, now;                /* wall-clock microseconds: what failed in this time */
	uint64_t recipients, messages;     /* in all */
	uint64_t counts[REPLY_CLASSES];    /* recipients in all, by class */
	const struct dsn_summary_row *row; /* the first of them: at least 1, 50 are plenty */
	size_t n_row;
	enum dsn_language language;
	const struct dsn_texts *texts; /* or NULL */
	bool smtputf8;
};

struct dsn_form dsn_summary_write(const struct dsn_summary *s, struct buf *out);

#endif
