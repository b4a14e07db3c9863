/* Steps, jitter, expiry and rest are arithmetic. */
#include "unit/config/helper.h"

#include "flow/sched.h"

#define SEC INT64_C(1000000)

static const int64_t steps[] = {300 * SEC, 900 * SEC, 3600 * SEC};
static const struct shape shape = {.retry = {{steps, 3}}, .expire = 4 * 86400 * SEC};

static void within(int64_t at, int64_t now, int64_t step)
{
	assert_in_range(at - now, step - step / 10, step + step / 10);
}

static void test_steps(void **state)
{
	struct dice d = {7};
	int64_t now = 1000000 * SEC, least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		int64_t at = sched_next(&shape, PRIORITY_NORMAL, 1, now, &d) - now;

		within(at, 0, steps[0]);
		least = at < least ? at : least;
		most = at > most ? at : most;
		within(sched_next(&shape, PRIORITY_NORMAL, 2, now, &d), now, steps[1]);
		within(sched_next(&shape, PRIORITY_NORMAL, 3, now, &d), now, steps[2]);
		within(sched_next(&shape, PRIORITY_NORMAL, 4, now, &d), now,
		    steps[2]); /* the last repeats */
		within(sched_next(&shape, PRIORITY_NORMAL, UINT32_MAX, now, &d), now, steps[2]);
		within(sched_next(&shape, PRIORITY_NORMAL, 0, now, &d), now, steps[0]);
	}
	/* The jitter uses its room on both sides. */
	assert_true(least < 273 * SEC && most > 327 * SEC);
}

static void test_tiny_step(void **state)
{
	static const int64_t one[] = {1};
	struct shape s = {.retry = {{one, 1}}};
	struct dice d = {7};

	(void)state;
	assert_int_equal(
	    sched_next(&s, PRIORITY_NORMAL, 1, 50, &d), 51); /* always later than now */
}

static void test_expiry(void **state)
{
	(void)state;
	assert_false(sched_expired(&shape, 100, 100 + shape.expire - 1));
	assert_true(sched_expired(&shape, 100, 100 + shape.expire));
	assert_false(sched_expired(&shape, 100, 50)); /* a clock that went back */
}

static void test_rest(void **state)
{
	static const int64_t rest[] = {1, 1, 2, 4, 8, 16, 32, 60, 60, 60};
	struct dice d = {7};

	(void)state;
	for (unsigned i = 0; i < GW_ARRAY_LEN(rest); i++) {
		for (int k = 0; k < 100; k++)
			within(sched_rest(i, 5 * SEC, &d), 5 * SEC, rest[i] * SEC);
	}
	within(sched_rest(UINT32_MAX, 0, &d), 0, 60 * SEC);
}

/* One seed is one history. */
static void test_dice(void **state)
{
	struct dice a = {42}, b = {42}, c = {43};
	unsigned same = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t roll = dice_roll(&a);

		assert_true(roll == dice_roll(&b));
		same += roll == dice_roll(&c);
	}
	assert_int_equal(same, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_tiny_step),
	    cmocka_unit_test(test_expiry),
	    cmocka_unit_test(test_rest),
	    cmocka_unit_test(test_dice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
