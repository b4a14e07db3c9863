/*
 * Content that is converted: the same however it was cut (the first octets say how), fit for who it
 * was made fit for, and every leaf decodes to what it was: read by a reader of MIME that has
 * nothing in common with the one in there.
 */
#include "mail/convert.h"

#include "mail/encoded_word.h"
#include "unit/mail/leaves.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { CUTS = 4, OUT = 16 << 20 };

static struct convert convert(struct span in, unsigned mode, struct span cuts, size_t most)
{
	struct convert c;
	struct buf all;

	convert_init(&c, mode);
	buf_init(&all, OUT);
	for (size_t i = 0; in.n > 0; i++) {
		size_t n = (size_t)cuts.p[i % cuts.n] % most + 1;
		size_t taken = convert_feed(&c, span_first(in, n));

		in = span_skip(in, taken);
		buf_add_span(&all, buf_view(&c.out));
		buf_drop(&c.out, buf_len(&c.out));
	}
	convert_end(&c);
	buf_add_span(&all, buf_view(&c.out));
	convert_fini(&c);
	c.out = all;
	return c;
}

static void check_lines(struct span out)
{
	size_t line = 0;

	for (size_t i = 0; i < out.n; i++) {
		MUST(out.p[i] != '\0');
		MUST(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
		MUST(i == 0 || out.p[i - 1] != '\r' || out.p[i] == '\n');
		line = out.p[i] == '\n' ? 0 : line + 1;
	}
	MUST(out.n == 0 || out.p[out.n - 1] != '\r');
	(void)line;
}

static void check_leaves(struct span in, struct span out)
{
	struct buf a, b;

	buf_init(&a, OUT);
	buf_init(&b, OUT);
	MUST(read_leaves(in, &a) == read_leaves(out, &b));
	MUST(span_eq(buf_view(&a), buf_view(&b)));
	buf_fini(&a);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span cuts = span_first(span_of(data, size), CUTS);
	struct span in = span_skip(span_of(data, size), cuts.n);
	struct convert a, b;
	unsigned mode;

	if (cuts.n < CUTS)
		return 0;
	mode = cuts.p[0] % 7 + 1;
	a = convert(in, mode, SPAN("\xff"), 256);
	b = convert(in, mode, cuts, 16);
	MUST(a.verdict == b.verdict && a.why == b.why);
	if (a.verdict == CONVERT_FINE) {
		struct span out = buf_view(&a.out);

		MUST(span_eq(out, buf_view(&b.out)) && a.taken == in.n);
		MUST(a.changed == !span_eq(in, out));
		MUST(!(mode & CONVERT_7BIT) || !has_high(out));
		if (mode & CONVERT_BINARY)
			check_lines(out);
		check_leaves(in, out);
	}
	buf_fini(&a.out);
	buf_fini(&b.out);
	return 0;
}
