/*
 * What a submission server may mend in a message (RFC 6409 section 8), pure: a header block in, the
 * mended one out. Nothing else of the message is touched, no field is moved or folded anew, and
 * what is added stands in front, where no broken line of the header can hide it.
 *
 *   Date, Message-ID, From missing    added
 *   Sender missing                    added where From has several mailboxes (RFC 5322 3.6.2)
 *   Bcc, Resent-Bcc, Return-Path      removed
 *   addresses without a domain        get one (From, Sender, Reply-To, To, Cc, and Resent-)
 *
 * A To or Cc that is no list of addresses is left as it is. From has to be readable, and there is
 * one: what a user may send as is judged by it.
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
	int64_t wall; /* microseconds */
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
/* Appends "date,message-id": the words of the bits. */
void submit_fix_words(unsigned fixes, struct buf *out);

/*
 * head: the header block with its empty line, or without where the message has none; n == 0: the
 * message has no header. Appends to out, and gives the bits; GW_EFORMAT: it has to be refused
 * (*why: one sentence for the client); GW_EFULL: the ceiling of out.
 */
int submit_mend(
    const struct submit_context *c, struct span head, struct buf *out, const char **why) gw_checked;

#endif
