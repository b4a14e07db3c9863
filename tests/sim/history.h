/*
 * One history: a world that lives several lives, each ended by a power cut or the death of the
 * queue, and a last one on a good disk in which everything must come to its end. The seed says all
 * of it; what a plan leaves out (lives, steps, kinds of faults) does not change the dice of what
 * remains, so that a history that fails can be made shorter (shrink.h).
 *
 * Kinds: a long history is lived on after every crash; a small one has a few short mails on a
 * small disk, and each operation of its disk is swept (sweep.h).
 */
#ifndef GW_TESTS_SIM_HISTORY_H
#define GW_TESTS_SIM_HISTORY_H

#include "sim/world.h"

enum { HISTORY_LIVES = 8, HISTORY_STEPS = 520, HISTORY_MAILS = 120 };

struct sweep;

struct script {
	uint64_t seed;
	bool small;
	enum bug bug;
	uint32_t without; /* bits of enum may */
	unsigned mails;
	uint32_t lives; /* bits of those that are lived */
	/* Steps of each life that are left out. */
	bool skip[HISTORY_LIVES][HISTORY_STEPS];
};

struct ending {
	bool good;
	char why[240];
	const char *check; /* the same for two histories that fail in the same way */
	unsigned life, step;
	uint64_t ends; /* of lives: crash points that were lived on after */
};

void script_init(struct script *p, uint64_t seed, bool small, enum bug bug);
/* Lives it. sweep: NULL, or what looks at every operation of a small history. */
void history_run(
    const struct script *p, const struct config *c, struct sweep *sweep, struct ending *out);
/* The configuration of either kind. */
struct config *history_config(bool small) gw_checked;

#endif
