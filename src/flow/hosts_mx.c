/* What the answer to the question for MX means, and what a recipient is told where it ends. */
#include "flow/hosts.h"

#include <stdio.h>

static bool has_host(const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n_record; i++) {
		if (a->record[i].name.n > 0)
			return true;
	}
	return false;
}

/* RFC 7505 section 3: a null MX stands alone; beside hosts it is a mistake that is looked over. An
 * answer none of whose hosts has a possible name says nothing. */
static enum mx_kind kind_of_records(const struct dns_answer *a)
{
	if (has_host(a))
		return MX_HOSTS;
	return a->n_record > 0 && !a->cut ? MX_NULL : MX_TROUBLE;
}

enum mx_kind mx_kind_of(const struct dns_answer *a)
{
	switch (a->status) {
	case DNS_FOUND: return kind_of_records(a);
	case DNS_NODATA: return MX_IMPLICIT;
	case DNS_NXDOMAIN: return MX_NO_DOMAIN;
	case DNS_TROUBLE: break;
	}
	return MX_TROUBLE;
}

struct reply mx_reply(enum mx_kind kind, struct span domain, struct span why, char *text, size_t n)
{
	struct reply r = {451, {4, 4, 3}, {0}};

	domain = span_first(domain, DNS_NAME_MAX);
	if (kind == MX_NULL) {
		r = (struct reply){556, {5, 1, 10}, {0}};
		snprintf(text, n, "%.*s takes no mail (null MX)", SPAN_ARG(domain));
	} else if (kind == MX_NO_DOMAIN) {
		r = (struct reply){550, {5, 1, 2}, {0}};
		snprintf(text, n, "There is no domain %.*s", SPAN_ARG(domain));
	} else {
		why = why.n > 0 ? span_first(why, DNS_WHY_MAX) : SPAN("no answer that can be used");
		snprintf(text, n, "DNS cannot say now where mail for %.*s goes: %.*s",
		    SPAN_ARG(domain), SPAN_ARG(why));
	}
	r.text = span_str(text);
	return r;
}
