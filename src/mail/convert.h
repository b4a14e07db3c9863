/*
 * A message made fit for a peer that takes less than it needs, on the way out: content in pieces
 * in, content out, the same whatever the pieces.
 *
 *   CONVERT_7BIT     the peer has no 8BITMIME (RFC 6152): parts with octets above 127 become
 *                    quoted-printable (text) or base64, so do those with lines over 998 octets;
 *                    all header fields become ASCII
 *   CONVERT_BINARY   the peer, or the mailbox, takes lines only (no BINARYMIME, RFC 3030): parts
 *                    that are not lines become base64
 *   CONVERT_HEADER   the peer has no SMTPUTF8 (RFC 6531): header fields become ASCII, as
 *                    mail/ascii_field.h says
 *
 * What needs no change passes octet for octet: parts, preambles, epilogues, boundaries, folds.
 * Every changed part decodes to what it was. What cannot be understood as MIME is text, encoded as
 * a whole where it stands.
 *
 * What may not be changed: everything in multipart/signed and multipart/encrypted (RFC 1847),
 * application/pkcs7-mime, message/partial and message/external-body (RFC 2046 section 5.2), parts
 * in an encoding that is not known. Where such a part is not what the peer takes the verdict is
 * CONVERT_IMPOSSIBLE, and nothing more is taken: what came out before must not be ended as if it
 * were whole. The header in front of such a part is no part of it and is converted.
 *
 * To know whether a part needs a change, its header and the first CONVERT_WINDOW octets behind it
 * are held back. A part that is longer and did not show by then what it is: encoded if the peer
 * takes 7-bit only or it says it is binary; else it passes, and must keep its word.
 *
 * Conversion comes before any signature that this server makes (DKIM): who signs is fed by the
 * output of this, never by its input.
 *
 * Memory: CONVERT_MEMORY at most, all of it only for headers made to need it; given back by
 * convert_fini. No clock, no descriptor.
 */
#ifndef GW_MAIL_CONVERT_H
#define GW_MAIL_CONVERT_H

#include "base/buf.h"
#include "mail/transfer.h"

enum {
	CONVERT_HEAD = 128 << 10,   /* of a header; a longer one passes as it is, or not at all */
	CONVERT_WINDOW = 64 << 10,  /* octets of a part before it is decided what becomes of it */
	CONVERT_LINE = 998,         /* RFC 5321 section 4.5.3.1.6, without CRLF */
	CONVERT_DEPTH = 1000,       /* levels; what is deeper passes as it is, or not at all */
	CONVERT_OUT = 2 << 20,      /* ceiling of the output */
	CONVERT_OUT_LOW = 64 << 10, /* no input is taken while as much waits */
	CONVERT_MEMORY = CONVERT_OUT + 4 * (CONVERT_HEAD + CONVERT_WINDOW) + 64 * CONVERT_DEPTH,
};

enum convert_mode { CONVERT_7BIT = 1, CONVERT_BINARY = 2, CONVERT_HEADER = 4 };

enum convert_verdict { CONVERT_FINE, CONVERT_IMPOSSIBLE };

/* What a header says of its entity. */
enum convert_kind {
	ENTITY_LEAF,
	ENTITY_MULTIPART,
	ENTITY_SEALED_MULTIPART, /* may not be changed */
	ENTITY_SEALED,
	ENTITY_MESSAGE,
};
enum convert_label { LABEL_NONE, LABEL_8BIT, LABEL_BINARY, LABEL_QP, LABEL_BASE64, LABEL_OTHER };

struct convert_entity {
	enum convert_kind kind;
	enum convert_label label;
	bool text;     /* quoted-printable suits it */
	bool digest;   /* its parts are messages unless they say what they are */
	bool has_type; /* Content-Type is there */
	bool message;  /* the header is that of a message */
	uint64_t boundary;
	const char *why; /* sealed: what it is, for the reply */
};

/* What happens to the octets of a body. */
enum convert_way {
	WAY_PASS,   /* as they are, and must be what the peer takes */
	WAY_LOOK,   /* held back */
	WAY_ENCODE, /* through the encoder */
	WAY_MEND,   /* of what is encoded already: high octets in quoted-printable */
	WAY_CLEAN,  /* of no part, or ignored in base64: what the peer does not take becomes '?' */
};

struct convert {
	unsigned mode;
	enum convert_verdict verdict;
	const char *why; /* impossible: one clause for the reply */
	bool changed;    /* the output is not the input */
	uint64_t taken;  /* octets of input */
	struct buf out;  /* the owner drops what he used */

	bool in_header, ended;
	bool held_cr;   /* the last octet was a CR: maybe half of a CRLF */
	bool line_open; /* the line that is being read cannot be a boundary */
	bool eol_due;   /* encoding: a CRLF that may belong to a boundary */
	bool bad;       /* looking: something in it must be encoded */
	bool not_lines; /* looking: a NUL, a CR or LF alone */
	bool high;      /* looking: an octet above 127 */
	enum convert_way way;
	struct convert_entity entity;
	const char *sealed_why; /* passing: the reason if it must not */
	bool in_preamble;       /* of the innermost level */
	uint64_t line_length;
	size_t line_at; /* in a header: where its last line begins in held */
	size_t head;    /* octets of held that are a header */
	struct transfer transfer;
	struct buf levels, held, line;
};

void convert_init(struct convert *c, unsigned mode);
void convert_fini(struct convert *c);
/* Returns the octets taken; fewer, or none, while the output waits to be used. All, and ignored,
 * once the verdict is impossible. */
size_t convert_feed(struct convert *c, struct span data);
/* The content is whole: call once; what is left comes out. */
void convert_end(struct convert *c);

#endif
