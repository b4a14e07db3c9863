/*
 * Content-Type and Content-Transfer-Encoding, RFC 2045 sections 5.1 and 6.1: what a part says it
 * is. Spans point into the value; of a boundary the hash is kept, so that levels cost no memory:
 * the sender of two boundaries that collide fools only himself. Nothing fails: what cannot be read
 * is empty.
 */
#ifndef GW_MAIL_CONTENT_TYPE_H
#define GW_MAIL_CONTENT_TYPE_H

#include "base/span.h"

/* Further octets of a boundary are not compared; RFC 2046 section 5.1.1 allows 70. */
enum { CONTENT_TYPE_BOUNDARY = 256 };

struct content_type {
	struct span type, sub; /* empty if there is no "/" */
	uint64_t boundary;
	bool has_boundary;
	bool clean; /* the boundary is printable ASCII, not too long, without a blank in front */
};

/* value: of the field, with its folds and comments. */
struct content_type content_type_read(struct span value);
/* What is comparable of a boundary, without blanks around it. */
uint64_t content_type_boundary(struct span boundary);
/* The one word of a Content-Transfer-Encoding. */
struct span content_encoding_read(struct span value);

#endif
