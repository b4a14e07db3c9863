#include "sim/faults.h"

#include <stdio.h>

uint64_t sim_faults[FAULTS];

static const char *const fault_sentences[FAULTS] = {
#define FAULT(id, sentence) [FAULT_##id] = sentence,
#include "sim/faults.def"
#undef FAULT
};

bool faults_print(const uint64_t n[FAULTS])
{
	bool all = true;

	for (int f = 0; f < FAULTS; f++) {
		printf("%12llu  %s%s\n", (unsigned long long)n[f], fault_sentences[f],
		    n[f] == 0 ? "  NEVER" : "");
		all = all && n[f] > 0;
	}
	return all;
}
