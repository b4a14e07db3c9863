#include "mail/msgid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const uint8_t none[MSGID_RANDOM] = {0};
static const uint8_t ones[MSGID_RANDOM] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

static struct msgid from_text(const char *text)
{
	struct msgid id;

	assert_int_equal(msgid_parse(span_str(text), &id), 0);
	return id;
}

static void test_known_texts(void **state)
{
	char text[MSGID_TEXT + 1];
	struct msgid id = msgid_make(0, none);

	(void)state;
	msgid_format(&id, text);
	assert_string_equal(text, "00000000000000000000000000");
	memset(id.b, 255, sizeof(id.b));
	msgid_format(&id, text);
	assert_string_equal(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
	/* 1469918176385 ms is the example of the ULID specification: 01ARYZ6S41. */
	id = msgid_make(INT64_C(1469918176385) * 1000 + 999, ones);
	msgid_format(&id, text);
	assert_string_equal(text, "01ARYZ6S41ZZZZZZZZZZZZZZZZ");
}

static void test_there_and_back(void **state)
{
	char text[MSGID_TEXT + 1];

	(void)state;
	for (unsigned i = 0; i < 128; i++) {
		struct msgid id = {{0}}, again;

		id.b[i / 8] = (uint8_t)(1u << (i % 8));
		msgid_format(&id, text);
		assert_int_equal(strlen(text), MSGID_TEXT);
		again = from_text(text);
		assert_true(msgid_eq(&id, &again));
	}
}

static void test_later_is_greater(void **state)
{
	char before[MSGID_TEXT + 1], behind[MSGID_TEXT + 1];
	struct msgid a, b;

	(void)state;
	for (int64_t ms = 1; ms < INT64_C(1) << 47; ms *= 3) {
		a = msgid_make(ms * 1000 - 1, ones);
		b = msgid_make(ms * 1000, none);
		msgid_format(&a, before);
		msgid_format(&b, behind);
		assert_true(strcmp(before, behind) < 0);
		assert_true(span_cmp(msgid_span(&a), msgid_span(&b)) < 0);
	}
}

static void test_a_clock_before_1970_is_1970(void **state)
{
	struct msgid a = msgid_make(-5, none), b = msgid_make(0, none);

	(void)state;
	assert_true(msgid_eq(&a, &b));
}

static void test_look_alikes(void **state)
{
	struct msgid a = from_text("01ARYZ6S41ZZZZZZZZZZZZZZZZ");
	struct msgid b = from_text("o1aryz6s4izzzzzzzzzzzzzzzz");
	struct msgid c = from_text("OLaRyZ6s4LzzzzzzzzzzzzzzzZ");

	(void)state;
	assert_true(msgid_eq(&a, &b));
	assert_true(msgid_eq(&a, &c));
}

static void test_refused_texts(void **state)
{
	static const char *const bad[] = {"", "0", "0000000000000000000000000",
	    "000000000000000000000000000", "80000000000000000000000000",
	    "Z0000000000000000000000000", "U0000000000000000000000000",
	    "0000000000000000000000000U", "0000000000000000000000000-",
	    " 0000000000000000000000000", "0000000000000\n000000000000",
	    "000000000000\x80"
	    "0000000000000",
	    "../../../../../etc/passwd0"};
	struct msgid id;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(msgid_parse(span_str(bad[i]), &id), GW_EFORMAT);
	assert_int_equal(msgid_parse(span_of("0000000000000\0000000000000", 26), &id), GW_EFORMAT);
	assert_int_equal(msgid_parse(SPAN_NONE, &id), GW_EFORMAT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_texts),
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_later_is_greater),
	    cmocka_unit_test(test_a_clock_before_1970_is_1970),
	    cmocka_unit_test(test_look_alikes),
	    cmocka_unit_test(test_refused_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
