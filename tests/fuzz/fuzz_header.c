/*
 * Headers: walking gives the whole block in order, field by field; the end of
 * the header is where a plain search finds it, however the data was cut (the
 * first octets say how); unfolding leaves no line end.
 */
#include "mail/header.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { CUTS = 8 };

static void check_field(const struct header_field *f, struct buf *b)
{
	MUST(f->name.n > 0 && f->name.p == f->whole.p);
	for (size_t i = 0; i < f->name.n; i++)
		MUST(f->name.p[i] > ' ' && f->name.p[i] < 127 && f->name.p[i] != ':');
	MUST(f->value.p > f->name.p && f->value.p + f->value.n <= f->whole.p + f->whole.n);
	buf_clear(b);
	buf_add_byte(b, 'x');
	header_unfold(f->value, b);
	MUST(!buf_failed(b) && buf_len(b) <= f->value.n + 1);
	MUST(span_find(buf_view(b), '\r') < 0 && span_find(buf_view(b), '\n') < 0);
}

static void check_walk(struct span block, struct buf *b)
{
	struct header_walk w = header_walk_of(block);
	struct header_field f;
	struct span before = w.rest;
	int got;

	while ((got = header_next(&w, &f)) != 0) {
		MUST(w.rest.n < before.n);
		if (got > 0) {
			MUST(f.whole.p == before.p && f.whole.n == before.n - w.rest.n);
			check_field(&f, b);
			MUST(header_count(block, f.name) > 0);
			MUST(header_get(block, f.name).p != NULL);
		}
		before = w.rest;
		if (block.n > 2000)
			break; /* count and get are linear each */
	}
	MUST(block.n > 2000 || w.rest.n == 0 || span_starts(w.rest, SPAN("\r\n")));
}

static void check_lines(struct span rest)
{
	while (rest.n > 0) {
		size_t n = rest.n;
		struct span line = header_line(&rest);

		MUST(rest.n < n && line.n <= n - rest.n && n - rest.n - line.n <= 2);
		for (size_t i = 1; i < line.n; i++)
			MUST(line.p[i - 1] != '\r' || line.p[i] != '\n');
	}
}

static size_t plain_end(struct span in, bool *done)
{
	*done = true;
	if (span_starts(in, SPAN("\r\n")))
		return 2;
	for (size_t i = 4; i <= in.n; i++) {
		if (memcmp(in.p + i - 4, "\r\n\r\n", 4) == 0)
			return i;
	}
	*done = false;
	return in.n;
}

static void check_scan(struct span in, struct span cuts)
{
	bool want_done;
	size_t want = plain_end(in, &want_done), whole, pieces = 0;
	struct header_scan s;

	header_scan_init(&s);
	whole = header_scan_feed(&s, in);
	MUST(whole == want && s.done == want_done);
	header_scan_init(&s);
	for (size_t i = 0; in.n > 0; i++) {
		struct span piece = span_first(in, (size_t)cuts.p[i % cuts.n] % 16 + 1);

		pieces += header_scan_feed(&s, piece);
		in = span_skip(in, piece.n);
	}
	MUST(pieces == want && s.done == want_done);
}

static void check_date(struct span in, struct buf *b)
{
	int64_t when = 0;

	memcpy(&when, in.p, in.n < sizeof(when) ? in.n : sizeof(when));
	buf_clear(b);
	header_date(when, b);
	MUST(!buf_failed(b) && buf_len(b) >= 29 && buf_len(b) <= 36);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span cuts = span_first(span_of(data, size), CUTS);
	struct span in = span_skip(span_of(data, size), cuts.n);
	struct buf b;

	if (cuts.n == 0)
		return 0;
	buf_init(&b, size + 64);
	check_date(cuts, &b);
	check_walk(in, &b);
	check_lines(in);
	check_scan(in, cuts);
	buf_fini(&b);
	return 0;
}
