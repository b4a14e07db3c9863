#include "flow/orders.h"

#include "base/cursor.h"

#include <stdlib.h>

enum { TAG_ORDER = 2 }; /* 1: a day (counters.c) */

void orders_fini(struct orders *o)
{
	free(o->v);
	*o = (struct orders){0};
}

static bool same(const struct order *a, const struct order *b)
{
	return a->slow == b->slow && strcmp(a->group, b->group) == 0;
}

bool orders_put(struct orders *o, const struct order *in)
{
	for (size_t i = 0; i < o->n; i++) {
		if (same(&o->v[i], in)) {
			o->v[i] = *in;
			return true;
		}
	}
	if (o->n == ORDERS_MAX)
		return false;
	o->v = gw_realloc(o->v, (o->n + 1) * sizeof(*o->v));
	o->v[o->n++] = *in;
	return true;
}

/* In the order in which they came. */
static void remove_at(struct orders *o, size_t i)
{
	o->n--;
	memmove(&o->v[i], &o->v[i + 1], (o->n - i) * sizeof(*o->v));
}

size_t orders_remove(struct orders *o, const char *group)
{
	size_t before = o->n;

	for (size_t i = o->n; i-- > 0;) {
		if (strcmp(o->v[i].group, group) == 0)
			remove_at(o, i);
	}
	return before - o->n;
}

bool orders_expire(struct orders *o, int64_t now)
{
	size_t before = o->n;

	for (size_t i = o->n; i-- > 0;) {
		if (o->v[i].until <= now)
			remove_at(o, i);
	}
	return o->n < before;
}

/* How close a name is: 3 its own, 2 its shape's, 1 all; 0: it is not meant. */
static int closeness(const struct order *o, const char *shape, const char *name)
{
	if (strcmp(o->group, name) == 0)
		return 3;
	if (strcmp(o->group, shape) == 0)
		return 2;
	return strcmp(o->group, "all") == 0;
}

const struct order *orders_find(
    const struct orders *o, bool slow, const char *shape, const char *name)
{
	const struct order *best = NULL;

	for (size_t i = 0; i < o->n; i++) {
		const struct order *x = &o->v[i];
		int close = closeness(x, shape, name);

		if (close == 0 || x->slow != slow)
			continue;
		if (best == NULL ||
		    (slow ? close > closeness(best, shape, name) : x->until > best->until))
			best = x;
	}
	return best;
}

/* ---- the stored form -------------------------------------------------------------------- */

static void put_order(const struct order *o, struct buf *out)
{
	put_u8(out, o->slow);
	put_u32(out, o->rate.n);
	put_u32(out, o->rate.seconds);
	put_u64(out, (uint64_t)o->since);
	put_u64(out, (uint64_t)o->until);
	put_span16(out, span_str(o->group));
	put_span16(out, span_str(o->who));
	put_span16(out, span_str(o->reason));
}

void orders_encode(const struct orders *o, struct buf *out)
{
	for (size_t i = 0; i < o->n; i++) {
		struct buf one;

		buf_init(&one, sizeof(struct order) + 64);
		put_order(&o->v[i], &one);
		put_u8(out, TAG_ORDER);
		put_span32(out, buf_view(&one));
		buf_fini(&one);
	}
}

static int take_text(struct cursor *c, char *to, size_t size)
{
	struct span s = get_span16(c);

	if (!cursor_ok(c) || s.n >= size || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
		return GW_EFORMAT;
	span_to_cstr(s, to, size);
	return 0;
}

/* More at the end is of a later version. */
static int take_order(struct orders *o, struct cursor c)
{
	struct order x = {.slow = get_u8(&c) != 0};

	x.rate.n = get_u32(&c);
	x.rate.seconds = get_u32(&c);
	x.since = (int64_t)get_u64(&c);
	x.until = (int64_t)get_u64(&c);
	if (take_text(&c, x.group, sizeof(x.group)) < 0 ||
	    take_text(&c, x.who, sizeof(x.who)) < 0 ||
	    take_text(&c, x.reason, sizeof(x.reason)) < 0)
		return GW_EFORMAT;
	if (x.group[0] == '\0' || (x.slow && (x.rate.n == 0 || x.rate.seconds == 0)))
		return GW_EFORMAT;
	return orders_put(o, &x) ? 0 : GW_EFORMAT;
}

int orders_decode(struct orders *o, struct span record)
{
	struct orders fresh = {0};
	struct cursor c = cursor_of(record);

	(void)get_u8(&c); /* the version, which the counts are judged by */
	while (cursor_ok(&c) && c.rest.n > 0) {
		uint8_t tag = get_u8(&c);
		struct span field = get_span32(&c);

		if (!cursor_ok(&c) ||
		    (tag == TAG_ORDER && take_order(&fresh, cursor_of(field)) < 0)) {
			orders_fini(&fresh);
			return GW_EFORMAT;
		}
	}
	orders_fini(o);
	*o = fresh;
	return cursor_ok(&c) ? 0 : GW_EFORMAT;
}
