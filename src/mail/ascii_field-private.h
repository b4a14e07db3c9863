/* Of ascii_address.c, for ascii_field.c: fields with addresses, and comments in any field. */
#ifndef GW_MAIL_ASCII_FIELD_PRIVATE_H
#define GW_MAIL_ASCII_FIELD_PRIVATE_H

#include "mail/encoded_word.h"

/* With its parentheses; what is within is encoded where it must be. */
void ascii_comment(struct words *w, struct span s);
/* A list of addresses and groups, RFC 5322 section 3.4. */
void ascii_addresses(struct words *w, struct span s);

#endif
