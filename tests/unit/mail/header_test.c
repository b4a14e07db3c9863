#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <time.h>

static void assert_span(struct span got, struct span want)
{
	if (!span_eq(got, want))
		fail_msg("\"%.*s\", not \"%.*s\"", SPAN_ARG(got), SPAN_ARG(want));
}

struct step {
	int result;
	const char *name, *value;
};

static void walk(struct span block, const struct step *steps, size_t n)
{
	struct header_walk w = header_walk_of(block);
	struct header_field f;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(header_next(&w, &f), steps[i].result);
		if (steps[i].result != 1)
			continue;
		assert_span(f.name, span_str(steps[i].name));
		assert_span(f.value, span_str(steps[i].value));
	}
	assert_int_equal(header_next(&w, &f), 0);
	assert_int_equal(header_next(&w, &f), 0);
}
#define WALK(lit, ...) \
	walk(SPAN(lit), (const struct step[]){__VA_ARGS__}, \
	    GW_ARRAY_LEN(((const struct step[]){__VA_ARGS__})))
#define FIELD(name, value) \
	{ \
		1, name, value \
	}
#define WRONG \
	{ \
		GW_EFORMAT, NULL, NULL \
	}

static void test_fields_one_by_one(void **state)
{
	(void)state;
	WALK("A: 1\r\nB:2\r\n\r\nC: body\r\n", FIELD("A", " 1"), FIELD("B", "2"));
	WALK("A: 1\r\n  two\r\n\tthree\r\nB: 2", FIELD("A", " 1\r\n  two\r\n\tthree"),
	    FIELD("B", " 2"));
	WALK("A:\r\n\r\n", FIELD("A", ""));
	WALK("A:", FIELD("A", ""));
	WALK("A \t: x\r\n", FIELD("A", " x"));
	WALK("A: x\r\n \r\nB: y\r\n", FIELD("A", " x\r\n "), FIELD("B", " y"));
	WALK("A: b:c\r\n", FIELD("A", " b:c"));
	WALK("A: \xc3\xa4\xff\r\n", FIELD("A", " \xc3\xa4\xff"));
	WALK("A: x\ny\rz\r\n", FIELD("A", " x\ny\rz"));
	WALK("A: x\nB: y\r\n", FIELD("A", " x\nB: y"));
}

