/*
 * The two content transfer encodings of RFC 2045 section 6, as streams: octets in, in pieces cut
 * anywhere, encoded lines of at most 76 octets out. And the mending of content that says it is
 * quoted-printable and has raw octets above 127.
 *
 * No line of quoted-printable begins with "--", so nothing that was encoded can be a boundary.
 * What is decoded is the input, octet for octet; no blank stands at the end of a line. In mended
 * content blanks at the end stay: they mean nothing there, so no line is broken among them, and
 * one may become as long as SMTP allows.
 */
#ifndef GW_MAIL_TRANSFER_H
#define GW_MAIL_TRANSFER_H

#include "base/buf.h"

enum transfer_kind { TRANSFER_QP, TRANSFER_BASE64, TRANSFER_MEND_QP };

struct transfer {
	enum transfer_kind kind;
	uint32_t column;
	uint8_t held[2]; /* of a group of three that is not whole; QP: a blank; mending: of "=XX" */
	uint8_t n_held;
	uint8_t dashes; /* the line so far is so many '-' and nothing else */
	bool longer;    /* mending: something was put into this line */
};

void transfer_begin(struct transfer *t, enum transfer_kind kind);
/* Octets; a CR or LF among them is one that ends no line (QP: "=0D"). */
void transfer_add(struct transfer *t, struct span s, struct buf *out);
/* The CRLF of the content. */
void transfer_eol(struct transfer *t, struct buf *out);
/* The content is over. What was written last has no CRLF, unless column is 0. */
void transfer_end(struct transfer *t, struct buf *out);

#endif
