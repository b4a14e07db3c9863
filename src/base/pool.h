/*
 * Many things of one small size. They lie side by side in chunks, so that a
 * million of them cost no more than their size and can be walked in the order of
 * the memory. A chunk that empties is given back.
 */
#ifndef GW_BASE_POOL_H
#define GW_BASE_POOL_H

#include "base/base.h"

#include <sys/queue.h>

struct pool_chunk;
TAILQ_HEAD(pool_list, pool_chunk);

struct pool {
	size_t size, per_chunk, used;
	size_t first;                /* octets of a chunk before its first slot */
	uint64_t next_serial, freed; /* chunks */
	struct pool_list all;        /* by serial, ascending */
	struct pool_list open;       /* those with room */
};

/* Size: of each thing, 16 to 4096 octets. */
void pool_init(struct pool *p, size_t size);
/* Gives all of it back. */
void pool_fini(struct pool *p);

/* Zeroed, aligned for any type; never NULL: die() when memory is out. */
void *pool_get(struct pool *p) gw_checked;
void pool_put(struct pool *p, void *thing);

static inline size_t pool_len(const struct pool *p)
{
	return p->used;
}

/*
 * A walk in the order of memory: start with {0}; NULL at the end. It may be interrupted and go
 * on later: what was taken out meanwhile is not seen, what was put in may be.
 */
struct pool_walk {
	struct pool_chunk *chunk; /* if no chunk was freed since */
	uint64_t freed;
	uint64_t serial;
	size_t slot;
};
void *pool_next(const struct pool *p, struct pool_walk *at);

#endif
