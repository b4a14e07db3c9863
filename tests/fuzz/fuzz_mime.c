/*
 * MIME levels: the same result however the content was cut (the first octets say how), never
 * beyond the limits, and in the memory that was promised.
 */
#include "mail/header.h"
#include "mail/mime.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { CUTS = 4, DEPTH = 5, PARTS = 9 };

static struct mime_scan scan(struct span in, struct span cuts, size_t most)
{
	struct header_scan h;
	struct mime_scan s;
	size_t head;

	header_scan_init(&h);
	head = header_scan_feed(&h, in);
	mime_scan_init(&s, DEPTH, PARTS);
	mime_scan_start(&s, span_first(in, head));
	in = span_skip(in, head);
	for (size_t i = 0; in.n > 0; i++) {
		size_t n = (size_t)cuts.p[i % cuts.n] % most + 1;

		mime_scan_feed(&s, span_first(in, n));
		in = span_skip(in, n);
		MUST(s.depth <= DEPTH && s.parts <= PARTS + 1);
		MUST(buf_len(&s.line) <= MIME_LINE_KEPT && buf_len(&s.field) <= MIME_LINE_KEPT);
		MUST(!buf_failed(&s.line) && !buf_failed(&s.field) && !buf_failed(&s.open));
	}
	mime_scan_fini(&s);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span cuts = span_first(span_of(data, size), CUTS);
	struct span in = span_skip(span_of(data, size), cuts.n);
	struct mime_scan a, b, c;

	if (cuts.n < CUTS)
		return 0;
	a = scan(in, SPAN("\xff"), 256);
	b = scan(in, cuts, 16);
	c = scan(in, cuts, 2);
	MUST(a.verdict == b.verdict && a.depth == b.depth && a.parts == b.parts);
	MUST(a.verdict == c.verdict && a.depth == c.depth && a.parts == c.parts);
	MUST((a.parts > PARTS) == (a.verdict == MIME_TOO_MANY));
	return 0;
}
