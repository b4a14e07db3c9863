/*
 * The part of a delivery status notification that people read: what failed, who
 * said so, what it means, what to do. Plain English in short sentences; the
 * meaning comes from the enhanced status code (RFC 3463). Called by dsn.c only.
 */
#ifndef GW_MAIL_DSN_WORDS_H
#define GW_MAIL_DSN_WORDS_H

#include "mail/dsn.h"
#include "mail/fold.h"

enum {
	DSN_REPLY_MAX = 1024,  /* octets shown of a reply */
	DSN_ADDRESS_MAX = 512, /* of an address, a host name */
	DSN_LISTED_MAX = 50,   /* recipients explained in words; all stand in the second part */
};

/* The status to report: as the host gave it, in the class that fits the outcome. */
struct dsn_status {
	uint8_t class, subject, detail;
};
struct dsn_status dsn_status_of(const struct change_rcpt *c);

/* Adds "550 5.1.1 words" as the host said it; without codes if it gave none. */
void dsn_add_reply(struct fold *f, const struct change_rcpt *c);

/* Is it unknown of all recipients whether they have the message? */
bool dsn_unsure(const struct dsn *d) gw_checked;

/* Appends the text without MIME fields. */
void dsn_words(const struct dsn *d, struct buf *out);

#endif
