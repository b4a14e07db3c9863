/*
 * A reply: what one side of SMTP says to the other. Server side: formatting.
 * Client side: reading a peer's reply from bytes that come in pieces, with
 * ceilings against peers that never stop talking.
 */
#ifndef GW_SMTP_REPLY_H
#define GW_SMTP_REPLY_H

#include "base/buf.h"

struct reply {
	uint16_t code;
	uint8_t esc[3];   /* class, subject, detail (RFC 3463); class 0: none */
	struct span text; /* lines parted by '\n'; no CR, no controls */
};

/* A reply from literals: REPLY(550, 5, 7, 1, "Relay denied"). */
#define REPLY(code, c, s, d, lit) ((struct reply){code, {c, s, d}, SPAN(lit)})

/* The same where a constant is wanted. */
#define REPLY_INIT(code, c, s, d, lit) \
	{ \
		code, {c, s, d}, \
		{ \
			(const uint8_t *)("" lit), sizeof(lit) - 1 \
		} \
	}

/* Appends "250-5.1.1 text CRLF ..."; the enhanced code is left out when enhanced is false
 * or the code is 3xx. Bytes that may not stand in a reply become '?'; a line that would be
 * longer than 512 octets goes on in a next one. */
void reply_format(const struct reply *r, bool enhanced, struct buf *out);

static inline bool reply_ok(const struct reply *r)
{
	return r->code >= 200 && r->code < 300;
}
static inline bool reply_temporary(const struct reply *r)
{
	return r->code >= 400 && r->code < 500;
}
static inline bool reply_permanent(const struct reply *r)
{
	return r->code >= 500 && r->code < 600;
}

/* Reading. The text kept is capped (REPLY_TEXT_MAX), the rest is counted and skipped. */
enum {
	REPLY_LINE_MAX = 4096,   /* a longer line ends the session */
	REPLY_TOTAL_MAX = 65536, /* a longer reply ends the session */
	REPLY_LINES_MAX = 4000,  /* a reply of more lines, too */
	REPLY_TEXT_MAX = 1024,
};

struct reply_reader {
	uint16_t code;
	uint8_t esc[3];
	uint32_t lines, total, column;
	uint8_t head[16]; /* the start of a line: code, separator, enhanced code */
	uint8_t head_n;
	bool headed, last, after_cr, whole;
	bool keep_all;   /* set by the owner: keep text up to REPLY_TOTAL_MAX (replies to EHLO) */
	struct buf text; /* what is kept, memory only while there is a reply */
	bool failed;
	int error;
};

void reply_reader_init(struct reply_reader *r);
void reply_reader_fini(struct reply_reader *r);
/*
 * Takes at most one reply: returns the bytes taken. *done is set when the reply
 * is whole: then *out (text borrowed until the next feed) holds it. The enhanced
 * code is taken out of the text when its class is that of the reply. Octets that
 * may not stand in a reply are '?'. Lines with different codes are no reply.
 * GW_EFORMAT, GW_EFULL or GW_ENOMEM (sticky): the peer makes no sense.
 */
ptrdiff_t reply_reader_feed(
    struct reply_reader *r, struct span in, bool *done, struct reply *out) gw_checked;

#endif
