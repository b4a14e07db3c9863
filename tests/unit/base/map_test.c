#include "unit/base/helper.h"

#include "base/map.h"

struct item {
	uint32_t key;
	bool in;
};

static struct span key_of(struct item *i)
{
	return span_of(&i->key, sizeof(i->key));
}

static void test_basic(void **state)
{
	struct map m;
	size_t at = 0;
	int a = 1, b = 2;

	(void)state;
	map_init(&m, 1);
	assert_null(map_get(&m, SPAN("a")));
	assert_null(map_del(&m, SPAN("a")));
	assert_null(map_next(&m, &at));
	map_put(&m, SPAN("a"), &a);
	map_put(&m, SPAN(""), &b); /* an empty key is a key */
	assert_ptr_equal(map_get(&m, SPAN("a")), &a);
	assert_ptr_equal(map_get(&m, SPAN("")), &b);
	assert_null(map_get(&m, SPAN("aa")));
	assert_int_equal(map_len(&m), 2);
	assert_ptr_equal(map_del(&m, SPAN("a")), &a);
	assert_null(map_get(&m, SPAN("a")));
	assert_int_equal(map_len(&m), 1);
	map_fini(&m);
	assert_int_equal(map_len(&m), 0);
	assert_null(map_get(&m, SPAN("")));
	map_fini(&m);
}

/* Years of coming and going: nothing is lost, found twice, or slow. */
static void test_model(void **state)
{
	enum { ITEMS = 3000, STEPS = 300000 };
	static struct item item[ITEMS];
	uint64_t rng = 9;
	size_t n = 0, seen = 0, at = 0;
	struct map m;
	struct item *i;

	(void)state;
	map_init(&m, 77);
	for (uint32_t k = 0; k < ITEMS; k++)
		item[k].key = k;
	for (int step = 0; step < STEPS; step++) {
		i = &item[helper_random(&rng, step < STEPS / 2 ? ITEMS : 20)];
		assert_ptr_equal(map_get(&m, key_of(i)), i->in ? i : NULL);
		if (i->in)
			assert_ptr_equal(map_del(&m, key_of(i)), i);
		else
			map_put(&m, key_of(i), i);
		i->in = !i->in;
		n += i->in ? 1 : (size_t)-1;
		assert_int_equal(map_len(&m), n);
	}
	while ((i = map_next(&m, &at)) != NULL) {
		assert_true(i->in);
		seen++;
	}
	assert_int_equal(seen, n);
	assert_in_range(m.cap, n, 16 * ITEMS);
	map_fini(&m);
}

/* Removing what the walk has just seen. */
static void test_walk_and_remove(void **state)
{
	static struct item item[500];
	struct map m;
	struct item *i;
	size_t at = 0, seen = 0;

	(void)state;
	map_init(&m, 3);
	for (uint32_t k = 0; k < 500; k++) {
		item[k].key = k;
		map_put(&m, key_of(&item[k]), &item[k]);
	}
	while ((i = map_next(&m, &at)) != NULL) {
		assert_ptr_equal(map_del(&m, key_of(i)), i);
		seen++;
	}
	assert_int_equal(seen, 500);
	assert_int_equal(map_len(&m), 0);
	map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_basic),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_walk_and_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
