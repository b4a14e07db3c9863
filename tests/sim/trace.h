/*
 * What the simulators of several processes share: dice, the way out when an
 * invariant does not hold, and the tail of events that led there.
 */
#ifndef GW_TESTS_SIM_TRACE_H
#define GW_TESTS_SIM_TRACE_H

#include "base/base.h"

#include <setjmp.h>

/* Where sim_fail() goes. */
extern jmp_buf sim_failed;

/* An invariant is broken: remembers why and jumps to sim_failed. */
_Noreturn void sim_fail(const char *fmt, ...) gw_printf(1, 2);
const char *sim_why(void);
/* Which check it was: the words without the numbers. */
const char *sim_check(void);

/* One line of history; the last ones are kept. */
void sim_note(const char *fmt, ...) gw_printf(1, 2);
void sim_notes_clear(void);
/* To standard error. */
void sim_notes_print(void);

/* 0 .. n-1 */
uint64_t sim_below(uint64_t *rng, uint64_t n) gw_checked;
/* True once in n. */
bool sim_once_in(uint64_t *rng, uint64_t n) gw_checked;

#endif
