/*
 * SCRAM-SHA-256 (RFC 5802, RFC 7677): the arithmetic. Messages are smtp/sasl's.
 */
#ifndef GW_AUTH_SCRAM_H
#define GW_AUTH_SCRAM_H

#include "auth/accounts.h"

/* SCRAM_KEY octets each; salt is borrowed into *v. GW_EFORMAT: a password that SASLprep forbids. */
int scram_make(struct span password, struct span salt, uint32_t iterations,
    struct scram_verifier *v) gw_checked;
/* The proof of the client over the AuthMessage. In constant time. */
bool scram_verify(const struct scram_verifier *v, struct span auth_message, struct span proof);
void scram_server_signature(
    const struct scram_verifier *v, struct span auth_message, uint8_t signature[SCRAM_KEY]);
/* The salt of a name that does not exist: the same at every try, and not to be told from others. */
void scram_fake_salt(const uint8_t secret[32], struct span name, uint8_t salt[16]);

#endif
