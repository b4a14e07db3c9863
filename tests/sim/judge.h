/*
 * The judge of a surviving image (sweep.h): recovery, a new broker, all its jobs, and the book of
 * the world they came from, which is not changed. A broken promise ends in sim_fail().
 */
#ifndef GW_TESTS_SIM_JUDGE_H
#define GW_TESTS_SIM_JUDGE_H

#include "sim/world.h"

struct judge;

struct judge *judge_new(void) gw_checked;
void judge_free(struct judge **j);
/* A new history. */
void judge_begin(struct judge *j);
/* kill: the queue alone died, receivers live and ask. */
void judge_image(struct judge *j, struct world *w, struct disk *image, bool kill);

#endif
