/*
 * Where mail comes in: listeners, the certificates they show, and who is known without a login.
 */
#ifndef GW_CONFIG_LISTEN_H
#define GW_CONFIG_LISTEN_H

#include "config/atoms.h"
#include "mail/envelope.h"

#include <stdbool.h>
#include <stddef.h>

struct pull;

/*
 * What a listener is for. mx: mail for our domains from anybody, for all domains from whom we
 * trust. submission: mail of our users and networks alone, and what RFC 6409 lets us mend is
 * mended. relay: the same people, and not an octet but the trace fields is changed.
 */
enum listen_kind {
	LISTEN_MX,
	LISTEN_SUBMISSION,
	LISTEN_RELAY,
	/* odmr: customers that have logged in get the mail of their domains (RFC 2645); none is
	   taken. */
	LISTEN_ODMR,
	LISTEN_LMTP /* RFC 2033: mail for our domains alone, from a server next to us */
};

enum listen_tls {
	LISTEN_TLS_OFF,
	LISTEN_TLS_OFFER,   /* STARTTLS; without it: no AUTH */
	LISTEN_TLS_REQUIRE, /* no MAIL before STARTTLS */
	LISTEN_TLS_IMPLICIT /* from the first octet */
};
enum listen_auth {
	LISTEN_AUTH_OFF,
	LISTEN_AUTH_ON,       /* under TLS */
	LISTEN_AUTH_PLAINTEXT /* with TLS or without */
};
/* Of which addresses DNS is asked for the domains: bits. */
enum check_domains { CHECK_DOMAINS_OFF = 0, CHECK_RECIPIENTS = 1, CHECK_SENDERS = 2 };
struct listen {
	enum listen_kind kind;
	const char *name; /* in logs and metrics; the word of the kind if nothing else was said */
	struct endpoint at;
	enum listen_tls tls;
	enum listen_auth auth;
	enum priority priority;  /* of what comes in here, unless it says that it is bulk */
	unsigned check_domains;  /* enum check_domains */
	const char *banner;      /* behind the host name in the 220 */
	int64_t greet_delay;     /* microseconds before the 220 */
	int64_t future_release;  /* what comes in may be kept for so long; 0: not at all */
	const struct cidr *from; /* who may connect; n_from == 0: everybody */
	size_t n_from;
	const struct pull *pull; /* of connections that were turned round for it; else NULL */
	/* Who stands before us and says whose connection it is: with the PROXY header, which nobody
	 * else may connect without; with the command XCLIENT. n == 0: nobody. */
	const struct cidr *proxy, *xclient;
	size_t n_proxy, n_xclient;
	bool xclient_login; /* XCLIENT LOGIN= is believed */
	/* A Unix socket. */
	unsigned mode;             /* 0: 0660 */
	const char *owner, *group; /* NULL: as master is */
	struct place place;
};

/* Is it for those who bring mail of their own? */
static inline bool listen_submits(const struct listen *l)
{
	return l->kind == LISTEN_SUBMISSION || l->kind == LISTEN_RELAY;
}

/* Sockets of all listen statements together. */
enum { CONFIG_LISTEN_MAX = 64 };

/* A certificate chain and its private key, both PEM files. */
struct tls_pair {
	const char *certificate, *key;
	struct place place;
};

/*
 * Who need not log in to be an account. All that was written must hold: the address is in one of
 * the ranges; the name said in EHLO is one of the domains or below it, and without ranges it must
 * lead to that address (DNS).
 */
struct identify {
	const char *name;
	const struct cidr *ip;
	size_t n_ip;
	const char *const *domain; /* lower case */
	size_t n_domain;
	const char *account;
	struct place place;
};

/* "priority" of a listener and so on: the word. */
const char *priority_word(enum priority p);

#endif
