/*
 * What the files of the client side of TLS share. tls_client.c: context and connections;
 * tls_verify.c: what is found out about a peer; tls_client_warm.c: handshakes before the jail;
 * tls_sessions.c: what can be resumed.
 */
#ifndef GW_NET_TLS_CLIENT_PRIVATE_H
#define GW_NET_TLS_CLIENT_PRIVATE_H

#include "base/buf.h"
#include "net/tls_sessions.h"

#include <openssl/ssl.h>

struct tls_client {
	uint32_t magic;
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
	SSL_CTX *ctx;
	EVP_MD *sha256;
	struct buf authorities; /* PEM, until the first connection reads it */
	bool trusts;
	struct tls_sessions sessions;
};

enum { TLS_CLIENT_MAGIC = GW_MAGIC(0x74, 0x6c, 0x63, 0x31) };

/* Of one connection; belongs to its SSL, as app data. */
struct tls_peer {
	struct tls_client *client;
	int chain_error; /* the first one, of X509_V_ERR_... */
	bool asked_name, bad_name, judged;
	unsigned tickets; /* that were kept */
	struct tls_client_result result;
	uint8_t leaf[32];
	uint8_t (*pin)[32];
	size_t n_pin;
	struct span key; /* of the session; in memory of its own */
};

/* Before the handshake: the name, or the address, to be verified, and SNI. */
bool tls_peer_expect(SSL *ssl, struct tls_peer *p, struct span host) gw_checked;
/* The library's question at each mistake of a chain: every one is let pass, and noted. */
int tls_peer_on_verify(int ok, X509_STORE_CTX *store);
/* The handshake has come so far that the certificate is known: once. */
void tls_peer_judge(SSL *ssl, struct tls_peer *p);
/* Is a certificate with this fingerprint one of those wanted? */
bool tls_peer_pinned(const struct tls_peer *p, const uint8_t leaf[32]);

/* stream.c: of a connection that was started with stream_start_tls_client(). */
void tls_client_shaken(SSL *ssl);
void tls_client_failed(SSL *ssl);
void tls_client_drop(SSL *ssl);

/* Whole handshakes in memory, with verification and resumption. False: this library cannot do what
 * is asked of it. */
bool tls_client_warm_up(struct tls_client *t) gw_checked;
/* A session with this peer in mind, without a socket. NULL: no memory. */
SSL *tls_client_session(struct tls_client *t, const struct tls_client_wish *w) gw_checked;

#endif
