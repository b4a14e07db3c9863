#include "base/pool.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 << 10, SLOT_MIN = 16, SLOT_MAX = 4096, WORDS = CHUNK / SLOT_MIN / 64 };
enum { AHEAD = 6 }; /* slots: a walk is as fast as the memory */

/* Chunks lie at multiples of their size: the chunk of a thing is found by its address. */
struct pool_chunk {
	TAILQ_ENTRY(pool_chunk) all, open;
	uint64_t serial;
	size_t used;
	uint64_t taken[WORDS]; /* a bit for each slot */
};

static uint8_t *slot_at(const struct pool *p, struct pool_chunk *c, size_t slot)
{
	return (uint8_t *)c + p->first + slot * p->size;
}

void pool_init(struct pool *p, size_t size)
{
	size = (size + SLOT_MIN - 1) / SLOT_MIN * SLOT_MIN;
	gw_assert(size >= SLOT_MIN && size <= SLOT_MAX);
	*p = (struct pool){.size = size};
	p->first = (sizeof(struct pool_chunk) + SLOT_MIN - 1) / SLOT_MIN * SLOT_MIN;
	p->per_chunk = (CHUNK - p->first) / size;
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->open);
}

void pool_fini(struct pool *p)
{
	struct pool_chunk *c;

	while ((c = TAILQ_FIRST(&p->all)) != NULL) {
		TAILQ_REMOVE(&p->all, c, all);
		free(c);
	}
	pool_init(p, p->size);
}

static struct pool_chunk *chunk_new(struct pool *p)
{
	struct pool_chunk *c = aligned_alloc(CHUNK, CHUNK);

	if (c == NULL && memory_spend())
		c = aligned_alloc(CHUNK, CHUNK);
	if (c == NULL)
		die("out of memory");
	memset(c, 0, sizeof(*c));
	c->serial = p->next_serial++;
	TAILQ_INSERT_TAIL(&p->all, c, all);
	TAILQ_INSERT_TAIL(&p->open, c, open);
	return c;
}

/* A slot that is free; the chunk has one. */
static size_t free_slot(const struct pool_chunk *c)
{
	size_t word = 0;

	while (c->taken[word] == UINT64_MAX)
		word++;
	return word * 64 + (size_t)__builtin_ctzll(~c->taken[word]);
}

void *pool_get(struct pool *p)
{
	struct pool_chunk *c = TAILQ_FIRST(&p->open);
	size_t slot;
	void *thing;

	if (c == NULL)
		c = chunk_new(p);
	slot = free_slot(c);
	c->taken[slot / 64] |= UINT64_C(1) << slot % 64;
	if (++c->used == p->per_chunk)
		TAILQ_REMOVE(&p->open, c, open);
	p->used++;
	thing = slot_at(p, c, slot);
	memset(thing, 0, p->size);
	return thing;
}

void pool_put(struct pool *p, void *thing)
{
	struct pool_chunk *c = (struct pool_chunk *)((uintptr_t)thing & ~(uintptr_t)(CHUNK - 1));
	size_t slot = (size_t)((uint8_t *)thing - slot_at(p, c, 0)) / p->size;
	uint64_t bit = UINT64_C(1) << slot % 64;

	gw_assert(slot < p->per_chunk && (c->taken[slot / 64] & bit) != 0);
	c->taken[slot / 64] &= ~bit;
	p->used--;
	if (c->used-- == p->per_chunk)
		TAILQ_INSERT_HEAD(&p->open, c, open);
	if (c->used > 0)
		return;
	TAILQ_REMOVE(&p->open, c, open);
	TAILQ_REMOVE(&p->all, c, all);
	p->freed++;
	free(c);
}

/* The next one that is taken, from this slot on, or per_chunk. */
static size_t taken_slot(const struct pool *p, const struct pool_chunk *c, size_t slot)
{
	while (slot < p->per_chunk) {
		uint64_t rest = c->taken[slot / 64] >> slot % 64;

		if (rest != 0)
			return slot + (size_t)__builtin_ctzll(rest);
		slot = (slot / 64 + 1) * 64;
	}
	return p->per_chunk;
}

/* The chunk where the walk is, or the next one if it is gone. */
static struct pool_chunk *chunk_from(const struct pool *p, const struct pool_walk *at)
{
	struct pool_chunk *c = TAILQ_FIRST(&p->all);

	if (at->chunk != NULL && at->freed == p->freed)
		return at->chunk;
	while (c != NULL && c->serial < at->serial)
		c = TAILQ_NEXT(c, all);
	return c;
}

void *pool_next(const struct pool *p, struct pool_walk *at)
{
	struct pool_chunk *c = chunk_from(p, at);

	for (; c != NULL; c = TAILQ_NEXT(c, all)) {
		if (c->serial != at->serial)
			at->slot = 0;
		at->serial = c->serial;
		at->chunk = c;
		at->freed = p->freed;
		at->slot = taken_slot(p, c, at->slot);
		if (at->slot < p->per_chunk) {
			uint8_t *thing = slot_at(p, c, at->slot++);

			__builtin_prefetch(thing + AHEAD * p->size);
			__builtin_prefetch(thing + AHEAD * p->size + 64);
			return thing;
		}
	}
	return NULL;
}
