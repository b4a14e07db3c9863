/*
 * A hash map from bytes to pointers. Keys are borrowed: they must live inside
 * (or as long as) the value. Hashing is keyed with a seed chosen at birth, so
 * that peers who choose keys cannot make them collide.
 */
#ifndef GW_BASE_MAP_H
#define GW_BASE_MAP_H

#include "base/span.h"

struct map_slot {
	struct span key;
	uint64_t hash;
	void *value; /* NULL: never used or removed (then hash == 1) */
};

struct map {
	struct map_slot *slots;
	size_t cap, used, filled;
	uint64_t seed;
};

/* The keyed hash of these bytes, for tables of other shapes. */
uint64_t map_hash(struct span key, uint64_t seed) gw_checked;

void map_init(struct map *m, uint64_t seed);
/* Frees the table, not the values. */
void map_fini(struct map *m);

void *map_get(const struct map *m, struct span key);
/* The key must not be present yet; value is not NULL. */
void map_put(struct map *m, struct span key, void *value);
/* Removes and returns the value, or NULL. */
void *map_del(struct map *m, struct span key);

/* Walks all values: start with *at = 0; NULL at the end. Removing the value just seen is allowed.
 */
void *map_next(const struct map *m, size_t *at);

static inline size_t map_len(const struct map *m)
{
	return m->used;
}

#endif
