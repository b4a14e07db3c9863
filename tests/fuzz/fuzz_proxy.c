/*
 * The PROXY header under any input: it never takes more than its ceiling, the same is found however
 * it is cut, what follows it is left alone, and who is known has an address of one of two families.
 * Byte 0: the size of the pieces; the rest is what the balancer sends.
 */
#include "net/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

static int feed(struct proxy *p, struct span in, size_t piece, size_t *taken)
{
	size_t used = 0;
	int r = 0;

	memset(p, 0, sizeof(*p));
	proxy_init(p);
	for (*taken = 0; r == 0 && *taken < in.n; *taken += used) {
		r = proxy_feed(p, span_first(span_skip(in, *taken), piece), &used);
		MUST(used > 0 && used <= piece);
	}
	return r;
}

static void judge(const struct proxy *p, int r, size_t taken)
{
	sa_family_t from = p->from.ss_family, to = p->to.ss_family;

	MUST(r == 1 || r == 0 || r == GW_EFORMAT);
	MUST(taken <= PROXY_MAX && taken == p->n);
	MUST((r < 0) == (p->why != NULL));
	MUST(r == 1 || (!p->known && !p->local));
	MUST(!(p->known && p->local));
	if (p->known)
		MUST((from == AF_INET || from == AF_INET6) && (to == AF_INET || to == AF_INET6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proxy whole, cut;
	size_t taken, again;
	int r;

	if (size < 2)
		return 0;
	r = feed(&whole, span_of(data + 1, size - 1), SIZE_MAX, &taken);
	judge(&whole, r, taken);
	MUST(feed(&cut, span_of(data + 1, size - 1), data[0] % 17 + 1, &again) == r);
	MUST(again == taken && cut.known == whole.known && cut.local == whole.local);
	MUST(memcmp(&cut.from, &whole.from, sizeof(cut.from)) == 0);
	return 0;
}
