/*
 * Sessions of the client side that may be resumed, by key, with what was found out about the peer
 * when they were made. The newest one of each key; as many and as large as the ceilings say, then
 * the oldest go. What is kept are secrets: they are wiped.
 */
#ifndef GW_NET_TLS_SESSIONS_H
#define GW_NET_TLS_SESSIONS_H

#include "base/map.h"
#include "net/tls_client.h"

#include <sys/queue.h>

enum {
	TLS_SESSION_OCTETS = 16 << 10,      /* a larger one is not kept */
	TLS_SESSIONS_OCTETS_MAX = 32 << 20, /* of all together */
	TLS_SESSION_KEY_MAX = 2048,         /* octets of a key; a longer one is not kept */
	TLS_SESSION_LIFE = 3600,            /* seconds, at most */
};

struct tls_kept {
	TAILQ_ENTRY(tls_kept) link;
	struct span key;
	struct tls_client_result result;
	uint8_t leaf[32]; /* SHA-256 of the certificate */
	int64_t until;
	struct span session; /* as i2d_SSL_SESSION() has it */
	size_t n;
	uint8_t octets[]; /* key and session */
};

struct tls_sessions {
	struct map by_key;
	TAILQ_HEAD(tls_kept_head, tls_kept) list; /* the oldest first */
	size_t octets;
};

void tls_sessions_init(struct tls_sessions *s, uint64_t seed);
void tls_sessions_clear(struct tls_sessions *s);
void tls_sessions_fini(struct tls_sessions *s);
/* Copies all of it; replaces what the key had. */
void tls_sessions_keep(struct tls_sessions *s, const struct tls_kept *k);
/* Not older than it may be; lent until the next call of these. NULL: there is none. */
const struct tls_kept *tls_sessions_find(struct tls_sessions *s, struct span key, int64_t now);
void tls_sessions_drop(struct tls_sessions *s, struct span key);

#endif
