#include "flow/identify.h"

/* ---- one statement ------------------------------------------------------------------------------
 */

static bool is_listed(const struct identify *who, const struct identify_ask *a)
{
	return a->addr != NULL && cidr_find(who->ip, who->n_ip, a->addr) != NULL;
}

static bool is_within(struct span name, struct span domain)
{
	size_t more = name.n - domain.n;

	if (name.n == domain.n)
		return span_eq_case(name, domain);
	return name.n > domain.n && name.p[more - 1] == '.' &&
	       span_eq_case(span_skip(name, more), domain);
}

static bool is_named(const struct identify *who, const struct identify_ask *a)
{
	if (!dns_name_good(a->helo))
		return false;
	for (size_t i = 0; i < who->n_domain; i++) {
		if (is_within(a->helo, span_str(who->domain[i])))
			return true;
	}
	return false;
}

/* Does the name have to be proven by DNS, and is it a name that could be? */
static bool wants_dns(const struct identify *who, const struct identify_ask *a)
{
	return who->n_ip == 0 && a->addr != NULL && is_named(who, a);
}

static bool holds(const struct identify *who, const struct identify_ask *a)
{
	if (who->n_ip == 0)
		return wants_dns(who, a) && a->dns == IDENTIFY_LEADS;
	return is_listed(who, a) && (who->n_domain == 0 || is_named(who, a));
}

/* ---- all of them --------------------------------------------------------------------------------
 */

const struct identify *identify_find(const struct config *c, const struct identify_ask *a)
{
	for (size_t i = 0; i < c->n_identify; i++) {
		if (holds(&c->identify[i], a))
			return &c->identify[i];
	}
	return NULL;
}

/* An IPv4 address in the clothes of IPv6 has its names in A records. */
static bool is_four(const struct sockaddr *addr, struct in_addr *four)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)addr;

	if (addr->sa_family == AF_INET)
		*four = ((const struct sockaddr_in *)addr)->sin_addr;
	else if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		memcpy(four, six->sin6_addr.s6_addr + 12, sizeof(*four));
	else
		return false;
	return true;
}

bool identify_asks_dns(const struct config *c, const struct identify_ask *a, enum dns_type *type)
{
	struct in_addr four;

	for (size_t i = 0; i < c->n_identify; i++) {
		if (holds(&c->identify[i], a))
			return false;
		if (!wants_dns(&c->identify[i], a) || a->dns != IDENTIFY_UNASKED)
			continue;
		*type = is_four(a->addr, &four) ? DNS_A : DNS_AAAA;
		return *type == DNS_A || a->addr->sa_family == AF_INET6;
	}
	return false;
}

enum identify_dns identify_judge(const struct dns_answer *answer, const struct sockaddr *addr)
{
	const struct in6_addr *six = &((const struct sockaddr_in6 *)addr)->sin6_addr;
	struct in_addr four;
	bool is4 = is_four(addr, &four);

	if (answer->status == DNS_TROUBLE)
		return IDENTIFY_TROUBLE;
	for (size_t i = 0; answer->status == DNS_FOUND && i < answer->n_record; i++) {
		const struct dns_record *r = &answer->record[i];

		if (is4 ? memcmp(&r->address.a, &four, sizeof(four)) == 0
			: memcmp(&r->address.aaaa, six, sizeof(*six)) == 0)
			return IDENTIFY_LEADS;
	}
	return IDENTIFY_ELSEWHERE;
}

enum identify_doubt identify_doubt(
    const struct config *c, const struct identify_ask *a, const char **name)
{
	enum identify_doubt doubt = IDENTIFY_NO_DOUBT;

	for (size_t i = 0; i < c->n_identify; i++) {
		const struct identify *who = &c->identify[i];

		if (wants_dns(who, a))
			return a->dns == IDENTIFY_ELSEWHERE ? IDENTIFY_OTHER_ADDRESS
							    : IDENTIFY_NOT_NOW;
		if (doubt == IDENTIFY_NO_DOUBT && who->n_domain > 0 && is_listed(who, a) &&
		    !is_named(who, a)) {
			*name = who->domain[0];
			doubt = IDENTIFY_OTHER_NAME;
		}
	}
	return doubt;
}
