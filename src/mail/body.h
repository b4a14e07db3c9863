/*
 * What must be known of a message before it can be sent on, gathered in one
 * pass while it comes in. Feed it the content after dot-unstuffing, in any
 * pieces: the result does not depend on how the content was cut.
 */
#ifndef GW_MAIL_BODY_H
#define GW_MAIL_BODY_H

#include "base/span.h"

struct body_facts {
	uint64_t size;         /* octets */
	uint32_t lines;        /* CRLF pairs */
	uint32_t longest_line; /* octets without CRLF; saturates */
	bool eight_bit;        /* an octet above 127 anywhere */
	bool nul;              /* a NUL anywhere */
	bool bare_cr, bare_lf; /* a CR without LF, an LF without CR */
	bool open_end;         /* the last line lacks its CRLF */
};

struct body_scan {
	struct body_facts facts;
	uint32_t line; /* octets in the current line */
	bool after_cr;
};

void body_scan_init(struct body_scan *s);
void body_scan_feed(struct body_scan *s, struct span data);
/* The facts; call once after the last feed. */
const struct body_facts *body_scan_end(struct body_scan *s);

#endif
