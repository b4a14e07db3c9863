#include "unit/base/helper.h"

#include "base/cursor.h"

static void test_round_trip(void **state)
{
	struct buf b;
	struct cursor c;

	(void)state;
	buf_init(&b, 1000);
	put_u8(&b, 0xab);
	put_u16(&b, 0x1234);
	put_u32(&b, 0xdeadbeef);
	put_u64(&b, UINT64_C(0x0102030405060708));
	put_span16(&b, SPAN("sixteen"));
	put_span32(&b, SPAN(""));
	/* Little-endian, whatever the machine. */
	assert_memory_equal(buf_view(&b).p, "\xab\x34\x12\xef\xbe\xad\xde\x08\x07", 9);
	c = cursor_of(buf_view(&b));
	assert_int_equal(get_u8(&c), 0xab);
	assert_int_equal(get_u16(&c), 0x1234);
	assert_int_equal(get_u32(&c), 0xdeadbeef);
	assert_true(get_u64(&c) == UINT64_C(0x0102030405060708));
	assert_true(span_eq(get_span16(&c), SPAN("sixteen")));
	assert_false(cursor_done(&c));
	assert_int_equal(get_span32(&c).n, 0);
	assert_true(cursor_ok(&c) && cursor_done(&c));
	buf_fini(&b);
}

/* Cut anywhere, the fields read zero from there on, and the error stays. */
static void test_cut(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	put_u64(&b, UINT64_MAX);
	put_span16(&b, SPAN("text"));
	put_u8(&b, 7);
	for (size_t n = 0; n <= buf_len(&b); n++) {
		struct cursor c = cursor_of(span_first(buf_view(&b), n));
		uint64_t number = get_u64(&c);
		struct span text = get_span16(&c);
		uint8_t last = get_u8(&c);

		assert_true(number == (n >= 8 ? UINT64_MAX : 0));
		assert_int_equal(text.n, n >= 14 ? 4 : 0);
		assert_int_equal(last, n >= 15 ? 7 : 0);
		assert_int_equal(cursor_ok(&c), n == 15);
		assert_int_equal(cursor_done(&c), n == 15);
	}
	buf_fini(&b);
}

static void test_lying_length(void **state)
{
	struct cursor c = cursor_of(SPAN("\xff\xff\xff\xffshort"));

	(void)state;
	assert_null(get_span32(&c).p);
	assert_false(cursor_ok(&c));
	assert_int_equal(c.rest.n, 0);
	c = cursor_of(SPAN("abc"));
	assert_null(get_bytes(&c, SIZE_MAX).p);
	assert_int_equal(get_u8(&c), 0);
	c = cursor_of(SPAN_NONE);
	assert_true(cursor_done(&c));
	assert_int_equal(get_bytes(&c, 0).n, 0);
	assert_true(cursor_ok(&c));
}

static void test_too_long(void **state)
{
	static uint8_t big[70000];
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	put_span16(&b, span_of(big, 65535));
	assert_false(buf_failed(&b));
	put_span16(&b, span_of(big, 65536));
	assert_true(buf_failed(&b));
	buf_fini(&b);
	buf_init(&b, 3);
	put_u32(&b, 1);
	assert_true(buf_failed(&b) && buf_len(&b) == 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_lying_length),
	    cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
