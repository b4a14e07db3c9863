/*
 * Does the domain of an address exist, and could mail go there? Pure: says which question for DNS
 * is next, is given the answer, ends with a verdict. Asked at MAIL and RCPT, while the client is
 * there to hear it; what DNS cannot say is never held against an address (RFC 5321 section 5.1, RFC
 * 7505 section 4).
 */
#ifndef GW_FLOW_DOMAIN_CHECK_H
#define GW_FLOW_DOMAIN_CHECK_H

#include "base/dns.h"
#include "smtp/reply.h"

enum domain_verdict {
	DOMAIN_ASK, /* for the type in "next" */
	DOMAIN_GOOD,
	DOMAIN_NULL_MX,
	DOMAIN_MISSING,
	DOMAIN_NOWHERE /* it is there, with neither a mail host nor an address */
};

struct domain_check {
	enum domain_verdict verdict;
	enum dns_type next;
};

struct domain_check domain_check_begin(void);
/* The answer to "next". */
void domain_check_answer(struct domain_check *c, const struct dns_answer *a);
/* The refusal of a recipient, or of a sender; its text is in the given one. reason: a slug. */
struct reply domain_check_reply(enum domain_verdict v, bool sender, struct span domain, char *text,
    size_t n, const char **reason);

#endif
