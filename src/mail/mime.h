/*
 * How deep the MIME parts of a message nest and how many there are (RFC 2046), seen while the
 * content comes in: for refusing what is made to exhaust who reads it. Content in any pieces, with
 * the same result. Of a message that is not multipart nothing is looked at; of others only lines
 * that begin with "--" and the headers of parts.
 *
 * A multipart is a level, and so is a message inside. Memory: 16 octets a level and two lines of
 * MIME_LINE_KEPT; given back by mime_scan_fini. What cannot be read as MIME is text.
 */
#ifndef GW_MAIL_MIME_H
#define GW_MAIL_MIME_H

#include "base/buf.h"

enum {
	MIME_LINE_KEPT = 4096, /* of a line, and of a Content-Type with its folds */
};

enum mime_verdict { MIME_FINE, MIME_TOO_DEEP, MIME_TOO_MANY };

struct mime_scan {
	uint32_t max_depth, max_parts;
	uint32_t depth, parts; /* the deepest that was seen; the parts so far */
	enum mime_verdict verdict;
	enum { MIME_OFF, MIME_HEADER, MIME_BODY } state;
	bool skip;        /* the rest of this line says nothing */
	bool of_part;     /* this header stands behind a boundary */
	uint8_t found;    /* what this header says its body is */
	uint64_t hash;    /* of the boundary it names */
	struct buf open;  /* the levels, outermost first */
	struct buf line;  /* the line that is being read */
	struct buf field; /* a Content-Type that may go on */
};

void mime_scan_init(struct mime_scan *s, uint32_t max_depth, uint32_t max_parts);
void mime_scan_fini(struct mime_scan *s);
/* The header of the message; call once, before its body. */
void mime_scan_start(struct mime_scan *s, struct span head);
/* What comes behind it. Once the verdict is not MIME_FINE nothing more is looked at. */
void mime_scan_feed(struct mime_scan *s, struct span data);

#endif
