/*
 * Runs many histories, in as many processes as there are processors: process i of n takes every
 * n-th seed. The first history that fails ends the run; it is shrunk and printed with its trace.
 */
#ifndef GW_TESTS_SIM_RUNNER_H
#define GW_TESTS_SIM_RUNNER_H

#include "sim/history.h"

struct run {
	struct script plan; /* of the first history; the others have the next seeds */
	uint64_t histories;
	unsigned jobs;
	double seconds_max; /* no new history after that; 0: no limit */
	bool shrink;        /* also what a planted bug makes fail */
	bool whole;         /* a fault that never happened is a failure */
};

/* 0: all histories are good, or (with a planted bug) one is not. */
int run_histories(const struct run *r, const struct config *c, const char *program);
/* Every planted bug, as a table: 0 if each was found. */
int run_bugs(const char *program, unsigned jobs);

#endif
