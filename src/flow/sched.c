#include "flow/sched.h"

enum { SEC = 1000000 };
#define DAY (86400 * (int64_t)SEC)

uint64_t dice_roll(struct dice *d)
{
	uint64_t z = (d->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static int64_t jitter(int64_t step, struct dice *d)
{
	int64_t tenth = step / 10;

	return tenth ? step - tenth + (int64_t)(dice_roll(d) % (uint64_t)(2 * tenth + 1)) : step;
}

static int64_t step_after(const struct shape *s, enum priority p, uint32_t attempts)
{
	size_t step = attempts > 0 ? attempts - 1 : 0;

	const struct retries *r = &s->retry[p];

	return r->step[step < r->n ? step : r->n - 1];
}

int64_t sched_next(
    const struct shape *s, enum priority p, uint32_t attempts, int64_t now, struct dice *d)
{
	return now + jitter(step_after(s, p, attempts), d);
}

int64_t sched_stored(
    const struct shape *s, enum priority p, uint32_t attempts, int64_t due, int64_t now)
{
	int64_t step = step_after(s, p, attempts);

	return due > now + step + step / 10 ? now + step : due;
}

bool sched_silent(int64_t latest, int64_t now)
{
	return latest > 0 && now - latest > DAY;
}

int64_t sched_born(const struct shape *s, int64_t accepted, int64_t resumed)
{
	int64_t chance = s->expire < DAY ? s->expire : DAY;

	return resumed > accepted + s->expire - chance ? resumed + chance - s->expire : accepted;
}

bool sched_expired(const struct shape *s, int64_t accepted, int64_t now)
{
	return now - accepted >= s->expire;
}

int64_t sched_rest(unsigned failures, int64_t now, struct dice *d)
{
	int64_t rest = (int64_t)SEC << (failures > 6 ? 6 : failures > 0 ? failures - 1 : 0);

	if (rest > 60 * (int64_t)SEC)
		rest = 60 * (int64_t)SEC;
	return now + jitter(rest, d);
}
