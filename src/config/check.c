#include "config/build.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDE_IP4 = 16, WIDE_IP6 = 32, LOOPBACK = 127, PER_NET_FACTOR = 4 };

/* ---- what must be there */

static void check_required(struct builder *b)
{
	struct place file = {b->r->bundle->source[0].name, 0, 0};

	if (b->x->origin[OPT_HOSTNAME].line == 0)
		report_at(b->r, CE_REQUIRED, &file, 0, "add: hostname NAME", "hostname");
	if (b->x->origin[OPT_LISTEN].line == 0)
		report_at(
		    b->r, CE_REQUIRED, &file, 0, "add: listen mx 0.0.0.0:25 [::]:25", "listen");
	if (b->c->n_domain == 0 && b->c->n_trust == 0 && b->x->origin[OPT_DOMAIN].line == 0 &&
	    b->x->origin[OPT_TRUST].line == 0)
		report_at(b->r, CE_NOTHING_ACCEPTED, &file, 0, NULL, "");
}

/* ---- trust: ranges as numbers; of an IPv6 address the upper half is enough */

struct interval {
	uint64_t first, last;
};

static struct interval interval_of(const struct cidr *c)
{
	size_t octets = c->family == AF_INET ? 4 : 8;
	unsigned width = (unsigned)octets * 8;
	struct interval i = {0, 0};

	for (size_t k = 0; k < octets; k++)
		i.first = i.first << 8 | c->bytes[k];
	i.last = i.first;
	if (c->bits < width)
		i.last |= UINT64_MAX >> (64 - width + c->bits);
	return i;
}

static int by_first(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* How many of the numbers low..high the ranges of a family cover, each counted once. */
static uint64_t covered(struct builder *b, sa_family_t family, struct interval world)
{
	struct interval *list = must_alloc(&b->r->arena, (b->c->n_trust + 1) * sizeof(*list));
	uint64_t sum = 0, next = world.first;
	size_t n = 0;

	for (size_t i = 0; i < b->c->n_trust; i++) {
		if (b->trust[i].family == family)
			list[n++] = interval_of(&b->trust[i]);
	}
	qsort(list, n, sizeof(*list), by_first);
	for (size_t i = 0; i < n; i++) {
		uint64_t first = list[i].first > next ? list[i].first : next;
		uint64_t last = list[i].last < world.last ? list[i].last : world.last;

		if (first > last)
			continue;
		sum += last - first + 1;
		next = last + 1;
	}
	return sum;
}

/* The widest range of a family, for the place of the message. */
static const struct cidr *widest(const struct builder *b, sa_family_t family)
{
	const struct cidr *best = NULL;

	for (size_t i = 0; i < b->c->n_trust; i++) {
		const struct cidr *c = &b->trust[i];

		if (c->family == family && (best == NULL || c->bits < best->bits))
			best = c;
	}
	return best;
}

static unsigned width_of(const struct cidr *c)
{
	char text[CIDR_TEXT];

	return (unsigned)strlen(cidr_text(c, text));
}

static void check_relay(struct builder *b, sa_family_t family, struct interval world)
{
	const struct cidr *c = widest(b, family);

	if (covered(b, family, world) > (world.last - world.first) / 2)
		report_at(b->r, CE_OPEN_RELAY, &c->place, width_of(c), NULL, "");
}

static void check_wide(struct builder *b, const struct cidr *c)
{
	char text[CIDR_TEXT];
	bool wide = c->family == AF_INET ? c->bits < WIDE_IP4 && c->bytes[0] != LOOPBACK
					 : c->bits < WIDE_IP6;

	if (wide)
		report_at(b->r, CE_TRUST_WIDE, &c->place, width_of(c), NULL, cidr_text(c, text));
}

static void check_trust(struct builder *b)
{
	/* The global unicast addresses: RFC 4291 section 2.4, as assigned by IANA so far. */
	static const struct interval ip4 = {0, UINT32_MAX};
	static const struct interval ip6 = {
	    UINT64_C(0x2000) << 48, UINT64_C(0x3fff) << 48 | (UINT64_MAX >> 16)};
	size_t errors = b->r->diags->errors;

	if (b->c->allow_open_relay)
		return;
	check_relay(b, AF_INET, ip4);
	check_relay(b, AF_INET6, ip6);
	for (size_t i = 0; i < b->c->n_trust && b->r->diags->errors == errors; i++)
		check_wide(b, &b->trust[i]);
}

/* ---- routes */

static void shadowed(
    struct builder *b, const struct route *r, const char *what, const struct place *by)
{
	char at[PLACE_TEXT], text[PLACE_TEXT + 64];

	snprintf(text, sizeof(text), "the %s at %s", what, place_text(by, at));
	report_at(b->r, CE_ROUTE_SHADOWED, &r->place, 5, NULL, text);
}

static void check_routes(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_route; i++) {
		const struct route *r = &b->c->route[i];
		const struct route *first = index_shadow(b->c, r);
		const struct domain *d =
		    r->domain ? index_domain(b->c, index_key(r->domain)) : NULL;

		if (first != NULL)
			shadowed(b, r, "route", &first->place);
		else if (d != NULL)
			shadowed(b, r, "domain", &d->place);
	}
	if (b->x->any == NULL && b->c->n_trust > 0)
		report_at(b->r, CE_ROUTE_ANY, &b->c->trust[0].place, 1, NULL, "");
}

static void check_shapes(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_shape; i++) {
		const struct shape *g = &b->c->shape[i];

		if (g->place.line > 0 && g->n_retry > 0 && g->expire <= g->retry[0])
			report_at(b->r, CE_EXPIRE_EARLY, &g->place, 5, NULL,
			    textf(b->r, "shape %s", g->name));
	}
}

/* The sender connects to addresses: a name would wait until it expires. */
static void check_host(struct builder *b, const struct target *t)
{
	const char *host = t->at.host;
	struct in6_addr six;
	struct in_addr four;

	if ((t->kind != TARGET_RELAY && t->kind != TARGET_LMTP) || host == NULL ||
	    inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1)
		return;
	report_at(b->r, CE_HOST_NAME, &t->place, 5, NULL, host);
}

static void check_hosts(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_domain; i++)
		check_host(b, &b->c->domain[i].deliver);
	for (size_t i = 0; i < b->c->n_route; i++)
		check_host(b, &b->c->route[i].target);
}

static void complete_limits(struct config *c)
{
	uint64_t most = (uint64_t)c->limits.per_ip * PER_NET_FACTOR;

	if (c->limits.per_net == 0)
		c->limits.per_net = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

void check_whole(struct builder *b)
{
	complete_limits(b->c);
	check_required(b);
	check_trust(b);
	check_routes(b);
	check_shapes(b);
	check_hosts(b);
	check_listeners(b);
}
