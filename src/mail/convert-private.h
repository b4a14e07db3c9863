/*
 * What the files of the converter share: convert.c reads lines and walks levels, convert_part.c
 * decides what becomes of a part, convert_head.c reads and rewrites headers.
 */
#ifndef GW_MAIL_CONVERT_PRIVATE_H
#define GW_MAIL_CONVERT_PRIVATE_H

#include "mail/convert.h"

struct convert_level {
	uint64_t boundary;
	uint32_t is_message; /* no boundary of its own */
	uint32_t sealed, digest;
};

/* ---- convert.c */
void convert_stop(struct convert *c, const char *why);
void convert_emit(struct convert *c, struct span s);
void convert_begin_header(struct convert *c, bool message);
/* A level around has that boundary. */
bool convert_is_open(const struct convert *c, uint64_t boundary);
bool convert_push_level(struct convert *c, const struct convert_entity *e);
void convert_pop_level(struct convert *c);
const struct convert_level *convert_top(const struct convert *c);

/* ---- convert_head.c */
/* What the header says; in a digest, message/rfc822 is what a part is by default. */
struct convert_entity convert_read_head(struct span head, bool message, bool digest);
/* It says that its body is quoted-printable, base64 or in another encoding. */
bool convert_is_encoded(const struct convert_entity *e);
/* Writes the held header. label: what its Content-Transfer-Encoding says from now on, NULL: what it
 * said. */
void convert_write_head(struct convert *c, const char *label);

/* ---- convert_part.c */
/* A header is whole, with its empty line. */
void convert_begin_body(struct convert *c);
/* Octets of a body that are no end of a line; a CRLF. */
void convert_body(struct convert *c, struct span s);
void convert_body_eol(struct convert *c);
/* The body is over. at_boundary: the CRLF before belongs to that; own: to the multipart whose
 * preamble it was. */
void convert_end_body(struct convert *c, bool at_boundary, bool own);
/* What is held goes as it is, and what comes after it. */
void convert_pass_head(struct convert *c, const char *why);
/* A part of what may not be changed begins. */
void convert_sealed_part(struct convert *c);
/* From here on the octets belong to no part. */
void convert_between(struct convert *c);

#endif
