/*
 * The screen of "godwit dev": a line for each message and what became of it, made from the lines of
 * the event log (JSON). Pure. Whatever a client chose (addresses, subject, replies) is escaped for
 * the terminal.
 */
#ifndef GW_CMD_DEV_SHOW_H
#define GW_CMD_DEV_SHOW_H

#include "base/buf.h"

struct dev_counts {
	uint64_t accepted, refused, delivered, deferred, bounced, unread;
};

struct dev_show {
	bool forward; /* deliveries are worth a line of their own */
	struct dev_counts n;
	struct buf later; /* lines about what became of messages, behind those of their arrival */
};

void dev_show_init(struct dev_show *d, bool forward);
void dev_show_fini(struct dev_show *d);
/* One line of the log, without its end: appends nothing or whole lines to out. */
void dev_show_line(struct dev_show *d, struct span line, struct buf *out);
/* What was held back, so that a message is not seen deferred before it is seen to arrive. */
void dev_show_rest(struct dev_show *d, struct buf *out);

/* The text of RFC 2047 words in a header field, as UTF-8 octets; words in other character sets, and
 * what is damaged, stay as they are. */
void dev_decode_words(struct span s, struct buf *out);

/* "caught 12 messages, refused 3 recipients; ..." without a line end. */
void dev_show_total(const struct dev_show *d, struct buf *out);

#endif
