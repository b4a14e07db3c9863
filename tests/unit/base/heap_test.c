#include "unit/base/helper.h"

#include "base/heap.h"

static void check(const struct heap *h)
{
	for (size_t i = 0; i < h->len; i++) {
		assert_int_equal(h->nodes[i]->pos, i + 1);
		if (i > 0)
			assert_true(h->nodes[(i + 1) / 2 - 1]->key <= h->nodes[i]->key);
	}
}

static void test_model(void **state)
{
	enum { NODES = 300 };
	static struct heap_node node[NODES];
	static bool in[NODES];
	uint64_t rng = 3;
	struct heap h;

	(void)state;
	heap_init(&h);
	assert_null(heap_min(&h));
	for (int step = 0; step < 60000; step++) {
		size_t i = helper_random(&rng, NODES);
		const struct heap_node *min = NULL;

		if (helper_random(&rng, 3) == 0) {
			heap_del(&h, &node[i]);
			in[i] = false;
		} else {
			heap_set(&h, &node[i], (int64_t)helper_random(&rng, 1000) - 500);
			in[i] = true;
		}
		if (step % 50 != 0)
			continue;
		check(&h);
		for (size_t k = 0; k < NODES; k++) {
			if (in[k] && (min == NULL || node[k].key < min->key))
				min = &node[k];
		}
		assert_true((min == NULL) == (heap_min(&h) == NULL));
		assert_true(min == NULL || heap_min(&h)->key == min->key);
	}
	heap_fini(&h);
}

static void test_sorts(void **state)
{
	static struct heap_node node[1000];
	int64_t last = INT64_MIN;
	uint64_t rng = 8;
	struct heap_node *n;
	struct heap h;

	(void)state;
	heap_init(&h);
	for (size_t i = 0; i < 1000; i++)
		heap_set(&h, &node[i], helper_random(&rng, 500));
	heap_set(&h, &node[5], INT64_MIN);
	heap_set(&h, &node[6], INT64_MAX);
	for (size_t left = 1000; (n = heap_min(&h)) != NULL; left--) {
		assert_int_equal(h.len, left);
		assert_true(n->key >= last);
		last = n->key;
		heap_del(&h, n);
		assert_int_equal(n->pos, 0);
		heap_del(&h, n); /* once more: nothing */
	}
	assert_true(last == INT64_MAX);
	heap_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_sorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
