/* What the files of the accounts share. */
#ifndef GW_AUTH_ACCOUNTS_PRIVATE_H
#define GW_AUTH_ACCOUNTS_PRIVATE_H

#include "auth/accounts.h"

/* A range of addresses: IPv4 as ::ffff:a.b.c.d with its bits behind the first 96. */
struct account_range {
	uint8_t bytes[16];
	unsigned bits;
	bool ip4;
};
/* NULL, or what is wrong. */
const char *account_range_parse(struct span text, struct account_range *out);

/* Reads a line that is no comment; its spans point into it. 0, or GW_EFORMAT with e->text. */
int account_parse(
    struct span line, struct arena *keep, struct account *a, struct accounts_error *e) gw_checked;
/* Takes the first field of *line; empty at its end or at a comment. */
struct span account_field(struct span *line);

#endif
