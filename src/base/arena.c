#include "base/arena.h"

#include <stdlib.h>

enum { CHUNK = 2048, ALIGN = 16 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(ALIGN) uint8_t mem[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *c = a->chunks;

	while (c != NULL) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
	*a = (struct arena){.max = a->max};
}

void arena_clear(struct arena *a)
{
	struct arena_chunk *c = a->chunks;

	if (c == NULL || c->next != NULL || c->size > CHUNK || a->overflow) {
		arena_reset(a);
		return;
	}
	c->used = a->used = 0;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
	size_t size =
	    n > CHUNK - sizeof(struct arena_chunk) ? n : CHUNK - sizeof(struct arena_chunk);
	struct arena_chunk *c = gw_realloc(NULL, sizeof(*c) + size);

	*c = (struct arena_chunk){.next = a->chunks, .size = size};
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_chunk *c = a->chunks;
	void *p;

	if (n > a->max || a->used > a->max - n || a->overflow) {
		a->overflow = true;
		return NULL;
	}
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (c == NULL || c->size - c->used < n)
		c = add_chunk(a, n);
	p = memset(c->mem + c->used, 0, n);
	c->used += n;
	a->used += n;
	return p;
}

struct span arena_dup(struct arena *a, struct span s)
{
	uint8_t *p = arena_alloc(a, s.n + 1);

	if (p == NULL)
		return SPAN_NONE;
	if (s.n)
		memcpy(p, s.p, s.n);
	return span_of(p, s.n);
}
