#include "flow/reach.h"

#include <stdlib.h>

static bool below(struct span name, struct span parent)
{
	size_t n = parent.n + 1;

	return name.n > n && name.p[name.n - n] == '.' &&
	       span_eq(span_skip(name, name.n - parent.n), parent);
}

bool reach_has_domain(const struct reach *r, struct span domain)
{
	return span_eq(domain, r->name) || (r->kind == ETRN_BELOW && below(domain, r->name));
}

bool reach_has_site(const struct reach *r, const char *site)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->site[i], site) == 0)
			return true;
	}
	return false;
}

/* ---- statements -------------------------------------------------------------------------------
 */

enum concern { CONCERNS_NOT, CONCERNS_ALONE, CONCERNS_AMONG };

/* The mail of a pattern, or of a plain name. */
static enum concern concern_of(const struct reach *r, const char *pattern)
{
	struct span p = span_str(pattern);
	bool star = span_starts(p, SPAN("*."));

	if (star)
		p = span_skip(p, 2);
	if (reach_has_domain(r, p) && (!star || r->kind == ETRN_BELOW))
		return CONCERNS_ALONE;
	return config_pattern_match(pattern, r->name) ? CONCERNS_AMONG : CONCERNS_NOT;
}

static enum concern concern_of_route(const struct reach *r, const struct route *x)
{
	const char *at = x->address != NULL ? strrchr(x->address, '@') : NULL;

	if (x->domain != NULL)
		return concern_of(r, x->domain);
	if (at != NULL)
		return concern_of(r, at + 1);
	return x->address == NULL ? CONCERNS_AMONG : CONCERNS_NOT;
}

/* Behind such a route no other one decides about the name. */
static bool settles(const struct reach *r, const struct route *x)
{
	bool all = x->any || (x->domain != NULL && r->kind == ETRN_NODE);

	return all && x->address == NULL && x->from_domain == NULL && x->from_address == NULL &&
	       x->from_account == NULL && x->larger_than == 0;
}

static void add(
    struct reach *r, const struct config *c, const struct target *t, enum concern concern)
{
	char site[SITE_KEY_MAX];

	if (concern == CONCERNS_NOT || t->kind == TARGET_MX || t->kind == TARGET_REJECT)
		return;
	route_site(c, t, site);
	r->shared = r->shared || concern == CONCERNS_AMONG || r->n == REACH_MAX;
	if (reach_has_site(r, site) || r->n == REACH_MAX)
		return;
	r->site = gw_realloc(r->site, (r->n + 1) * sizeof(*r->site));
	memcpy(r->site[r->n++], site, sizeof(site));
}

/* Whose mail goes to the same place? */
static void note_neighbour(struct reach *r, const struct config *c, const struct target *t)
{
	char site[SITE_KEY_MAX];

	if (r->shared || r->n == 0 || t->kind == TARGET_MX || t->kind == TARGET_REJECT)
		return;
	route_site(c, t, site);
	r->shared = reach_has_site(r, site);
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static enum concern concern_of_domain(
    const struct reach *r, const struct config *c, const struct domain *d)
{
	if (r->kind == ETRN_BELOW || d == config_domain(c, r->name))
		return concern_of(r, d->name);
	return CONCERNS_NOT;
}

static void add_routes(struct reach *r, const struct config *c)
{
	/* A domain of ours never takes a route. */
	bool settled = r->kind == ETRN_NODE && config_domain(c, r->name) != NULL;

	for (size_t i = 0; i < c->n_route && !settled; i++) {
		const struct route *x = &c->route[i];
		enum concern concern = concern_of_route(r, x);

		add(r, c, &x->target, concern);
		settled = concern != CONCERNS_NOT && settles(r, x);
	}
}

static void note_neighbours(struct reach *r, const struct config *c)
{
	for (size_t i = 0; i < c->n_domain; i++) {
		if (concern_of_domain(r, c, &c->domain[i]) == CONCERNS_NOT)
			note_neighbour(r, c, &c->domain[i].deliver);
	}
	for (size_t i = 0; i < c->n_route; i++) {
		if (concern_of_route(r, &c->route[i]) != CONCERNS_ALONE)
			note_neighbour(r, c, &c->route[i].target);
	}
}

void reach_init(struct reach *r, const struct config *c, enum etrn_kind kind, struct span name)
{
	*r = (struct reach){.kind = kind, .name = name};
	for (size_t i = 0; i < c->n_domain; i++)
		add(r, c, &c->domain[i].deliver, concern_of_domain(r, c, &c->domain[i]));
	add_routes(r, c);
	note_neighbours(r, c);
}

void reach_fini(struct reach *r)
{
	free(r->site);
	*r = (struct reach){0};
}
