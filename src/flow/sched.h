/*
 * When is a recipient tried again, and when is its time over? Pure arithmetic
 * over a virtual clock: the same code runs live and in the simulator.
 */
#ifndef GW_FLOW_SCHED_H
#define GW_FLOW_SCHED_H

#include "config/config.h"

/* A small generator of our own (splitmix64), so that one seed repeats one history. */
struct dice {
	uint64_t state;
};
uint64_t dice_roll(struct dice *d);

/*
 * The time of the next attempt after "attempts" were made (>= 1): the step of the
 * schedule of the class, the last step repeating, with up to 10 % of jitter either way so that
 * deferred mail does not come back in one wave.
 */
int64_t sched_next(
    const struct shape *s, enum priority p, uint32_t attempts, int64_t now, struct dice *d);

/* A stored due time, if no later than this many attempts allow; else the clock was set back since
 * it was stored, and that step counts from now. */
int64_t sched_stored(
    const struct shape *s, enum priority p, uint32_t attempts, int64_t due, int64_t now);

/*
 * When a message counts as accepted after a start that follows a silence of the log longer
 * than a day: an outage, or a clock that was set. Its lifetime may be over without that
 * anything was tried: it gets another day, or its lifetime if that is less, from the start on
 * (resumed; 0: there was no such silence).
 */
int64_t sched_born(const struct shape *s, int64_t accepted, int64_t resumed);
/* Was the log silent for that long, between its latest record and now? */
bool sched_silent(int64_t latest, int64_t now);

/* Is the recipient's time over at this moment? */
bool sched_expired(const struct shape *s, int64_t accepted, int64_t now);

/* How long a site rests after so many failures of the site itself in a row: 1 s doubling to 60 s,
 * with jitter. */
int64_t sched_rest(unsigned failures, int64_t now, struct dice *d);

#endif
