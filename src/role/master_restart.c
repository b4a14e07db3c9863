/* Which processes are started again for a configuration: their walls do not let in what it needs.
 */
#include "role/master.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* ---- resolver: its library is set up before the jail ---------------------------------------- */

static bool same_server(const struct dns_server *a, const struct dns_server *b)
{
	return strcmp(a->domain, b->domain) == 0 && same_text(a->at.host, b->at.host) &&
	       a->at.port == b->at.port && a->stub == b->stub;
}

static bool resolver_differs(const struct config *a, const struct config *b)
{
	if (a->resolver.n_server != b->resolver.n_server ||
	    !same_text(a->resolver.trust_anchor, b->resolver.trust_anchor) ||
	    !same_text(a->resolver.root_hints, b->resolver.root_hints) ||
	    a->resolver.timeout != b->resolver.timeout)
		return true;
	for (size_t i = 0; i < a->resolver.n_server; i++) {
		if (!same_server(&a->resolver.server[i], &b->resolver.server[i]))
			return true;
	}
	return false;
}

/* ---- mda: Landlock names the directories, and the launcher was born before ------------------- */

static const struct target *target_at(const struct config *c, size_t i)
{
	if (i < c->n_domain)
		return &c->domain[i].deliver;
	i -= c->n_domain;
	return i < c->n_route ? &c->route[i].target : NULL;
}

static bool has_pipe(const struct config *c, const struct pipe *p)
{
	const struct target *t;

	for (size_t i = 0; (t = target_at(c, i)) != NULL; i++) {
		if (t->kind == TARGET_PIPE && pipe_same(t->pipe, p))
			return true;
	}
	return false;
}

static bool mda_lacks(const struct config *old, const struct config *next)
{
	const struct target *t;

	for (size_t i = 0; (t = target_at(next, i)) != NULL; i++) {
		if (t->kind == TARGET_PIPE && !has_pipe(old, t->pipe))
			return true;
	}
	return !boot_trees_have(old, next);
}

bool reload_restarts(enum role role, const struct config *old, const struct config *next)
{
	switch (role) {
	case ROLE_RESOLVER: return resolver_differs(old, next);
	case ROLE_MDA: return mda_lacks(old, next);
	/* A socket with a path, and a file of authorities, are out of reach from its root. */
	case ROLE_SENDER:
		return (boot_sends_to_path(next) && !boot_sends_to_path(old)) ||
		       !same_text(old->authorities, next->authorities);
	default: return false;
	}
}
