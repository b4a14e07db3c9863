/*
 * What became of recipients, counted per UTC day: the duplicate budget. The last
 * 31 days are kept. The broker owns one, counts as it decides, and stores it in
 * the log now and then; after a start the newest record counts, and the changes
 * behind it in the log are added (counted_change() in broker_counters.c).
 *
 * Stored as a version octet and tagged fields, like the envelope; decoding treats
 * the bytes as hostile. Counters that a later version adds are skipped, those that
 * an older one did not have are 0. Memory: the struct itself.
 */
#ifndef GW_FLOW_COUNTERS_H
#define GW_FLOW_COUNTERS_H

#include "base/buf.h"
#include "mail/change.h"

enum { COUNTERS_DAYS = 31, COUNTERS_OCTETS = 4096 /* the stored form is never longer */ };

/* Order is that of the stored form: new ones come at the end. */
enum counter {
	COUNTER_DELIVERED,
	COUNTER_MAYBE,      /* sent without a reply, and will be sent again */
	COUNTER_GIVEN_UP,   /* the same, of at-most-once mail: not sent again */
	COUNTER_SENT_AGAIN, /* attempts that follow a COUNTER_MAYBE */
	COUNTER_LOST,       /* in the hands of a worker that died: sent again, maybe twice */
	COUNTERS,
};

struct counters {
	struct counters_day {
		int64_t day; /* since 1970; 0: unused */
		uint64_t n[COUNTERS];
	} slot[COUNTERS_DAYS]; /* by day modulo COUNTERS_DAYS */
};

/* when: microseconds. A day takes the place of the one 31 days before, or after it. */
void counters_add(struct counters *c, int64_t when, enum counter what, uint64_t n);
/* What a recipient's new state counts as; COUNTERS: nothing. */
enum counter counters_of(const struct change_rcpt *r);

void counters_encode(const struct counters *c, struct buf *out);
/* Replaces *c. 0, GW_EFORMAT, GW_EVERSION; *c is as before then. */
int counters_decode(struct counters *c, struct span in) gw_checked;

/* An array, the latest day first, of those not older than 31 days at this time and not all 0:
 * {"day":"2026-11-22","delivered":1,...} */
void counters_json(const struct counters *c, const char *key, int64_t now, struct buf *out);

#endif
