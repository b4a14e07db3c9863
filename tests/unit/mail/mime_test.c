#include "mail/mime.h"

#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

enum { DEPTH = 10, PARTS = 20 };

static void scan_in_pieces(struct mime_scan *s, struct span content, size_t piece)
{
	struct header_scan h;
	size_t head;

	header_scan_init(&h);
	head = header_scan_feed(&h, content);
	mime_scan_init(s, DEPTH, PARTS);
	mime_scan_start(s, span_first(content, head));
	for (content = span_skip(content, head); content.n > 0; content = span_skip(content, piece))
		mime_scan_feed(s, span_first(content, piece));
}

static void expect(struct span content, enum mime_verdict verdict, uint32_t depth, uint32_t parts)
{
	const size_t pieces[] = {1, 2, 3, 4, 5, 6, 7, 100, content.n + 1};

	for (size_t i = 0; i < GW_ARRAY_LEN(pieces); i++) {
		struct mime_scan s;

		scan_in_pieces(&s, content, pieces[i]);
		if (s.verdict != verdict || s.depth != depth || s.parts != parts)
			fail_msg("in %zu: verdict %d, depth %u, parts %u of\n%.*s", pieces[i],
			    s.verdict, s.depth, s.parts, SPAN_ARG(span_first(content, 1000)));
		mime_scan_fini(&s);
	}
}
#define EXPECT(lit, depth, parts) expect(SPAN(lit), MIME_FINE, depth, parts)

#define MIXED(b) "Content-Type: multipart/mixed; boundary=" b "\r\n\r\n"
#define PART(b) "--" b "\r\n"
#define TEXT "Content-Type: text/plain\r\n\r\nhello\r\n"
#define END(b) "--" b "--\r\n"
#define MESSAGE "Content-Type: message/rfc822\r\n\r\n"

static void test_text_is_not_looked_at(void **state)
{
	struct mime_scan s;

	(void)state;
	EXPECT("", 0, 0);
	EXPECT("\r\n", 0, 0);
	EXPECT("Subject: x\r\n\r\n--a\r\n--a--\r\n", 0, 0);
	EXPECT(TEXT "--a\r\n", 0, 0);
	EXPECT("Content-Type: multipart/mixed\r\n\r\n--\r\n----\r\n", 0, 0);
	EXPECT("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n", 0, 0);
	scan_in_pieces(&s, SPAN(TEXT), 100);
	assert_int_equal(s.state, MIME_OFF);
	assert_null(s.line.mem);
	mime_scan_fini(&s);
}

static void test_parts(void **state)
{
	(void)state;
	EXPECT(MIXED("a") PART("a") TEXT PART("a") TEXT END("a") PART("a") TEXT, 1, 2);
	EXPECT(MIXED("a") "preamble\r\n--b\r\n --a\r\n-\r\n--\r\n" PART("a") "\r\n" END("a"), 1, 1);
	EXPECT(MIXED("a") "--a \t\r\n" TEXT "--a-- \r\n--a\r\n", 1, 1);
	EXPECT(MIXED("a") PART("a") TEXT "--ab\r\n--a-\r\n--a--x\r\n" PART("a") TEXT, 1, 2);
	EXPECT(MIXED("a--") PART("a--") TEXT PART("a") TEXT END("a--") PART("a--") TEXT, 1, 1);
	/* The last line may lack its end. */
	EXPECT(MIXED("a") PART("a") "\r\n--a", 1, 1);
	/* A header may end at a boundary instead of an empty line. */
	EXPECT(MIXED("a") PART("a") "Content-Type: text/plain\r\n" PART("a") TEXT END("a"), 1, 2);
}

static void test_levels(void **state)
{
	(void)state;
	EXPECT(
	    MIXED("a") PART("a") MIXED("b") PART("b") TEXT END("b") PART("a") TEXT END("a"), 2, 3);
	/* The outer boundary ends the inner part. */
	EXPECT(MIXED("a") PART("a") MIXED("b") PART("b") MIXED("c") PART("a") TEXT PART("b"), 3, 3);
	EXPECT(MIXED("a") PART("a") MESSAGE MIXED("b") PART("b") TEXT END("b") END("a"), 3, 2);
	EXPECT(MESSAGE MESSAGE MESSAGE "Subject: x\r\n\r\n" MESSAGE, 3, 0);
	EXPECT(MESSAGE MIXED("a") PART("a") MESSAGE "\r\n", 3, 1);
	EXPECT(
	    MIXED("a") PART("a") MESSAGE "\r\n" PART("a") MESSAGE "\r\n" PART("a") MESSAGE, 2, 3);
	EXPECT("content-type:MESSAGE/Global\r\n\r\n" MESSAGE "\r\n", 2, 0);
	EXPECT("Content-Type: message/partial; id=x\r\n\r\n" MESSAGE, 0, 0);
}

/* RFC 2046 section 5.1.5. */
static void test_digests(void **state)
{
	(void)state;
	EXPECT("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n" MIXED("b") "--b\r\n",
	    3, 2);
	EXPECT("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n" TEXT MESSAGE, 1, 1);
	EXPECT(MIXED("d") "--d\r\n\r\n" MESSAGE, 1, 1);
}

