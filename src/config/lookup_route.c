/*
 * The routes. Each lies in one list: that of the recipient it names, of the sender, of the account,
 * whichever has the fewest, or of those that name nobody. A query looks into the few lists that its
 * names lead to; in each the first route that matches counts, and of these the first of all.
 */
#include "config/index.h"

enum { SEED = 0x676f7274, NAME_OCTETS = 512 };

/* What is looked for: a message, or what a route stands for. */
struct subject {
	struct span address, domain, from, from_domain, account; /* domains: keys */
	bool (*matches)(const struct route *r, const void *arg);
	const void *arg;
};

/* ---- the lists ------------------------------------------------------------------------------- */

static struct span key_of(const struct route *r, enum route_key k)
{
	const char *exact = NULL, *pattern = NULL;

	switch (k) {
	case ROUTE_BY_TO:
		exact = r->address;
		pattern = r->domain;
		break;
	case ROUTE_BY_FROM:
		exact = r->from_address;
		pattern = r->from_domain;
		break;
	case ROUTE_BY_ACCOUNT: exact = r->from_account; break;
	case ROUTE_KEYS: break;
	}
	if (exact != NULL)
		return span_str(exact);
	return pattern != NULL ? index_key(pattern) : SPAN_NONE;
}

static struct route_list *list_of(const struct config_index *x, const struct route *r, int k)
{
	struct span key = key_of(r, (enum route_key)k);

	return key.n > 0 ? map_get(&x->route[k], key) : NULL;
}

static void count(struct config *c, const struct route *r)
{
	for (int k = 0; k < ROUTE_KEYS; k++) {
		struct route_list *l = list_of(c->index, r, k);
		struct span key = key_of(r, (enum route_key)k);

		if (key.n > 0 && l == NULL) {
			l = must_alloc(&c->arena, sizeof(*l));
			*l = (struct route_list){0};
			map_put(&c->index->route[k], key, l);
		}
		if (l != NULL)
			l->room++;
	}
}

static void file(struct config *c, const struct route *r)
{
	struct route_list *best = NULL;

	for (int k = 0; k < ROUTE_KEYS; k++) {
		struct route_list *l = list_of(c->index, r, k);

		if (l != NULL && (best == NULL || l->room < best->room))
			best = l;
	}
	if (best == NULL)
		best = &c->index->unkeyed;
	if (best->route == NULL)
		best->route = must_alloc(&c->arena, best->room * sizeof(*best->route));
	best->route[best->n++] = r;
}

static bool unconditional(const struct route *r)
{
	return r->domain == NULL && r->address == NULL && r->from_domain == NULL &&
	       r->from_address == NULL && r->from_account == NULL && r->larger_than == 0;
}

void index_routes(struct config *c)
{
	struct config_index *x = c->index;

	for (int k = 0; k < ROUTE_KEYS; k++)
		map_init(&x->route[k], SEED);
	x->unkeyed = (struct route_list){.room = c->n_route};
	for (size_t i = 0; i < c->n_route; i++) {
		count(c, &c->route[i]);
		if (x->any == NULL && unconditional(&c->route[i]))
			x->any = &c->route[i];
		x->by_size = x->by_size || c->route[i].larger_than > 0;
	}
	for (size_t i = 0; i < c->n_route; i++)
		file(c, &c->route[i]);
}

void index_routes_free(struct config_index *x)
{
	for (int k = 0; k < ROUTE_KEYS; k++)
		map_fini(&x->route[k]);
}

/* ---- looking --------------------------------------------------------------------------------- */

static const struct route *first_of(
    const struct route_list *l, const struct subject *s, const struct route *best)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		if (best != NULL && l->route[i] >= best)
			return best;
		if (s->matches(l->route[i], s->arg))
			return l->route[i];
	}
	return best;
}

static const struct route *first_by(
    const struct map *m, struct span key, const struct subject *s, const struct route *best)
{
	return key.n > 0 ? first_of(map_get(m, key), s, best) : best;
}

/* The key itself, then ".x" for each label that can be left out. */
static const struct route *first_by_domain(
    const struct map *m, struct span key, const struct subject *s, const struct route *best)
{
	best = first_by(m, key, s, best);
	for (size_t i = 1; i < key.n; i++) {
		if (key.p[i] == '.')
			best = first_by(m, span_skip(key, i), s, best);
	}
	return best;
}

/* An address, or an account: in lower case. */
static const struct route *first_by_name(
    const struct map *m, struct span name, const struct subject *s, const struct route *best)
{
	char lower[NAME_OCTETS];

	if (m->used == 0 || name.n > sizeof(lower))
		return best;
	for (size_t i = 0; i < name.n; i++)
		lower[i] = (char)ascii_lower(name.p[i]);
	return first_by(m, span_of(lower, name.n), s, best);
}

