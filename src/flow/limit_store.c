/*
 * What limits have counted, in octets: for the log. A piece is a version octet, the time from which
 * its times count back, and rows. A row: its counter by value, its subject, the end of its period
 * or its marks. Numbers are groups of seven bits, the lowest first.
 */
#include "base/cursor.h"
#include "flow/limit-private.h"

#include <string.h>

enum { VERSION = 1, ROW_ROOM = LIMIT_SUBJECT_MAX + LIMIT_MARKS * 30 + 64 };

/* ---- out ---------------------------------------------------------------------------------------
 */

static uint64_t back(int64_t from, int64_t at)
{
	return at < from ? (uint64_t)(from - at) : 0;
}

static void put_row(const struct limit_row *r, int64_t now, struct buf *out)
{
	const struct limit_counter *c = r->counter;

	put_u8(out, (uint8_t)c->key);
	put_u8(out, (uint8_t)c->what);
	put_u8(out, (uint8_t)c->calendar);
	put_var(out, c->seconds);
	put_var(out, r->subject_length);
	buf_add(out, r->subject, r->subject_length);
	if (c->seconds == 0) {
		put_var(out, back(r->end, now));
		put_var(out, r->sum);
		return;
	}
	put_u8(out, (uint8_t)r->n_mark);
	for (size_t i = 0; i < r->n_mark; i++) {
		put_var(out, back(now, r->mark[i].at));
		put_var(out, back(r->mark[i].at, r->mark[i].start));
		put_var(out, r->mark[i].n);
	}
}

/* *at: the counter, and behind it where the walk through its rows is. */
enum { WALK_BITS = 40 };

bool limits_encode(struct limits *l, size_t *at, int64_t now, struct buf *out)
{
	size_t i = *at >> WALK_BITS, slot = *at & (((size_t)1 << WALK_BITS) - 1);
	size_t begin = buf_len(out);

	put_u8(out, VERSION);
	put_u64(out, (uint64_t)now);
	while (i < l->n_counter && buf_len(out) - begin + ROW_ROOM <= LIMIT_PIECE) {
		struct limit_row *r = map_next(&l->counter[i]->rows, &slot);

		if (r == NULL) {
			i++;
			slot = 0;
			continue;
		}
		row_refresh(l, r, now);
		if (r->sum > 0)
			put_row(r, now, out);
	}
	*at = i << WALK_BITS | slot;
	return i < l->n_counter;
}

/* ---- in ----------------------------------------------------------------------------------------
 */

struct reading {
	struct cursor c;
	int64_t base, now;
};

static int64_t earlier(int64_t from, uint64_t by)
{
	return by < (uint64_t)INT64_MAX / 4 ? from - (int64_t)by : INT64_MIN / 2;
}

static void get_marks(struct limits *l, struct limit_row *r, struct reading *in)
{
	uint8_t n = get_u8(&in->c);

	if (n > LIMIT_MARKS)
		cursor_fail(&in->c);
	for (uint8_t i = 0; i < n && cursor_ok(&in->c); i++) {
		int64_t at = earlier(in->base, get_var(&in->c));
		int64_t start = earlier(at, get_var(&in->c));
		uint64_t count = get_var(&in->c);

		if (r == NULL || !cursor_ok(&in->c) || at < 0)
			continue;
		row_count(l, r, count, at, in->now);
		if (r->n_mark > 0 && r->mark[r->n_mark - 1].start == at && start >= 0)
			r->mark[r->n_mark - 1].start = start;
	}
}

/* The period's end says only that it was this one: it is asked for again. */
static void get_period(struct limits *l, struct limit_row *r, struct reading *in)
{
	uint64_t ahead = get_var(&in->c), sum = get_var(&in->c);
	int64_t end;

	if (r == NULL || !cursor_ok(&in->c) || ahead == 0 || ahead > (uint64_t)INT64_MAX / 4)
		return;
	end = in->base + (int64_t)ahead;
	row_count(l, r, end > in->now ? sum : 0, in->now, in->now);
}

static bool subject_sane(struct span s)
{
	return s.n < LIMIT_SUBJECT_MAX && (s.n == 0 || memchr(s.p, 0, s.n) == NULL);
}

static void get_row(struct limits *l, struct reading *in)
{
	uint8_t key = get_u8(&in->c), what = get_u8(&in->c), calendar = get_u8(&in->c);
	uint64_t seconds = get_var(&in->c), length = get_var(&in->c);
	struct span subject = get_bytes(&in->c, length < LIMIT_SUBJECT_MAX ? length : SIZE_MAX);
	struct limit_counter *c;
	struct limit_row *r;

	if (!cursor_ok(&in->c) || !subject_sane(subject) || key >= LIMIT_KEYS ||
	    what >= LIMIT_WHATS || calendar >= LIMIT_CALENDARS ||
	    seconds > CONFIG_LIMIT_SECONDS_MAX) {
		cursor_fail(&in->c);
		return;
	}
	c = counter_find(l, (enum limit_key)key, (enum limit_what)what, (uint32_t)seconds,
	    (enum limit_calendar)calendar);
	r = c != NULL ? row_get(l, c, subject, true, in->now) : NULL;
	if (seconds > 0)
		get_marks(l, r, in);
	else
		get_period(l, r, in);
}

int limits_decode(struct limits *l, struct span piece, int64_t now)
{
	struct reading in = {.c = cursor_of(piece), .now = now};
	uint8_t version = get_u8(&in.c);

	in.base = (int64_t)get_u64(&in.c);
	if (!cursor_ok(&in.c) || in.base < 0 || in.base > INT64_MAX / 2)
		return GW_EFORMAT;
	if (version != VERSION)
		return GW_EVERSION;
	while (cursor_ok(&in.c) && in.c.rest.n > 0)
		get_row(l, &in);
	return cursor_ok(&in.c) ? 0 : GW_EFORMAT;
}
