/* The library for names beyond ASCII. mail/idna.h says what is a name; everybody calls that. */
#ifndef GW_BASE_IDN_H
#define GW_BASE_IDN_H

#include "base/buf.h"

/*
 * Appends the A-labels of a name of well-formed UTF-8 without NUL, 255 octets at most; ASCII in it
 * is in lower case. IDNA2008 without mapping, but the composition of characters (NFC). GW_EFORMAT:
 * a label is none, or gets too long.
 */
int idn_to_ascii(struct span name, struct buf *out) gw_checked;

#endif
