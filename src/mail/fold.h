/*
 * Text of unknown origin (peers' replies, header fields) written into lines of
 * ours: control and 8-bit octets become '?' (where UTF-8 is asked for, what is well-formed and
 * visible stays), runs of blanks and line ends become one blank, lines are broken at blanks near
 * column 76 and at the latest before column 900, and every further line starts with an indent. So
 * the text can start no line, end no header and stand for no boundary. Used by the composers of
 * reports.
 */
#ifndef GW_MAIL_FOLD_H
#define GW_MAIL_FOLD_H

#include "base/buf.h"

struct fold {
	struct buf *out;    /* borrowed */
	const char *indent; /* blanks: starts the further lines */
	size_t column;
	bool utf8;  /* characters beyond ASCII stay; set by the caller */
	bool begun; /* there was a word */
	bool blank; /* one is due before the next word */
};

/* What fold_add takes for a blank: space, tab, CR, LF, VT, FF. */
static inline bool fold_is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Nothing to see, or nothing at all. */
static inline bool fold_is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!fold_is_space(s.p[i]))
			return false;
	}
	return true;
}

/* column: where the line that was begun stands now. The line's end is the caller's. */
struct fold fold_begin(struct buf *out, size_t column, const char *indent);
void fold_add(struct fold *f, struct span text);

/* Appends in one piece and with its blanks, at most max octets; others become '?'. */
void fold_clean(struct buf *out, struct span text, size_t max);
/* The same, and characters beyond ASCII stay. */
void fold_clean_utf8(struct buf *out, struct span text, size_t max);

#endif
