#include "spool/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_header(void **state)
{
	struct segment_head in = {.generation = 12, .size = 1 << 26, .previous = 11}, out;
	uint8_t page[SPOOL_PAGE];

	(void)state;
	memset(in.key.b, 0x77, SPOOL_KEY);
	segment_encode(&in, page);
	assert_int_equal(segment_decode(span_of(page, sizeof(page)), &out), 0);
	assert_true(out.generation == 12 && out.size == 1 << 26 && out.previous == 11);
	assert_memory_equal(out.key.b, in.key.b, SPOOL_KEY);
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] ^= 0x10;
		assert_int_equal(segment_decode(span_of(page, sizeof(page)), &out), GW_EFORMAT);
		page[i] ^= 0x10;
	}
	for (size_t n = 0; n < sizeof(page); n += 64)
		assert_int_equal(segment_decode(span_of(page, n), &out), GW_EFORMAT);
}

/* Damage is not taken for a later version, a good page of a later version is. */
static void test_version(void **state)
{
	struct segment_head in = {.generation = 1, .size = 1 << 20}, out;
	uint8_t page[SPOOL_PAGE];

	(void)state;
	segment_encode(&in, page);
	page[8]++;
	assert_int_equal(segment_decode(span_of(page, sizeof(page)), &out), GW_EFORMAT);
	uint64_t sum = spool_sum(span_of(page, SPOOL_PAGE - 8));
	for (int i = 0; i < 8; i++)
		page[SPOOL_PAGE - 8 + i] = (uint8_t)(sum >> 8 * i);
	assert_int_equal(segment_decode(span_of(page, sizeof(page)), &out), GW_EVERSION);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "seg-", "seg-1", "seg-00000000000000zz",
	    "seg-0000000000000001.old", "seg-000000000000000A", "spare-0x00000000000001",
	    "SEG-0000000000000001", "seg--000000000000001", "seg- 000000000000001",
	    "seg-00000000000000011", "new"};
	char name[DISK_NAME_MAX];
	enum segment_name kind;
	uint64_t number;

	(void)state;
	for (int k = SEGMENT_NEW; k <= SEGMENT_LOG; k++) {
		segment_format(name, (enum segment_name)k, UINT64_MAX - 5);
		assert_int_equal(segment_parse(name, &kind, &number), 0);
		assert_int_equal(kind, k);
		assert_true(number == UINT64_MAX - 5);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_not_equal(segment_parse(bad[i], &kind, &number), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_version),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
