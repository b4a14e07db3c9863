/* Hours, days and months of time zones whose clocks are set at midnight, and of others. */
#include "role/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SEC INT64_C(1000000)
#define HOURS (3600 * SEC)
#define BEGIN (INT64_C(1735689600) * SEC) /* 2025, UTC */
#define YEARS (2 * 366 * 24 * HOURS)

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

/* The period of this moment is this one. */
static void check_in(enum limit_calendar unit, int64_t when, const struct limit_period *is)
{
	struct limit_period p;

	assert_true(calendar_period(unit, when, &p));
	assert_int_equal(p.begin, is->begin);
	assert_int_equal(p.end, is->end);
}

/* One period ends where the next begins, whichever moment of it is asked for: its last, its first,
 * and those around them, where clocks are set. */
static size_t walk(enum limit_calendar unit, int64_t shortest, int64_t longest)
{
	struct limit_period p, last;
	size_t n = 0;

	assert_true(calendar_period(unit, BEGIN, &p));
	for (; p.end < BEGIN + YEARS; n++) {
		assert_in_range(p.end - p.begin, shortest, longest);
		for (int64_t near = 0; near < 3 * HOURS; near += 30 * 60 * SEC) {
			check_in(unit, p.begin + near, &p);
			check_in(unit, p.end - 1 - near, &p);
		}
		last = p;
		assert_true(calendar_period(unit, last.end, &p));
		assert_int_equal(p.begin, last.end);
	}
	return n;
}

static void test_zones(void **state)
{
	static const char *const names[] = {"America/Havana", "Atlantic/Azores", "Asia/Beirut",
	    "Africa/Cairo", "America/Santiago", "Europe/Berlin", "Asia/Kathmandu",
	    "Australia/Lord_Howe", "UTC"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		zone(names[i]);
		assert_in_range(walk(LIMIT_DAY, 23 * HOURS, 25 * HOURS), 731, 732);
		assert_in_range(walk(LIMIT_MONTH, 671 * HOURS, 745 * HOURS), 24, 25);
	}
}

/* In Havana the hour after midnight comes twice on 1 November 2026: one day of 25 hours. */
static void test_two_midnights(void **state)
{
	int64_t first = INT64_C(1793505600) * SEC; /* 00:00 of summer */
	struct limit_period p;

	(void)state;
	zone("America/Havana");
	for (int64_t at = 0; at < 25 * HOURS; at += HOURS / 4) {
		assert_true(calendar_period(LIMIT_DAY, first + at, &p));
		assert_int_equal(p.begin, first);
		assert_int_equal(p.end, first + 25 * HOURS);
		assert_true(calendar_period(LIMIT_MONTH, first + at, &p));
		assert_int_equal(p.begin, first);
	}
}

/* The hour that comes twice is two. */
static void test_hours(void **state)
{
	int64_t first = INT64_C(1792886400) * SEC; /* 2026-10-25 02:00 of summer */
	struct limit_period p;

	(void)state;
	zone("Europe/Berlin");
	for (int i = 0; i < 2; i++) {
		assert_true(calendar_period(LIMIT_HOUR, first + i * HOURS + HOURS / 2, &p));
		assert_int_equal(p.begin, first + i * HOURS);
		assert_int_equal(p.end, first + (i + 1) * HOURS);
	}
	zone("Asia/Kathmandu"); /* 5:45 ahead */
	assert_true(calendar_period(LIMIT_HOUR, first, &p));
	assert_int_equal(p.begin, first - HOURS * 3 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_zones),
	    cmocka_unit_test(test_two_midnights), cmocka_unit_test(test_hours)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
