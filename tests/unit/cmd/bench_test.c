#include "cmd/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void latencies_keep_their_order(void **state)
{
	struct latency *l = calloc(1, sizeof(*l));

	(void)state;
	assert_int_equal(latency_at(l, 0.5), 0);
	for (int64_t i = 1; i <= 100000; i++)
		latency_add(l, i);
	assert_in_range(latency_at(l, 0.5), 50000, 50800);
	assert_in_range(latency_at(l, 0.99), 99000, 100000);
	assert_int_equal(latency_at(l, 1.0), 100000);
	latency_add(l, INT64_MAX);
	latency_add(l, -5);
	assert_int_equal(l->max, INT64_MAX);
	assert_int_equal(l->count, 100002);
	free(l);
}

static void small_latencies_are_exact(void **state)
{
	struct latency *l = calloc(1, sizeof(*l));

	(void)state;
	for (int64_t i = 0; i < LATENCY_SUB; i++)
		latency_add(l, i);
	for (uint64_t i = 1; i <= LATENCY_SUB; i++)
		assert_int_equal(latency_at(l, (double)i / LATENCY_SUB), i - 1);
	free(l);
}

static void seen_is_remembered(void **state)
{
	struct seen s = {0};
	int64_t first;

	(void)state;
	for (uint64_t n = 1; n <= 100000; n++)
		assert_int_equal(
		    seen_add(&s, seen_key(SPAN("r"), n, SPAN("a")), (int64_t)n, &first), 1);
	for (uint64_t n = 1; n <= 100000; n++) {
		assert_int_equal(seen_add(&s, seen_key(SPAN("r"), n, SPAN("a")), 0, &first), 0);
		assert_int_equal(first, n);
	}
	assert_int_equal(seen_add(&s, seen_key(SPAN("q"), 1, SPAN("a")), 0, &first), 1);
	assert_int_equal(seen_add(&s, seen_key(SPAN("r"), 1, SPAN("b")), 0, &first), 1);
	seen_fini(&s);
}

static void targets(void **state)
{
	static const struct {
		const char *text;
		int err;
		bool loopback;
	} rows[] = {
	    {"127.0.0.1:25", 0, true},
	    {"127.9.9.9:25", 0, true},
	    {"[::1]:25", 0, true},
	    {"[::ffff:127.0.0.1]:25", 0, true},
	    {"2525", 0, true},
	    {"0.0.0.0:25", 0, false},
	    {"192.0.2.1:25", 0, false},
	    {"[::]:25", 0, false},
	    {"[2001:db8::1]:25", 0, false},
	    {"[::ffff:192.0.2.1]:25", 0, false},
	    {"::1:25", GW_EFORMAT, false},
	    {"127.0.0.1:", GW_EFORMAT, false},
	    {"127.0.0.1:65536", GW_EFORMAT, false},
	    {"127.0.0.1:x", GW_EFORMAT, false},
	    {":25", GW_EFORMAT, false},
	    {"", GW_EFORMAT, false},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		struct bench_target t;

		assert_int_equal(bench_target_parse(rows[i].text, &t), rows[i].err);
		if (rows[i].err == 0)
			assert_int_equal(t.loopback, rows[i].loopback);
	}
}

static void numbers(void **state)
{
	uint64_t n;

	(void)state;
	assert_int_equal(bench_number_parse("20k", 1000, 1, 100000, &n), 0);
	assert_int_equal(n, 20000);
	assert_int_equal(bench_number_parse("10M", 1024, 1, 1 << 30, &n), 0);
	assert_int_equal(n, 10 << 20);
	assert_int_equal(bench_number_parse("0", 1000, 1, 10, &n), GW_EFORMAT);
	assert_int_equal(bench_number_parse("11", 1000, 1, 10, &n), GW_EFORMAT);
	assert_int_equal(bench_number_parse("k", 1000, 1, 10, &n), GW_EFORMAT);
	assert_int_equal(bench_number_parse("-1", 1000, 1, 10, &n), GW_EFORMAT);
	assert_int_equal(bench_number_parse("", 1000, 0, 10, &n), GW_EFORMAT);
	assert_int_equal(
	    bench_number_parse("18446744073709551615g", 1000, 0, UINT64_MAX, &n), GW_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(latencies_keep_their_order),
	    cmocka_unit_test(small_latencies_are_exact),
	    cmocka_unit_test(seen_is_remembered),
	    cmocka_unit_test(targets),
	    cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
