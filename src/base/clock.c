#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

int64_t clock_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_now(void)
{
	static int64_t offset;
	int64_t mono = read_clock(CLOCK_BOOTTIME);

	if (offset == 0)
		offset = clock_wall() - mono;
	return mono + offset;
}
