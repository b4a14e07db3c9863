/*
 * Base64 (RFC 4648 section 4): with its padding, strict: no blanks, no stray bits. One text stands
 * for one run of octets and no other, so what was judged is what is used.
 */
#ifndef GW_BASE_BASE64_H
#define GW_BASE_BASE64_H

#include "base/buf.h"

void base64_encode(struct span in, struct buf *out);
/* Appends the octets: 0; GW_EFORMAT: nothing was added, and what was read of it is overwritten;
 * GW_EFULL. */
int base64_decode(struct span in, struct buf *out) gw_checked;

#endif
