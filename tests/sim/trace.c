#include "sim/trace.h"

#include "sim/disk_sim.h"

#include <stdarg.h>
#include <stdio.h>

enum { NOTES = 160, NOTE_MAX = 160 };

jmp_buf sim_failed;

static struct {
	char why[240];
	const char *check;
	char note[NOTES][NOTE_MAX];
	uint64_t n;
} trace;

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	trace.check = fmt;
	va_start(ap, fmt);
	vsnprintf(trace.why, sizeof(trace.why), fmt, ap);
	va_end(ap);
	longjmp(sim_failed, 1);
}

const char *sim_check(void)
{
	return trace.check;
}

const char *sim_why(void)
{
	return trace.why;
}

void sim_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trace.note[trace.n++ % NOTES], NOTE_MAX, fmt, ap);
	va_end(ap);
}

void sim_notes_clear(void)
{
	trace.n = 0;
}

void sim_notes_print(void)
{
	uint64_t first = trace.n > NOTES ? trace.n - NOTES : 0;

	for (uint64_t i = first; i < trace.n; i++)
		fprintf(stderr, "  %6llu %s\n", (unsigned long long)i, trace.note[i % NOTES]);
}

uint64_t sim_below(uint64_t *rng, uint64_t n)
{
	return sim_random(rng) % n;
}

bool sim_once_in(uint64_t *rng, uint64_t n)
{
	return sim_random(rng) % n == 0;
}
