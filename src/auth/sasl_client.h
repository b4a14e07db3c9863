/*
 * The client's side of a SASL exchange (RFC 4422) as a pure machine: PLAIN (RFC 4616), LOGIN,
 * SCRAM-SHA-256 and -PLUS (RFC 5802, 7677). Messages are not encoded here. Which mechanisms a
 * server offers, and the protocol around it, are the owner's.
 *
 *	sasl_client_init; sasl_client_first: the initial response, if there is one
 *	for each challenge: sasl_client_answer; at the success: sasl_client_proven
 *
 * Name and password are borrowed until sasl_client_fini, which wipes what was made of them.
 */
#ifndef GW_AUTH_SASL_CLIENT_H
#define GW_AUTH_SASL_CLIENT_H

#include "auth/scram_client.h"

enum login_mechanism { /* the strongest first */
	LOGIN_SCRAM_PLUS,
	LOGIN_SCRAM,
	LOGIN_PLAIN,
	LOGIN_LOGIN,
	LOGIN_MECHANISMS
};
#define LOGIN_BIT(m) (UINT32_C(1) << (m))
/* Those that show the password to the server. */
#define LOGIN_SHOWN (LOGIN_BIT(LOGIN_PLAIN) | LOGIN_BIT(LOGIN_LOGIN))
const char *login_name(enum login_mechanism m);

enum { LOGIN_MESSAGE_MAX = 8192, LOGIN_BINDING_MAX = 64 };

/* What the exchange may be bound to (RFC 9266, RFC 5929); n == 0: nothing. */
struct login_binding {
	const char *name; /* "tls-exporter", "tls-unique" */
	uint8_t octets[LOGIN_BINDING_MAX];
	size_t n;
};

struct login_wish {
	struct span user, password;
	enum login_mechanism mechanism;
	bool tls;          /* the connection has it */
	bool plus_offered; /* the server has the mechanism with binding */
	const struct login_binding *binding;
	uint32_t iterations; /* of SCRAM, at most; 0: SCRAM_CLIENT_ITERATIONS */
	uint8_t random[18];
};

struct sasl_client {
	enum login_mechanism mechanism;
	struct span user, password;
	unsigned step;
	bool scram_used, proven;
	struct scram_client scram;
};

/* The strongest that is offered (LOGIN_BIT) and may be used, -1: none. The one with binding only
 * where there is one. */
int login_best(uint32_t offered, uint32_t allowed, bool can_bind);
/* NULL, or why not. sasl_client_fini in either case. */
const char *sasl_client_init(struct sasl_client *c, const struct login_wish *w) gw_checked;
void sasl_client_fini(struct sasl_client *c);
/* The initial response is appended; false: the mechanism has none. */
bool sasl_client_first(struct sasl_client *c, struct buf *out) gw_checked;
/* To a challenge; the answer is appended. NULL, or what is wrong with it: the exchange is to be
 * ended. */
const char *sasl_client_answer(
    struct sasl_client *c, struct span challenge, struct buf *out) gw_checked;
/* The server says that all is well: has it shown that it knows the password, where the mechanism
 * says that it must? */
bool sasl_client_proven(const struct sasl_client *c) gw_checked;

#endif
