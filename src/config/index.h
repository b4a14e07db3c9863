/*
 * Private to config/: what the snapshot carries besides its public fields: the
 * tables behind the look-ups (lookup.c) and the places of single settings
 * (config_show with origin). Keys are borrowed from the snapshot's arena.
 */
#ifndef GW_CONFIG_INDEX_H
#define GW_CONFIG_INDEX_H

#include "config/parse.h"

#include "base/map.h"

enum route_key { ROUTE_BY_TO, ROUTE_BY_FROM, ROUTE_BY_ACCOUNT, ROUTE_KEYS };
/* In the order of the configuration. */
struct route_list {
	const struct route **route;
	size_t n, room;
};

struct config_index {
	struct map domain, shape, shape_mx; /* by index_key() of the pattern */
	/* Routes, each in one list: by the domain or address of the recipient (both in one map, as
	   no domain has an '@'), those of the sender, the account, or by nothing. */
	struct map route[ROUTE_KEYS];
	struct route_list unkeyed;
	const struct route *any;        /* the first without a condition */
	bool by_size;                   /* a route asks for the size */
	struct config *replies;         /* builtin:replies, once they are asked for (classify.c) */
	bool has_replies;               /* they are included */
	struct reply_pattern *patterns; /* to be freed (pattern.h) */
	struct place origin[OPT_COUNT];
	struct place (*shape_origin)[SHAPE_OPTIONS]; /* one per shape */
};

/* "x" for an exact name, ".x" for "*.x". */
struct span index_key(const char *pattern);
void index_build(struct config *c);
/* The domain statement that covers all names of a pattern, given by its key. */
const struct domain *index_domain(const struct config *c, struct span key);
/* ---- lookup_route.c */
void index_routes(struct config *c);
void index_routes_free(struct config_index *x);
/* The route that decides about every message this one stands for before it does, if that is sure;
 * else NULL. */
const struct route *index_shadow(const struct config *c, const struct route *route);

#endif
