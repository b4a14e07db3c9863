/*
 * Mail that waits for us elsewhere, and is asked for from time to time.
 */
#ifndef GW_CONFIG_PULL_H
#define GW_CONFIG_PULL_H

#include "config/listen.h"
#include "config/target.h"

enum pull_kind {
	PULL_ODMR, /* it comes over the connection that asks for it (RFC 2645) */
	PULL_ETRN  /* it is brought to our listeners (RFC 1985) */
};
enum { PULL_DOMAINS_MAX = 100 };
const char *pull_kind_word(enum pull_kind k);
struct pull {
	enum pull_kind kind;
	const char *name;     /* the name of the host if nothing else was said */
	struct target target; /* a relay: one host, TLS, login */
	const char *const *domain;
	size_t n_domain;
	int64_t every;        /* microseconds; 0: when it is asked for alone */
	struct listen listen; /* ODMR: what its connections are taken by */
	struct place place;
};

#endif
