#include "flow/rate.h"

#define SECOND UINT64_C(1000000)

/* Other processes read what we write: each word is whole, and a key stands only over counts of its
 * own. */
static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *p, uint32_t n)
{
	__atomic_store_n(p, n, __ATOMIC_SEQ_CST);
}

static const struct rate_slot *place(const struct rate_page *page, uint64_t key, unsigned i)
{
	return &page->slot[(key + i) % RATE_SLOTS];
}

static uint32_t window_of(uint32_t per, int64_t now)
{
	return (uint32_t)((uint64_t)now / SECOND / per);
}

/* What was made lately, as it is seen now. */
static uint32_t made_lately(const struct rate_slot *s, uint32_t per, int64_t now)
{
	uint32_t behind = window_of(per, now) - load(&s->window);
	uint64_t gone = (uint64_t)now % (per * SECOND), left = per * SECOND - gone;
	uint64_t last = behind == 0 ? load(&s->before) : load(&s->now);

	if (behind > 1)
		return 0;
	return (uint32_t)(last * left / (per * SECOND)) + (behind == 0 ? load(&s->now) : 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct rate_slot *better(struct rate_slot *a, struct rate_slot *b, uint32_t per, int64_t now)
{
	if (a == NULL || b->key == 0)
		return b;
	return made_lately(b, per, now) < made_lately(a, per, now) ? b : a;
}

/* Its own place, one that can be had, or that of all who found none. */
static struct rate_slot *find(struct rate_page *own, uint64_t key, uint32_t per, int64_t now)
{
	struct rate_slot *best = NULL;

	for (unsigned i = 0; i < RATE_REACH; i++) {
		struct rate_slot *s = &own->slot[(key + i) % RATE_SLOTS];

		if (s->key == key)
			return s;
		if (s->open == 0 && (best == NULL || best->key != 0))
			best = better(best, s, per, now);
	}
	return best != NULL ? best : &own->shared;
}

static void take(struct rate_slot *s, uint64_t key, uint32_t window)
{
	store(&s->now, 0);
	store(&s->before, 0);
	store(&s->window, window);
	__atomic_store_n(&s->key, key, __ATOMIC_SEQ_CST);
}

static void turn_window(struct rate_slot *s, uint32_t window)
{
	uint32_t last = s->window + 1 == window ? s->now : 0;

	if (s->window == window)
		return;
	store(&s->before, last);
	store(&s->now, 0);
	store(&s->window, window);
}

struct rate_slot *rate_enter(
    struct rate_page *own, uint64_t key, uint32_t per, bool counted, int64_t now)
{
	struct rate_slot *s = find(own, key, per, now);
	uint32_t window = window_of(per, now);

	if (s != &own->shared && s->key != key)
		take(s, key, window);
	turn_window(s, window);
	store(&s->open, s->open + 1);
	if (counted)
		store(&s->now, s->now + 1);
	return s;
}

void rate_forgive(struct rate_slot *slot)
{
	if (slot->now > 0)
		store(&slot->now, slot->now - 1);
}

void rate_leave(struct rate_slot *slot, bool forget)
{
	gw_assert(slot->open > 0);
	if (forget)
		rate_forgive(slot);
	store(&slot->open, slot->open - 1);
}

void rate_count(struct rate_page *own, int change)
{
	store(&own->open, own->open + (uint32_t)change);
}

/* ---- reading --------------------------------------------------------------------------------- */

uint32_t rate_open(const struct rate_page *page)
{
	return load(&page->open);
}

void rate_add_own(const struct rate_slot *slot, uint32_t per, int64_t now, struct rate_sum *sum)
{
	sum->open += load(&slot->open);
	sum->made += made_lately(slot, per, now);
}

/* The slot may go to another key while we look: then its counts are not added. */
void rate_add(
    const struct rate_page *page, uint64_t key, uint32_t per, int64_t now, struct rate_sum *sum)
{
	for (unsigned i = 0; i < RATE_REACH; i++) {
		const struct rate_slot *s = place(page, key, i);
		struct rate_sum more = *sum;

		if (__atomic_load_n(&s->key, __ATOMIC_SEQ_CST) != key)
			continue;
		rate_add_own(s, per, now, &more);
		if (__atomic_load_n(&s->key, __ATOMIC_SEQ_CST) == key)
			*sum = more;
		return;
	}
}
