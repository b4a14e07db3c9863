#include "role/limit_advice.h"

#include "base/map.h"

#include <stdlib.h>

enum {
	KEY_MAX = 32 + PROTO_LIMIT_NAME * 2,
	LOOKS = 32, /* rows looked at for one that can go */
	ONE_EVERY = 1000000,
};

struct row {
	uint64_t used, n;
	int64_t opens; /* 0: it is open */
	int64_t let;   /* when one that waited was let through last */
	size_t n_key;
	uint8_t key[];
};

struct limit_advice {
	struct map rows;
	size_t max;
	size_t at; /* where the search for one that can go went on */
};

struct limit_advice *limit_advice_new(uint64_t seed, size_t rows)
{
	struct limit_advice *a = gw_calloc(1, sizeof(*a));

	map_init(&a->rows, seed);
	a->max = rows;
	return a;
}

void limit_advice_clear(struct limit_advice *a)
{
	uint64_t seed = a->rows.seed;
	struct row *r;
	size_t at = 0;

	while ((r = map_next(&a->rows, &at)) != NULL)
		free(r);
	map_fini(&a->rows);
	map_init(&a->rows, seed);
	a->at = 0;
}

void limit_advice_free(struct limit_advice **pa)
{
	struct limit_advice *a = *pa;

	if (a == NULL)
		return;
	limit_advice_clear(a);
	map_fini(&a->rows);
	free(a);
	*pa = NULL;
}

size_t limit_advice_rows(const struct limit_advice *a)
{
	return map_len(&a->rows);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void put_key(const struct proto_limit *l, struct buf *out)
{
	uint32_t window = l->seconds > 0 ? l->seconds : UINT32_MAX - l->calendar;

	buf_add_byte(out, l->key);
	buf_add_byte(out, l->what);
	buf_add(out, &window, sizeof(window));
	buf_add(out, &l->n, sizeof(l->n));
	buf_add_byte(out, (uint8_t)l->plan.n);
	buf_add_span(out, l->plan);
	buf_add_span(out, l->subject);
}

static struct proto_limit limit_of(const struct limit_rule *rule, struct span subject)
{
	return (struct proto_limit){.key = (uint8_t)rule->key,
	    .what = (uint8_t)rule->what,
	    .calendar = (uint8_t)rule->calendar,
	    .seconds = rule->seconds,
	    .n = rule->n,
	    .plan = rule->plan != NULL ? span_str(rule->plan) : SPAN_NONE,
	    .subject = subject};
}

bool limit_advice_is_of(const struct proto_limit *l, const struct limit_rule *rule)
{
	struct span plan = rule->plan != NULL ? span_str(rule->plan) : SPAN_NONE;

	return l->key == rule->key && l->what == rule->what && l->seconds == rule->seconds &&
	       (l->seconds > 0 || l->calendar == rule->calendar) && l->n == rule->n &&
	       span_eq(l->plan, plan) &&
	       (rule->only == NULL || span_eq(l->subject, span_str(rule->only)));
}

static struct row *find(
    const struct limit_advice *a, const struct limit_rule *rule, struct span subject)
{
	struct proto_limit l = limit_of(rule, subject);
	struct row *r;
	struct buf key;

	if (map_len(&a->rows) == 0)
		return NULL;
	buf_init(&key, KEY_MAX);
	put_key(&l, &key);
	r = map_get(&a->rows, buf_view(&key));
	buf_fini(&key);
	return r;
}

/* ---- what is told --------------------------------------------------------------------------- */

static void drop(struct limit_advice *a, struct row *r)
{
	map_del(&a->rows, span_of(r->key, r->n_key));
	free(r);
}

/* One that says nothing any more makes room; if none is found, whichever comes next. */
static void make_room(struct limit_advice *a, int64_t now)
{
	struct row *victim = NULL;

	for (int i = 0; i < LOOKS; i++) {
		struct row *r = map_next(&a->rows, &a->at);

		if (r == NULL)
			a->at = 0;
		else
			victim = r;
		if (r != NULL && r->opens <= now)
			break;
	}
	if (victim != NULL)
		drop(a, victim);
}

static struct row *add(struct limit_advice *a, struct span key, int64_t now)
{
	struct row *r;

	if (map_len(&a->rows) >= a->max)
		make_room(a, now);
	r = gw_calloc(1, sizeof(*r) + key.n);
	r->n_key = key.n;
	memcpy(r->key, key.p, key.n);
	map_put(&a->rows, span_of(r->key, r->n_key), r);
	return r;
}

/* INT64_MAX: so far away that nobody lives to see it. */
static int64_t time_in(int64_t now, int64_t wait)
{
	return wait == 0 ? 0 : wait > INT64_MAX - now ? INT64_MAX : now + wait;
}

int limit_advice_take(struct limit_advice *a, struct span payload, int64_t now)
{
	struct proto_limit l;
	struct row *r;
	struct buf key;

	if (proto_get_limit(payload, &l) < 0)
		return GW_EFORMAT;
	buf_init(&key, KEY_MAX);
	put_key(&l, &key);
	r = map_get(&a->rows, buf_view(&key));
	if (l.used == 0 && l.opens_in == 0) {
		if (r != NULL)
			drop(a, r);
		r = NULL;
	} else if (r == NULL) {
		r = add(a, buf_view(&key), now);
	}
	buf_fini(&key);
	if (r == NULL)
		return 0;
	r->used = l.used;
	r->n = l.n;
	r->opens = time_in(now, l.opens_in);
	r->let = 0;
	return 0;
}

/* ---- what it means -------------------------------------------------------------------------- */

static uint64_t room_of(const struct row *r)
{
	return r->used < r->n ? r->n - r->used : 0;
}

bool limit_advice_admits(struct limit_advice *a, const struct limit_rule *rule, struct span subject,
    uint64_t amount, int64_t now, int64_t *opens)
{
	const struct row *r = find(a, rule, subject);

	*opens = 0;
	if (r == NULL || amount <= room_of(r))
		return true;
	/* It opened meanwhile: how much room there is by now, only the queue knows. */
	if (r->opens > 0 && r->opens <= now)
		return true;
	*opens = r->opens;
	return false;
}

bool limit_advice_admits_one(struct limit_advice *a, const struct limit_rule *rule,
    struct span subject, int64_t now, int64_t *opens)
{
	struct row *r = find(a, rule, subject);

	*opens = 0;
	if (r == NULL || room_of(r) > 0)
		return true;
	*opens = r->opens;
	if (r->opens == 0 || r->opens > now || (r->let > 0 && now - r->let < ONE_EVERY))
		return false;
	r->let = now;
	return true;
}
