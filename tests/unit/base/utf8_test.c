#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Every character there is: written, read, and nothing else of the same length is taken for it. */
static void all_characters(void **state)
{
	(void)state;
	for (uint32_t c = 0; c <= 0x110010; c++) {
		bool none = c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff);
		struct buf b;
		uint32_t back = 0;

		buf_init(&b, 8);
		assert_int_equal(utf8_put(&b, c), none ? GW_EFORMAT : 0);
		if (!none) {
			assert_int_equal(utf8_take(buf_view(&b), &back), buf_len(&b));
			assert_int_equal(back, c);
			for (size_t n = 0; n < buf_len(&b); n++)
				assert_int_equal(utf8_take(span_first(buf_view(&b), n), &back), 0);
		}
		buf_fini(&b);
	}
}

static void ill_formed(void **state)
{
	static const struct span bad[] = {
	    {(const uint8_t *)"\x80", 1},
	    {(const uint8_t *)"\xbf\xbf", 2},
	    {(const uint8_t *)"\xc0\x80", 2},         /* U+0000, too long */
	    {(const uint8_t *)"\xc0\xaf", 2},         /* "/" */
	    {(const uint8_t *)"\xc1\xbf", 2},         /* DEL */
	    {(const uint8_t *)"\xe0\x80\xaf", 3},     /* "/" */
	    {(const uint8_t *)"\xe0\x9f\xbf", 3},     /* U+07FF */
	    {(const uint8_t *)"\xf0\x80\x80\xaf", 4}, /* "/" */
	    {(const uint8_t *)"\xf0\x8f\xbf\xbf", 4}, /* U+FFFF */
	    {(const uint8_t *)"\xed\xa0\x80", 3},     /* U+D800 */
	    {(const uint8_t *)"\xed\xbf\xbf", 3},     /* U+DFFF */
	    {(const uint8_t *)"\xf4\x90\x80\x80", 4}, /* U+110000 */
	    {(const uint8_t *)"\xf5\x80\x80\x80", 4},
	    {(const uint8_t *)"\xf8\x88\x80\x80\x80", 5},
	    {(const uint8_t *)"\xfe", 1},
	    {(const uint8_t *)"\xff", 1},
	    {(const uint8_t *)"\xc3(", 2},
	    {(const uint8_t *)"\xe2\x82", 2},
	    {(const uint8_t *)"\xe2(\xa1", 3},
	};
	uint32_t point;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		assert_int_equal(utf8_take(bad[i], &point), 0);
		assert_false(utf8_valid(bad[i]));
		assert_false(utf8_text(bad[i]));
	}
	assert_int_equal(utf8_take(SPAN_NONE, &point), 0);
}

static void visible(void **state)
{
	static const uint32_t hidden[] = {0, 9, 10, 0x1f, 0x7f, 0x80, 0x85, 0x9f, 0xad, 0x61c,
	    0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfdd0,
	    0xfeff, 0xfffe, 0xffff, 0x1fffe, 0x10ffff, 0xe0001, 0xe0041};
	static const uint32_t seen[] = {' ', 'a', '~', 0xa0, 0xe4, 0x3b4, 0x5d0, 0x200c, 0x200d,
	    0x2010, 0x4e2d, 0xfffd, 0x1f600};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(hidden); i++)
		assert_false(utf8_visible(hidden[i]));
	for (size_t i = 0; i < GW_ARRAY_LEN(seen); i++)
		assert_true(utf8_visible(seen[i]));
	assert_true(utf8_text(SPAN("Gr\xc3\xbc\xc3\x9f"
				   "e")));
	assert_false(utf8_text(SPAN("a\xe2\x80\xae")));
	assert_true(utf8_valid(SPAN("a\xe2\x80\xae")));
	assert_true(utf8_beyond_ascii(SPAN("a\x80")));
	assert_false(utf8_beyond_ascii(SPAN("a\x7f")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_characters),
	    cmocka_unit_test(ill_formed),
	    cmocka_unit_test(visible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
