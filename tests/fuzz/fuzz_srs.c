/*
 * SRS: the octets are a sender, or the local part that a report comes to. Invariants: what is made
 * here comes back as the same address; what was not made here never leads anywhere; nothing is
 * longer than an address may be.
 */
#include "auth/srs.h"

#include <stdlib.h>

enum { DAY = 20000, ROOM = 600 };

static void check(bool good)
{
	if (!good)
		abort();
}

static struct srs with(const char *secret)
{
	struct srs s = {.domain = SPAN("ours.test"), .age = 21};

	check(srs_secrets(&s, span_str(secret)) == 0);
	return s;
}

static void local_of(struct span addr, struct buf *out)
{
	struct address a;

	check(address_parse(addr, &a) == 0 && a.kind == ADDRESS_DOMAIN);
	check(span_eq(a.domain, SPAN("ours.test")));
	address_local_plain(&a, out);
}

static bool looks(struct span from)
{
	struct address a;
	struct buf local;
	bool yes;

	buf_init(&local, ROOM);
	check(address_parse(from, &a) == 0);
	address_local_plain(&a, &local);
	yes = srs_looks(buf_view(&local));
	buf_fini(&local);
	return yes;
}

/* SRS1 of a sender that was rewritten already has its way home in its text only. */
static void there_and_back(const struct srs *s, struct span from)
{
	struct buf path, local, home;

	buf_init(&path, ROOM);
	buf_init(&local, ROOM);
	buf_init(&home, ROOM);
	if (srs_forward(s, from, DAY, &path) == 0) {
		struct srs other = with("not the same secret");

		local_of(buf_view(&path), &local);
		check(srs_reverse(s, buf_view(&local), DAY + 3, &home) == SRS_GOOD);
		if (!looks(from))
			check(span_eq(buf_view(&home), from));
		check(srs_reverse(&other, buf_view(&local), DAY, &home) == SRS_FORGED);
	}
	buf_fini(&path);
	buf_fini(&local);
	buf_fini(&home);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srs s = with("the secret of a fuzzer");
	struct span in = span_of(data, size);
	struct address a;
	struct buf canonical, out;

	buf_init(&out, ROOM);
	/* Nobody hits 36 bits in the dark: not even libFuzzer, which compares memory. */
	if (srs_reverse(&s, in, DAY, &out) == SRS_GOOD)
		check(buf_len(&out) > 0);
	else
		check(buf_len(&out) == 0);
	buf_fini(&out);
	buf_init(&canonical, ROOM);
	if (address_parse(in, &a) == 0 && a.kind == ADDRESS_DOMAIN) {
		address_canonical(&a, &canonical);
		there_and_back(&s, buf_view(&canonical));
	}
	buf_fini(&canonical);
	return 0;
}
