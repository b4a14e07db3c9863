#include "flow/parked.h"

#include "base/map.h"
#include "mail/change.h"

#include <stdlib.h>

enum { BUCKETS_MIN = 64 };

void parking_init(struct parking *k, uint64_t seed)
{
	*k = (struct parking){.seed = seed};
	pool_init(&k->pool, sizeof(struct parked));
	heap_init(&k->due);
}

static void free_owned(struct parked *p)
{
	if (p->n_rcpt != 1)
		free(p->rest.many);
	free(p->times);
}

void parking_fini(struct parking *k)
{
	struct pool_walk at = {0};
	struct parked *p;

	while ((p = pool_next(&k->pool, &at)) != NULL)
		free_owned(p);
	pool_fini(&k->pool);
	heap_fini(&k->due);
	free(k->bucket);
	k->bucket = NULL;
}

/* ---- by id --------------------------------------------------------------------------------- */

static struct parked **bucket_of(const struct parking *k, const struct msgid *id)
{
	return &k->bucket[map_hash(msgid_span(id), k->seed) & (k->n_bucket - 1)];
}

/* On average one in a bucket at least: an index of pointers only. */
static void grow(struct parking *k)
{
	struct pool_walk at = {0};
	struct parked *p;

	if (parking_len(k) < k->n_bucket)
		return;
	free(k->bucket);
	k->n_bucket = k->n_bucket ? 2 * k->n_bucket : BUCKETS_MIN;
	k->bucket = gw_calloc(k->n_bucket, sizeof(struct parked *));
	while ((p = pool_next(&k->pool, &at)) != NULL) {
		struct parked **b = bucket_of(k, &p->id);

		p->next = *b;
		*b = p;
	}
}

struct parked *parking_find(const struct parking *k, const struct msgid *id)
{
	struct parked *p;

	if (k->n_bucket == 0)
		return NULL;
	for (p = *bucket_of(k, id); p != NULL && !msgid_eq(&p->id, id);)
		p = p->next;
	return p;
}

struct parked *parking_add(struct parking *k, const struct msgid *id, uint32_t n_rcpt)
{
	struct parked *p, **b;

	grow(k);
	p = pool_get(&k->pool);
	p->id = *id;
	p->n_rcpt = p->n_open = n_rcpt;
	if (n_rcpt != 1)
		p->rest.many = gw_calloc(n_rcpt, sizeof(struct resting) + 1);
	for (uint32_t i = 0; i < n_rcpt; i++)
		parked_rest(p)[i].index = i;
	b = bucket_of(k, id);
	p->next = *b;
	*b = p;
	return p;
}

void parking_remove(struct parking *k, struct parked *p)
{
	struct parked **at = bucket_of(k, &p->id);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	heap_del(&k->due, &p->node);
	free_owned(p);
	pool_put(&k->pool, p);
}

void parked_set_times(struct parked *p, int64_t release, int64_t by_at)
{
	free(p->times);
	p->times = NULL;
	if (release == 0 && by_at == 0)
		return;
	p->times = gw_calloc(1, sizeof(*p->times));
	*p->times = (struct parked_times){.release = release, .by_at = by_at};
}

/* ---- recipients ----------------------------------------------------------------------------- */

static uint8_t *ended_of(const struct parked *p)
{
	return (uint8_t *)(p->rest.many + p->n_open);
}

struct resting *parked_entry(struct parked *p, uint32_t index)
{
	struct resting *r = parked_rest(p);
	size_t low = 0, high = p->n_open;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (r[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->n_open && r[low].index == index ? &r[low] : NULL;
}

uint8_t parked_ended(const struct parked *p, uint32_t index)
{
	return p->n_rcpt == 1 ? OUTCOME_NONE : ended_of(p)[index];
}

void parked_compact(struct parked *p)
{
	struct resting *old = parked_rest(p), *made;
	uint32_t n = 0;
	uint8_t *ended;

	for (uint32_t i = 0; i < p->n_open; i++)
		n += !outcome_final((enum outcome)old[i].outcome);
	if (p->n_rcpt == 1 || n == p->n_open)
		return;
	made = gw_calloc(1, n * sizeof(*made) + p->n_rcpt);
	ended = (uint8_t *)(made + n);
	memcpy(ended, ended_of(p), p->n_rcpt);
	n = 0;
	for (uint32_t i = 0; i < p->n_open; i++) {
		if (outcome_final((enum outcome)old[i].outcome))
			ended[old[i].index] = old[i].outcome;
		else
			made[n++] = old[i];
	}
	free(old);
	p->rest.many = made;
	p->n_open = n;
}
