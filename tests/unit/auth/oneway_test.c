/* What is shown tells nothing of what it was made of. */
#include "auth/oneway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static unsigned bits_that_differ(const uint8_t *a, const uint8_t *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < ONEWAY_SIZE; i++)
		n += (unsigned)__builtin_popcount(a[i] ^ b[i]);
	return n;
}

/* One bit of either number changes about half of what is seen, anywhere; the same gives the same.
 */
static void test_every_bit_counts(void **state)
{
	uint8_t first[ONEWAY_SIZE], other[ONEWAY_SIZE];

	(void)state;
	oneway(1, 2, first);
	oneway(1, 2, other);
	assert_memory_equal(first, other, ONEWAY_SIZE);
	for (unsigned i = 0; i < 64; i++) {
		oneway(1 ^ UINT64_C(1) << i, 2, other);
		assert_in_range(bits_that_differ(first, other), 30, 98);
		oneway(1, 2 ^ UINT64_C(1) << i, other);
		assert_in_range(bits_that_differ(first, other), 30, 98);
	}
	/* The numbers themselves stand nowhere in it. */
	assert_int_not_equal(first[0], 1);
	oneway(0, 0, first);
	memset(other, 0, sizeof(other));
	assert_in_range(bits_that_differ(first, other), 30, 98);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_bit_counts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
