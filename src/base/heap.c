#include "base/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
	*h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){0};
}

static void put_at(struct heap *h, size_t pos, struct heap_node *n)
{
	h->nodes[pos - 1] = n;
	n->pos = pos;
}

static void sift_up(struct heap *h, struct heap_node *n)
{
	size_t pos = n->pos;

	while (pos > 1 && h->nodes[pos / 2 - 1]->key > n->key) {
		put_at(h, pos, h->nodes[pos / 2 - 1]);
		pos /= 2;
	}
	put_at(h, pos, n);
}

static void sift_down(struct heap *h, struct heap_node *n)
{
	size_t pos = n->pos;

	for (;;) {
		size_t kid = pos * 2;

		if (kid > h->len)
			break;
		if (kid < h->len && h->nodes[kid]->key < h->nodes[kid - 1]->key)
			kid++;
		if (h->nodes[kid - 1]->key >= n->key)
			break;
		put_at(h, pos, h->nodes[kid - 1]);
		pos = kid;
	}
	put_at(h, pos, n);
}

void heap_set(struct heap *h, struct heap_node *n, int64_t key)
{
	if (n->pos == 0) {
		if (h->len == h->cap) {
			h->cap = h->cap ? h->cap * 2 : 64;
			h->nodes = gw_realloc(h->nodes, h->cap * sizeof(struct heap_node *));
		}
		h->len++;
		put_at(h, h->len, n);
	}
	n->key = key;
	sift_up(h, n);
	sift_down(h, n);
}

void heap_del(struct heap *h, struct heap_node *n)
{
	size_t pos = n->pos;
	struct heap_node *last;

	if (pos == 0)
		return;
	last = h->nodes[--h->len];
	n->pos = 0;
	if (last == n)
		return;
	put_at(h, pos, last);
	sift_up(h, last);
	sift_down(h, last);
}

struct heap_node *heap_min(const struct heap *h)
{
	return h->len ? h->nodes[0] : NULL;
}
