#include "unit/base/helper.h"

#include "base/span.h"

static void test_parts(void **state)
{
	struct span s = SPAN("abcdef");

	(void)state;
	assert_true(span_eq(span_first(s, 3), SPAN("abc")));
	assert_true(span_eq(span_first(s, 99), s));
	assert_true(span_eq(span_skip(s, 4), SPAN("ef")));
	assert_int_equal(span_skip(s, 6).n, 0);
	assert_int_equal(span_skip(s, 99).n, 0);
	assert_ptr_equal(span_skip(s, 99).p, s.p + 6);
	assert_null(span_skip(SPAN_NONE, 1).p);
	assert_int_equal(span_str(NULL).n, 0);
	assert_int_equal(span_find(s, 'f'), 5);
	assert_int_equal(span_find(s, 'x'), -1);
	assert_int_equal(span_find(SPAN_NONE, 0), -1);
	assert_int_equal(span_find(SPAN("a\0b"), 0), 1);
}

static void test_compare(void **state)
{
	(void)state;
	assert_true(span_eq(SPAN_NONE, SPAN("")));
	assert_false(span_eq(SPAN("a"), SPAN("b")));
	assert_false(span_eq(SPAN("a"), SPAN("a\0")));
	assert_true(span_eq_case(SPAN("HeLLo"), SPAN("hEllO")));
	assert_false(span_eq_case(SPAN("["), SPAN("{"))); /* letters alone have a case */
	assert_false(span_eq_case(SPAN("\xc4"), SPAN("\xe4")));
	assert_true(span_starts(SPAN("abc"), SPAN("ab")) && span_starts(SPAN("abc"), SPAN_NONE));
	assert_false(span_starts(SPAN("a"), SPAN("ab")));
	assert_true(span_starts_case(SPAN("MAIL FROM"), SPAN("mail")));
	assert_true(span_cmp(SPAN("a"), SPAN("b")) < 0 && span_cmp(SPAN("b"), SPAN("a")) > 0);
	assert_true(span_cmp(SPAN("a"), SPAN("ab")) < 0 && span_cmp(SPAN("ab"), SPAN("a")) > 0);
	assert_int_equal(span_cmp(SPAN_NONE, SPAN("")), 0);
	assert_true(span_cmp(SPAN("\xff"), SPAN("a")) > 0); /* octets have no sign */
	assert_int_equal(ascii_lower('Z'), 'z');
	assert_int_equal(ascii_lower('['), '[');
	assert_true(ascii_isalpha('a') && ascii_isalpha('Z') && !ascii_isalpha('@'));
	assert_true(ascii_isdigit('0') && ascii_isdigit('9') && !ascii_isdigit(':'));
}

static void test_trim(void **state)
{
	(void)state;
	assert_true(span_eq(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
	assert_int_equal(span_trim(SPAN(" \t ")).n, 0);
	assert_int_equal(span_trim(SPAN_NONE).n, 0);
	assert_true(span_eq(span_trim(SPAN("\r\n")), SPAN("\r\n"))); /* blanks and tabs only */
}

static void number(struct span s, int err, uint64_t want)
{
	uint64_t v = 77;

	assert_int_equal(span_to_u64(s, &v), err);
	assert_true(v == (err == 0 ? want : 77));
}

static void test_number(void **state)
{
	(void)state;
	number(SPAN("0"), 0, 0);
	number(SPAN("007"), 0, 7);
	number(SPAN("9999999999999999999"), 0, UINT64_C(9999999999999999999));
	number(SPAN("10000000000000000000"), GW_EFORMAT, 0); /* twenty digits could wrap */
	number(SPAN(""), GW_EFORMAT, 0);
	number(SPAN("-1"), GW_EFORMAT, 0);
	number(SPAN("+1"), GW_EFORMAT, 0);
	number(SPAN(" 1"), GW_EFORMAT, 0);
	number(SPAN("1\0"), GW_EFORMAT, 0);
	number(SPAN("0x1"), GW_EFORMAT, 0);
}

static void test_cstr(void **state)
{
	char small[4];

	(void)state;
	assert_string_equal(span_to_cstr(SPAN("abcdef"), small, sizeof(small)), "abc");
	assert_string_equal(span_to_cstr(SPAN_NONE, small, sizeof(small)), "");
}

static void test_errors(void **state)
{
	(void)state;
	for (int e = GW_OK; e >= GW_EVERSION; e--)
		assert_string_not_equal(gw_strerror(e), "unknown error");
	assert_string_equal(gw_strerror(-1000), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_trim),
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_cstr),
	    cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