static const struct route *find(const struct config_index *x, const struct subject *s)
{
	const struct route *best = first_of(&x->unkeyed, s, NULL);

	best = first_by_name(&x->route[ROUTE_BY_TO], s->address, s, best);
	best = first_by_domain(&x->route[ROUTE_BY_TO], s->domain, s, best);
	best = first_by_name(&x->route[ROUTE_BY_FROM], s->from, s, best);
	best = first_by_domain(&x->route[ROUTE_BY_FROM], s->from_domain, s, best);
	return first_by_name(&x->route[ROUTE_BY_ACCOUNT], s->account, s, best);
}

/* ---- for a message --------------------------------------------------------------------------- */

static bool domain_is(const char *pattern, struct span name)
{
	return pattern == NULL || config_pattern_match(pattern, name);
}

static bool address_is(const char *address, struct span is)
{
	return address == NULL || span_eq_case(span_str(address), is);
}

static bool matches(const struct route *r, const void *arg)
{
	const struct route_query *q = arg;

	return domain_is(r->domain, q->domain) && address_is(r->address, q->address) &&
	       domain_is(r->from_domain, q->from_domain) && address_is(r->from_address, q->from) &&
	       (r->from_account == NULL || span_eq_case(span_str(r->from_account), q->account)) &&
	       (r->larger_than == 0 || q->size > r->larger_than);
}

/* A name is no key of a pattern: ".example" is nobody's domain. */
static struct span as_name(struct span s)
{
	return s.n > 0 && s.p[0] == '.' ? SPAN_NONE : s;
}

static const struct route *find_for(const struct config *c, const struct route_query *query)
{
	struct route_query q = *query;

	q.domain = as_name(q.domain);
	q.from_domain = as_name(q.from_domain);
	return find(c->index, &(struct subject){.address = q.address,
				  .domain = q.domain,
				  .from = q.from,
				  .from_domain = q.from_domain,
				  .account = q.account,
				  .matches = matches,
				  .arg = &q});
}

const struct route *config_route(const struct config *c, const struct route_query *q)
{
	return find_for(c, q);
}

bool config_routes_by_size(const struct config *c)
{
	return c->index->by_size;
}

bool config_route_sure(const struct config *c, const struct route_query *q)
{
	struct route_query small = *q, large = *q;

	small.size = 0;
	large.size = UINT64_MAX;
	return find_for(c, &small) == find_for(c, &large);
}

/* ---- for a route: is there one before it that takes everything it could? --------------------- */

/* Is every name of the pattern one of the other pattern too? */
static bool covers(const char *pattern, const char *other)
{
	if (strncmp(other, "*.", 2) != 0)
		return config_pattern_match(pattern, span_str(other));
	return strcmp(pattern, other) == 0 ||
	       (pattern[0] == '*' && config_pattern_match(pattern, span_str(other + 2)));
}

static struct span domain_of(const char *address)
{
	const char *at = address != NULL ? strrchr(address, '@') : NULL;

	return at != NULL ? span_str(at + 1) : SPAN_NONE;
}

static bool covers_domain(const char *pattern, const char *other, const char *address)
{
	if (pattern == NULL || (other != NULL && covers(pattern, other)))
		return true;
	return address != NULL && config_pattern_match(pattern, domain_of(address));
}

static bool same(const char *text, const char *other)
{
	return text == NULL || (other != NULL && strcmp(text, other) == 0);
}

/* Whatever the route in arg matches, r matches too. */
static bool takes_all(const struct route *r, const void *arg)
{
	const struct route *b = arg;

	return r < b && covers_domain(r->domain, b->domain, b->address) &&
	       same(r->address, b->address) &&
	       covers_domain(r->from_domain, b->from_domain, b->from_address) &&
	       same(r->from_address, b->from_address) && same(r->from_account, b->from_account) &&
	       r->larger_than <= b->larger_than;
}

static struct span subject_domain(const char *pattern, const char *address)
{
	return pattern != NULL ? index_key(pattern) : domain_of(address);
}

const struct route *index_shadow(const struct config *c, const struct route *r)
{
	struct subject s = {.domain = subject_domain(r->domain, r->address),
	    .from_domain = subject_domain(r->from_domain, r->from_address),
	    .matches = takes_all,
	    .arg = r};

	s.address = r->address != NULL ? span_str(r->address) : SPAN_NONE;
	s.from = r->from_address != NULL ? span_str(r->from_address) : SPAN_NONE;
	s.account = r->from_account != NULL ? span_str(r->from_account) : SPAN_NONE;
	return find(c->index, &s);
}
