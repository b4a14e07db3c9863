/*
 * Limits on guessing passwords, pure: time is an argument. Wrong ones are counted for each address
 * (IPv6: each /64) and for each account name, whether there is such an account or not. An address
 * with too many waits, longer each time. An account with too many stays open for addresses that
 * logged in to it before: who guesses from elsewhere cannot lock out its owner.
 *
 * A right password takes nothing back: who has one account must not be able to start anew with
 * guessing at another. What is wrong is forgotten with time alone. Tables have a ceiling; the
 * entries go that were not asked for the longest.
 */
#ifndef GW_AUTH_GUESS_H
#define GW_AUTH_GUESS_H

#include "base/span.h"

struct guess;

enum guess_verdict { GUESS_GO, GUESS_ADDRESS_LIMIT, GUESS_ACCOUNT_LIMIT };

struct guess_limits {
	unsigned per_address; /* wrong ones before it has to wait */
	/* Many times per_address, so that it takes many addresses to reach it: one that guesses
	 * waits long before the account does, and its owner gets in from anywhere. */
	unsigned per_account;
	int64_t forget;             /* microseconds after which one wrong one is forgotten */
	int64_t first_wait;         /* doubles with each further one */
	int64_t last_wait;          /* ... up to this, of an address */
	int64_t account_wait;       /* ... and of an account */
	size_t addresses, accounts; /* entries at most; as many pairs of both as accounts */
};

struct guess *guess_new(const struct guess_limits *l, uint64_t seed) gw_checked;
void guess_free(struct guess **g);
/* May this one be checked now? */
enum guess_verdict guess_ask(
    struct guess *g, const uint8_t ip[16], struct span account, int64_t now);
void guess_wrong(struct guess *g, const uint8_t ip[16], struct span account, int64_t now);
void guess_right(struct guess *g, const uint8_t ip[16], struct span account, int64_t now);
/* Did this address log in to this account before? Those go first when there is much to check. */
bool guess_knows(const struct guess *g, const uint8_t ip[16], struct span account);
/* How many entries there are, of all tables. */
size_t guess_len(const struct guess *g);

#endif
