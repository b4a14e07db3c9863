#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* RFC 4648 section 10, and octets that need both odd letters. */
static const struct {
	struct span plain;
	const char *text;
} pairs[] = {
    {SPAN(""), ""},
    {SPAN("f"), "Zg=="},
    {SPAN("fo"), "Zm8="},
    {SPAN("foo"), "Zm9v"},
    {SPAN("foob"), "Zm9vYg=="},
    {SPAN("fooba"), "Zm9vYmE="},
    {SPAN("foobar"), "Zm9vYmFy"},
    {SPAN("\0a\0b"), "AGEAYg=="},
    {SPAN("\xfb\xef\xff"), "++//"},
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(pairs); i++) {
		struct buf text, plain;

		buf_init(&text, 64);
		buf_init(&plain, 64);
		base64_encode(pairs[i].plain, &text);
		assert_true(span_eq(buf_view(&text), span_str(pairs[i].text)));
		assert_int_equal(base64_decode(span_str(pairs[i].text), &plain), 0);
		assert_true(span_eq(buf_view(&plain), pairs[i].plain));
		buf_fini(&text);
		buf_fini(&plain);
	}
}

static void bad_text(void **state)
{
	static const char *const bads[] = {"Z", "Zg",
	    "Zg=", "Zg===", "Zh==", "Zm9=", "=Zg=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9",
	    "Zm9v Zm9v", "Zm-_", "Zm9v====", "Z=g=", "\xc3\xa9Zg"};
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	buf_add_str(&out, "kept");
	for (size_t i = 0; i < GW_ARRAY_LEN(bads); i++) {
		assert_int_equal(base64_decode(span_str(bads[i]), &out), GW_EFORMAT);
		assert_true(span_eq(buf_view(&out), SPAN("kept")));
	}
	buf_fini(&out);
}

static void ceiling(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4);
	assert_int_equal(base64_decode(SPAN("Zm9vYg=="), &out), 0);
	assert_int_equal(base64_decode(SPAN("Zg=="), &out), GW_EFULL);
	assert_true(buf_failed(&out));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_ways), cmocka_unit_test(bad_text), cmocka_unit_test(ceiling)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
