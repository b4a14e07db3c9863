/*
 * When memory runs out. Each role keeps some address space aside at its start; an
 * allocation that fails spends it and is tried again. From then on the role takes
 * nothing new (memory_low) and works off what it has; it ends only when the reserve is
 * used up as well, and master starts it again.
 *
 * One reserve for the process, for all its threads. gw_calloc, gw_realloc and
 * what libevent allocates are behind it; buffers and arenas are, by those.
 */
#ifndef GW_BASE_MEMORY_H
#define GW_BASE_MEMORY_H

#include "base/base.h"

/* Keeps that many octets aside; they are not touched, so they cost no memory until spent. */
void memory_reserve(size_t octets);
/* Was the reserve spent? One load: for every frame and command. */
bool memory_is_spent(void);
/* The same, but if it was, tries twice a second to have it back, and says in the log when that
 * changes. */
bool memory_low(void);

/* For what is allocated by other means: true means that the reserve was spent, try again. */
bool memory_spend(void);

/* malloc and realloc that spend the reserve before they answer NULL. */
void *memory_alloc(size_t size) gw_checked;
void *memory_realloc(void *p, size_t size) gw_checked;

#endif
