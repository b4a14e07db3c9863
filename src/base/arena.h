/*
 * Memory with one owner and one end: per session and per transaction. All of
 * it is given back at once. The ceiling is named at birth; beyond it the arena
 * answers NULL and stays marked overflowed, a state the caller turns into a
 * 452. Want of memory below the ceiling ends the process, as with gw_calloc().
 */
#ifndef GW_BASE_ARENA_H
#define GW_BASE_ARENA_H

#include "base/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	size_t used, max;
	bool overflow;
};

void arena_init(struct arena *a, size_t max);
/* Gives everything back; the arena can be used again. */
void arena_reset(struct arena *a);

/* The same, but keeps memory for the next few small things: for what is filled again at once. */
void arena_clear(struct arena *a);

/* Zeroed, aligned for any type; NULL beyond the ceiling. */
void *arena_alloc(struct arena *a, size_t n) gw_checked;
/* A copy of the bytes, followed by a NUL that is not counted. On overflow: an empty span. */
struct span arena_dup(struct arena *a, struct span s) gw_checked;

#endif
