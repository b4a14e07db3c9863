#include "role/tally.h"

#include "base/map.h"

#include <sys/random.h>

enum { KIND_IP, KIND_NET, KINDS };
enum { V4_AT = 12, V4_NET = 15, V6_CLIENT = 8, V6_NET = 6 };

/* ---- keys ------------------------------------------------------------------------------------ */

static bool is_v4(const struct blotter_addr *a)
{
	static const struct blotter_addr prefix = {{[10] = 0xff, [11] = 0xff}};

	return memcmp(a->b, prefix.b, V4_AT) == 0;
}

/* The octets that tell one client, or its net, from others. */
static uint64_t key_of(const struct blotter_addr *a, int kind, uint64_t seed)
{
	uint8_t text[sizeof(a->b) + 1] = {(uint8_t)kind};
	size_t n;
	uint64_t key;

	if (is_v4(a))
		n = kind == KIND_IP ? sizeof(a->b) : V4_NET;
	else
		n = kind == KIND_IP ? V6_CLIENT : V6_NET;
	memcpy(text + 1, a->b, n);
	key = map_hash(span_of(text, sizeof(text)), seed);
	return key != 0 ? key : 1;
}

/* ---- in a receiver --------------------------------------------------------------------------- */

void tally_enter(struct tally *t, const struct blotter_addr *addr, uint32_t per, bool counted,
    int64_t now, struct tally_entry *out)
{
	out->counted = counted;
	for (int kind = 0; kind < KINDS; kind++) {
		out->key[kind] = key_of(addr, kind, t->seed);
		out->slot[kind] = rate_enter(t->own, out->key[kind], per, counted, now);
	}
	rate_count(t->own, 1);
}

void tally_forgive(struct tally_entry *e)
{
	for (int kind = 0; kind < KINDS && e->counted; kind++)
		rate_forgive(e->slot[kind]);
	e->counted = false;
}

void tally_leave(struct tally *t, struct tally_entry *e, bool forget)
{
	if (e->slot[0] == NULL)
		return;
	for (int kind = 0; kind < KINDS; kind++) {
		rate_leave(e->slot[kind], forget && e->counted);
		e->slot[kind] = NULL;
	}
	rate_count(t->own, -1);
}

static void add_up(const struct tally *t, const struct tally_entry *e, int kind, uint32_t per,
    int64_t now, struct rate_sum *sum)
{
	rate_add_own(e->slot[kind], per, now, sum);
	for (size_t i = 0; i < t->n; i++) {
		if (i != t->index)
			rate_add(t->all[i], e->key[kind], per, now, sum);
	}
}

uint64_t tally_total(const struct tally *t)
{
	uint64_t sum = rate_open(t->own);

	for (size_t i = 0; i < t->n; i++)
		sum += i != t->index ? rate_open(t->all[i]) : 0;
	return sum;
}

void tally_sums(const struct tally *t, const struct tally_entry *e, uint32_t per, int64_t now,
    struct tally_sums *out)
{
	*out = (struct tally_sums){.total = tally_total(t)};
	add_up(t, e, KIND_IP, per, now, &out->ip);
	add_up(t, e, KIND_NET, per, now, &out->net);
}

/* ---- in master ------------------------------------------------------------------------------- */

void tally_pages_make(struct pages *p, size_t receivers, uint64_t *seed)
{
	gw_assert(receivers <= TALLY_PAGES_MAX);
	if (getrandom(seed, sizeof(*seed), 0) != (ssize_t)sizeof(*seed))
		die("no random bytes");
	pages_make(p, "godwit-tally", receivers, sizeof(struct rate_page));
}

void tally_pages_here(const struct pages *p, uint64_t seed, size_t index, struct tally *out)
{
	*out = (struct tally){.own = pages_at(p, index), .n = p->n, .index = index, .seed = seed};
	for (size_t i = 0; i < p->n; i++)
		out->all[i] = pages_at(p, i);
}

void tally_pages_clear(const struct pages *p, size_t index)
{
	memset(pages_at(p, index), 0, sizeof(struct rate_page));
}

void tally_pages_take(struct pages *p, size_t index, struct tally *t)
{
	bool receiver = index != TALLY_NONE;
	const void *all = NULL;
	void *own = pages_take(p, receiver ? index : p->n, receiver ? &all : NULL);

	if (!receiver)
		return;
	t->own = own;
	for (size_t i = 0; i < t->n; i++)
		t->all[i] = (const void *)((const char *)all + i * p->size);
}