/* All of these name the boundary "a b". */
static void test_forms_of_the_parameter(void **state)
{
	static const char *const forms[] = {
	    "Content-Type: multipart/mixed; boundary=\"a b\"",
	    "CONTENT-TYPE :\tMULTIPART / x ;BOUNDARY = \"a b\"",
	    "Content-Type: multipart/mixed;\r\n\tx=\"boundary=no; \\\"\" ; boundary=\"a\\ b\"",
	    "Content-Type: (a (b) \\) c) multipart(x)/(y)mixed (;boundary=no) ; (z) boundary(q)="
	    "(w)\"a b\" (c)",
	    "Content-Type: multipart/mixed;;; ; charset=x;boundary=\"a b\";boundary=c",
	    "Content-Type: multipart/mixed; boundary=\"a b  \"",
	    "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=\"a b\"",
	    "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Type: text/plain",
	    "Content-Typo: x\r\n broken\r\nContent-Type: multipart/mixed;\r\n \r\n boundary=\"a "
	    "b\"",
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(forms); i++) {
		char text[1000];

		/* Both in the header of the message and in that of a part. */
		snprintf(text, sizeof(text), "%s\r\n\r\n--a b\r\n%s\r\n\r\n--a b\r\n\r\n", forms[i],
		    forms[i]);
		expect(span_str(text), MIME_FINE, 2, 2);
	}
}

static void test_boundaries_in_the_wild(void **state)
{
	(void)state;
	EXPECT("Content-Type: multipart/mixed; boundary=----=_Next.Part/0:1?\r\n\r\n"
	       "------=_Next.Part/0:1?\r\n\r\n------=_Next.Part/0:1?--\r\n",
	    1, 1);
	EXPECT("X: y\r\n " MIXED("a") PART("a"), 0, 0);
	EXPECT(MIXED("a") PART("a") "X: y\r\n " MIXED("b") PART("b"), 1, 1);
	EXPECT(MIXED("x") PART("x") MIXED("x_1") PART("x_1") TEXT END("x_1") PART("x")
		   TEXT END("x"),
	    2, 3);
}

/* Longer than what is kept of a line: what was kept decides. */
static void test_a_long_boundary(void **state)
{
	char boundary[2 * MIME_LINE_KEPT + 1];
	struct buf b;

	(void)state;
	memset(boundary, 'x', sizeof(boundary) - 1);
	boundary[sizeof(boundary) - 1] = '\0';
	buf_init(&b, 1 << 16);
	buf_addf(
	    &b, MIXED("a") PART("a") MIXED("%s") PART("%s") TEXT PART("a"), boundary, boundary);
	expect(buf_view(&b), MIME_FINE, 2, 3);
	buf_fini(&b);
}

static void nest(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "Content-Type: multipart/mixed; boundary=b%zu\r\n\r\n--b%zu\r\n", i, i);
	buf_add_str(b, "\r\ntext\r\n");
}

static void test_the_limits(void **state)
{
	for (size_t n = DEPTH - 1; n <= DEPTH + 1; n++) {
		bool fine = n <= DEPTH;
		struct buf b;

		buf_init(&b, 1 << 16);
		nest(&b, n);
		expect(buf_view(&b), fine ? MIME_FINE : MIME_TOO_DEEP, fine ? (uint32_t)n : DEPTH,
		    fine ? (uint32_t)n : DEPTH);
		buf_clear(&b);
		for (size_t i = 0; i < n; i++)
			buf_add_str(&b, MESSAGE);
		expect(
		    buf_view(&b), fine ? MIME_FINE : MIME_TOO_DEEP, fine ? (uint32_t)n : DEPTH, 0);
		buf_fini(&b);
	}
	for (size_t n = PARTS; n <= PARTS + 1; n++) {
		struct buf b;

		buf_init(&b, 1 << 16);
		buf_add_str(&b, MIXED("a"));
		for (size_t i = 0; i < n; i++)
			buf_add_str(&b, PART("a"));
		expect(buf_view(&b), n > PARTS ? MIME_TOO_MANY : MIME_FINE, 1, (uint32_t)n);
		buf_fini(&b);
	}
	(void)state;
}

/* What an attacker repeats: it has to stay cheap, and no memory may grow with it. */
static void test_attacks(void **state)
{
	static const char *const what[] = {"--", "--\r\n", "--x\r\n", "-", "--b0--\r\n", "\r\n",
	    "Content-Type: multipart/mixed;\r\n", "Content-Type: (", " folded\r\n", "----------",
	    "--b9\r\nContent-Type: multipart/mixed; boundary=b9\r\n\r\n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(what); i++) {
		struct mime_scan s;
		struct buf b;
		clock_t begun = clock();

		buf_init(&b, 16 << 20);
		nest(&b, DEPTH - 1);
		while (buf_len(&b) < 8 << 20)
			buf_add_str(&b, what[i]);
		scan_in_pieces(&s, buf_view(&b), 16384);
		assert_true(s.depth <= DEPTH && s.parts <= PARTS + 1);
		assert_true(s.line.cap + s.field.cap + s.open.cap <= 2 * MIME_LINE_KEPT + 256);
		assert_true(clock() - begun < 4 * CLOCKS_PER_SEC);
		mime_scan_fini(&s);
		buf_fini(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text_is_not_looked_at),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_digests),
	    cmocka_unit_test(test_forms_of_the_parameter),
	    cmocka_unit_test(test_boundaries_in_the_wild),
	    cmocka_unit_test(test_a_long_boundary),
	    cmocka_unit_test(test_the_limits),
	    cmocka_unit_test(test_attacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
