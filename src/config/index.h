/*
 * Private to config/: what the snapshot carries besides its public fields: the
 * tables behind the look-ups (lookup.c) and the places of single settings
 * (config_show with origin). Keys are borrowed from the snapshot's arena.
 */
#ifndef GW_CONFIG_INDEX_H
#define GW_CONFIG_INDEX_H

#include "config/parse.h"

#include "base/map.h"

struct config_index {
	struct map domain, route, shape; /* by index_key() of the pattern */
	const struct route *any;
	struct place origin[OPT_COUNT];
	struct place (*shape_origin)[SHAPE_OPTIONS]; /* one per shape */
};

/* "x" for an exact name, ".x" for "*.x". */
struct span index_key(const char *pattern);
void index_build(struct config *c);
/* The domain statement that covers all names of a pattern, given by its key. */
const struct domain *index_domain(const struct config *c, struct span key);
/* The route that decides about every name this pattern stands for before that route does. */
const struct route *index_shadow(const struct config *c, const struct route *route);

#endif
