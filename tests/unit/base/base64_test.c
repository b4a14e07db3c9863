#include "base/base64.h"

#include "unit/base/helper.h"

/* RFC 4648 section 10. */
static const struct {
	const char *plain, *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void known_answers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < GW_ARRAY_LEN(vectors); i++) {
		buf_clear(&b);
		base64_encode(span_str(vectors[i].plain), &b);
		assert_true(span_eq(buf_view(&b), span_str(vectors[i].text)));
		buf_clear(&b);
		assert_int_equal(base64_decode(span_str(vectors[i].text), &b), 0);
		assert_true(span_eq(buf_view(&b), span_str(vectors[i].plain)));
	}
	buf_fini(&b);
}

static void every_octet_comes_back(void **state)
{
	uint8_t all[256 + 255];
	struct buf text, back;

	(void)state;
	buf_init(&text, 4096);
	buf_init(&back, 4096);
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t n = 0; n <= sizeof(all); n++) {
		buf_clear(&text);
		buf_clear(&back);
		base64_encode(span_of(all, n), &text);
		assert_int_equal(base64_decode(buf_view(&text), &back), 0);
		assert_true(span_eq(buf_view(&back), span_of(all, n)));
	}
	buf_fini(&text);
	buf_fini(&back);
}

static void what_is_refused(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
	    "==", "===", "====", "Zm=v", "Z===", "Zg==Zg==", "Zg= ", " Zg=", "Zm9 ", "Zm9\n",
	    "Zm-_", "Zh==", "Zm9=", "Zm9vZ", "Zm9v=", "Zm\xc3\xa9", "Zm9v\r\n", "*",
	    "*===", "=Zg=", "Zm9@", "Zm9[", "Zm9`", "Zm9{", "Zm9:", "Zm9.", "Zm9,"};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_add_str(&b, "kept");
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		assert_int_equal(base64_decode(span_str(bad[i]), &b), GW_EFORMAT);
		assert_true(span_eq(buf_view(&b), SPAN("kept")));
	}
	assert_int_equal(base64_decode(SPAN("AA\0A"), &b), GW_EFORMAT);
	buf_fini(&b);
}

/* Of 2^8 octets in each place exactly the digits are taken. */
static void the_alphabet_is_exact(void **state)
{
	char text[] = "AAAA";
	struct buf b;
	unsigned good = 0;

	(void)state;
	buf_init(&b, 100);
	for (unsigned place = 0; place < 3; place++) {
		for (unsigned c = 0; c < 256; c++) {
			text[place] = (char)c;
			good += base64_decode(span_of(text, 4), &b) == 0;
			buf_clear(&b);
		}
		text[place] = 'A';
	}
	assert_int_equal(good, 3 * 64);
	buf_fini(&b);
}

static void the_ceiling_holds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_int_equal(base64_decode(SPAN("Zm9vYmE="), &b), 0);
	buf_clear(&b);
	assert_int_equal(base64_decode(SPAN("Zm9vYmFy"), &b), GW_EFULL);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

/* What was read of a bad text does not stay in the memory behind the end. */
static void a_refused_secret_is_overwritten(void **state)
{
	struct buf b;
	uint8_t *room;

	(void)state;
	buf_init(&b, 100);
	room = buf_room(&b, 64);
	memset(room, 'x', 64);
	assert_int_equal(base64_decode(SPAN("c2VjcmV0c2VjcmV0!AAA"), &b), GW_EFORMAT);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(b.mem[i], 0);
	buf_wipe(&b);
	assert_null(b.mem);
	buf_wipe(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_answers),
	    cmocka_unit_test(every_octet_comes_back),
	    cmocka_unit_test(what_is_refused),
	    cmocka_unit_test(the_alphabet_is_exact),
	    cmocka_unit_test(the_ceiling_holds),
	    cmocka_unit_test(a_refused_secret_is_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
