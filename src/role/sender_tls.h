/*
 * What happens between the greeting of a host and its first message: TLS as it is demanded, then
 *the login. Embedded in a connection, which asks at these places:
 *
 *	guard_start   it is connected, nothing was said
 *	guard_ready   at CLIENT_READY: may mail be sent now?
 *	guard_answer  at CLIENT_ANSWER
 *	guard_lost    the engine is through
 *	guard_shake   a handshake is on (guard_shaking) and the socket moved, or time passed
 *
 * Where TLS fails and plain text would do, the host is remembered for a while and tried again at
 * once, now without; else this connection ends with a reason that speaks of the host (conn_unfit).
 */
#ifndef GW_ROLE_SENDER_TLS_H
#define GW_ROLE_SENDER_TLS_H

#include "auth/tlspolicy.h"
#include "base/map.h"
#include "net/tls_client.h"
#include "role/proto.h"
#include "smtp/client.h"

#include <sys/queue.h>

struct conn;
struct job;
struct login;

enum {
	GUARD_NAME_MAX = 255,
	GUARD_RESULT_MAX = 48,
	CLEAR_HOSTS_MAX = 10000, /* that are remembered; then the oldest are forgotten */
	SMTPS_PORT = 465,        /* RFC 8314 section 7.3 */
};
#define CLEAR_TIME INT64_C(900000000) /* microseconds */

enum guard_state {
	GUARD_NEW,
	GUARD_STARTTLS, /* said */
	GUARD_SHAKING,  /* the handshake is due, or on */
	GUARD_SHAKEN,   /* TLS stands, EHLO comes again */
	GUARD_LOGIN,    /* the exchange is on */
	GUARD_DONE,
};

struct guard {
	enum guard_state state;
	bool implicit; /* TLS from the first octet */
	bool local;    /* a socket of this machine */
	bool injected; /* octets stood behind the 220 */
	struct tls_policy policy;
	struct tls_seen seen;
	int64_t limit; /* of the handshake */
	uint8_t (*pin)[TLS_FINGERPRINT];
	char name[GUARD_NAME_MAX + 1]; /* of the host, for SNI and certificate */
	char source[64];               /* what it leaves from */
	char why[32];
	char result[GUARD_RESULT_MAX]; /* tls_result(); "": it did not come to that */
	bool required; /* for a message with REQUIRETLS: the host must offer it, under TLS */
	char domain[GUARD_NAME_MAX + 1]; /* of that message, where DNS said whose host this is */
	bool login;
	uint32_t secret;
	struct login *exchange; /* sender_auth.c */
};

/* c->job: what the connection was opened for, or NULL. The target is copied as far as it is needed.
 * Where TLS is spoken from the first octet a handshake is on then; conn_process() follows. */
void guard_start(struct conn *c, const struct proto_target *t);
void guard_free(struct guard *g);
/* Is a connection that was made for another job good for this one? */
bool guard_fits(const struct guard *g, const struct job *j);
bool guard_ready(struct conn *c) gw_checked;
void guard_answer(struct conn *c, const struct client_event *ev);
/* The engine is through: was it TLS that the host did not survive? True: and the job was seen to.
 */
bool guard_lost(struct conn *c, const struct client_event *last) gw_checked;
static inline bool guard_shaking(const struct guard *g)
{
	return g->state == GUARD_SHAKING;
}
/* c may be gone then. */
void guard_shake(struct conn *c);
/* It is being left: a handshake that is due or on comes to nothing. */
void guard_leave(struct conn *c);

/* ---- hosts whose TLS does not work, for those who would take plain text */

struct clear_hosts {
	struct map by_key;
	TAILQ_HEAD(, clear_host) list; /* the oldest first */
	int64_t keep;                  /* microseconds each is remembered */
};
void clear_hosts_init(struct clear_hosts *h, uint64_t seed, int64_t keep);
void clear_hosts_add(struct clear_hosts *h, const char *key, const char *why, int64_t now);
/* Why, or NULL. */
const char *clear_hosts_find(struct clear_hosts *h, const char *key, int64_t now);

#endif
