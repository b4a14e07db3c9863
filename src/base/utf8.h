/* UTF-8 (RFC 3629): one character at a time, and which of them may stand in a name. */
#ifndef GW_BASE_UTF8_H
#define GW_BASE_UTF8_H

#include "base/buf.h"

/* The octets of the well-formed character at the start of s, into *point; 0: there is none. Too
 * long forms, surrogates and what is beyond U+10FFFF are not well-formed. */
size_t utf8_take(struct span s, uint32_t *point);
/* Appends a character; what is none (a surrogate, beyond U+10FFFF) is left out: GW_EFORMAT. */
int utf8_put(struct buf *out, uint32_t point);

/* All of it is well-formed. */
bool utf8_valid(struct span s);
/* There is an octet above 127. */
bool utf8_beyond_ascii(struct span s);
/*
 * A character that shows as what it is: no control (C0, DEL, C1), no end of line or paragraph
 * (U+2028, U+2029), nothing that turns the text around it (U+061C, U+200E, U+200F, U+202A to
 * U+202E, U+2066 to U+206F), is not seen at all (U+00AD, U+180E, U+200B, U+2060 to U+2065, U+FEFF,
 * U+FFF9 to U+FFFB, tags) or is no character (U+FFFE, U+FFFF ...). The joiners U+200C and U+200D
 * are needed to write some languages and pass.
 */
bool utf8_visible(uint32_t point);
/* Well-formed, and all of it visible. */
bool utf8_text(struct span s);

#endif
