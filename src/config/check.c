/*
 * A configuration as a whole: what must be there, what is open to too many, what can never match.
 */
#include "config/build.h"

#include <stdio.h>
#include <stdlib.h>

enum { WIDE_IP4 = 16, WIDE_IP6 = 32, LOOPBACK = 127, PER_NET_FACTOR = 4 };

/* ---- what must be there */

/* Is there a listener that takes mail of those who log in? Not one that only gives mail out. */
static bool takes_logins(const struct config *c)
{
	for (size_t i = 0; i < c->n_listen; i++) {
		const struct listen *l = &c->listen[i];

		if (listen_submits(l) || (l->kind == LISTEN_MX && l->auth != LISTEN_AUTH_OFF))
			return true;
	}
	return c->n_identify > 0;
}

/* Who may send to any domain: "trust" or "users"; NULL: nobody. */
static const struct place *who_relays(const struct config *c)
{
	bool users = c->users != NULL || c->users_dovecot != NULL || c->users_any;

	if (c->n_trust > 0)
		return &c->trust[0].place;
	return users && takes_logins(c) ? &c->users_place : NULL;
}

static void check_required(struct builder *b)
{
	struct place file = {b->r->bundle->source[0].name, 0, 0};

	if (b->x->origin[OPT_HOSTNAME].line == 0)
		report_at(b->r, CE_REQUIRED, &file, 0, "add: hostname NAME", "hostname");
	if (b->x->origin[OPT_LISTEN].line == 0)
		report_at(
		    b->r, CE_REQUIRED, &file, 0, "add: listen mx 0.0.0.0:25 [::]:25", "listen");
	if (b->c->n_domain == 0 && b->x->origin[OPT_DOMAIN].line == 0 &&
	    b->x->origin[OPT_TRUST].line == 0 && who_relays(b->c) == NULL)
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
static uint64_t covered(struct builder *b, const struct cidr *range, size_t n_range,
    sa_family_t family, struct interval world)
{
	struct interval *list = must_alloc(&b->r->arena, (n_range + 1) * sizeof(*list));
	uint64_t sum = 0, next = world.first;
	size_t n = 0;

	for (size_t i = 0; i < n_range; i++) {
		if (range[i].family == family)
			list[n++] = interval_of(&range[i]);
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
static const struct cidr *widest(const struct cidr *range, size_t n, sa_family_t family)
{
	const struct cidr *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct cidr *c = &range[i];

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

/* What is said of ranges that are too wide. */
struct wide {
	enum config_error most, one;
	const char *setting;
};

static bool most_of_world(struct builder *b, const struct cidr *range, size_t n, sa_family_t family,
    struct interval world, const struct wide *say)
{
	const struct cidr *c = widest(range, n, family);

	if (covered(b, range, n, family, world) <= (world.last - world.first) / 2)
		return false;
	report_at(b->r, say->most, &c->place, width_of(c), NULL, say->setting);
	return true;
}

static bool is_wide(const struct cidr *c)
{
	return c->family == AF_INET ? c->bits < WIDE_IP4 && c->bytes[0] != LOOPBACK
				    : c->bits < WIDE_IP6;
}

/* Ranges whose addresses have rights that strangers have not. */
static void check_ranges(
    struct builder *b, const struct cidr *range, size_t n, const struct wide *say)
{
	/* The global unicast addresses: RFC 4291 section 2.4, as assigned by IANA so far. */
	static const struct interval ip4 = {0, UINT32_MAX};
	static const struct interval ip6 = {
	    UINT64_C(0x2000) << 48, UINT64_C(0x3fff) << 48 | (UINT64_MAX >> 16)};
	bool most = most_of_world(b, range, n, AF_INET, ip4, say);

	most = most_of_world(b, range, n, AF_INET6, ip6, say) || most;
	for (size_t i = 0; i < n && !most; i++) {
		char text[CIDR_TEXT];

		if (is_wide(&range[i]))
			report_at(b->r, say->one, &range[i].place, width_of(&range[i]), NULL,
			    cidr_text(&range[i], text), say->setting);
	}
}

/* One could be let in by parts: those of all statements count together. */
static void check_identities(struct builder *b)
{
	static const struct wide say = {CE_IDENTIFY_WIDE, CE_IDENTIFY_MANY, ""};
	struct cidr *all;
	size_t n = 0;

	for (size_t i = 0; i < b->c->n_identify; i++)
		n += b->identify[i].n_ip;
	all = must_alloc(&b->r->arena, (n + 1) * sizeof(*all));
	n = 0;
	for (size_t i = 0; i < b->c->n_identify; i++) {
		for (size_t k = 0; k < b->identify[i].n_ip; k++)
			all[n++] = b->identify[i].ip[k];
	}
	check_ranges(b, all, n, &say);
}

static void check_trust(struct builder *b)
{
	static const struct wide trust = {CE_OPEN_RELAY, CE_TRUST_WIDE, ""},
				 proxy = {CE_SPEAKS_WIDE, CE_SPEAKS_MANY, "proxy"},
				 xclient = {CE_SPEAKS_WIDE, CE_SPEAKS_MANY, "xclient"};

	if (b->c->allow_open_relay)
		return;
	check_ranges(b, b->trust, b->c->n_trust, &trust);
	for (size_t i = 0; i < b->c->n_listen; i++) {
		check_ranges(b, b->listen[i].proxy, b->listen[i].n_proxy, &proxy);
		check_ranges(b, b->listen[i].xclient, b->listen[i].n_xclient, &xclient);
	}
	check_identities(b);
}

/* ---- routes */

static void shadowed(
    struct builder *b, const struct route *r, const char *what, const struct place *by)
{
	char at[PLACE_TEXT], text[PLACE_TEXT + 64];

	snprintf(text, sizeof(text), "the %s at %s", what, place_text(by, at));
	report_at(b->r, CE_ROUTE_SHADOWED, &r->place, 5, NULL, text);
}

/* The domain of ours that takes all that the route is for. */
static const struct domain *domain_before(const struct config *c, const struct route *r)
{
	const char *at = r->address != NULL ? strrchr(r->address, '@') : NULL;

	if (r->domain != NULL)
		return index_domain(c, index_key(r->domain));
	return at != NULL ? index_domain(c, span_str(at + 1)) : NULL;
}

static void check_routes(struct builder *b)
{
	const struct place *relays = who_relays(b->c);

	for (size_t i = 0; i < b->c->n_route; i++) {
		const struct route *r = &b->c->route[i];
		const struct route *first = index_shadow(b->c, r);
		const struct domain *d = domain_before(b->c, r);

		if (first != NULL)
			shadowed(b, r, "route", &first->place);
		else if (d != NULL)
			shadowed(b, r, "domain", &d->place);
	}
	if (b->x->any == NULL && relays != NULL)
		report_at(b->r, CE_ROUTE_ANY, relays, 1, NULL, "");
}

static void check_shapes(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_shape; i++) {
		const struct shape *g = &b->c->shape[i];

		if (g->place.line > 0 && g->retry[0].n > 0 && g->expire <= g->retry[0].step[0])
			report_at(b->r, CE_EXPIRE_EARLY, &g->place, 5, NULL,
			    textf(b->r, "shape %s", g->name));
	}
}

/* A login that goes to whoever answers there. */
static void check_login(struct builder *b, const struct target *t)
{
	if (t->secret != NULL && t->tls.mode == OUT_TLS_UNSAID)
		report_at(b->r, CE_LOGIN_TLS, &t->place, 5, NULL, "");
}

static void check_logins(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_domain; i++)
		check_login(b, &b->c->domain[i].deliver);
	for (size_t i = 0; i < b->c->n_route; i++)
		check_login(b, &b->c->route[i].target);
}

static void check_srs(struct builder *b)
{
	const struct config *c = b->c;
	const struct place *domain = &b->x->origin[OPT_SRS_DOMAIN];

	if ((c->srs.domain == NULL) != (c->srs.secret == NULL))
		report_at(b->r, CE_SRS_HALF, c->srs.domain != NULL ? domain : &c->srs.secret_place,
		    1, NULL, "");
	else if (c->srs.domain != NULL && config_domain(c, span_str(c->srs.domain)) == NULL)
		report_at(b->r, CE_SRS_DOMAIN, domain, 6, NULL, c->srs.domain);
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
	check_logins(b);
	check_srs(b);
	check_listeners(b);
	check_limits(b);
}
