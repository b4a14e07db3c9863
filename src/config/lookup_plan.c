/* Plans of accounts. */
#include "config/config.h"

#include <string.h>

static const struct plan *named(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->n_plan; i++) {
		if (span_eq(span_str(c->plan[i].name), name))
			return &c->plan[i];
	}
	return NULL;
}

bool config_has_plan(const struct config *c, struct span name)
{
	return named(c, name) != NULL;
}

const struct plan *config_plan(const struct config *c, struct span name)
{
	const struct plan *p = name.n > 0 ? named(c, name) : NULL;

	return p != NULL ? p : named(c, SPAN("default"));
}
