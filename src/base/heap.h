/*
 * A binary min-heap of nodes embedded in their owners, ordered by an int64 key
 * (a time). Removal and re-keying from the middle are O(log n).
 */
#ifndef GW_BASE_HEAP_H
#define GW_BASE_HEAP_H

#include "base/base.h"

struct heap_node {
	int64_t key;
	size_t pos; /* 1-based; 0: not in a heap */
};

struct heap {
	struct heap_node **nodes;
	size_t len, cap;
};

void heap_init(struct heap *h);
/* Frees the table, not the nodes. */
void heap_fini(struct heap *h);

/* Puts the node in, or moves it if it is in already. */
void heap_set(struct heap *h, struct heap_node *n, int64_t key);
/* Takes the node out; no effect if it is not in. */
void heap_del(struct heap *h, struct heap_node *n);
/* The node with the least key, or NULL. */
struct heap_node *heap_min(const struct heap *h);

#endif
