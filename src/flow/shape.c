#include "flow/shape.h"

#include <stdio.h>

#define SECOND INT64_C(1000000)
/* So long the shortest way of a message is remembered, once more and at most twice. */
#define STRETCH (60 * SECOND)
/* Fewer messages say nothing of all. */
enum { SAMPLES = 100 };
/* So long it stays below what was refused. */
#define WARY (300 * SECOND)

const char *rate_text(struct rate r, char to[RATE_TEXT])
{
	static const struct {
		uint32_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};

	for (size_t i = 0; i < GW_ARRAY_LEN(units); i++) {
		if (r.seconds == units[i].seconds) {
			snprintf(to, RATE_TEXT, "%u/%c", r.n, units[i].unit);
			return to;
		}
	}
	snprintf(to, RATE_TEXT, "%u/%us", r.n, r.seconds);
	return to;
}

/* ---- messages ------------------------------------------------------------------------------ */

static int64_t tick_of(const struct window *w)
{
	return (int64_t)w->rate.seconds * SECOND / WINDOW_SLOTS;
}

void window_init(struct window *w, struct rate rate)
{
	*w = (struct window){.rate = rate};
	if (rate.n > 0 && rate.seconds == 0)
		w->rate.seconds = 1;
}

static uint32_t *count_of(struct window *w, int64_t slot)
{
	return &w->count[(uint64_t)slot % (WINDOW_SLOTS + 1)];
}

/* What is older than an interval counts no more. */
static void advance(struct window *w, int64_t now)
{
	int64_t slot = now / tick_of(w);

	if (slot > w->slot + WINDOW_SLOTS + 1)
		w->slot = slot - WINDOW_SLOTS - 1;
	while (w->slot < slot) {
		uint32_t *oldest = count_of(w, ++w->slot);

		w->sum -= *oldest;
		*oldest = 0;
	}
}

void window_change(struct window *w, struct rate rate, int64_t now)
{
	uint32_t under_way = w->under_way, sum;

	if (rate.n == 0 || w->rate.n == 0) {
		window_init(w, rate);
		return;
	}
	advance(w, now);
	if (rate.seconds == w->rate.seconds) {
		w->rate.n = rate.n;
		return;
	}
	/* When each of them went is not known in the other measure: as late as possible. */
	sum = w->sum;
	window_init(w, rate);
	w->under_way = under_way;
	advance(w, now);
	*count_of(w, w->slot) = w->sum = sum;
}

bool window_open(struct window *w, int64_t now)
{
	if (w->rate.n == 0)
		return true;
	advance(w, now);
	return w->sum + w->under_way < w->rate.n;
}

int64_t window_opens(const struct window *w)
{
	for (int64_t slot = w->slot - WINDOW_SLOTS; slot <= w->slot; slot++) {
		if (slot >= 0 && w->count[(uint64_t)slot % (WINDOW_SLOTS + 1)] > 0)
			return (slot + WINDOW_SLOTS + 1) * tick_of(w);
	}
	return INT64_MAX;
}

void window_take(struct window *w)
{
	if (w->rate.n > 0)
		w->under_way++;
}

/* What every message needs on its way, as far as a whole stretch of time with many of them has
 * shown it, and a little less; else 0. */
static int64_t least_of(struct window *w, int64_t took, int64_t now)
{
	int64_t least;

	if (now - w->stretch >= STRETCH) {
		w->least[1] =
		    now - w->stretch < 2 * STRETCH && w->samples >= SAMPLES ? w->least[0] : 0;
		w->least[0] = took;
		w->samples = 0;
		w->stretch = now;
	}
	w->samples++;
	if (took < w->least[0])
		w->least[0] = took;
	least = w->least[0] < w->least[1] ? w->least[0] : w->least[1];
	return least - least / 8;
}

void window_back(struct window *w, bool sent, int64_t started, int64_t now)
{
	int64_t took = now > started ? now - started : 0, slot;

	if (w->rate.n == 0 || w->under_way == 0)
		return;
	w->under_way--;
	if (!sent)
		return;
	advance(w, now);
	slot = (now - least_of(w, took, now)) / tick_of(w);
	if (slot < w->slot - WINDOW_SLOTS)
		return; /* long ago, all things considered */
	++*count_of(w, slot);
	w->sum++;
}

bool window_empty(struct window *w, int64_t now)
{
	if (w->rate.n == 0)
		return true;
	advance(w, now);
	return w->sum + w->under_way == 0;
}

/* ---- connections --------------------------------------------------------------------------- */

void grower_init(struct grower *g, uint32_t most, bool whole)
{
	*g = (struct grower){
	    .most = most, .allowed = whole || most < GROWER_START ? most : GROWER_START};
}

void grower_change(struct grower *g, uint32_t most, bool whole)
{
	if (whole || g->allowed > most)
		g->allowed = most;
	else if (g->allowed < GROWER_START && g->refused == 0)
		g->allowed = most < GROWER_START ? most : GROWER_START;
	g->most = most;
}

bool grower_good(struct grower *g, int64_t now)
{
	if (g->allowed >= g->most || ++g->good < g->allowed)
		return false;
	g->good = 0;
	if (g->refused > 0 && g->allowed + 1 >= g->refused) {
		if (now - g->cut_at < WARY)
			return false;
		g->refused = 0;
	}
	g->allowed++;
	return true;
}

bool grower_cut(struct grower *g, uint32_t used, int64_t started, int64_t now)
{
	if (started < g->cut_at)
		return false;
	g->refused = used > 1 ? used : 0;
	g->cut_at = now;
	g->good = 0;
	if (g->allowed > 1)
		g->allowed /= 2;
	return true;
}

bool grower_fresh(const struct grower *g, int64_t now)
{
	uint32_t start = g->most < GROWER_START ? g->most : GROWER_START;

	return g->allowed >= start || now - g->cut_at >= WARY;
}
