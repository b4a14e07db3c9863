/*
 * The connections of all receivers, counted by client address: each receiver writes a page of
 * its own and reads the others' (role/pages.h, flow/rate.h), so that limits hold exactly
 * over all of them without a message between processes. Master clears the page of a receiver
 * that ended. A broken receiver can lie about its own clients only.
 *
 * A client is an IPv4 address or an IPv6 /64, as one customer has that many; its net is the
 * /24 or the /48 around it.
 */
#ifndef GW_ROLE_TALLY_H
#define GW_ROLE_TALLY_H

#include "flow/rate.h"
#include "role/blotter.h"
#include "role/pages.h"

enum { TALLY_PAGES_MAX = 16 };
#define TALLY_NONE SIZE_MAX

struct tally {
	struct rate_page *own;
	const struct rate_page *all[TALLY_PAGES_MAX];
	size_t n, index;
	uint64_t seed;
};

/* Where a connection is counted. */
struct tally_entry {
	uint64_t key[2];
	struct rate_slot *slot[2]; /* NULL: not counted */
	bool counted;              /* towards the rate */
};

/* What is known of a client, over all receivers. */
struct tally_sums {
	uint64_t total;
	struct rate_sum ip, net;
};

/* ---- in a receiver ---- */

/* per: seconds of the window of rates. counted: towards the rate. */
void tally_enter(struct tally *t, const struct blotter_addr *addr, uint32_t per, bool counted,
    int64_t now, struct tally_entry *out);
/* forget: it was turned away, and is no part of the rate. No-op for what is not counted. */
void tally_leave(struct tally *t, struct tally_entry *e, bool forget);
/* The client turned out to be a good one: its rate does not matter. */
void tally_forgive(struct tally_entry *e);
void tally_sums(const struct tally *t, const struct tally_entry *e, uint32_t per, int64_t now,
    struct tally_sums *out);
/* Open connections, of all receivers. */
uint64_t tally_total(const struct tally *t);

/* ---- in master ---- */

void tally_pages_make(struct pages *p, size_t receivers, uint64_t *seed);
/* What the receiver is given; with roles in one process that is all. */
void tally_pages_here(const struct pages *p, uint64_t seed, size_t index, struct tally *out);
void tally_pages_clear(const struct pages *p, size_t index);
/* In a new process: its own view instead of master's; TALLY_NONE: it has none. */
void tally_pages_take(struct pages *p, size_t index, struct tally *t);

#endif
