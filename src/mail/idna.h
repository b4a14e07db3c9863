/*
 * Domain names beyond ASCII (IDNA2008, RFC 5890 and 5891): everything behind the edges of Godwit
 * compares, looks up and stores A-labels ("xn--bcher-kva"); U-labels (the same with its umlaut)
 * come in by MAIL and RCPT (RFC 6531), by the configuration and by the command line, and are turned
 * here.
 *
 * U-labels as the RFCs have them and nothing like them: nothing is mapped but the case of ASCII and
 * the composition of characters (NFC). What browsers forgive (full-width letters, other dots,
 * letters that vanish) would let two programs see two domains in one address.
 */
#ifndef GW_MAIL_IDNA_H
#define GW_MAIL_IDNA_H

#include "base/buf.h"

/* Appends the name with A-labels, in lower case. GW_EFORMAT: it is no such name, or as A-labels
 * longer than one may be; nothing was appended. */
int domain_to_ascii(struct span name, struct buf *out) gw_checked;

#endif
