/*
 * The stored counts of the days: any octets are refused or read; what was read can be written,
 * within its ceiling, and reads back the same.
 */
#include "flow/counters.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct counters c = {.slot = {{0}}}, back;
	struct buf b;

	if (counters_decode(&c, span_of(data, size)) < 0)
		return 0;
	buf_init(&b, COUNTERS_OCTETS);
	counters_encode(&c, &b);
	MUST(!buf_failed(&b));
	MUST(counters_decode(&back, buf_view(&b)) == 0);
	MUST(memcmp(&back, &c, sizeof(c)) == 0);
	buf_clear(&b);
	counters_json(&c, NULL, INT64_C(1800000000000000), &b);
	buf_fini(&b);
	return 0;
}
