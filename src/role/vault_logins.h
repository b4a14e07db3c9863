/*
 * What became of logins a short while ago, so that the work of a hash is done once: clients log in
 * again for each message. Proven ones are good for a minute; disproven ones are kept longer, so
 * that a device that tries its old password for days is no guesser. Entries are keyed digests of
 * name and password under a key that dies with the process: passwords are not kept. Pure: time is
 * an argument.
 */
#ifndef GW_ROLE_VAULT_LOGINS_H
#define GW_ROLE_VAULT_LOGINS_H

#include "base/span.h"

enum { LOGIN_DIGEST = 32 };

struct logins;

struct logins *logins_new(size_t most, int64_t proven_for, int64_t disproven_for) gw_checked;
void logins_free(struct logins **l);
/* Names are compared without regard to case. */
void logins_digest(
    const struct logins *l, struct span name, struct span password, uint8_t digest[LOGIN_DIGEST]);
/* 1: it was right; 0: it was wrong; GW_ENOENT: not known. */
int logins_find(const struct logins *l, const uint8_t digest[LOGIN_DIGEST], int64_t now) gw_checked;
void logins_add(struct logins *l, const uint8_t digest[LOGIN_DIGEST], bool right, int64_t now);
/* The accounts are others now. */
void logins_clear(struct logins *l);
/* How long what is added from now on is kept. */
void logins_keep(struct logins *l, int64_t proven_for, int64_t disproven_for);
size_t logins_len(const struct logins *l);

#endif
