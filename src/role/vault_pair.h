/*
 * A certificate chain and its private key from the text of their files, judged. No descriptors and
 * no clock: text and time in, pair or the reason out.
 */
#ifndef GW_ROLE_VAULT_PAIR_H
#define GW_ROLE_VAULT_PAIR_H

#include "role/proto_secret.h"

#include <openssl/evp.h>

enum { PAIR_REASON = 160, PAIR_NAMES = 256, PAIR_TEXT_MAX = 1 << 20 };

struct pair {
	EVP_PKEY *key;
	struct span chain[PROTO_CHAIN_MAX]; /* DER, the leaf first; in memory of the pair */
	size_t n_chain;
	char names[PAIR_NAMES];        /* of the leaf, blanks between; for people */
	int64_t not_before, not_after; /* seconds, Unix time */
};

/*
 * The texts of the two files (PEM; they may be one). 0, or GW_EFORMAT with the reason in words. The
 * key must be EC P-256 or P-384, or RSA of 2048 bits or more, and belong to the first certificate;
 * each further certificate must be the issuer of the one before. What is no certificate in the
 * first file is passed over.
 */
int pair_load(
    struct span certificates, struct span key, struct pair *p, char reason[PAIR_REASON]) gw_checked;
/* A P-256 key and a certificate of its own for that host name. now: seconds. */
void pair_self_signed(const char *hostname, int64_t now, struct pair *p);
void pair_free(struct pair *p);

#endif
