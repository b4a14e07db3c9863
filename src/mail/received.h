/*
 * The trace field of a message that comes in (RFC 5321 section 4.4), with the keyword of RFC 3848
 * that says how it came. Pure. Who was logged in is not told to the recipients: the id finds the
 * line "accepted" of the log, which has it.
 */
#ifndef GW_MAIL_RECEIVED_H
#define GW_MAIL_RECEIVED_H

#include "base/buf.h"
#include "mail/handling.h"
#include "mail/msgid.h"

struct received {
	struct span helo; /* as the client said it */
	struct span ip;   /* "192.0.2.1", "2001:db8::1", or "local" */
	struct span hostname;
	bool esmtp, authenticated;
	bool lmtp;
	bool smtputf8;                       /* it came by SMTPUTF8 (RFC 6531 section 3.7.3) */
	struct span tls_version, tls_cipher; /* n == 0: no TLS */
	struct msgid id;
	const struct handling *handling; /* PRIORITY (RFC 6710); or NULL */
	struct span
	    only_rcpt; /* canonical, where there is one alone; n == 0: not said, nor if it is not
			  ASCII: the message may go on to who takes no UTF-8 in headers */
	int64_t wall;  /* microseconds */
};

/* Appends the field with its CRLF; lines end before column 78 unless a word is longer. */
void received_put(const struct received *r, struct buf *out);

#endif
