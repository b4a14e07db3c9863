/*
 * Body facts: the fast scan of the content in one piece, the same in pieces
 * (the first octets say how long each is) and a slow reference one octet at a
 * time say the same.
 */
#include "mail/body.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { CUTS = 8 };

static void reference(struct span in, struct body_facts *f)
{
	uint32_t line = 0;

	*f = (struct body_facts){.size = in.n};
	for (size_t i = 0; i < in.n; i++) {
		bool cr = in.p[i] == '\r', lf = in.p[i] == '\n';

		if (cr && i + 1 < in.n && in.p[i + 1] == '\n') {
			f->lines++;
			line = 0;
			i++;
			continue;
		}
		f->bare_cr |= cr;
		f->bare_lf |= lf;
		f->nul |= in.p[i] == 0;
		f->eight_bit |= in.p[i] > 127;
		if (++line > f->longest_line)
			f->longest_line = line;
	}
	f->open_end = line > 0;
}

static void check(const struct body_facts *a, const struct body_facts *b)
{
	MUST(a->size == b->size && a->lines == b->lines && a->longest_line == b->longest_line);
	MUST(a->eight_bit == b->eight_bit && a->nul == b->nul);
	MUST(a->bare_cr == b->bare_cr && a->bare_lf == b->bare_lf && a->open_end == b->open_end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span cuts = span_first(span_of(data, size), CUTS);
	struct span in = span_skip(span_of(data, size), cuts.n), rest = in;
	struct body_facts want;
	struct body_scan s;

	reference(in, &want);
	body_scan_init(&s);
	body_scan_feed(&s, in);
	check(body_scan_end(&s), &want);

	body_scan_init(&s);
	for (size_t i = 0; rest.n > 0; i++) {
		struct span piece = span_first(rest, (size_t)cuts.p[i % cuts.n] + 1);

		body_scan_feed(&s, piece);
		rest = span_skip(rest, piece.n);
	}
	check(body_scan_end(&s), &want);
	return 0;
}
