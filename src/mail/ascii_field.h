/*
 * A header field with octets above 127 (RFC 6532, or raw octets of some charset), written as one
 * of ASCII:
 *
 *   text and unknown fields    encoded words (RFC 2047)
 *   addresses                  display names and comments as encoded words, domains as A-labels;
 *                              a mailbox that has no ASCII form becomes a group without members
 *                              whose name shows it (RFC 6857 section 3.1, RFC 6854)
 *   Content-Type and the like  parameters by RFC 2231; where that would change what readers take
 *                              for the boundary, '_' for each octet
 *   identifiers                the field is called Downgraded-NAME, its value is text
 *                              (RFC 6857 section 3.3)
 *   Received                   comments as encoded words; "for" goes when its address cannot stay
 *
 * Pure and linear. Where a field does not keep to its grammar it is text: nothing is lost, and
 * nothing above 127 is left.
 */
#ifndef GW_MAIL_ASCII_FIELD_H
#define GW_MAIL_ASCII_FIELD_H

#include "mail/header.h"

void ascii_field(const struct header_field *f, struct buf *out);
/* A line of a header that is no field, with its CRLF if it has one. */
void ascii_line(struct span line, struct buf *out);

#endif
