/*
 * Text that is not ASCII, written into a header that must be: encoded words (RFC 2047) and
 * parameters (RFC 2231). The charset is utf-8 where the octets are that, else unknown-8bit
 * (RFC 1428); the octets stay the same either way. Lines are folded before column 77.
 */
#ifndef GW_MAIL_ENCODED_WORD_H
#define GW_MAIL_ENCODED_WORD_H

#include "base/buf.h"

/* Is there an octet above 127? For content: all of it is looked at, many octets at a time. */
bool has_high(struct span s);
/* UTF-8, but that the character at the end may be cut. */
bool is_utf8_piece(struct span s);

/* A field that is being written. What it was begun with is borrowed until words_fini. */
struct words {
	struct buf *out;
	size_t column;
	uint8_t last;     /* the octet that was written last */
	bool was_encoded; /* it ends an encoded word */
	bool in_run;
	struct buf run;     /* words that will be encoded together */
	struct span blanks; /* in front of them */
};

/* column: of what was written already. */
void words_begin(struct words *w, struct buf *out, size_t column);
void words_fini(struct words *w);
/* As it is: what is no word. */
void words_raw(struct words *w, struct span s);
/* A word without blanks, behind blanks (with their folds, borrowed until words_flush): as it is, or
 * encoded. Blanks between two encoded words say nothing, so those are encoded too. */
void words_word(struct words *w, struct span blanks, struct span word);
/* The same with every word of the text. */
void words_text(struct words *w, struct span text);
/* What waits is written. */
void words_flush(struct words *w);
/* The text as encoded words, whatever it is. */
void words_encode(struct words *w, struct span text);
/* ";" and a parameter, in as many pieces as it needs. name: with "*0" or "*" at its end, the value
 * is a piece, or encoded already. */
void words_parameter(struct words *w, struct span name, struct span value);

#endif
