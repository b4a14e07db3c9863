/*
 * What a submission server may mend in a message (RFC 6409 section 8), pure: a header block in, the
 * mended one out. Nothing else of the message is touched, no field is reordered or re-folded.
 *
 *   Date, Message-ID, From missing     added
 *   Sender                             added when From does not name the account and rules ask for
 * it Bcc, Resent-Bcc, Return-Path       removed bare addresses                     get @domain
 * (From, Sender, Reply-To, To, Cc, Resent-*)
 */
#ifndef GW_MAIL_SUBMIT_H
#define GW_MAIL_SUBMIT_H

#include "base/buf.h"
#include "mail/msgid.h"

struct submit_context {
	struct span hostname; /* for Message-ID */
	struct span domain;   /* for bare addresses */
	struct span from;     /* the envelope sender, canonical; may be empty */
	struct span account;  /* n == 0: a trusted client that did not log in */
	struct msgid id;
	int64_t wall;
};

/* What was done, as bits; for the log. */
enum submit_fix {
	SUBMIT_DATE = 1 << 0,
	SUBMIT_MESSAGE_ID = 1 << 1,
	SUBMIT_FROM = 1 << 2,
	SUBMIT_SENDER = 1 << 3,
	SUBMIT_BCC = 1 << 4,
	SUBMIT_ADDRESS = 1 << 5,
	SUBMIT_RETURN_PATH = 1 << 6,
};
/* "date,message-id": the words of the bits. */
void submit_fix_words(unsigned fixes, struct buf *out);

/* head: the header block with its empty line. The bits; GW_EFORMAT when a field that has to be
 * looked into cannot be read (*why: one clause for the client); GW_EFULL: the ceiling of out. */
int submit_mend(
    const struct submit_context *c, struct span head, struct buf *out, const char **why) gw_checked;

#endif
