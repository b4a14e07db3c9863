/*
 * How many connections each client has open and how many it made lately: a page of fixed size
 * that one process writes and others read at the same time. Adding up the pages of all
 * receivers gives figures that are exact over all of them. Pure: the page is given, and so is
 * the time.
 *
 * A client is a key of 64 bits (role/tally.h makes it, with a secret, so that nobody can choose
 * keys that meet). A key has RATE_REACH places. Where all are taken, the one that has
 * nothing open and was busy least makes room; if all have something open, the client is counted
 * with all others of that kind as one: too many rather than too few.
 *
 * A rate is counted in windows, the last one with the share of it that is still in sight.
 *
 * Who reads the page of another believes nothing: sums do not overflow, and a lie there makes
 * clients many, not few.
 */
#ifndef GW_FLOW_RATE_H
#define GW_FLOW_RATE_H

#include "config/config.h"

enum { RATE_SLOTS = 1 << 16, RATE_REACH = 16 };

struct rate_slot {
	uint64_t key;                 /* 0: never used */
	uint32_t open;                /* connections */
	uint32_t window, now, before; /* made in this window, and in the one before it */
};

struct rate_page {
	uint32_t open; /* of all clients */
	struct rate_slot shared;
	struct rate_slot slot[RATE_SLOTS];
};

struct rate_sum {
	uint64_t open, made;
};

/* One connection more. counted: it counts towards the rate too. per: of which the window is, in
 * seconds, the same in all calls. now: microseconds. Never NULL; until rate_leave() it is the
 * caller's. */
struct rate_slot *rate_enter(
    struct rate_page *own, uint64_t key, uint32_t per, bool counted, int64_t now);
/* forget: it does not count towards the rate either. */
void rate_leave(struct rate_slot *slot, bool forget);
/* It does not count towards the rate any more, but is still open. */
void rate_forgive(struct rate_slot *slot);

/* Adds what this page says of the key. */
void rate_add(
    const struct rate_page *page, uint64_t key, uint32_t per, int64_t now, struct rate_sum *sum);
/* The same of a slot of one's own page. */
void rate_add_own(const struct rate_slot *slot, uint32_t per, int64_t now, struct rate_sum *sum);

void rate_count(struct rate_page *own, int change);
uint32_t rate_open(const struct rate_page *page);

#endif
