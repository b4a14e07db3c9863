/* The counts of the days: the window of 31 days, the stored form, what a change counts as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "flow/counters.h"

#define DAY (INT64_C(86400) * 1000000)
#define NOON (DAY / 2)

static uint64_t count(const struct counters *c, int64_t day, enum counter what)
{
	for (size_t i = 0; i < COUNTERS_DAYS; i++) {
		if (c->slot[i].day == day)
			return c->slot[i].n[what];
	}
	return 0;
}

static void test_days(void **state)
{
	struct counters c = {.slot = {{0}}};

	(void)state;
	counters_add(&c, 20000 * DAY, COUNTER_DELIVERED, 2);
	counters_add(&c, 20001 * DAY - 1, COUNTER_DELIVERED, 1);
	counters_add(&c, 20001 * DAY, COUNTER_DELIVERED, 5);
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 3);
	assert_int_equal(count(&c, 20001, COUNTER_DELIVERED), 5);
	/* 31 days on, the first one makes room. */
	counters_add(&c, 20031 * DAY, COUNTER_LOST, 1);
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 0);
	assert_int_equal(count(&c, 20001, COUNTER_DELIVERED), 5);
	assert_int_equal(count(&c, 20031, COUNTER_LOST), 1);
	/* A clock that was years ahead does not block the days. */
	counters_add(&c, 30000 * DAY, COUNTER_MAYBE, 1);
	for (int64_t day = 20032; day < 20063; day++)
		counters_add(&c, day * DAY + NOON, COUNTER_MAYBE, 1);
	for (int64_t day = 20032; day < 20063; day++)
		assert_int_equal(count(&c, day, COUNTER_MAYBE), 1);
	counters_add(&c, -5, COUNTER_MAYBE, 1); /* before 1970: nowhere, and harmless */
}

static void test_stored(void **state)
{
	struct counters c = {.slot = {{0}}}, back;
	struct buf b;

	(void)state;
	for (int64_t day = 20000; day < 20031; day++) {
		for (int k = 0; k < COUNTERS; k++)
			counters_add(&c, day * DAY, (enum counter)k, (uint64_t)(day * 10 + k));
	}
	buf_init(&b, COUNTERS_OCTETS);
	counters_encode(&c, &b);
	assert_false(buf_failed(&b));
	assert_int_equal(counters_decode(&back, buf_view(&b)), 0);
	assert_memory_equal(&back, &c, sizeof(c));
	for (size_t n = 0; n < buf_len(&b); n++) {
		back = c;
		if (counters_decode(&back, span_first(buf_view(&b), n)) < 0)
			assert_memory_equal(&back, &c, sizeof(c)); /* as it was */
	}
	buf_fini(&b);
}

/* Octets of another version, damage, more and fewer numbers than we know. */
static void test_hostile(void **state)
{
	static const uint8_t one[] = {1, 1, 12, 0, 0, 0, 32, 78, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0};
	uint8_t many[200] = {1, 1, 4 + 8 * 9, 0, 0, 0, 32, 78};
	struct counters c = {.slot = {{0}}};
	struct buf b;

	(void)state;
	assert_int_equal(counters_decode(&c, span_of(one, sizeof(one))), 0);
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 7);
	assert_int_equal(count(&c, 20000, COUNTER_LOST), 0);
	many[10] = 3;
	assert_int_equal(counters_decode(&c, span_of(many, 6 + 4 + 8 * 9)), 0);
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 3);
	assert_int_equal(counters_decode(&c, SPAN("\2")), GW_EVERSION);
	assert_int_equal(counters_decode(&c, SPAN_NONE), GW_EFORMAT);
	assert_int_equal(counters_decode(&c, span_of(one, 17)), GW_EFORMAT);
	assert_int_equal(counters_decode(&c, SPAN("\1\7")), GW_EFORMAT);
	buf_init(&b, 200);
	buf_add(&b, one, sizeof(one));
	buf_add(&b, one + 1, sizeof(one) - 1); /* a day twice */
	assert_int_equal(counters_decode(&c, buf_view(&b)), GW_EFORMAT);
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 3);
	buf_clear(&b);
	buf_add(&b, "\1\x63\2\0\0\0xy", 8); /* a field that a later version adds */
	assert_int_equal(counters_decode(&c, buf_view(&b)), 0);
	buf_fini(&b);
}

static void test_change(void **state)
{
	struct change_rcpt r[] = {
	    {.outcome = OUTCOME_DELIVERED, .code = 250, .esc = {2, 0, 0}},
	    {.outcome = OUTCOME_DEFERRED, .code = 0, .esc = {4, 4, 2}},
	    {.outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 4, 2}}, /* before the dot */
	    {.outcome = OUTCOME_EXPIRED, .code = 0, .esc = {4, 4, 2}},
	    {.outcome = OUTCOME_FAILED, .code = 0, .esc = {5, 4, 2}},
	    {.outcome = OUTCOME_FAILED, .code = 550, .esc = {5, 4, 2}},
	    {.outcome = OUTCOME_MAYBE}, /* PAST_DOT: it has not ended */
	    {.outcome = OUTCOME_HELD},
	};
	struct counters c = {.slot = {{0}}};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(r); i++) {
		if (counters_of(&r[i]) != COUNTERS)
			counters_add(&c, 20000 * DAY, counters_of(&r[i]), 1);
	}
	assert_int_equal(count(&c, 20000, COUNTER_DELIVERED), 1);
	assert_int_equal(count(&c, 20000, COUNTER_MAYBE), 2);
	assert_int_equal(count(&c, 20000, COUNTER_GIVEN_UP), 1);
	assert_int_equal(count(&c, 20000, COUNTER_SENT_AGAIN), 0);
}

static void test_json(void **state)
{
	struct counters c = {.slot = {{0}}};
	struct buf b;

	(void)state;
	counters_add(&c, 20000 * DAY, COUNTER_DELIVERED, 2);
	counters_add(&c, 19999 * DAY, COUNTER_GIVEN_UP, 1);
	counters_add(&c, 19969 * DAY, COUNTER_MAYBE, 1); /* its slot is 20000's: replaced */
	counters_add(&c, 20000 * DAY, COUNTER_DELIVERED, 2);
	counters_add(&c, 20007 * DAY, COUNTER_MAYBE, 1); /* in the future */
	buf_init(&b, 1000);
	json_open(&b, NULL, '{');
	counters_json(&c, "days", 20000 * DAY + NOON, &b);
	buf_add_byte(&b, '\0');
	assert_string_equal((const char *)buf_view(&b).p,
	    "{\"days\":[{\"day\":\"2024-10-04\",\"delivered\":2,\"maybe\":0,\"given_up\":0,"
	    "\"sent_again\":0,\"lost\":0},{\"day\":\"2024-10-03\",\"delivered\":0,\"maybe\":0,"
	    "\"given_up\":1,\"sent_again\":0,\"lost\":0}]");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_days),
	    cmocka_unit_test(test_stored),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_change),
	    cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
