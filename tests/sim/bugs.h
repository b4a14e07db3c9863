/*
 * The planted bug of this run (bugs.def), or none. Those that stand before functions of the program
 * (bugs.c, by the linker's --wrap) are in every simulator and do nothing until they are chosen.
 */
#ifndef GW_TESTS_SIM_BUGS_H
#define GW_TESTS_SIM_BUGS_H

#include "sim/disk_sim.h"

enum bug {
	BUG_NONE,
#define BUG(id, where, lie, sentence) BUG_##id,
#include "sim/bugs.def"
#undef BUG
	BUGS,
};

enum {
	IN_SWEEP = 1, /* queue_sim --sweep */
	IN_LONG = 2,  /* queue_sim */
	IN_SPOOL = 4, /* spool_sim */
};

struct bug_row {
	const char *name; /* as in --bug=NAME */
	unsigned where;
	enum disk_sim_mutant lie;
	const char *sentence;
};
extern const struct bug_row bug_rows[BUGS];

extern enum bug sim_bug;

/* BUGS: no such name. */
enum bug bug_by_name(const char *name) gw_checked;

#endif
