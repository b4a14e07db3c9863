/* What a receiver knows of limits: frames of the queue, and what follows for the next message. */
#include "role/limit_advice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1000000000, SECOND = 1000000, ROWS = 100 };

static const struct limit_rule daily = {.key = LIMIT_BY_ACCOUNT,
    .what = LIMIT_OF_MESSAGES,
    .n = 1000,
    .seconds = 86400,
    .plan = "home"};

static struct proto_limit frame_of(const struct limit_rule *r, const char *subject)
{
	return (struct proto_limit){.key = (uint8_t)r->key,
	    .what = (uint8_t)r->what,
	    .calendar = (uint8_t)r->calendar,
	    .seconds = r->seconds,
	    .n = r->n,
	    .plan = r->plan != NULL ? span_str(r->plan) : SPAN_NONE,
	    .subject = span_str(subject)};
}

static int take(struct limit_advice *a, const struct proto_limit *l)
{
	struct buf b;
	int err;

	buf_init(&b, PROTO_LIMIT_MAX);
	proto_put_limit(&b, l);
	err = limit_advice_take(a, buf_view(&b), NOW);
	buf_fini(&b);
	return err;
}

static void tell(struct limit_advice *a, const struct limit_rule *r, const char *subject,
    uint64_t used, int64_t opens_in)
{
	struct proto_limit l = frame_of(r, subject);

	l.used = used;
	l.opens_in = opens_in;
	assert_int_equal(take(a, &l), 0);
}

static bool admits(struct limit_advice *a, const struct limit_rule *r, const char *subject,
    uint64_t amount, int64_t now, int64_t *opens)
{
	return limit_advice_admits(a, r, span_str(subject), amount, now, opens);
}

static void at_the_edge(void **state)
{
	struct limit_advice *a = limit_advice_new(7, ROWS);
	int64_t opens;

	(void)state;
	assert_true(admits(a, &daily, "alice", 1, NOW, &opens));
	tell(a, &daily, "alice", 999, 0);
	assert_true(admits(a, &daily, "alice", 1, NOW, &opens));
	assert_false(admits(a, &daily, "alice", 2, NOW, &opens));
	assert_int_equal(opens, 0);
	tell(a, &daily, "alice", 1000, 5 * SECOND);
	assert_false(admits(a, &daily, "alice", 1, NOW, &opens));
	assert_int_equal(opens, NOW + 5 * SECOND);
	assert_false(admits(a, &daily, "alice", 1, NOW + 5 * SECOND - 1, &opens));
	assert_true(admits(a, &daily, "alice", 1, NOW + 5 * SECOND, &opens));
	assert_true(admits(a, &daily, "bob", 1, NOW, &opens));
	tell(a, &daily, "alice", 0, 0); /* away from it */
	assert_int_equal(limit_advice_rows(a), 0);
	assert_true(admits(a, &daily, "alice", 1000, NOW, &opens));
	limit_advice_free(&a);
	assert_null(a);
}

/* Rules are told apart by each of their values, and none is taken for another. */
static void rules_apart(void **state)
{
	struct limit_advice *a = limit_advice_new(7, ROWS);
	struct limit_rule other[] = {daily, daily, daily, daily, daily, daily};
	int64_t opens;

	(void)state;
	other[0].n = 999;
	other[1].seconds = 3600;
	other[2].seconds = 0;
	other[3].plan = NULL;
	other[4].what = LIMIT_OF_RECIPIENTS;
	other[5].key = LIMIT_BY_TENANT;
	tell(a, &daily, "alice", 1000, SECOND);
	for (size_t i = 0; i < GW_ARRAY_LEN(other); i++) {
		struct proto_limit l = frame_of(&other[i], "alice");

		assert_true(admits(a, &other[i], "alice", 1, NOW, &opens));
		assert_false(limit_advice_is_of(&l, &daily));
		assert_true(limit_advice_is_of(&l, &other[i]));
	}
	other[2].calendar = LIMIT_DAY;
	tell(a, &other[2], "alice", 1000, SECOND);
	other[2].calendar = LIMIT_MONTH;
	assert_true(admits(a, &other[2], "alice", 1, NOW, &opens));
	limit_advice_free(&a);
}

/* Of those that waited one at a time goes, until the queue says how it stands. */
static void one_at_a_time(void **state)
{
	struct limit_advice *a = limit_advice_new(7, ROWS);
	struct span alice = SPAN("alice");
	int64_t opens;

	(void)state;
	tell(a, &daily, "alice", 1000, SECOND);
	assert_false(limit_advice_admits_one(a, &daily, alice, NOW, &opens));
	assert_int_equal(opens, NOW + SECOND);
	assert_true(limit_advice_admits_one(a, &daily, alice, NOW + SECOND, &opens));
	assert_false(limit_advice_admits_one(a, &daily, alice, NOW + SECOND, &opens));
	assert_false(limit_advice_admits_one(a, &daily, alice, NOW + 2 * SECOND - 1, &opens));
	assert_true(limit_advice_admits_one(a, &daily, alice, NOW + 2 * SECOND, &opens));
	tell(a, &daily, "alice", 998, 0);
	assert_true(limit_advice_admits_one(a, &daily, alice, NOW, &opens));
	assert_true(limit_advice_admits_one(a, &daily, alice, NOW, &opens));
	limit_advice_free(&a);
}

/* A /64 of addresses, each at its limit: the table stays as large as it is, and still learns. */
static void a_flood_of_subjects(void **state)
{
	struct limit_advice *a = limit_advice_new(7, ROWS);
	char subject[32];
	int64_t opens;

	(void)state;
	for (int i = 0; i < 100 * ROWS; i++) {
		snprintf(subject, sizeof(subject), "2001:db8::%x", i);
		tell(a, &daily, subject, 1000, SECOND);
		assert_true(limit_advice_rows(a) <= ROWS);
		assert_false(admits(a, &daily, subject, 1, NOW, &opens));
	}
	assert_int_equal(limit_advice_rows(a), ROWS);
	limit_advice_clear(a);
	assert_int_equal(limit_advice_rows(a), 0);
	limit_advice_free(&a);
}

static void nonsense(void **state)
{
	struct limit_advice *a = limit_advice_new(7, ROWS);
	struct proto_limit l = frame_of(&daily, "alice");
	int64_t opens;

	(void)state;
	l.key = LIMIT_KEYS;
	assert_int_equal(take(a, &l), GW_EFORMAT);
	l = frame_of(&daily, "alice");
	l.opens_in = -1;
	assert_int_equal(take(a, &l), GW_EFORMAT);
	assert_int_equal(limit_advice_take(a, SPAN("x"), NOW), GW_EFORMAT);
	assert_int_equal(limit_advice_rows(a), 0);
	/* More used than there is, for ever. */
	tell(a, &daily, "alice", UINT64_MAX, INT64_MAX);
	assert_false(admits(a, &daily, "alice", 1, INT64_MAX - 1, &opens));
	assert_true(opens == INT64_MAX);
	limit_advice_free(&a);
	limit_advice_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(at_the_edge),
	    cmocka_unit_test(rules_apart),
	    cmocka_unit_test(one_at_a_time),
	    cmocka_unit_test(a_flood_of_subjects),
	    cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
