/*
 * Addresses that are not greeted for a while because what they sent ended a process twice.
 * Master keeps the book (deny_blame) and tells smtpd and control (DENY frames, deny_take); they
 * look addresses up. IPv6 counts by /64, as one customer has that many. Pure; times are
 * loop_now(), the table has a ceiling: the entry that was blamed longest ago makes room.
 */
#ifndef GW_ROLE_DENY_H
#define GW_ROLE_DENY_H

#include "base/buf.h"
#include "role/blotter.h"

enum { DENY_MAX = 256 };

struct deny {
	struct blotter_addr net;
	unsigned crashes;
	int64_t last;  /* blamed */
	int64_t until; /* not greeted before; 0: it is under suspicion only */
};

struct deny_table {
	struct deny row[DENY_MAX];
	size_t n;
};

/* A crash: the row if it is to be denied (for longer each time), or NULL: the first time. */
const struct deny *deny_blame(struct deny_table *t, const struct blotter_addr *addr, int64_t now);
/* The row that denies this address now, or NULL. */
const struct deny *deny_find(
    const struct deny_table *t, const struct blotter_addr *addr, int64_t now);

/* The payload of DENY: the time is what is left of it, seconds. */
void deny_put(const struct deny *d, int64_t now, struct buf *out);
int deny_take(struct deny_table *t, struct span payload, int64_t now) gw_checked;

#endif
