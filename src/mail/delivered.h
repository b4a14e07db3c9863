/*
 * Mail that comes back to a mailbox it was in already: the search for a Delivered-To field that
 * names exactly this recipient, in a header that comes in pieces. No allocation; a field that is
 * longer than any address can be is passed over.
 */
#ifndef GW_MAIL_DELIVERED_H
#define GW_MAIL_DELIVERED_H

#include "base/span.h"

enum { DELIVERED_FIELD_MAX = 640 };

struct delivered_scan {
	struct span rcpt; /* canonical; borrowed */
	bool found;       /* it loops */
	bool done;        /* the header is over */
	bool in_line;     /* an octet of the current line was seen */
	size_t n;         /* of the current field; beyond the ceiling: it is too long */
	char field[DELIVERED_FIELD_MAX];
};

void delivered_scan_init(struct delivered_scan *s, struct span rcpt);
/* Pieces of the message in their order; what is behind the header is not looked at. */
void delivered_scan_feed(struct delivered_scan *s, struct span data);

#endif
