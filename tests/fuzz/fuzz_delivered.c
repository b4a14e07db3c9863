/*
 * Mail that comes back: the same is found however the header was cut (the first octet says how); a
 * field of ours behind whatever stands in front of it is found as long as the header goes on; and
 * without an address there is nothing to find.
 */
#include "mail/delivered.h"

#include <stdlib.h>

#define OWN "bob@example.org"

static void check(bool good)
{
	if (!good)
		abort();
}

static void feed(struct delivered_scan *s, struct span in, size_t piece)
{
	delivered_scan_init(s, SPAN(OWN));
	for (; in.n > 0; in = span_skip(in, span_first(in, piece).n))
		delivered_scan_feed(s, span_first(in, piece));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct delivered_scan one, two;
	struct span in = span_of(data, size);

	if (in.n == 0)
		return 0;
	in = span_skip(in, 1);
	feed(&one, in, in.n + 1);
	feed(&two, in, (size_t)data[0] % 16 + 1);
	check(one.found == two.found && one.done == two.done && one.n == two.n);
	if (span_find(in, '@') < 0)
		check(!one.found);
	if (!one.done && (in.n == 0 || in.p[in.n - 1] == '\n')) {
		delivered_scan_feed(&one, SPAN("Delivered-To: <" OWN ">\r\n\r\n"));
		check(one.found && one.done);
	}
	return 0;
}
