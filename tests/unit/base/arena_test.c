#include "unit/base/helper.h"

#include "base/arena.h"

static void test_alloc(void **state)
{
	static const uint8_t zeros[100];
	struct arena a;
	uint8_t *p[200];

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < GW_ARRAY_LEN(p); i++) {
		p[i] = arena_alloc(&a, 100);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
		assert_memory_equal(p[i], zeros, 100);
		memset(p[i], (int)i + 1, 100);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(p); i++) {
		for (size_t k = 0; k < 100; k++)
			assert_int_equal(p[i][k], (uint8_t)(i + 1));
	}
	arena_reset(&a);
	assert_int_equal(a.used, 0);
	assert_non_null(arena_alloc(&a, 50000)); /* larger than a chunk */
	assert_non_null(arena_alloc(&a, 0));
	arena_reset(&a);
}

static void test_overflow(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1000);
	assert_non_null(arena_alloc(&a, 900));
	assert_null(arena_alloc(&a, 200));
	assert_true(a.overflow);
	assert_null(arena_alloc(&a, 1)); /* sticky: the caller may ask once at the end */
	assert_null(arena_dup(&a, SPAN("x")).p);
	arena_reset(&a);
	assert_false(a.overflow);
	assert_null(arena_alloc(&a, SIZE_MAX));
	arena_reset(&a);
	assert_null(arena_alloc(&a, SIZE_MAX - 7)); /* would wrap when it is rounded up */
	arena_reset(&a);
	for (int i = 0; i < 10000 && !a.overflow; i++)
		(void)!arena_alloc(&a, 1);
	assert_true(a.overflow);
	assert_in_range(a.used, 900, 1016);
	arena_reset(&a);
}

static void test_dup(void **state)
{
	struct span s;
	struct arena a;

	(void)state;
	arena_init(&a, 1000);
	s = arena_dup(&a, SPAN("text"));
	assert_true(span_eq(s, SPAN("text")));
	assert_int_equal(s.p[4], 0);
	s = arena_dup(&a, SPAN_NONE);
	assert_true(s.p != NULL && s.n == 0 && s.p[0] == 0);
	arena_reset(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alloc),
	    cmocka_unit_test(test_overflow),
	    cmocka_unit_test(test_dup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
