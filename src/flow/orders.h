/*
 * What operators ordered of groups of destinations, for a time: that nothing goes there, or no more
 * than so much. One of a kind for each name. Kept in the log with the counts of the days
 * (flow/counters.h), as fields of a record that ends with them: who reads only the counts skips
 * them.
 */
#ifndef GW_FLOW_ORDERS_H
#define GW_FLOW_ORDERS_H

#include "base/buf.h"
#include "config/config.h"

enum { ORDERS_MAX = 256, ORDER_GROUP_MAX = 400, ORDER_REASON_MAX = 160, ORDER_WHO_MAX = 64 };

/* Texts are cut to fit. */
struct order {
	bool slow; /* else: pause */
	struct rate rate;
	int64_t since, until; /* until: INT64_MAX if nothing was said */
	char group[ORDER_GROUP_MAX], who[ORDER_WHO_MAX], reason[ORDER_REASON_MAX];
};

struct orders {
	struct order *v;
	size_t n;
};

void orders_fini(struct orders *o);
/* In the place of the one of the same kind and name, or a new one. False: there are too many. */
bool orders_put(struct orders *o, const struct order *in) gw_checked;
/* Those of that name; how many there were. */
size_t orders_remove(struct orders *o, const char *group);
/* Those whose time is over go. True: there were some. */
bool orders_expire(struct orders *o, int64_t now);

/* Of that kind, the one that binds a group known by both names, or by "all": a pause that lasts
 * longest, a rate for the closest name. NULL: none. */
const struct order *orders_find(
    const struct orders *o, bool slow, const char *shape, const char *name) gw_checked;

void orders_encode(const struct orders *o, struct buf *out);
/* From a whole record; replaces *o. 0 or GW_EFORMAT, and *o is as before then. */
int orders_decode(struct orders *o, struct span record) gw_checked;

#endif
