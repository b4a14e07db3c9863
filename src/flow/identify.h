/*
 * Which account is a host that did not log in? The statements "identify", in their order: all that
 * one says must hold, and the first that does decides. A name that a host says of itself proves
 * nothing: where a statement names no addresses, DNS must have led from that name to the address.
 * What DNS could not say holds for nobody. Pure.
 */
#ifndef GW_FLOW_IDENTIFY_H
#define GW_FLOW_IDENTIFY_H

#include "base/dns.h"
#include "config/config.h"

/* What DNS says: does the name lead to the address? */
enum identify_dns { IDENTIFY_UNASKED, IDENTIFY_LEADS, IDENTIFY_ELSEWHERE, IDENTIFY_TROUBLE };

struct identify_ask {
	const struct sockaddr *addr; /* NULL: not known, nobody is recognised */
	struct span helo;            /* what the host says of itself */
	enum identify_dns dns;
};

/* The first statement that holds, or NULL. */
const struct identify *identify_find(const struct config *c, const struct identify_ask *a);
/* Would the answer of DNS decide? *type: the question for a->helo. */
bool identify_asks_dns(const struct config *c, const struct identify_ask *a, enum dns_type *type);
/* The answer to it. */
enum identify_dns identify_judge(const struct dns_answer *answer, const struct sockaddr *addr);

/* Why a host that is nobody could have been somebody. */
enum identify_doubt {
	IDENTIFY_NO_DOUBT,
	IDENTIFY_OTHER_NAME,    /* its address is listed, with names that it did not say */
	IDENTIFY_OTHER_ADDRESS, /* it said such a name, which leads elsewhere */
	IDENTIFY_NOT_NOW        /* it said such a name, and DNS cannot say */
};
/* name: one that would do, where it said another. */
enum identify_doubt identify_doubt(
    const struct config *c, const struct identify_ask *a, const char **name);

#endif
