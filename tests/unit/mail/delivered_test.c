/* A header that comes in pieces of any size: is there a Delivered-To field with exactly this
 * recipient? */
#include "mail/delivered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool loops(const char *text, const char *rcpt, size_t piece)
{
	struct span s = span_str(text);
	struct delivered_scan d;

	delivered_scan_init(&d, span_str(rcpt));
	for (; s.n > 0; s = span_skip(s, s.n < piece ? s.n : piece))
		delivered_scan_feed(&d, span_first(s, s.n < piece ? s.n : piece));
	return d.found;
}

static const struct {
	const char *text;
	bool loop;
} cases[] = {
    {"Delivered-To: bob@example.org\r\n\r\n", true},
    {"delivered-TO:bob@example.org\r\n\r\nx", true},
    {"Subject: x\r\nDelivered-To: \t bob@example.org  \r\nTo: x\r\n\r\n", true},
    {"Delivered-To: <bob@EXAMPLE.org>\r\n\r\n", true},
    {"Delivered-To : Bob@example.org\r\n\r\n", true},
    {"Delivered-To: \"bob\"@example.org\r\n\r\n", true},
    {"Delivered-To:\r\n bob@example.org\r\n\r\n", true},
    {"Delivered-To: eve@example.org\r\nDelivered-To: bob@example.org\r\n\r\n", true},
    {"Delivered-To: bob@example.org\n\n", true},
    {"Delivered-To: bob@example.org\r\nno colon\r\n\r\n", true},
    /* others', and what only looks like it */
    {"", false},
    {"\r\nDelivered-To: bob@example.org\r\n\r\n", false},
    {"Subject: x\r\n\r\nDelivered-To: bob@example.org\r\n", false},
    {"Delivered-To: bob@example.org.evil\r\n\r\n", false},
    {"Delivered-To: xbob@example.org\r\n\r\n", false},
    {"Delivered-To: bob@example.org, eve@example.org\r\n\r\n", false},
    {"Delivered-To: bob+x@example.org\r\n\r\n", false},
    {"X-Delivered-To: bob@example.org\r\n\r\n", false},
    {"Delivered-To-X: bob@example.org\r\n\r\n", false},
    {"Subject: x\r\n Delivered-To: bob@example.org\r\n\r\n", false},
    {"Delivered-To: \r\n\r\n", false},
    {"Delivered-To\r\n\r\n", false},
    {"Delivered-To: <>\r\n\r\n", false},
};

static void all_ways_to_write_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		for (size_t piece = 1; piece < 60; piece++) {
			if (loops(cases[i].text, "bob@example.org", piece) != cases[i].loop)
				fail_msg("%s in pieces of %zu", cases[i].text, piece);
		}
	}
}

/* Fields longer than any address are not ours; what stands behind them counts. */
static void long_fields_hide_nothing(void **state)
{
	static char text[20000];

	(void)state;
	for (size_t n = 500; n < 800; n += 7) {
		size_t at = 0;

		memcpy(text, "Delivered-To: ", 14);
		memset(text + 14, ' ', n);
		at = 14 + n;
		at += (size_t)sprintf(text + at, "bob@example.org\r\n");
		sprintf(text + at, "Delivered-To: eve@example.org\r\n\r\n");
		assert_true(loops(text, "eve@example.org", 100));
		assert_int_equal(loops(text, "bob@example.org", 100),
		    14 + n + strlen("bob@example.org") <= DELIVERED_FIELD_MAX);
	}
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text + sizeof(text) - 40, "\r\nDelivered-To: bob@example.org\r\n\r\n", 36);
	assert_true(loops(text, "bob@example.org", 999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_ways_to_write_it),
	    cmocka_unit_test(long_fields_hide_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
