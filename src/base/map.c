#include "base/map.h"

#include <stdlib.h>
#include <xxhash.h>

enum { MAP_FIRST = 16 };

uint64_t map_hash(struct span key, uint64_t seed)
{
	return XXH3_64bits_withSeed(key.p, key.n, seed);
}

static uint64_t hash_of(const struct map *m, struct span key)
{
	uint64_t h = map_hash(key, m->seed);

	return h < 2 ? h + 2 : h; /* 0 and 1 mark empty and removed slots */
}

void map_init(struct map *m, uint64_t seed)
{
	*m = (struct map){.seed = seed};
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){.seed = m->seed};
}

/* The slot that holds the key, or NULL. */
static struct map_slot *find(const struct map *m, struct span key, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (s->hash == 0)
			return NULL;
		if (s->hash == hash && s->value != NULL && span_eq(s->key, key))
			return s;
	}
}

static void place(struct map *m, struct map_slot in)
{
	size_t i = in.hash & (m->cap - 1);

	while (m->slots[i].value != NULL)
		i = (i + 1) & (m->cap - 1);
	if (m->slots[i].hash == 0)
		m->filled++;
	m->slots[i] = in;
}

static void rebuild(struct map *m)
{
	struct map_slot *old = m->slots;
	size_t old_cap = m->cap;

	m->cap = MAP_FIRST;
	while (m->cap < (m->used + 1) * 2)
		m->cap *= 2;
	m->slots = gw_calloc(m->cap, sizeof(*m->slots));
	m->filled = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].value != NULL)
			place(m, old[i]);
	}
	free(old);
}

void *map_get(const struct map *m, struct span key)
{
	struct map_slot *s = find(m, key, hash_of(m, key));

	return s ? s->value : NULL;
}

void map_put(struct map *m, struct span key, void *value)
{
	uint64_t hash = hash_of(m, key);

	gw_assert(value != NULL);
	if ((m->filled + 1) * 4 > m->cap * 3)
		rebuild(m);
	place(m, (struct map_slot){.key = key, .hash = hash, .value = value});
	m->used++;
}

void *map_del(struct map *m, struct span key)
{
	struct map_slot *s = find(m, key, hash_of(m, key));
	void *value;

	if (s == NULL)
		return NULL;
	value = s->value;
	*s = (struct map_slot){.hash = 1};
	m->used--;
	return value;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		struct map_slot *s = &m->slots[(*at)++];

		if (s->value != NULL)
			return s->value;
	}
	return NULL;
}
