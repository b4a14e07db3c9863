/*
 * Password hashes: argon2id is made, and what crypt(3) reads ($2b$, $5$, $6$, $y$, $1$ ...) is
 * understood, so that accounts can be brought along. Takes tens of milliseconds on purpose: never
 * on a loop.
 */
#ifndef GW_AUTH_PASSHASH_H
#define GW_AUTH_PASSHASH_H

#include "base/span.h"

enum { PASSHASH_MAX = 256 };

/* 0; GW_ENOMEM. The text has no blanks. */
int passhash_make(struct span password, char out[PASSHASH_MAX]) gw_checked;
/* Is it the right one? Compares in constant time. */
enum passhash_answer {
	PASSHASH_WRONG,
	PASSHASH_RIGHT,
	PASSHASH_UNKNOWN, /* there was no memory to find out: nobody's password is wrong for that */
};
enum passhash_answer passhash_check(struct span hash, struct span password) gw_checked;
/* passhash_check() says right. */
bool passhash_verify(struct span hash, struct span password);
/* Could it be verified at all? For the judgement of a users file. */
bool passhash_known(struct span hash);
/* The hash of no password, that costs as much to verify as a new one: for unknown names. */
const char *passhash_nobody(void);

#endif
