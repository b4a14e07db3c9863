#include "base/memory.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/mman.h>

#define TRY_EVERY (500 * USEC_PER_MSEC)

static struct {
	void *mem; /* NULL: spent, or none was asked for */
	size_t octets;
	int64_t try_at; /* clock_now() */
	bool said;
} reserve;

static void *take(size_t octets)
{
	void *p = mmap(NULL, octets, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void memory_reserve(size_t octets)
{
	if (reserve.mem != NULL)
		munmap(reserve.mem, reserve.octets);
	reserve.octets = octets;
	reserve.mem = take(octets);
	reserve.said = false;
	reserve.try_at = 0;
}

bool memory_spend(void)
{
	void *mem = __atomic_exchange_n(&reserve.mem, NULL, __ATOMIC_ACQ_REL);

	return mem != NULL && munmap(mem, reserve.octets) == 0;
}

bool memory_is_spent(void)
{
	return reserve.octets > 0 && __atomic_load_n(&reserve.mem, __ATOMIC_RELAXED) == NULL;
}

static void say(bool low)
{
	struct logline l;

	reserve.said = low;
	log_begin(&l, low ? EV_MEMORY_LOW : EV_MEMORY_NORMAL);
	log_role(&l);
	log_number(&l, "reserve", (int64_t)reserve.octets);
	log_end(&l);
}

/* Not at every call: what was freed a moment ago is needed again in the next. */
static void have_back(void)
{
	int64_t now = clock_now();
	void *mem;

	if (now < reserve.try_at)
		return;
	reserve.try_at = now + TRY_EVERY;
	if (reserve.said && (mem = take(reserve.octets)) != NULL)
		__atomic_store_n(&reserve.mem, mem, __ATOMIC_RELEASE);
}

bool memory_low(void)
{
	bool low;

	if (memory_is_spent())
		have_back();
	low = memory_is_spent();
	if (low != reserve.said)
		say(low);
	return low;
}

void *memory_alloc(size_t size)
{
	void *p = malloc(size);

	return p == NULL && memory_spend() ? malloc(size) : p;
}

void *memory_realloc(void *p, size_t size)
{
	void *q = realloc(p, size);

	return q == NULL && size > 0 && memory_spend() ? realloc(p, size) : q;
}

void *gw_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (p == NULL && memory_spend())
		p = calloc(n ? n : 1, size ? size : 1);
	if (p == NULL)
		die("out of memory (%zu x %zu bytes)", n, size);
	return p;
}

void *gw_realloc(void *p, size_t size)
{
	void *q = memory_realloc(p, size ? size : 1);

	if (q == NULL)
		die("out of memory (%zu bytes)", size);
	return q;
}
