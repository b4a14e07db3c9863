/*
 * Pieces of the value of a structured header field, RFC 5322 section 3.2: what the writers of ASCII
 * fields walk over. Spans are borrowed from the value; what has no end goes to the end.
 */
#ifndef GW_MAIL_FIELD_PIECE_H
#define GW_MAIL_FIELD_PIECE_H

#include "base/buf.h"

enum { PIECE_MAX = 1 << 20 }; /* the ceiling of a copy without its escapes */

/* A blank, a tab, or part of a fold. */
bool piece_blank(uint8_t c) gw_checked;
bool piece_one_of(uint8_t c, const char *set) gw_checked;
/* How many blanks it begins with. */
size_t piece_blanks(struct span s) gw_checked;
/* Without the blanks at its end. */
struct span piece_trimmed(struct span s) gw_checked;

/* Of the first piece: a comment with those in it, a quoted string, blanks, or octets up to one of
 * those, or of ends. At least one; s is not empty. */
size_t piece_length(struct span s, const char *ends) gw_checked;
struct span piece_take(struct span *s, const char *ends);

/* Of a quoted string, with its quotes. */
size_t piece_quoted(struct span s) gw_checked;
struct span piece_unquoted(struct span s) gw_checked;
/* The octets that a quoted string, or text with escapes, means. */
void piece_plain(struct buf *out, struct span s);

#endif
