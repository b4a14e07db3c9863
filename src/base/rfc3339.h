/*
 * Times as RFC 3339 writes them, without a clock or a time zone of the system: what clients and
 * operators say, and what they are told.
 */
#ifndef GW_BASE_RFC3339_H
#define GW_BASE_RFC3339_H

#include "base/buf.h"

/* "2026-11-22T15:00:00Z", with a fraction of a second or not, "+01:00" for Z or not: microseconds
 * since 1970. GW_EFORMAT for anything else, and for days that are in no calendar. */
int rfc3339_parse(struct span s, int64_t *usec) gw_checked;
/* In UTC, whole seconds. */
void rfc3339_put(struct buf *out, int64_t usec);

#endif
