/*
 * TLS of the client side: one context for all, the file of authorities taken before the jail,
 * sessions kept for the next connection to the same host under the same demand. TLS 1.2 and 1.3
 * only. Verification never ends a handshake by itself: the outcome is told, and judged elsewhere
 * (auth/tlspolicy).
 *
 * The certificates in it are read when the first connection needs them: a hundred and forty take
 * longer than all else that a start does.
 *
 * Memory (OpenSSL 3.0): 0.6 MiB of heap for the context, 0.8 MiB more for the authorities of a
 * Debian, 0.2 until they are read; 20 KiB for a connection on which nothing is said;
 * TLS_SESSIONS_OCTETS_MAX for sessions.
 */
#ifndef GW_NET_TLS_CLIENT_H
#define GW_NET_TLS_CLIENT_H

#include "net/stream.h"

struct tls_client;

enum { TLS_SESSIONS_MAX = 10000, TLS_PINS_MAX = 16 };

/* Before the jail. authorities: a PEM file; NULL or unreadable: nobody is trusted, *why says so (a
 * message; the process goes on). What is wrong within it is told in the log when it is needed. Dies
 * when the library cannot be had. */
struct tls_client *tls_client_new(const char *authorities, const char **why) gw_checked;
/* When no stream of it is open any more. */
void tls_client_free(struct tls_client **t);
/* Reads the authorities, if nobody did. */
bool tls_client_trusts_anybody(struct tls_client *t);
/* That could be resumed now. */
size_t tls_client_sessions(const struct tls_client *t);

struct tls_client_wish {
	struct span host; /* SNI, and the name to verify; an address: no SNI, RFC 6125 by address */
	struct span session; /* key of sessions that may be resumed: host, port, demand, source */
	const uint8_t (*pin)[32];
	size_t n_pin;
};
/* From now on TLS; then stream_handshake(). 0 or GW_ENOMEM. */
int stream_start_tls_client(
    struct stream *s, struct tls_client *t, const struct tls_client_wish *w) gw_checked;

struct tls_client_result {
	bool chain, name, pinned;
	char why[32]; /* a slug, empty if chain and name are good: "self_signed", "expired",
			 "not_yet_valid", "unknown_authority", "wrong_name", "too_weak",
			 "bad_signature", "wrong_purpose", "chain_too_long", "bad_certificate",
			 "no_certificate", "no_authorities" (we trust nobody) */
};
/* After the handshake. A resumed session has the result of the one it resumes. */
void stream_tls_verified(const struct stream *s, struct tls_client_result *r);

#endif
