/*
 * Delivery status notifications: a multipart/report of three parts (words,
 * message/delivery-status, the header of the message), RFC 3464, 3462/6522.
 * Composing is pure: the same input gives the same bytes.
 *
 * Nothing from outside (addresses, replies, host names, the copied header) can
 * begin a line or write a boundary: such text is cleaned to printable ASCII,
 * folded and cut. Of the header only well-formed fields are copied, 64 kB at most.
 */
#ifndef GW_MAIL_DSN_H
#define GW_MAIL_DSN_H

#include "base/buf.h"
#include "mail/change.h"

struct dsn_rcpt {
	struct span addr;
	struct span orcpt;                /* "rfc822;..." or empty */
	const struct change_rcpt *change; /* FAILED or EXPIRED; host and reply as reported */
	int64_t last_attempt;             /* 0: not reported */
};

struct dsn {
	struct span reporting_host; /* our name */
	struct span to;             /* the sender of the message that failed */
	struct span envid;
	struct span original_head; /* its header block; empty if it could not be read */
	struct msgid id;           /* of the message that failed */
	struct msgid report_id;    /* of this report: Message-ID and boundary come from it */
	int64_t arrived, now;      /* wall-clock microseconds */
	const struct dsn_rcpt *rcpt;
	size_t n_rcpt;
};

/*
 * Appends header and body of the report, CRLF lines of at most 998 octets, 7-bit.
 * Returns the length of its header block including the empty line; 0 if out failed.
 */
size_t dsn_compose(const struct dsn *d, struct buf *out);

#endif
