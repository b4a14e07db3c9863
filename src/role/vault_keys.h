/*
 * The private keys of the vault and what is done with them: signatures of TLS handshakes, and
 * nothing else. The loop adds and drops keys; signing threads use them at the same time: each takes
 * a reference for as long as it signs, so a dropped key ends with the last signature under way.
 */
#ifndef GW_ROLE_VAULT_KEYS_H
#define GW_ROLE_VAULT_KEYS_H

#include "net/signer.h"

#include <openssl/evp.h>

enum { VAULT_KEYS_MAX = 4096 };

struct vault_keys;

/* Before the jail: what OpenSSL reads from files is read here, and the memory of keys is set apart
 * (locked if the limits allow it, and in no core). */
struct vault_keys *vault_keys_new(void) gw_checked;
void vault_keys_free(struct vault_keys **k);

/* Takes the key over. Its number, new with each key; 0: there are too many. */
uint32_t vault_keys_add(struct vault_keys *k, EVP_PKEY *key) gw_checked;
void vault_keys_drop(struct vault_keys *k, uint32_t number);

/* A signer_fn; arg is a struct vault_keys. GW_ENOENT: no such key; GW_EPERM: not for this key. */
ptrdiff_t vault_keys_sign(
    void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX]);

#endif
