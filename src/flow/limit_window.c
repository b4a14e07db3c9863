/* One window of one subject. */
#include "flow/limit-private.h"

#include <stdlib.h>
#include <string.h>

/* Times closer together than this part of a window become one when there are too many. */
enum { MERGE_PART = 20 };

static int64_t length_of(const struct limit_row *r)
{
	return (int64_t)r->counter->seconds * 1000000;
}

struct limit_period limits_period(struct limits *l, enum limit_calendar unit, int64_t when)
{
	struct limit_period *p = &l->period[unit];

	if (when < p->begin || when >= p->end)
		*p = l->p.calendar(l->p.arg, unit, when);
	gw_assert(when >= p->begin && when < p->end);
	return *p;
}

void limits_clock_set(struct limits *l)
{
	memset(l->period, 0, sizeof(l->period));
}

/* ---- sliding -----------------------------------------------------------------------------------
 */

static void forget_old(struct limit_row *r, int64_t now)
{
	int64_t length = length_of(r);
	size_t n = 0;

	while (n < r->n_mark && r->mark[n].at + length <= now)
		r->sum -= r->mark[n++].n;
	if (n == 0)
		return;
	r->n_mark = (uint16_t)(r->n_mark - n);
	memmove(r->mark, r->mark + n, r->n_mark * sizeof(*r->mark));
	if (r->n_mark > 0)
		return;
	free(r->mark);
	r->mark = NULL;
	r->cap = 0;
}

/* What is left begins at least a twentieth of the window apart: no more than 22 are. */
static void merge_close(struct limit_row *r)
{
	int64_t close = length_of(r) / MERGE_PART;
	size_t last = 0;

	for (size_t i = 1; i < r->n_mark; i++) {
		struct limit_mark *m = &r->mark[last];

		if (r->mark[i].at - m->start <= close) {
			m->at = r->mark[i].at;
			m->n += r->mark[i].n;
		} else {
			r->mark[++last] = r->mark[i];
		}
	}
	r->n_mark = (uint16_t)(last + 1);
}

static void make_room(struct limit_row *r)
{
	if (r->n_mark < r->cap)
		return;
	if (r->n_mark == LIMIT_MARKS) {
		merge_close(r);
		gw_assert(r->n_mark < LIMIT_MARKS);
		return;
	}
	r->cap = r->cap ? (uint16_t)(2 * r->cap) : 2;
	r->mark = gw_realloc(r->mark, r->cap * sizeof(*r->mark));
}

/* The first mark that is as new as this, or newer. */
static size_t place_of(const struct limit_row *r, int64_t when)
{
	size_t i = r->n_mark;

	while (i > 0 && r->mark[i - 1].at >= when)
		i--;
	return i;
}

/* To its place among the marks, though it comes late: a record that was tried again is counted
 * behind others that are newer. */
static void count_sliding(struct limit_row *r, uint64_t n, int64_t when, int64_t now)
{
	size_t i;

	if (when > now)
		when = now;
	if (when + length_of(r) <= now)
		return;
	make_room(r);
	r->sum += n;
	i = place_of(r, when);
	if (i < r->n_mark && r->mark[i].start <= when) {
		r->mark[i].n += n;
		return;
	}
	memmove(&r->mark[i + 1], &r->mark[i], (r->n_mark - i) * sizeof(*r->mark));
	r->mark[i] = (struct limit_mark){when, when, n};
	r->n_mark++;
}

/* ---- both -------------------------------------------------------------------------------------
 */

void row_refresh(struct limits *l, struct limit_row *r, int64_t now)
{
	if (r->counter->seconds > 0) {
		forget_old(r, now);
		return;
	}
	struct limit_period p = limits_period(l, r->counter->calendar, now);

	/* One that is not over and ends at another time was of a clock that was set meanwhile. */
	if (r->sum > 0 && r->end > now)
		r->end = p.end;
	if (r->end <= now)
		r->sum = 0;
}

void row_count(struct limits *l, struct limit_row *r, uint64_t n, int64_t when, int64_t now)
{
	row_refresh(l, r, now);
	if (n > UINT64_MAX / 4 - r->sum) /* a hostile record: more is as good as endless */
		n = UINT64_MAX / 4 - r->sum;
	if (r->counter->seconds > 0) {
		count_sliding(r, n, when, now);
		return;
	}
	struct limit_period p = limits_period(l, r->counter->calendar, now);

	if (when < p.begin)
		return;
	r->end = p.end;
	r->sum += n;
}

/* What is reserved may be given back, or is counted as of about now. */
static int64_t opens_sliding(const struct limit_row *r, uint64_t n, uint64_t amount, int64_t now)
{
	uint64_t left = row_used(r);

	for (size_t i = 0; i < r->n_mark; i++) {
		left -= r->mark[i].n;
		if (left + amount <= n)
			return r->mark[i].at + length_of(r);
	}
	return now + length_of(r);
}

int64_t row_opens(const struct limit_row *r, uint64_t n, uint64_t amount, int64_t now)
{
	if (amount > n)
		return INT64_MAX;
	if (row_used(r) + amount <= n)
		return now;
	if (r->counter->seconds > 0)
		return opens_sliding(r, n, amount, now);
	return r->end > now ? r->end : now; /* only what is reserved: it is decided soon */
}
