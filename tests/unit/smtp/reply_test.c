#include "smtp/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_formats(struct reply r, bool enhanced, const char *want)
{
	struct buf out;

	buf_init(&out, 65536);
	reply_format(&r, enhanced, &out);
	assert_int_equal(buf_len(&out), strlen(want));
	assert_memory_equal(buf_view(&out).p, want, strlen(want));
	buf_fini(&out);
}

static void formats(void **state)
{
	(void)state;
	assert_formats(REPLY(550, 5, 7, 1, "Relay denied"), true, "550 5.7.1 Relay denied\r\n");
	assert_formats(REPLY(550, 5, 7, 1, "Relay denied"), false, "550 Relay denied\r\n");
	assert_formats(REPLY(354, 2, 0, 0, "Go on"), true, "354 Go on\r\n");
	assert_formats(REPLY(220, 0, 0, 0, "mx"), true, "220 mx\r\n");
	assert_formats(REPLY(250, 2, 0, 0, ""), true, "250 2.0.0 \r\n");
	assert_formats(REPLY(550, 5, 1, 1, "a\nb\n\nc"), true,
	    "550-5.1.1 a\r\n550-5.1.1 b\r\n550-5.1.1 \r\n550 5.1.1 c\r\n");
	assert_formats(REPLY(250, 0, 0, 0, "a\n"), true, "250 a\r\n");
}

/* Text that came from elsewhere must not make a second reply, or break the line of one. */
static void text_cannot_break_out(void **state)
{
	(void)state;
	assert_formats(
	    REPLY(550, 5, 0, 0, "x\r250 ok\0\x1b\x7f\xff"), true, "550 5.0.0 x?250 ok????\r\n");
	assert_formats(
	    REPLY(550, 5, 0, 0, "x\r\n250 ok"), true, "550-5.0.0 x?\r\n550 5.0.0 250 ok\r\n");
}

static void long_lines_go_on(void **state)
{
	struct reply r = {.code = 550, .esc = {5, 255, 255}};
	struct buf out;
	char text[2000];
	struct span rest;
	size_t letters = 0;
	ptrdiff_t lf;

	(void)state;
	memset(text, 'a', sizeof(text));
	r.text = span_of(text, sizeof(text));
	buf_init(&out, 65536);
	reply_format(&r, true, &out);
	for (rest = buf_view(&out); (lf = span_find(rest, '\n')) >= 0;
	     rest = span_skip(rest, (size_t)lf + 1)) {
		assert_true(lf + 1 <= 512);
		assert_int_equal(rest.p[3], rest.n == (size_t)lf + 1 ? ' ' : '-');
		letters += (size_t)lf - 1 - strlen("550-5.255.255 ");
	}
	assert_int_equal(rest.n, 0);
	assert_int_equal(letters, sizeof(text));
	buf_fini(&out);
}

/* Feeds in pieces of that size; the bytes taken, or the error. */
static ptrdiff_t feed(
    struct reply_reader *r, struct span in, size_t piece, bool *done, struct reply *out)
{
	size_t at = 0;
	ptrdiff_t n;

	*done = false;
	while (at < in.n && !*done) {
		n = reply_reader_feed(r, span_first(span_skip(in, at), piece), done, out);
		if (n < 0)
			return n;
		at += (size_t)n;
	}
	return (ptrdiff_t)at;
}

static void assert_reads(struct span in, uint16_t code, const char *esc, const char *text)
{
	for (size_t piece = 1; piece <= in.n; piece++) {
		struct reply_reader r;
		struct reply out;
		bool done;

		reply_reader_init(&r);
		assert_int_equal(feed(&r, in, piece, &done, &out), in.n);
		assert_true(done);
		assert_int_equal(out.code, code);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(out.esc[i], esc[0] ? esc[2 * i] - '0' : 0);
		assert_int_equal(out.text.n, strlen(text));
		assert_memory_equal(out.text.p, text, out.text.n);
		reply_reader_fini(&r);
	}
}

static void reads(void **state)
{
	(void)state;
	assert_reads(SPAN("250 Ok\r\n"), 250, "", "Ok");
	assert_reads(SPAN("250 2.1.5 Ok\r\n"), 250, "2.1.5", "Ok");
	assert_reads(SPAN("550 5.1.1\r\n"), 550, "5.1.1", "");
	assert_reads(SPAN("250\r\n"), 250, "", "");
	assert_reads(SPAN("250 \r\n"), 250, "", "");
	assert_reads(SPAN("354 go\n"), 354, "", "go");
	assert_reads(SPAN("250-a\r\n250-b\r\n250 c\r\n"), 250, "", "a\nb\nc");
	assert_reads(
	    SPAN("550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n"), 550, "5.7.1", "a\nb\nc");
	assert_reads(SPAN("250-\r\n250\r\n"), 250, "", "\n");
}

/* What looks like an enhanced code and is none stays in the text. */
static void not_enhanced(void **state)
{
	(void)state;
	assert_reads(SPAN("550 4.1.1 other class\r\n"), 550, "", "4.1.1 other class");
	assert_reads(SPAN("220 10.0.0.1 ready\r\n"), 220, "", "10.0.0.1 ready");
	assert_reads(SPAN("550 5.1.999 far\r\n"), 550, "", "5.1.999 far");
	assert_reads(SPAN("550 5.1.1x\r\n"), 550, "", "5.1.1x");
	assert_reads(SPAN("550 5..1 x\r\n"), 550, "", "5..1 x");
	assert_reads(SPAN("550 5.1 x\r\n"), 550, "", "5.1 x");
}

