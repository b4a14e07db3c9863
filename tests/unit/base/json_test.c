#include "unit/base/helper.h"

#include "base/json.h"

static void check(const struct buf *b, const char *want)
{
	assert_false(buf_failed(b));
	if (!span_eq(buf_view(b), span_str(want)))
		fail_msg("%.*s", SPAN_ARG(buf_view(b)));
}

static void test_nesting(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	json_open(&b, NULL, '{');
	json_open(&b, "empty", '[');
	json_close(&b, ']');
	json_open(&b, "list", '[');
	json_number(&b, NULL, 1);
	json_number(&b, NULL, INT64_MIN);
	json_open(&b, NULL, '{');
	json_close(&b, '}');
	json_open(&b, NULL, '{');
	json_bool(&b, "yes", true);
	json_bool(&b, "no", false);
	json_close(&b, '}');
	json_close(&b, ']');
	json_none(&b, "none");
	json_str(&b, "text", "{["); /* brackets in a text do not confuse the commas */
	json_str(&b, "more", NULL);
	json_close(&b, '}');
	check(&b, "{\"empty\":[],\"list\":[1,-9223372036854775808,{},{\"yes\":true,\"no\":false}],"
		  "\"none\":null,\"text\":\"{[\",\"more\":\"\"}");
	buf_fini(&b);
}

static void text(struct span value, const char *want)
{
	struct buf b;

	buf_init(&b, 1000);
	json_open(&b, NULL, '[');
	json_text(&b, NULL, value);
	json_close(&b, ']');
	check(&b, want);
	buf_fini(&b);
}

static void test_text(void **state)
{
	(void)state;
	text(SPAN("plain"), "[\"plain\"]");
	text(SPAN("a\"b\\c"), "[\"a\\\"b\\\\c\"]");
	text(SPAN("\r\n\t\0\x1b\x7f"), "[\"\\u000d\\u000a\\u0009\\u0000\\u001b\\u007f\"]");
	text(SPAN("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
	    "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"]");
	/* Overlong, surrogate, beyond the end, cut, alone: never passed on. */
	text(SPAN("\xc0\xaf"), "[\"\\ufffd\\ufffd\"]");
	text(SPAN("\xe0\x80\xaf"), "[\"\\ufffd\\ufffd\\ufffd\"]");
	text(SPAN("\xed\xa0\x80"), "[\"\\ufffd\\ufffd\\ufffd\"]");
	text(SPAN("\xf4\x90\x80\x80"), "[\"\\ufffd\\ufffd\\ufffd\\ufffd\"]");
	text(SPAN("\xf0\x80\x80\x80"), "[\"\\ufffd\\ufffd\\ufffd\\ufffd\"]");
	text(SPAN("\xe2\x82"), "[\"\\ufffd\\ufffd\"]");
	text(SPAN("\xff\x80z"), "[\"\\ufffd\\ufffdz\"]");
}

static void time_is(int64_t usec, const char *want)
{
	struct buf b;

	buf_init(&b, 1000);
	json_time(&b, NULL, usec);
	check(&b, want);
	buf_fini(&b);
}

static void test_time(void **state)
{
	(void)state;
	time_is(0, "\"1970-01-01T00:00:00.000Z\"");
	time_is(INT64_C(1700000000123456), "\"2023-11-14T22:13:20.123Z\"");
	time_is(-1, "\"1969-12-31T23:59:59.999Z\"");
	time_is(INT64_MAX, "\"294247-01-10T04:00:54.775Z\"");
}

/* Out of room: marked, and nobody is given half of it. */
static void test_full(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	json_open(&b, NULL, '{');
	json_str(&b, "key", "much too long");
	assert_true(buf_failed(&b));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nesting),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
