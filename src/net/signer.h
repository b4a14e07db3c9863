/*
 * Signatures made elsewhere: a receiver has the handshake of a client signed by the vault, over a
 * SOCK_SEQPACKET socket of its own, and waits for it (OpenSSL's callbacks know no "later"). The
 * other end is a thread that does nothing else. What is signed is a digest under a scheme of TLS
 * alone, so a broken receiver gets neither a decryption nor a signature of another kind.
 */
#ifndef GW_NET_SIGNER_H
#define GW_NET_SIGNER_H

#include "base/span.h"

enum signer_scheme {
	SIGNER_ECDSA,     /* the digest, as it is */
	SIGNER_RSA_PSS,   /* salt as long as the digest, MGF1 with the same digest */
	SIGNER_RSA_PKCS1, /* TLS 1.2 */
	SIGNER_SCHEME_MAX = SIGNER_RSA_PKCS1,
};
enum signer_digest {
	SIGNER_SHA256,
	SIGNER_SHA384,
	SIGNER_SHA512,
	SIGNER_DIGEST_MAX = SIGNER_SHA512
};
enum { SIGNER_DIGEST_OCTETS = 64, SIGNER_SIGNATURE_MAX = 1024 };

struct signer_request {
	uint32_t key;
	uint8_t scheme, digest;
	uint8_t octets; /* of the value */
	uint8_t value[SIGNER_DIGEST_OCTETS];
};

/* A pair of sockets for it. */
int signer_pair(int fd[2]) gw_checked;

/* ---- the receiver's end */

/* Waits a second at most. Octets of the signature, or GW_EIO (nobody there, too late, refused). */
ptrdiff_t signer_ask(int fd, const struct signer_request *r, uint8_t *to, size_t room) gw_checked;

/* ---- the vault's end */

/* Makes a signature: its octets, or a GW_E*. Called on the signer's thread. */
typedef ptrdiff_t (*signer_fn)(
    void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX]);

struct signer;
/* A thread that serves one socket at a time; started before the jail is sealed, idle until it gets
 * one. */
struct signer *signer_start(signer_fn fn, void *arg) gw_checked;
/* The socket it serves from now on; owned from here on, the old one is closed. */
void signer_serve(struct signer *s, int fd);

#endif
