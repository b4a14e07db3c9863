/* Orders of operators: one of a kind for each name, whom they bind, and their stored form. */
#include "unit/base/helper.h"

#include "base/cursor.h"
#include "flow/counters.h"
#include "flow/orders.h"

static struct order order(bool slow, const char *group, int64_t until, uint32_t rate)
{
	struct order o = {.slow = slow, .rate = {rate, 60}, .since = 5, .until = until};

	snprintf(o.group, sizeof(o.group), "%s", group);
	snprintf(o.who, sizeof(o.who), "uid=%u", rate);
	snprintf(o.reason, sizeof(o.reason), "because of %s", group);
	return o;
}

static void put(struct orders *o, bool slow, const char *group, int64_t until, uint32_t rate)
{
	struct order x = order(slow, group, until, rate);

	assert_true(orders_put(o, &x));
}

static void test_one_of_a_kind(void **state)
{
	struct orders o = {0};

	(void)state;
	put(&o, false, "google", 100, 1);
	put(&o, true, "google", 100, 2);
	put(&o, false, "google", 200, 3);
	assert_int_equal(o.n, 2);
	assert_int_equal(orders_find(&o, false, "google", "x")->until, 200);
	put(&o, false, "all", 50, 1);
	assert_true(orders_expire(&o, 100));
	assert_int_equal(o.n, 1);
	assert_false(orders_expire(&o, 100));
	assert_int_equal(orders_remove(&o, "goo"), 0);
	assert_int_equal(orders_remove(&o, "google"), 1);
	assert_null(orders_find(&o, false, "google", "google"));
	orders_fini(&o);
}

static void test_ceiling(void **state)
{
	struct orders o = {0};
	struct order x;
	char name[32];

	(void)state;
	for (int i = 0; i < ORDERS_MAX; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		put(&o, false, name, INT64_MAX, 1);
	}
	x = order(false, "one more", INT64_MAX, 1);
	assert_false(orders_put(&o, &x));
	x = order(false, "g7", 9, 1); /* in the place of the one there is */
	assert_true(orders_put(&o, &x));
	assert_int_equal(o.n, ORDERS_MAX);
	orders_fini(&o);
}

/* The pause that lasts longest; the rate that names the group most closely. */
static void test_whom_they_bind(void **state)
{
	struct orders o = {0};

	(void)state;
	put(&o, true, "all", INT64_MAX, 1);
	put(&o, true, "google", 10, 2);
	put(&o, true, "google from a", 10, 3);
	put(&o, false, "all", 300, 4);
	put(&o, false, "google", 200, 5);
	assert_int_equal(orders_find(&o, true, "*", "mx x")->rate.n, 1);
	assert_int_equal(orders_find(&o, true, "google", "google from b")->rate.n, 2);
	assert_int_equal(orders_find(&o, true, "google", "google from a")->rate.n, 3);
	assert_int_equal(orders_find(&o, false, "google", "google from a")->rate.n, 4);
	assert_int_equal(orders_remove(&o, "all"), 2);
	assert_null(orders_find(&o, false, "*", "mx x"));
	orders_fini(&o);
}

/* Behind the counts of the days, which are read as before; and cut anywhere, or mad: as before, or
 * refused. */
static void test_stored_form(void **state)
{
	struct counters days = {.slot = {{0}}}, back_days;
	struct orders o = {0}, back = {0};
	uint64_t rng = 11;
	struct buf b;

	(void)state;
	counters_add(&days, INT64_C(1795262400) * 1000000, COUNTER_DELIVERED, 7);
	put(&o, false, "all", INT64_MAX, 1);
	put(&o, true, "mx a.example", 77, 9);
	buf_init(&b, 1 << 20);
	counters_encode(&days, &b);
	orders_encode(&o, &b);
	assert_int_equal(counters_decode(&back_days, buf_view(&b)), 0);
	assert_memory_equal(&days, &back_days, sizeof(days));
	assert_int_equal(orders_decode(&back, buf_view(&b)), 0);
	assert_int_equal(back.n, 2);
	assert_memory_equal(back.v, o.v, 2 * sizeof(*o.v));
	for (size_t n = 0; n < buf_len(&b); n++) {
		if (orders_decode(&back, span_first(buf_view(&b), n)) == 0)
			assert_true(back.n <= 2);
	}
	assert_int_equal(orders_decode(&back, buf_view(&b)), 0);
	for (int i = 0; i < 200000; i++) {
		uint8_t bytes[2048];
		size_t n = buf_len(&b);

		memcpy(bytes, buf_view(&b).p, n);
		for (unsigned k = 1 + helper_random(&rng, 3); k > 0; k--)
			bytes[helper_random(&rng, (uint32_t)n)] = (uint8_t)helper_random(&rng, 256);
		if (orders_decode(&back, span_of(bytes, n)) < 0)
			continue;
		for (size_t k = 0; k < back.n; k++) {
			assert_true(back.v[k].group[0] != '\0');
			assert_true(!back.v[k].slow ||
				    (back.v[k].rate.n > 0 && back.v[k].rate.seconds > 0));
		}
	}
	buf_fini(&b);
	orders_fini(&o);
	orders_fini(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_of_a_kind),
	    cmocka_unit_test(test_ceiling),
	    cmocka_unit_test(test_whom_they_bind),
	    cmocka_unit_test(test_stored_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
