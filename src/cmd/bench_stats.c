/*
 * How long things took, in buckets whose width grows with the time: any quantile from little
 * memory.
 */
#include "cmd/bench.h"

#include <stdlib.h>

/*
 * Below LATENCY_SUB a bucket is one microsecond; above, each power of two is
 * cut into LATENCY_SUB / 2 steps, so a bucket is at most 1.6 % wide.
 */
static size_t bucket_of(uint64_t usec)
{
	unsigned shift;
	size_t i;

	if (usec < LATENCY_SUB)
		return usec;
	shift = (unsigned)(63 - __builtin_clzll(usec)) - 6;
	i = (size_t)shift * (LATENCY_SUB / 2) + (usec >> shift);
	return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}

static uint64_t bucket_top(size_t i)
{
	size_t shift;

	if (i < LATENCY_SUB)
		return i;
	shift = i / (LATENCY_SUB / 2) - 1;
	return ((i - shift * (LATENCY_SUB / 2) + 1) << shift) - 1;
}

void latency_add(struct latency *l, int64_t usec)
{
	uint64_t v = usec > 0 ? (uint64_t)usec : 0;

	l->bucket[bucket_of(v)]++;
	l->count++;
	if (v > l->max)
		l->max = v;
}

uint64_t latency_at(const struct latency *l, double share)
{
	uint64_t want = (uint64_t)((double)l->count * share + 0.5), sum = 0;

	if (l->count == 0)
		return 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		sum += l->bucket[i];
		if (sum >= want && l->bucket[i])
			return bucket_top(i) < l->max ? bucket_top(i) : l->max;
	}
	return l->max;
}
