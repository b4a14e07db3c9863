/*
 * What the files of TLS share. tls.c: contexts, certificates, tickets; tls_key.c: private keys that
 * are elsewhere, as a provider of OpenSSL; tls_warm.c: handshakes before the jail.
 */
#ifndef GW_NET_TLS_PRIVATE_H
#define GW_NET_TLS_PRIVATE_H

#include "net/signer.h"
#include "net/tls.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

/* The way to the signer. */
struct tls_signer {
	OSSL_LIB_CTX *lib; /* for digests */
	int fd;
	int64_t late_until; /* an answer did not come: nobody waits again before then, or before it
			       came */
	uint64_t failures;  /* signatures that could not be had */
};

/* A library context of its own, in which keys of the kinds EC and RSA are those of the signer. The
 * context of the connections never sees it, so nothing else can be taken from it. */
struct tls_keys {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
};
/* 0 or GW_ENOMEM. */
int tls_keys_init(struct tls_keys *k) gw_checked;
/* When no key of it is in use any more. */
void tls_keys_fini(struct tls_keys *k);
/*
 * The private key that belongs to this public key, known to the signer by this number. It can sign
 * handshakes and do nothing else. NULL: not an EC key of P-256 or P-384, or RSA key of 2048 to 8192
 * bits; or no memory. The signer must outlive it.
 */
EVP_PKEY *tls_key_new(
    struct tls_keys *k, struct tls_signer *s, EVP_PKEY *public_key, uint32_t number) gw_checked;

struct tls_server {
	uint32_t magic;
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
	struct tls_keys keys;
	struct tls_signer signer;
	SSL_CTX *ctx;
	struct tls_certificate *certificate; /* by index */
	size_t n_certificate;
	struct tls_ticket_key ticket[TLS_TICKET_KEYS_MAX];
	size_t n_ticket;
};

enum { TLS_SERVER_MAGIC = GW_MAGIC(0x74, 0x6c, 0x73, 0x31) };

/* A session of this server on this socket. NULL: no memory. */
SSL *tls_server_session(struct tls_server *t, int fd) gw_checked;
/* Whole handshakes in memory. False: this library cannot do what is asked of it. */
bool tls_warm_up(struct tls_server *t) gw_checked;

#endif