static void test_lines_that_are_no_fields(void **state)
{
	(void)state;
	WALK("From me Tue\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK("A: 1\r\nno colon\r\nB: 2\r\n", FIELD("A", " 1"), WRONG, FIELD("B", " 2"));
	WALK(" starts blank: x\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK(" Blank: x\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK(": no name\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK("two words: x\r\n", WRONG);
	WALK("\xc3\xa4: x\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK("X\r\n folded: name\r\nA: 1\r\n", WRONG, FIELD("A", " 1"));
	WALK("X\nY: z\r\n", WRONG);
	WALK("X\x01Y: z\r\n", WRONG);
	WALK("\n\nA: 1\r\n", WRONG);
}

static void test_empty_blocks(void **state)
{
	struct header_walk w = header_walk_of(SPAN_NONE);
	struct header_field f;

	(void)state;
	assert_int_equal(header_next(&w, &f), 0);
	w = header_walk_of(SPAN("\r\nA: body\r\n"));
	assert_int_equal(header_next(&w, &f), 0);
	w = header_walk_of(SPAN("\r"));
	assert_int_equal(header_next(&w, &f), GW_EFORMAT);
	assert_int_equal(header_next(&w, &f), 0);
}

/* The wholes of all fields put together are the block: nothing is lost between them. */
static void test_wholes_cover_the_block(void **state)
{
	struct span block = SPAN("A: 1\r\n x\r\nB : 2\r\nC:\r\n");
	struct header_walk w = header_walk_of(block);
	struct header_field f;
	size_t at = 0;

	(void)state;
	while (header_next(&w, &f) == 1) {
		assert_ptr_equal(f.whole.p, block.p + at);
		at += f.whole.n;
	}
	assert_int_equal(at, block.n);
}

static void test_get_and_count(void **state)
{
	struct span block = SPAN("Subject: one\r\nX: \r\n 2\r\n3 bad\r\nsubject:\r\n two \r\n\r\n"
				 "X: body\r\n");

	(void)state;
	assert_span(header_get(block, SPAN("SUBJECT")), SPAN("one"));
	assert_span(header_get(block, SPAN("x")), SPAN("2"));
	assert_int_equal(header_count(block, SPAN("Subject")), 2);
	assert_int_equal(header_count(block, SPAN("X")), 1);
	assert_int_equal(header_count(block, SPAN("Subj")), 0);
	assert_null(header_get(block, SPAN("Y")).p);
	assert_non_null(header_get(SPAN("Y:\r\n"), SPAN("y")).p);
	assert_int_equal(header_get(SPAN("Y: \r\n"), SPAN("y")).n, 0);
}

static void test_lines(void **state)
{
	struct span rest = SPAN("a\r\n\r\nb\nc\r\nd\r");

	(void)state;
	assert_span(header_line(&rest), SPAN("a"));
	assert_span(header_line(&rest), SPAN(""));
	assert_span(header_line(&rest), SPAN("b\nc"));
	assert_span(header_line(&rest), SPAN("d\r"));
	assert_int_equal(rest.n, 0);
	assert_int_equal(header_line(&rest).n, 0);
}

static void test_unfolding(void **state)
{
	static const struct {
		struct span in, want;
	} rows[] = {
	    {SPAN(""), SPAN("")},
	    {SPAN(" a b"), SPAN(" a b")},
	    {SPAN(" a\r\n b"), SPAN(" a b")},
	    {SPAN(" a\r\n\tb\r\n  c"), SPAN(" a\tb  c")},
	    {SPAN("\r\n a"), SPAN(" a")},
	    {SPAN("a\r\n"), SPAN("a  ")},
	    {SPAN("a\rb\nc"), SPAN("a b c")},
	    {SPAN("a\r\nBcc: b"), SPAN("a  Bcc: b")},
	    {SPAN("\xc3\xa4"), SPAN("\xc3\xa4")},
	};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		buf_clear(&b);
		header_unfold(rows[i].in, &b);
		assert_span(buf_view(&b), rows[i].want);
	}
	buf_fini(&b);
}

static const struct {
	struct span data;
	size_t head; /* octets of the header; all with done = false if there is no end */
	bool done;
} scans[] = {
    {SPAN(""), 0, false},
    {SPAN("\r\n"), 2, true},
    {SPAN("\r\nbody"), 2, true},
    {SPAN("A: 1\r\n\r\nbody"), 8, true},
    {SPAN("A: 1\r\n"), 6, false},
    {SPAN("A\r\n\r\r\n\r\n."), 8, true},
    {SPAN("A\r\r\n\r\n."), 6, true},
    {SPAN("A\n\nB\r\n\r\n."), 8, true},
    {SPAN("A\r\n\nB\r\n\r\n."), 9, true},
    {SPAN("A\r\n \r\nB\r\n\r\n."), 11, true},
    {SPAN("\nA\r\n\r\n."), 6, true},
    {SPAN("\r\r\n\r\n."), 5, true},
    {SPAN("\r\r\r\n"), 4, false},
};

static void test_scanning_with_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(scans); i++) {
		struct span data = scans[i].data;

		for (unsigned cuts = 0; cuts < 1u << (data.n ? data.n - 1 : 0); cuts++) {
			struct header_scan s;
			size_t head = 0, from = 0;

			header_scan_init(&s);
			for (size_t at = 1; at <= data.n; at++) {
				if (at < data.n && !(cuts >> (at - 1) & 1))
					continue;
				head += header_scan_feed(&s, span_of(data.p + from, at - from));
				from = at;
			}
			assert_int_equal(head, scans[i].head);
			assert_int_equal(s.done, scans[i].done);
		}
	}
}

static void assert_date(int64_t wall, const char *want)
{
	struct buf b;

	buf_init(&b, 100);
	header_date(wall, &b);
	assert_span(buf_view(&b), span_str(want));
	buf_fini(&b);
}

static void test_dates(void **state)
{
	(void)state;
	assert_date(0, "Thu, 1 Jan 1970 00:00:00 +0000");
	assert_date(999999, "Thu, 1 Jan 1970 00:00:00 +0000");
	assert_date(-1, "Wed, 31 Dec 1969 23:59:59 +0000");
	assert_date(INT64_C(951782399) * 1000000, "Mon, 28 Feb 2000 23:59:59 +0000");
	assert_date(INT64_C(951782400) * 1000000, "Tue, 29 Feb 2000 00:00:00 +0000");
	assert_date(INT64_C(4107542400) * 1000000, "Mon, 1 Mar 2100 00:00:00 +0000");
	assert_date(INT64_C(4107542399) * 1000000, "Sun, 28 Feb 2100 23:59:59 +0000");
	assert_date(INT64_C(1709164800) * 1000000, "Thu, 29 Feb 2024 00:00:00 +0000");
	assert_date(INT64_C(2147483648) * 1000000, "Tue, 19 Jan 2038 03:14:08 +0000");
	assert_date(INT64_C(253402300799) * 1000000, "Fri, 31 Dec 9999 23:59:59 +0000");
	assert_date(INT64_MAX, "Sun, 10 Jan 294247 04:00:54 +0000");
}

/* The C library as second opinion, day by day over four centuries and more. */
static void test_dates_like_the_library(void **state)
{
	char want[64];
	struct tm tm;

	(void)state;
	for (int64_t day = -200000; day < 200000; day++) {
		time_t t = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);

		if (gmtime_r(&t, &tm) == NULL)
			fail();
		strftime(want, sizeof(want), "%a, %e %b %Y %H:%M:%S +0000", &tm);
		if (want[5] == ' ')
			memmove(want + 5, want + 6, strlen(want + 5));
		assert_date((int64_t)t * 1000000, want);
	}
}

/* Time grows with the size, not with its square: many empty folds, many lines. */
static void test_a_large_block(void **state)
{
	enum { LINES = 1 << 18 };
	static uint8_t block[LINES * 3 + 4];
	struct header_walk w;
	struct header_field f;

	(void)state;
	memcpy(block, "A:\r\n", 4);
	for (size_t i = 0; i < LINES; i++)
		memcpy(block + 4 + i * 3, " \r\n", 3);
	w = header_walk_of(span_of(block, sizeof(block)));
	assert_int_equal(header_next(&w, &f), 1);
	assert_int_equal(f.whole.n, sizeof(block));
	assert_int_equal(header_get(span_of(block, sizeof(block)), SPAN("A")).n, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fields_one_by_one),
	    cmocka_unit_test(test_lines_that_are_no_fields),
	    cmocka_unit_test(test_empty_blocks),
	    cmocka_unit_test(test_wholes_cover_the_block),
	    cmocka_unit_test(test_get_and_count),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_unfolding),
	    cmocka_unit_test(test_scanning_with_every_cut),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_dates_like_the_library),
	    cmocka_unit_test(test_a_large_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
