/*
 * How often each fault of faults.def was produced, by everything that runs in this process. The
 * simulated disk, the queue and its peers count; the runner adds up and judges.
 */
#ifndef GW_TESTS_SIM_FAULTS_H
#define GW_TESTS_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault {
#define FAULT(id, sentence) FAULT_##id,
#define FAULT_OF_LONG FAULT
#include "sim/faults.def"
#undef FAULT_OF_LONG
#undef FAULT
	FAULTS,
};

extern uint64_t sim_faults[FAULTS];

static inline void fault_count(enum fault f)
{
	sim_faults[f]++;
}

/* Prints how often each happened; true if none is missing of those that swept, or long, histories
 * must have produced. */
bool faults_print(const uint64_t n[FAULTS], bool swept);

#endif
