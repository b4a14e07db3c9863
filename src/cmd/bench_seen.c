/* Which of many keys were there before: a table of their hashes that grows and forgets nothing. */
#include "cmd/bench.h"

#include <stdlib.h>
#include <xxhash.h>

uint64_t seen_key(struct span run, uint64_t n, struct span to)
{
	uint64_t h = XXH3_64bits_withSeed(run.p, run.n, n);

	h = XXH3_64bits_withSeed(to.p, to.n, h);
	return h ? h : 1; /* 0 marks an empty slot */
}

static struct seen_slot *slot_of(struct seen *s, uint64_t key)
{
	size_t i = key & (s->cap - 1);

	while (s->slots[i].key != 0 && s->slots[i].key != key)
		i = (i + 1) & (s->cap - 1);
	return &s->slots[i];
}

static void seen_grow(struct seen *s)
{
	struct seen old = *s;

	s->cap = old.cap ? old.cap * 2 : 1024;
	s->slots = gw_calloc(s->cap, sizeof(*s->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].key != 0)
			*slot_of(s, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

int seen_add(struct seen *s, uint64_t key, int64_t when, int64_t *first)
{
	struct seen_slot *slot;

	if (s->used >= SEEN_MAX)
		return GW_EFULL;
	if (s->used * 2 >= s->cap)
		seen_grow(s);
	slot = slot_of(s, key);
	if (slot->key == key) {
		*first = slot->first;
		return 0;
	}
	*slot = (struct seen_slot){key, when};
	*first = when;
	s->used++;
	return 1;
}

void seen_fini(struct seen *s)
{
	free(s->slots);
	*s = (struct seen){0};
}
