#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000 };

struct thing {
	unsigned number;
	char rest[100];
};

static size_t count(const struct pool *p)
{
	struct pool_walk at = {0};
	size_t n = 0;

	while (pool_next(p, &at) != NULL)
		n++;
	return n;
}

static void test_each_is_its_own(void **state)
{
	struct thing *t[MANY];
	struct pool p;

	(void)state;
	pool_init(&p, sizeof(struct thing));
	for (unsigned i = 0; i < MANY; i++) {
		t[i] = pool_get(&p);
		assert_int_equal(t[i]->number, 0);
		assert_int_equal((uintptr_t)t[i] % 16, 0);
		memset(t[i], 0xff, sizeof(*t[i]));
		t[i]->number = i;
	}
	assert_int_equal(pool_len(&p), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(t[i]->number, i);
	assert_int_equal(count(&p), MANY);
	for (unsigned i = 0; i < MANY; i++)
		pool_put(&p, t[i]);
	assert_int_equal(count(&p), 0);
	assert_int_equal(pool_len(&p), 0);
	pool_fini(&p);
}

static void test_walk_sees_what_stays(void **state)
{
	struct thing *t[MANY], *seen;
	struct pool_walk at = {0};
	struct pool p;
	unsigned n = 0;

	(void)state;
	pool_init(&p, sizeof(struct thing));
	for (unsigned i = 0; i < MANY; i++) {
		t[i] = pool_get(&p);
		t[i]->number = i;
	}
	while ((seen = pool_next(&p, &at)) != NULL) {
		assert_int_equal(seen->number, n);
		n++;
		pool_put(&p, seen); /* chunk after chunk goes away behind the walk */
		if (n == 100) {
			for (unsigned i = 1000; i < 3000; i++)
				pool_put(&p, t[i]);
		}
		if (n == 1000)
			n = 3000;
	}
	assert_int_equal(n, MANY);
	assert_int_equal(pool_len(&p), 0);
	pool_fini(&p);
}

static void test_slots_are_used_again(void **state)
{
	struct pool p;
	void *a, *b;

	(void)state;
	pool_init(&p, 16);
	a = pool_get(&p);
	b = pool_get(&p);
	assert_ptr_not_equal(a, b);
	memset(a, 1, 16);
	pool_put(&p, a);
	assert_ptr_equal(pool_get(&p), a);
	assert_int_equal(*(char *)a, 0);
	assert_int_equal(pool_len(&p), 2);
	pool_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_is_its_own),
	    cmocka_unit_test(test_walk_sees_what_stays),
	    cmocka_unit_test(test_slots_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
