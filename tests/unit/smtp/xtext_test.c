#include "smtp/xtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ROOM = 2000 };

static void assert_decodes(const char *in, const char *want)
{
	struct buf out;

	buf_init(&out, ROOM);
	assert_int_equal(xtext_decode(span_str(in), &out), want ? 0 : GW_EFORMAT);
	if (want)
		assert_true(span_eq(buf_view(&out), span_str(want)));
	buf_fini(&out);
}

static void decodes(void **state)
{
	(void)state;
	assert_decodes("", "");
	assert_decodes("abc", "abc");
	assert_decodes("+2B+3D+20+7E", "+= ~");
	assert_decodes("+", NULL);
	assert_decodes("+2", NULL);
	assert_decodes("+2b", NULL);
	assert_decodes("+GG", NULL);
	assert_decodes("+0D+0A", NULL);
	assert_decodes("+00", NULL);
	assert_decodes("+7F", NULL);
	assert_decodes("+80", NULL);
	assert_decodes("a b", NULL);
	assert_decodes("a=b", NULL);
	assert_decodes("a\x7f", NULL);
	assert_decodes("\xc3\xbc", NULL);
}

/* Of all octets those that may come out of decoding come back the same. */
static void there_and_back(void **state)
{
	struct buf in, wire, out;

	(void)state;
	buf_init(&in, ROOM);
	buf_init(&wire, ROOM);
	buf_init(&out, ROOM);
	for (unsigned c = ' '; c <= '~'; c++)
		buf_add_byte(&in, (uint8_t)c);
	xtext_encode(buf_view(&in), &wire);
	assert_int_equal(span_find(buf_view(&wire), ' '), -1);
	assert_int_equal(span_find(buf_view(&wire), '='), -1);
	assert_int_equal(xtext_decode(buf_view(&wire), &out), 0);
	assert_true(span_eq(buf_view(&in), buf_view(&out)));
	buf_clear(&wire);
	xtext_encode(SPAN("\r\n\xff"), &wire);
	assert_true(span_eq(buf_view(&wire), SPAN("+0D+0A+FF")));
	buf_fini(&in);
	buf_fini(&wire);
	buf_fini(&out);
}

static void assert_orcpt(const char *wire, bool utf8, const char *want)
{
	struct buf out, back;

	buf_init(&out, ROOM);
	buf_init(&back, ROOM);
	assert_int_equal(orcpt_decode(span_str(wire), utf8, &out), want ? 0 : GW_EFORMAT);
	if (want) {
		assert_true(span_eq(buf_view(&out), span_str(want)));
		assert_int_equal(orcpt_encode(span_str(want), utf8, &back), 0);
		assert_true(span_eq(buf_view(&back), span_str(wire)));
	}
	buf_fini(&out);
	buf_fini(&back);
}

static void orcpts(void **state)
{
	(void)state;
	assert_orcpt("rfc822;bob@example.org", false, "rfc822;bob@example.org");
	assert_orcpt("rfc822;b+2Bx@example.org", false, "rfc822;b+x@example.org");
	assert_orcpt("x400;/C+3Dde/", false, "x400;/C=de/");
	assert_orcpt("utf-8;b\\x{F6}b@example.org", false,
	    "utf-8;b\xc3\xb6"
	    "b@example.org");
	assert_orcpt("utf-8;b\xc3\xb6"
		     "b@example.org",
	    true,
	    "utf-8;b\xc3\xb6"
	    "b@example.org");
	assert_orcpt("utf-8;a\\x{2B}\\x{3D}\\x{5C}\\x{20}b", true, "utf-8;a+=\\ b");
	assert_orcpt("utf-8;\\x{1F600}@x", false, "utf-8;\xf0\x9f\x98\x80@x");
	assert_orcpt("utf-8;b\xc3\xb6@example.org", false, NULL);
	assert_orcpt("rfc822;b\xc3\xb6@example.org", true, NULL);
	assert_orcpt("utf-8;b\xc3", true, NULL);
	assert_orcpt("utf-8;\xc0\xaf", true, NULL);
	assert_orcpt("utf-8;\\x{2028}", true, NULL);
	assert_orcpt("utf-8;\\x{D}", true, NULL);
	assert_orcpt("utf-8;\\x{0D}", true, NULL);
	assert_orcpt("utf-8;\\x{0002B}", true, NULL);
	assert_orcpt("utf-8;\\x{FFFFFFF}", true, NULL);
	assert_orcpt("utf-8;\\x{}", true, NULL);
	assert_orcpt("utf-8;\\x{2B", true, NULL);
	assert_orcpt("utf-8;\\", true, NULL);
	assert_orcpt("utf-8;", true, NULL);
	assert_orcpt(";x", false, NULL);
	assert_orcpt("rfc822", false, NULL);
	assert_orcpt("rfc 822;x", false, NULL);
	assert_orcpt("", false, NULL);
}

/* What came by another way than the wire: nothing of it is appended. */
static void cannot_be_sent(void **state)
{
	char text[700] = "rfc822;";
	struct buf out;

	(void)state;
	buf_init(&out, ROOM);
	buf_add_str(&out, "RCPT");
	assert_int_equal(orcpt_encode(SPAN("rfc822;\xc3\xbc"), true, &out), GW_EFORMAT);
	assert_int_equal(orcpt_encode(SPAN("utf-8;a\r\n"), true, &out), GW_EFORMAT);
	assert_int_equal(orcpt_encode(SPAN("utf-8;a\xff"), true, &out), GW_EFORMAT);
	assert_int_equal(orcpt_encode(SPAN("nothing"), true, &out), GW_EFORMAT);
	memset(text + 7, '+', 165);
	assert_int_equal(orcpt_encode(span_str(text), true, &out), GW_EFORMAT);
	memset(text + 7, '+', sizeof(text) - 8);
	assert_int_equal(orcpt_encode(span_str(text), true, &out), GW_EFORMAT);
	assert_true(span_eq(buf_view(&out), SPAN("RCPT")));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(decodes),
	    cmocka_unit_test(there_and_back),
	    cmocka_unit_test(orcpts),
	    cmocka_unit_test(cannot_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
