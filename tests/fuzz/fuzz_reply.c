/*
 * The reader of replies: the same result however the bytes are cut, all ceilings kept, clean
 * text, and a reply that is written again reads as itself.
 *
 * Byte 0: the size of the pieces and whether all text is kept; the rest is what the peer says.
 */
#include "smtp/reply.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

static void check_reply(const struct reply *r, bool keep_all)
{
	MUST(r->code >= 200 && r->code < 600);
	MUST(r->esc[0] == 0 || r->esc[0] == r->code / 100);
	MUST(r->text.n <= (keep_all ? REPLY_TOTAL_MAX : REPLY_TEXT_MAX));
	for (size_t i = 0; i < r->text.n; i++) {
		uint8_t c = r->text.p[i];

		MUST(c == '\n' || c == '\t' || (c >= ' ' && c < 127));
	}
}

/* All lines of at most 400 octets come back as they were. */
static void check_again(const struct reply *r)
{
	struct reply_reader reader;
	struct reply out;
	struct buf b;
	bool done;

	buf_init(&b, 1 << 24);
	reply_format(r, true, &b);
	reply_reader_init(&reader);
	reader.keep_all = true;
	if (buf_len(&b) <= REPLY_TOTAL_MAX) {
		MUST(reply_reader_feed(&reader, buf_view(&b), &done, &out) ==
		     (ptrdiff_t)buf_len(&b));
		MUST(done && out.code == r->code);
		if (r->esc[0] && r->code / 100 != 3)
			MUST(memcmp(out.esc, r->esc, 3) == 0);
		check_reply(&out, true);
	}
	reply_reader_fini(&reader);
	buf_fini(&b);
}

/* Appends a description of every reply and of the end to "to". */
static void read_all(struct span in, size_t piece, bool keep_all, struct buf *to)
{
	struct reply_reader r;
	struct reply out;
	ptrdiff_t n = 0;
	bool done;

	reply_reader_init(&r);
	r.keep_all = keep_all;
	for (size_t at = 0; at < in.n && n >= 0; at += n > 0 ? (size_t)n : 0) {
		n = reply_reader_feed(&r, span_first(span_skip(in, at), piece), &done, &out);
		MUST(n != 0 && (n < 0) == r.failed && (n > 0 || !done));
		if (!done)
			continue;
		check_reply(&out, keep_all);
		check_again(&out);
		buf_addf(to, "%u %u.%u.%u ", out.code, out.esc[0], out.esc[1], out.esc[2]);
		buf_add_span(to, out.text);
	}
	buf_addf(to, "end %td", n < 0 ? n : 0);
	reply_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf a, b;
	struct span in;

	if (size < 1)
		return 0;
	in = span_of(data + 1, size - 1);
	buf_init(&a, 1 << 24);
	buf_init(&b, 1 << 24);
	read_all(in, in.n ? in.n : 1, data[0] & 1, &a);
	read_all(in, (data[0] >> 1) + 1u, data[0] & 1, &b);
	MUST(span_eq(buf_view(&a), buf_view(&b)));
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
