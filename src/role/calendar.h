/*
 * Hours, days and months of the local time zone, as periods of the wall clock: for limits that
 * begin anew with one. Every moment is in exactly one of them, also where the clocks go back over
 * midnight, or forward over it. Without state but the C library's zone.
 */
#ifndef GW_ROLE_CALENDAR_H
#define GW_ROLE_CALENDAR_H

#include "flow/limit.h"

/* The period that this time (microseconds since 1970) is in. False: this time has no local one. */
bool calendar_period(enum limit_calendar unit, int64_t wall, struct limit_period *p) gw_checked;

#endif
