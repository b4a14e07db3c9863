#include "spool/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct spool_key key = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const uint64_t place = 4096 + 800;

static struct record_head sample(void)
{
	struct record_head h = {.type = REC_MESSAGE, .own = true, .meta_len = 300};

	memset(h.id.b, 0xA5, sizeof(h.id.b));
	h.body_len = 4000;
	h.meta_sum = UINT64_C(0x1122334455667788);
	h.body_sum = UINT64_C(0x99AABBCCDDEEFF00);
	h.flush_page = 7;
	h.flush_pad = 4095;
	return h;
}

static void test_round_trip(void **state)
{
	struct record_head in = sample(), out = {0};
	uint8_t raw[RECORD_HEADER];

	(void)state;
	record_encode(&in, &key, place, raw);
	assert_int_equal(record_decode(span_of(raw, sizeof(raw)), &key, place, &out), 0);
	assert_int_equal(out.type, in.type);
	assert_true(out.own);
	assert_true(msgid_eq(&out.id, &in.id));
	assert_int_equal(out.meta_len, in.meta_len);
	assert_int_equal(out.body_len, in.body_len);
	assert_true(out.meta_sum == in.meta_sum && out.body_sum == in.body_sum);
	assert_int_equal(out.flush_page, in.flush_page);
	assert_int_equal(out.flush_pad, in.flush_pad);
	assert_int_equal(record_size(&out), 80 + 300 + 4000);
}

static void test_every_bit_counts(void **state)
{
	struct record_head in = sample(), out;
	uint8_t raw[RECORD_HEADER];

	(void)state;
	record_encode(&in, &key, place, raw);
	for (unsigned bit = 0; bit < 8 * RECORD_HEADER; bit++) {
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(
		    record_decode(span_of(raw, sizeof(raw)), &key, place, &out), 0);
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof(raw); n++)
		assert_int_equal(record_decode(span_of(raw, n), &key, place, &out), GW_EMORE);
}

/* A header copied to another place, or left from the segment's earlier life, is none. */
static void test_only_here_and_now(void **state)
{
	struct record_head in = sample(), out;
	struct spool_key other = key;
	uint8_t raw[RECORD_HEADER];

	(void)state;
	record_encode(&in, &key, place, raw);
	struct span s = span_of(raw, sizeof(raw));
	assert_int_equal(record_decode(s, &key, place + 8, &out), GW_ECORRUPT);
	assert_int_equal(record_decode(s, &key, place ^ (UINT64_C(1) << 40), &out), GW_ECORRUPT);
	other.b[15] ^= 1;
	assert_int_equal(record_decode(s, &other, place, &out), GW_EFORMAT);
}

static void test_find(void **state)
{
	uint8_t mem[256] = {0};

	(void)state;
	assert_int_equal(record_find(span_of(mem, 0), &key), 0);
	assert_int_equal(record_find(span_of(mem, sizeof(mem)), &key), sizeof(mem));
	memcpy(mem + 100, key.b, SPOOL_KEY); /* not a multiple of eight */
	assert_int_equal(record_find(span_of(mem, sizeof(mem)), &key), sizeof(mem));
	memcpy(mem + 200, key.b, SPOOL_KEY);
	assert_int_equal(record_find(span_of(mem, sizeof(mem)), &key), 200);
	assert_int_equal(record_find(span_of(mem, 216), &key), 200);
	assert_int_equal(record_find(span_of(mem, 215), &key), 215);
	mem[215] ^= 1; /* the first half alone is not enough */
	assert_int_equal(record_find(span_of(mem, sizeof(mem)), &key), sizeof(mem));
}

static void test_truncate(void **state)
{
	struct truncate in = {UINT64_C(0xFEDCBA9876543210), 8192}, out;
	uint8_t raw[TRUNCATE_META + 1] = {0};

	(void)state;
	truncate_encode(&in, raw);
	assert_int_equal(truncate_decode(span_of(raw, TRUNCATE_META), &out), 0);
	assert_true(out.segment == in.segment && out.offset == in.offset);
	assert_int_not_equal(truncate_decode(span_of(raw, TRUNCATE_META - 1), &out), 0);
	assert_int_not_equal(truncate_decode(span_of(raw, TRUNCATE_META + 1), &out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_every_bit_counts),
	    cmocka_unit_test(test_only_here_and_now),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_truncate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
