#include "mail/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { EIGHT = 1, NUL = 2, CR = 4, LF = 8, OPEN = 16 };

struct row {
	struct span text;
	uint32_t lines, longest;
	unsigned flags;
};

static const struct row table[] = {
    {SPAN(""), 0, 0, 0},
    {SPAN("\r\n"), 1, 0, 0},
    {SPAN("a\r\n"), 1, 1, 0},
    {SPAN("a"), 0, 1, OPEN},
    {SPAN("a\r\nbcd"), 1, 3, OPEN},
    {SPAN("abc\r\n\r\nd\r\n"), 3, 3, 0},
    {SPAN("\n"), 0, 1, LF | OPEN},
    {SPAN("\r"), 0, 1, CR | OPEN},
    {SPAN("\n\r\n"), 1, 1, LF},
    {SPAN("\r\r\n"), 1, 1, CR},
    {SPAN("\r\n\r"), 1, 1, CR | OPEN},
    {SPAN("\r\n\n"), 1, 1, LF | OPEN},
    {SPAN("\n\r"), 0, 2, CR | LF | OPEN},
    {SPAN("ab\ncd\r\n"), 1, 5, LF},
    {SPAN("ab\rcd\r\n"), 1, 5, CR},
    {SPAN("a\r\n.\n.\r\n"), 2, 3, LF},
    {SPAN("a\r\n.\r.\r\n"), 2, 3, CR},
    {SPAN("\0\r\n"), 1, 1, NUL},
    {SPAN("\x80\r\n"), 1, 1, EIGHT},
    {SPAN("\x7f\x01\r\n"), 1, 2, 0},
    {SPAN("a\0\xff"), 0, 3, EIGHT | NUL | OPEN},
};

static unsigned flags_of(const struct body_facts *f)
{
	return (f->eight_bit ? EIGHT : 0) | (f->nul ? NUL : 0) | (f->bare_cr ? CR : 0) |
	       (f->bare_lf ? LF : 0) | (f->open_end ? OPEN : 0);
}

static void check(const struct body_facts *f, const struct row *row)
{
	assert_int_equal(f->size, row->text.n);
	assert_int_equal(f->lines, row->lines);
	assert_int_equal(f->longest_line, row->longest);
	assert_int_equal(flags_of(f), row->flags);
}

static void test_facts(void **state)
{
	struct body_scan s;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(table); i++) {
		body_scan_init(&s);
		body_scan_feed(&s, table[i].text);
		check(body_scan_end(&s), &table[i]);
	}
}

/* Every way to cut every text of the table into pieces. */
static void test_cuts_do_not_matter(void **state)
{
	struct body_scan s;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(table); i++) {
		struct span text = table[i].text;

		for (unsigned cuts = 0; text.n > 0 && cuts < 1u << (text.n - 1); cuts++) {
			size_t from = 0;

			body_scan_init(&s);
			body_scan_feed(&s, SPAN_NONE);
			for (size_t at = 1; at <= text.n; at++) {
				if (at < text.n && !(cuts >> (at - 1) & 1))
					continue;
				body_scan_feed(&s, span_of(text.p + from, at - from));
				from = at;
			}
			check(body_scan_end(&s), &table[i]);
		}
	}
}

/* The fast path works in blocks: one odd octet is found wherever it stands. */
static void test_every_position_of_a_block(void **state)
{
	static const struct {
		uint8_t octet;
		unsigned flag;
	} odd[] = {{0x80, EIGHT}, {0xff, EIGHT}, {0, NUL}, {'\r', CR}, {'\n', LF}, {1, 0}};
	uint8_t text[200];
	struct body_scan s;

	(void)state;
	for (size_t k = 0; k < GW_ARRAY_LEN(odd); k++) {
		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, 'x', sizeof(text));
			text[at] = odd[k].octet;
			body_scan_init(&s);
			body_scan_feed(&s, span_of(text, sizeof(text)));
			assert_int_equal(flags_of(body_scan_end(&s)), odd[k].flag | OPEN);
			assert_int_equal(s.facts.longest_line, sizeof(text));
		}
	}
}

static void test_line_length_saturates(void **state)
{
	struct body_scan s;

	(void)state;
	body_scan_init(&s);
	s.line = UINT32_MAX - 3;
	body_scan_feed(&s, SPAN("abcdefgh"));
	body_scan_feed(&s, SPAN("i\r\nj\r\n"));
	assert_int_equal(body_scan_end(&s)->longest_line, UINT32_MAX);
	assert_int_equal(s.facts.lines, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_cuts_do_not_matter),
	    cmocka_unit_test(test_every_position_of_a_block),
	    cmocka_unit_test(test_line_length_saturates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
