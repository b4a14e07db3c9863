#include "flow/domain_check.h"

#include "flow/hosts.h"

#include <stdio.h>

struct domain_check domain_check_begin(void)
{
	return (struct domain_check){.verdict = DOMAIN_ASK, .next = DNS_MX};
}

static void judge_mx(struct domain_check *c, const struct dns_answer *a)
{
	switch (mx_kind_of(a)) {
	case MX_HOSTS:
	case MX_TROUBLE: c->verdict = DOMAIN_GOOD; break;
	case MX_NULL: c->verdict = DOMAIN_NULL_MX; break;
	case MX_NO_DOMAIN: c->verdict = DOMAIN_MISSING; break;
	case MX_IMPLICIT: c->next = DNS_A; break; /* RFC 5321 section 5.1 */
	}
}

void domain_check_answer(struct domain_check *c, const struct dns_answer *a)
{
	gw_assert(c->verdict == DOMAIN_ASK);
	if (c->next == DNS_MX)
		judge_mx(c, a);
	else if (a->status == DNS_FOUND || a->status == DNS_TROUBLE)
		c->verdict = DOMAIN_GOOD;
	else if (c->next == DNS_A)
		c->next = DNS_AAAA;
	else
		c->verdict = DOMAIN_NOWHERE;
}

struct reply domain_check_reply(enum domain_verdict v, bool sender, struct span domain, char *text,
    size_t n, const char **reason)
{
	struct reply r = {550, {5, 1, sender ? 8 : 2}, {0}};
	const char *before = "There is no domain ", *behind = "";

	*reason = "no_domain";
	if (v == DOMAIN_NULL_MX) {
		/* RFC 7505 section 4.1 and 4.2 */
		r = sender ? (struct reply){550, {5, 7, 27}, {0}}
			   : (struct reply){556, {5, 1, 10}, {0}};
		before = sender ? "The domain of the sender, " : "";
		behind = sender ? ", takes no mail (null MX)" : " takes no mail (null MX)";
		*reason = "null_mx";
	} else if (v == DOMAIN_NOWHERE) {
		before = sender ? "The domain of the sender, " : "";
		behind = sender ? ", has neither a mail host nor an address"
				: " has neither a mail host nor an address";
		*reason = "no_mail_host";
	} else if (sender) {
		before = "There is no domain of the sender, ";
	}
	snprintf(text, n, "%s%.*s%s", before, SPAN_ARG(span_first(domain, DNS_NAME_MAX)), behind);
	r.text = span_str(text);
	return r;
}
