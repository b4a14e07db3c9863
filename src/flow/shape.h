/*
 * How much may go to a group of destinations, and how fast: pure arithmetic over a virtual clock.
 *
 * A window lets N messages through in any interval of its length, as the receiver sees it: a
 * message counts while it is under way and for the length of the interval behind that, less what
 * messages need on their way at the least. Bursts are let through, nothing is spaced out. Its clock
 * has WINDOW_SLOTS ticks in an interval, so that it reaches all but one part in so many.
 *
 * A grower says how many connections may be used: few at first, one more with each full round of
 * good deliveries, half of them when the host does not want more of us. For a while it stays below
 * what was too much.
 */
#ifndef GW_FLOW_SHAPE_H
#define GW_FLOW_SHAPE_H

#include "config/config.h"

enum { WINDOW_SLOTS = 200, RATE_TEXT = 32 };

/* "50/s", "3/10s"; returns `to`. */
const char *rate_text(struct rate r, char to[RATE_TEXT]);

struct window {
	struct rate rate; /* n == 0: no limit */
	uint32_t under_way;
	int64_t slot; /* the newest that counts */
	uint32_t sum; /* of all slots */
	uint32_t count[WINDOW_SLOTS + 1];
	/* The shortest way of a message, in this stretch of time and the one before. */
	int64_t least[2], stretch;
	uint32_t samples;
};

void window_init(struct window *w, struct rate rate);
/* Another rate; what went and what is under way counts on. */
void window_change(struct window *w, struct rate rate, int64_t now);
/* May one more message go now? */
bool window_open(struct window *w, int64_t now) gw_checked;
/* When it opens if nothing comes back before; INT64_MAX: not before. */
int64_t window_opens(const struct window *w) gw_checked;
/* One goes; it comes back with window_back(). */
void window_take(struct window *w);
/* The message that went at "started" is through; sent: it was on its way to the host at all. */
void window_back(struct window *w, bool sent, int64_t started, int64_t now);
/* Nothing counts any more? Then it may be forgotten. */
bool window_empty(struct window *w, int64_t now) gw_checked;

enum { GROWER_START = 5 };

struct grower {
	uint32_t most, allowed;
	uint32_t good;    /* deliveries in this round */
	uint32_t refused; /* so many were too many; 0: unknown */
	int64_t cut_at;
};

/* whole: all are allowed from the start. */
void grower_init(struct grower *g, uint32_t most, bool whole);
/* Another number of them; what it has learned stays. */
void grower_change(struct grower *g, uint32_t most, bool whole);
/* A delivery went well. True: one more is allowed. */
bool grower_good(struct grower *g, int64_t now);
/* Half of them: with so many in use one more was refused (0, 1: the hosts could not be reached at
 * all), for a message that went at "started". What began before the last cut says nothing new. */
bool grower_cut(struct grower *g, uint32_t used, int64_t started, int64_t now);
/* As at the start or better, or cut long ago. */
bool grower_fresh(const struct grower *g, int64_t now) gw_checked;

#endif
