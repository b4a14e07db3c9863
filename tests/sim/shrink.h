/*
 * Makes a history that fails shorter while the same check fails: lives, kinds of faults, mails and
 * steps are left out, each in its own process, because a history may also end in an abort or hang.
 * What is left is printed as the words of a command line that repeat it.
 */
#ifndef GW_TESTS_SIM_SHRINK_H
#define GW_TESTS_SIM_SHRINK_H

#include "sim/history.h"

/* Lives a history in a process of its own. check: "aborted" or "hangs" if it did not say why. */
void shrink_try(const struct script *p, const struct config *c, struct ending *out);
/* *p fails as *failed says. It is made shorter; the time that takes is bounded. Returns tries. */
unsigned shrink(struct script *p, const struct config *c, struct ending *failed);
/* Lives it in this process, for a debugger; prints the tail of its events if it fails. 1: it does.
 */
int plan_trace(const struct script *p, const struct config *c);
/* The words that make this plan: --sweep, --lives= and so on, then the seed. */
void plan_print(const struct script *p);
/* Takes one such word; false: it is none of them. */
bool plan_take(struct script *p, const char *word) gw_checked;

#endif
