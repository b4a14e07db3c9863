/*
 * Which steps and states of docs/spool.md a run of spool_sim has reached. It
 * watches the operations on the simulated disk and looks at the files before a
 * start; it knows nothing of what the store has in mind.
 */
#ifndef GW_TESTS_SIM_SPOOL_SIM_COVER_H
#define GW_TESTS_SIM_SPOOL_SIM_COVER_H

#include "sim/disk_sim.h"

enum cover {
#define STEP(id, text) COVER_##id,
#define STATE(id, text) COVER_##id,
#include "sim/spool_sim_cover.def"
#undef STEP
#undef STATE
	COVER_COUNT
};

enum cover_phase { PHASE_OPEN, PHASE_RECOVER, PHASE_RUN };

/* A new history: forget what was seen, keep the counts. */
void cover_start(struct disk_sim *s);
void cover_phase(enum cover_phase p);
/* The disk is as a crash left it: count the states of its files. */
void cover_files(void);
void cover_count(enum cover c);
/* One line each; markdown: as a table. Returns how many were never reached. */
unsigned cover_print(bool markdown);

#endif
