/* Times in and out; days that are in no calendar. */
#include "base/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static void good(const char *text, int64_t want)
{
	int64_t got;

	assert_int_equal(rfc3339_parse(span_str(text), &got), 0);
	if (got != want)
		fail_msg("%s is %lld, not %lld", text, (long long)got, (long long)want);
}

static void test_times(void **state)
{
	(void)state;
	good("1970-01-01T00:00:00Z", 0);
	good("1970-01-01t00:00:00z", 0);
	good("1970-01-01T01:00:00+01:00", 0);
	good("1969-12-31T23:30:00-00:30", 0);
	good("1970-01-01T00:00:01.5Z", 1500000);
	good("1970-01-01T00:00:00.1234567Z", 123456);
	good("2000-02-29T12:00:00Z", INT64_C(951825600000000));
	good("2026-11-22T15:00:00Z", INT64_C(1795359600000000));
	good("2016-12-31T23:59:60Z", INT64_C(1483228800000000));
	good("9999-12-31T23:59:59Z", INT64_C(253402300799000000));
}

static void test_no_times(void **state)
{
	static const char *const list[] = {"", "2026", "2026-11-22", "2026-11-22T15:00:00",
	    "2026-11-22 15:00:00Z", "2026-11-22T15:00Z", "2026-13-01T00:00:00Z",
	    "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
	    "2026-11-31T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T23:60:00Z",
	    "2026-11-22T23:59:61Z", "2026-11-22T15:00:00.Z", "2026-11-22T15:00:00+1:00",
	    "2026-11-22T15:00:00+24:00", "2026-11-22T15:00:00Zx", "-026-11-22T15:00:00Z",
	    "2026-11-22T15:00:00+01", "+2026-11-22T15:00:00Z", "20261122T150000Z"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(list); i++) {
		int64_t got;

		if (rfc3339_parse(span_str(list[i]), &got) != GW_EFORMAT)
			fail_msg("taken: %s", list[i]);
	}
}

/* Each day of four centuries, there and back, as the C library has it. */
static void test_days(void **state)
{
	(void)state;
	for (int64_t day = -40000; day < 110000; day += 1) {
		time_t t = (time_t)(day * 86400 + 3661);
		char want[40];
		struct tm tm;
		struct buf out;
		int64_t back;

		buf_init(&out, 64);
		rfc3339_put(&out, (int64_t)t * 1000000);
		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
		if (!span_eq(buf_view(&out), span_str(want)))
			fail_msg("%.*s, not %s", SPAN_ARG(buf_view(&out)), want);
		assert_int_equal(rfc3339_parse(buf_view(&out), &back), 0);
		assert_int_equal(back, (int64_t)t * 1000000);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_times),
	    cmocka_unit_test(test_no_times),
	    cmocka_unit_test(test_days),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
