#include "sim/faults.h"

#include <stdio.h>

uint64_t sim_faults[FAULTS];

static const struct {
	const char *sentence;
	bool of_long; /* never in a swept history */
} faults[FAULTS] = {
#define FAULT(id, sentence) [FAULT_##id] = {sentence, false},
#define FAULT_OF_LONG(id, sentence) [FAULT_##id] = {sentence, true},
#include "sim/faults.def"
#undef FAULT_OF_LONG
#undef FAULT
};

bool faults_print(const uint64_t n[FAULTS], bool swept)
{
	bool all = true;

	for (int f = 0; f < FAULTS; f++) {
		bool missing = n[f] == 0 && !(swept && faults[f].of_long);

		printf("%12llu  %s%s\n", (unsigned long long)n[f], faults[f].sentence,
		    missing ? "  NEVER" : "");
		all = all && !missing;
	}
	return all;
}
