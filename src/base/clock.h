/*
 * The two clocks, in microseconds. Only net, role, cmd, base/log and base/memory call these;
 * everything else is given the time as an argument ("now").
 *
 * clock_now() runs evenly and starts near the wall clock's reading at process
 * start: it is the "now" of engines, scheduler and records. A jump of the wall
 * clock does not move it.
 */
#ifndef GW_BASE_CLOCK_H
#define GW_BASE_CLOCK_H

#include <stdint.h>

#define USEC_PER_MSEC INT64_C(1000)
#define USEC_PER_SEC INT64_C(1000000)

int64_t clock_now(void);
/* The wall clock, for Date fields and log lines. */
int64_t clock_wall(void);

#endif