static void octets_are_cleaned(void **state)
{
	(void)state;
	assert_reads(SPAN("250 a\rb\0c\x1b[2J\xc3\xa4\r\n"), 250, "", "a?b?c?[2J??");
	assert_reads(SPAN("250 a\r\r\n"), 250, "", "a?");
	assert_reads(SPAN("250-a\tb\n250 c\r\n"), 250, "", "a\tb\nc");
}

static void assert_refused(struct span in, int error)
{
	for (size_t piece = 1; piece <= in.n; piece += piece < 16 ? 1 : in.n) {
		struct reply_reader r;
		struct reply out;
		bool done;

		reply_reader_init(&r);
		assert_int_equal(feed(&r, in, piece, &done, &out), error);
		assert_false(done);
		assert_int_equal(reply_reader_feed(&r, SPAN("250 Ok\r\n"), &done, &out), error);
		assert_false(done);
		reply_reader_fini(&r);
	}
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	assert_refused(SPAN("\r\n"), GW_EFORMAT);
	assert_refused(SPAN("25\r\n"), GW_EFORMAT);
	assert_refused(SPAN("hello, this is not a reply\r\n"), GW_EFORMAT);
	assert_refused(SPAN("150 wait\r\n"), GW_EFORMAT);
	assert_refused(SPAN("600 what\r\n"), GW_EFORMAT);
	assert_refused(SPAN("2500 Ok\r\n"), GW_EFORMAT);
	assert_refused(SPAN("250+Ok\r\n"), GW_EFORMAT);
	assert_refused(SPAN(" 250 Ok\r\n"), GW_EFORMAT);
	assert_refused(SPAN("25\0 Ok\r\n"), GW_EFORMAT);
}

/* A 250 that turns into a 550 must not be read as either. */
static void mixed_codes_are_refused(void **state)
{
	(void)state;
	assert_refused(SPAN("250-Ok\r\n550 no\r\n"), GW_EFORMAT);
	assert_refused(SPAN("550-no\r\n250 Ok\r\n"), GW_EFORMAT);
}

/* A peer that never stops: a line without end, a reply without last line. */
static void endless_is_refused(void **state)
{
	static char line[REPLY_LINE_MAX + 10], lines[REPLY_TOTAL_MAX + 100];

	(void)state;
	memset(line, '2', sizeof(line));
	memcpy(line, "250 ", 4);
	assert_refused(span_of(line, sizeof(line)), GW_EFULL);
	for (size_t i = 0; i + 8 <= sizeof(lines); i += 8)
		memcpy(lines + i, "250-ab\r\n", 8);
	assert_refused(span_of(lines, sizeof(lines) - sizeof(lines) % 8), GW_EFULL);
}

static void text_is_capped(void **state)
{
	for (int all = 0; all < 2; all++) {
		struct reply_reader r;
		struct reply out;
		bool done;

		reply_reader_init(&r);
		r.keep_all = all;
		for (int i = 0; i < 2000; i++)
			assert_int_equal(
			    reply_reader_feed(&r, SPAN("250-0123456789\r\n"), &done, &out), 16);
		assert_int_equal(reply_reader_feed(&r, SPAN("250 end\r\n"), &done, &out), 9);
		assert_true(done);
		assert_int_equal(out.text.n, all ? 2000 * 11 + 3 : REPLY_TEXT_MAX);
		reply_reader_fini(&r);
	}
	(void)state;
}

/* Each call takes one reply: what is behind it belongs to the next command. */
static void one_at_a_time(void **state)
{
	struct span in = SPAN("250 2.1.0 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n354 d\r\n");
	static const uint16_t codes[] = {250, 550, 354};
	struct reply_reader r;
	struct reply out;
	bool done;

	(void)state;
	reply_reader_init(&r);
	for (size_t i = 0; i < 3; i++) {
		ptrdiff_t n = reply_reader_feed(&r, in, &done, &out);

		assert_true(n > 0 && done);
		assert_int_equal(out.code, codes[i]);
		in = span_skip(in, (size_t)n);
	}
	assert_int_equal(in.n, 0);
	assert_int_equal(out.esc[0], 0);
	assert_int_equal(reply_reader_feed(&r, in, &done, &out), 0);
	assert_false(done);
	reply_reader_fini(&r);
}

static void what_is_written_can_be_read(void **state)
{
	struct reply r = REPLY(450, 4, 2, 1, "first\nsecond"), out;
	struct reply_reader reader;
	struct buf b;
	bool done;

	(void)state;
	buf_init(&b, 1000);
	reply_format(&r, true, &b);
	reply_reader_init(&reader);
	assert_int_equal(reply_reader_feed(&reader, buf_view(&b), &done, &out), buf_len(&b));
	assert_true(done && out.code == 450 && span_eq(out.text, r.text));
	assert_memory_equal(out.esc, r.esc, 3);
	reply_reader_fini(&reader);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(formats),
	    cmocka_unit_test(text_cannot_break_out),
	    cmocka_unit_test(long_lines_go_on),
	    cmocka_unit_test(reads),
	    cmocka_unit_test(not_enhanced),
	    cmocka_unit_test(octets_are_cleaned),
	    cmocka_unit_test(nonsense_is_refused),
	    cmocka_unit_test(mixed_codes_are_refused),
	    cmocka_unit_test(endless_is_refused),
	    cmocka_unit_test(text_is_capped),
	    cmocka_unit_test(one_at_a_time),
	    cmocka_unit_test(what_is_written_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
