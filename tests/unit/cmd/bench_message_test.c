#include "cmd/bench_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void make(struct buf *b, struct bench_pool *p, uint64_t n)
{
	struct span body = bench_pool_body(p, n);

	mark_put(b, SPAN("run7"), n, bench_pool_sum(p, n));
	buf_add_str(b, "Subject: x\r\n\r\n");
	buf_add_span(b, body);
	buf_add_str(b, "\r\n.\r\n");
	assert_false(buf_failed(b));
}

/* Feeds all of in, piece by piece; how many bytes the message took, or -1 without its end. */
static ptrdiff_t feed(struct scan *s, struct span in, size_t piece)
{
	size_t at = 0;
	bool done = false;

	while (at < in.n && !done)
		at += scan_feed(s, span_first(span_skip(in, at), piece), &done);
	return done ? (ptrdiff_t)at : -1;
}

static void any_size_in_any_pieces(void **state)
{
	struct scan s;

	(void)state;
	scan_init(&s);
	for (size_t size = 8; size < 400; size += 3) {
		struct bench_pool p;
		struct buf b;

		bench_pool_init(&p, size);
		buf_init(&b, 1 << 20);
		make(&b, &p, size * 7 + 5);
		/* What follows is the next command, not ours. */
		buf_add_str(&b, "QUIT\r\n");
		for (size_t piece = 1; piece < 90; piece += piece < 8 ? 1 : 27) {
			scan_begin(&s, false);
			assert_int_equal(feed(&s, buf_view(&b), piece), buf_len(&b) - 6);
			assert_true(s.mark.found);
			assert_int_equal(s.mark.n, size * 7 + 5);
			assert_true(span_eq(mark_run(&s.mark), SPAN("run7")));
			assert_true(scan_intact(&s));
		}
		buf_fini(&b);
		bench_pool_fini(&p);
	}
	scan_fini(&s);
}

static void every_changed_byte_is_seen(void **state)
{
	struct bench_pool p;
	struct buf b;
	struct scan s;
	size_t body_at, caught = 0, total = 0;

	(void)state;
	bench_pool_init(&p, 700);
	buf_init(&b, 1 << 20);
	scan_init(&s);
	make(&b, &p, 3);
	body_at = (size_t)((uint8_t *)memmem(b.mem, b.end, "\r\n\r\n", 4) - b.mem) + 4;
	for (size_t i = body_at; i < b.end - 5; i++) {
		ptrdiff_t n;

		b.mem[i] ^= 1;
		scan_begin(&s, false);
		n = feed(&s, buf_view(&b), 64);
		caught += n < 0 || !scan_intact(&s);
		total++;
		b.mem[i] ^= 1;
	}
	assert_int_equal(caught, total);
	scan_fini(&s);
	buf_fini(&b);
	bench_pool_fini(&p);
}

static void bodies_differ(void **state)
{
	struct bench_pool p;

	(void)state;
	bench_pool_init(&p, 100);
	for (uint64_t n = 1; n < POOL_OFFSETS; n++)
		assert_true(bench_pool_sum(&p, n) != bench_pool_sum(&p, n - 1));
	bench_pool_fini(&p);
}

/* A piece may end anywhere in what only looks like the end. */
static void false_ends(void **state)
{
	static const char text[] = "\r\n\r\n.\r.\r\n..\r\n\n.\n\r.\r\nx\r\n.y\r\n\r\r\n.\r\nrest";
	const size_t end = sizeof(text) - 1 - 4;
	struct scan s;
	XXH64_hash_t whole = XXH3_64bits(text + 2, end - 3 - 2);

	(void)state;
	scan_init(&s);
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		scan_begin(&s, false);
		assert_int_equal(feed(&s, span_of(text, sizeof(text) - 1), piece), end);
		s.mark.found = true;
		s.mark.sum = whole;
		assert_true(scan_intact(&s));
	}
	scan_fini(&s);
}

static void empty_messages(void **state)
{
	static const char *const texts[] = {
	    ".\r\n", "\r\n.\r\n", "A: b\r\n.\r\n", "A: b\r\n\r\n.\r\n"};
	struct scan s;

	(void)state;
	scan_init(&s);
	for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			scan_begin(&s, false);
			assert_int_equal(feed(&s, span_str(texts[i]), piece), strlen(texts[i]));
			assert_false(s.mark.found);
			assert_false(scan_intact(&s));
		}
	scan_fini(&s);
}

static void forged_marks(void **state)
{
	static const char *const lines[] = {
	    "X-Godwit-Bench: -1 0000000000000000",
	    "X-Godwit-Bench: run 0000000000000000",
	    "X-Godwit-Bench: run-1",
	    "X-Godwit-Bench: run-1 000000000000000",
	    "X-Godwit-Bench: run-1 000000000000000g",
	    "X-Godwit-Bench: run-x 0000000000000000",
	    "X-Godwit-Bench: run-99999999999999999999 0000000000000000",
	    "X-Godwit-Bench: aaaaaaaaaaaaaaaaa-1 0000000000000000",
	    "X-Godwit-Bench:",
	    "Y-Godwit-Bench: run-1 0000000000000000",
	};
	struct scan s;

	(void)state;
	scan_init(&s);
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		struct buf b;

		buf_init(&b, 1024);
		buf_addf(&b, "%s\r\n\r\nbody\r\n.\r\n", lines[i]);
		scan_begin(&s, false);
		assert_true(feed(&s, buf_view(&b), 5) > 0);
		assert_false(s.mark.found);
		buf_fini(&b);
	}
	scan_fini(&s);
}

/* The mark in a body counts only in a report; a long line before it does no harm. */
static void marks_in_reports(void **state)
{
	struct buf b;
	struct scan s;

	(void)state;
	buf_init(&b, 8192);
	scan_init(&s);
	buf_add_str(&b, "Subject: undelivered\r\n\r\n");
	for (int i = 0; i < 3000; i++)
		buf_add_byte(&b, 'x');
	buf_add_str(&b, "\r\nx-godwit-bench: run-41 00000000000000ff\r\n\r\n.\r\n");
	for (size_t piece = 1; piece < 400; piece += 13) {
		scan_begin(&s, false);
		assert_int_equal(feed(&s, buf_view(&b), piece), buf_len(&b));
		assert_false(s.mark.found);
		scan_begin(&s, true);
		assert_int_equal(feed(&s, buf_view(&b), piece), buf_len(&b));
		assert_true(s.mark.found);
		assert_int_equal(s.mark.n, 41);
	}
	scan_fini(&s);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_size_in_any_pieces),
	    cmocka_unit_test(every_changed_byte_is_seen),
	    cmocka_unit_test(bodies_differ),
	    cmocka_unit_test(false_ends),
	    cmocka_unit_test(empty_messages),
	    cmocka_unit_test(forged_marks),
	    cmocka_unit_test(marks_in_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
