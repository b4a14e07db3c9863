#include "cmd/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;

static const char *shown(const char *in, size_t n, size_t max)
{
	buf_clear(&out);
	terminal_text(&out, span_of(in, n), max);
	buf_add_byte(&out, '\0');
	return (const char *)buf_view(&out).p;
}

#define SHOWN(lit) shown(lit, sizeof(lit) - 1, 0)

static void visible_text_stays(void **state)
{
	(void)state;
	assert_string_equal(SHOWN("a b@example.net"), "a b@example.net");
	assert_string_equal(SHOWN("Gr\u00fc\u00dfe \u65e5\u672c \U0001f426"),
	    "Gr\u00fc\u00dfe \u65e5\u672c \U0001f426");
	assert_string_equal(SHOWN(""), "");
}

/* Nothing that a terminal takes for a command, and nothing that hides or turns what is read. */
static void attacks_are_shown(void **state)
{
	(void)state;
	assert_string_equal(SHOWN("\x1b[2J\x07\r\n\t\x7f"), "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f");
	assert_string_equal(SHOWN("a\0b"), "a\\x00b");
	assert_string_equal(SHOWN("\xc2\x9b"
				  "31m"),
	    "\\xc2\\x9b31m"); /* C1 CSI */
	assert_string_equal(SHOWN("\x9b"
				  "31m"),
	    "\\x9b31m"); /* 8-bit CSI */
	assert_string_equal(SHOWN("\xe2\x80\xae"
				  "x"),
	    "\\xe2\\x80\\xaex");                                       /* RLO */
	assert_string_equal(SHOWN("\xe2\x81\xa6"), "\\xe2\\x81\\xa6"); /* LRI */
	assert_string_equal(SHOWN("\xe2\x80\x8b"), "\\xe2\\x80\\x8b"); /* zero width */
	assert_string_equal(SHOWN("\xef\xbb\xbf"), "\\xef\\xbb\\xbf"); /* BOM */
	assert_string_equal(SHOWN("\xe2\x80\xa8"), "\\xe2\\x80\\xa8"); /* line separator */
	assert_string_equal(SHOWN("\xc0\xaf"), "\\xc0\\xaf");          /* overlong */
	assert_string_equal(SHOWN("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
	assert_string_equal(SHOWN("\xed\xa0\x80"), "\\xed\\xa0\\x80");          /* surrogate */
	assert_string_equal(SHOWN("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); /* too high */
	assert_string_equal(SHOWN("\xf3\xa0\x80\x81"), "\\xf3\\xa0\\x80\\x81"); /* tag */
	assert_string_equal(SHOWN("\xe2\x82"), "\\xe2\\x82");                   /* cut */
	/* What looks like an escape is one that we made. */
	assert_string_equal(SHOWN("\\x1b"), "\\x5cx1b");
}

static void widths(void **state)
{
	(void)state;
	assert_string_equal(shown("abcdefghij", 10, 10), "abcdefghij");
	assert_string_equal(shown("abcdefghijk", 11, 10), "abcdefg...");
	assert_string_equal(shown("abcdef\x1b", 7, 10), "abcdef\\x1b");
	assert_string_equal(shown("abcdefg\x1b", 8, 10), "abcdefg...");
	assert_string_equal(
	    shown("\u00fc\u00fc\u00fc\u00fc\u00fc", 10, 5), "\u00fc\u00fc\u00fc\u00fc\u00fc");
	buf_clear(&out);
	terminal_left(&out, SPAN("\u00fc"), 3);
	terminal_left(&out, SPAN("toolong"), 5);
	assert_int_equal(terminal_width(buf_view(&out)), 8);
	assert_true(span_eq(buf_view(&out), SPAN("\u00fc  to...")));
}

static void numbers(void **state)
{
	char t[TERMINAL_SHORT];

	(void)state;
	assert_string_equal(terminal_count(0, t), "0");
	assert_string_equal(terminal_count(8900, t), "8,900");
	assert_string_equal(terminal_count(9999, t), "9,999");
	assert_string_equal(terminal_count(31249, t), "31.2k");
	assert_string_equal(terminal_count(999999, t), "999k");
	assert_string_equal(terminal_count(3100000, t), "3.1M");
	assert_string_equal(terminal_size(812, t), "812 B");
	assert_string_equal(terminal_size(18231, t), "18 kB");
	assert_string_equal(terminal_size(1200000, t), "1.2 MB");
	assert_string_equal(terminal_size(85134254080, t), "85.1 GB");
	assert_string_equal(terminal_age(-5, t), "0s");
	assert_string_equal(terminal_age(59999999, t), "59s");
	assert_string_equal(terminal_age(131000000, t), "2m11s");
	assert_string_equal(terminal_age(3900000000, t), "1h05m");
	assert_string_equal(terminal_age(273600000000, t), "3d04h");
}

static void times(void **state)
{
	(void)state;
	assert_int_equal(terminal_time("1970-01-01T00:00:00.000Z"), 0);
	assert_int_equal(terminal_time("2026-11-21T22:13:47.608Z"), 1795299227608000);
	assert_int_equal(terminal_time("2026-11-21T22:13:47Z"), 1795299227000000);
	assert_int_equal(terminal_time("yesterday"), -1);
	assert_int_equal(terminal_time(""), -1);
	assert_int_equal(terminal_time(NULL), -1);
}

static int set_up(void **state)
{
	(void)state;
	buf_init(&out, 65536);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(visible_text_stays),
	    cmocka_unit_test(attacks_are_shown),
	    cmocka_unit_test(widths),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
