/*
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without I/O: messages in and out. What
 * is secret is wiped by scram_client_fini.
 */
#ifndef GW_AUTH_SCRAM_CLIENT_H
#define GW_AUTH_SCRAM_CLIENT_H

#include "base/buf.h"

enum {
	SCRAM_CLIENT_NONCE = 24,
	SCRAM_CLIENT_KEY = 32,
	SCRAM_CLIENT_ITERATIONS = 10000000 /* seconds of work */
};

struct scram_client {
	struct span password; /* borrowed */
	uint32_t most; /* iterations that we do; scram_client_init: SCRAM_CLIENT_ITERATIONS */
	struct buf gs2, first; /* "n,,", and what follows it in the first message */
	struct buf bound;      /* the octets of the channel */
	struct buf message;    /* AuthMessage */
	char nonce[SCRAM_CLIENT_NONCE + 1];
	uint8_t server_signature[SCRAM_CLIENT_KEY];
};

/* gs2: "p=tls-exporter,,", "y,," or "n,,"; binding: the octets with the first of them. nonce:
 * printable, without ','. */
void scram_client_init(struct scram_client *c, struct span user, struct span password,
    const char *gs2, struct span binding, const char nonce[SCRAM_CLIENT_NONCE + 1]);
void scram_client_fini(struct scram_client *c);
/* The first message. */
void scram_client_first(const struct scram_client *c, struct buf *out);
/* The server's first message in, our proof out. NULL, or what is wrong with it. */
const char *scram_client_proof(struct scram_client *c, struct span server_first, struct buf *out);
/* The server's last message: does it know the password too? */
bool scram_client_check(const struct scram_client *c, struct span server_final);

#endif
