/*
 * Signatures made elsewhere: a receiver has the handshake of a client signed by the vault, over a
 * SOCK_SEQPACKET socket of its own, and waits for it (OpenSSL's callbacks know no "later"). The
 * other end is a thread that does nothing else. What is signed is a digest under a scheme of TLS
 * alone, so a broken receiver gets neither a decryption nor a signature of another kind.
 *
 * On the wire, little-endian, one message each:
 *	request  u64 number, u32 key, u8 scheme, u8 digest, the value (as long as the digest is)
 *	answer   u64 the same number, u8 1 and the signature, or u8 0: refused
 * The number is random, so an answer that comes too late is never taken for another's. Both ends
 * decode as if the other were hostile.
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
	uint8_t octets; /* of the value; signer_digest_octets(digest) */
	uint8_t value[SIGNER_DIGEST_OCTETS];
};

/* 32, 48 or 64; 0 for none of these digests. */
size_t signer_digest_octets(unsigned digest) gw_checked;

/* A pair of sockets for it. */
int signer_pair(int fd[2]) gw_checked;

/* ---- the receiver's end */

/* Waits a second at most. Octets of the signature; GW_EPERM: refused; GW_EBUSY: no answer in time;
 * GW_EIO: nobody is there; GW_EFORMAT: this is no request, or no room for the signature. */
ptrdiff_t signer_ask(int fd, const struct signer_request *r, uint8_t *to, size_t room) gw_checked;
/* Throws away answers that came too late: was there one? */
bool signer_was_late(int fd);

/* ---- the vault's end */

/* Makes a signature: its octets, or a GW_E*. Called on the signer's thread. */
typedef ptrdiff_t (*signer_fn)(
    void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX]);

struct signer;
/* A thread that serves one socket at a time; started before the jail is sealed, idle until it gets
 * one. Dies when there can be no thread. */
struct signer *signer_start(signer_fn fn, void *arg) gw_checked;
/* The socket it serves from now on (-1: none); owned from here on, the old one is closed. */
void signer_serve(struct signer *s, int fd);
/* Waits for the signature in hand, ends the thread. */
void signer_stop(struct signer **s);

#endif
