/*
 * xtext, RFC 3461 section 4: text as the value of a parameter of MAIL or RCPT. "+" and two
 * hexadecimal digits stand for an octet. And what ORCPT makes of it: "type;xtext", where an address
 * of the type "utf-8" is written in forms of its own (RFC 6533 section 3).
 *
 * Both directions are strict about what comes out: printable text without controls, so that nothing
 * can be hidden in it that ends a line, of a command or of a report.
 */
#ifndef GW_SMTP_XTEXT_H
#define GW_SMTP_XTEXT_H

#include "base/buf.h"

enum {
	XTEXT_ENVID_MAX = 100, /* RFC 3461 section 4.4, as sent */
	XTEXT_ORCPT_MAX = 500, /* section 4.2, with its type, as sent */
};

/* Appends what is meant: ASCII from blank to tilde. GW_EFORMAT if it is not xtext, or is of more
 * than that; part of it may have been appended. */
int xtext_decode(struct span in, struct buf *out) gw_checked;
/* Appends it as xtext: every octet that may not stand for itself as "+XX". */
void xtext_encode(struct span text, struct buf *out);

/*
 * "rfc822;bob+2Bx@example.org" becomes "rfc822;bob+x@example.org", "utf-8;b\x{F6}b@example.org" the
 * UTF-8 that is meant. utf8: octets above 127 may stand in the latter (RFC 6531). 0 or GW_EFORMAT:
 * no type, an empty address, what is not well-formed or has controls.
 */
int orcpt_decode(struct span in, bool utf8, struct buf *out) gw_checked;
/*
 * The way back. utf8: the peer takes UTF-8 in this command; an address of the type "utf-8" goes out
 * escaped otherwise. One of another type that is not ASCII cannot be sent, nor one that gets longer
 * than XTEXT_ORCPT_MAX: GW_EFORMAT, nothing was appended.
 */
int orcpt_encode(struct span orcpt, bool utf8, struct buf *out) gw_checked;

#endif
