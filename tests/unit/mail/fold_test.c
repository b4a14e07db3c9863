#include "mail/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct span folded(struct buf *b, struct span text)
{
	struct fold f = fold_begin(b, 0, "  ");

	buf_clear(b);
	fold_add(&f, text);
	return buf_view(b);
}

static void assert_span(struct span got, struct span want)
{
	if (!span_eq(got, want))
		fail_msg("\"%.*s\", not \"%.*s\"", SPAN_ARG(got), SPAN_ARG(want));
}

static void test_cleaning(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_span(folded(&b, SPAN("a  b \t c")), SPAN("a b c"));
	assert_span(folded(&b, SPAN("a\r\nB: c\r\n\r\n--x")), SPAN("a B: c --x"));
	assert_span(folded(&b, SPAN("a\0\x1b[1m\x80\x7f")), SPAN("a??[1m??"));
	assert_span(folded(&b, SPAN("")), SPAN(""));
	assert_span(folded(&b, SPAN("\r\n \v\f")), SPAN(""));
	buf_clear(&b);
	fold_clean(&b, SPAN("a  \r\nb\t\xff z"), 8);
	assert_span(buf_view(&b), SPAN("a  ??b??"));
	buf_fini(&b);
}

static void test_pieces(void **state)
{
	struct buf b;
	struct fold f;

	(void)state;
	buf_init(&b, 1000);
	f = fold_begin(&b, 0, " ");
	fold_add(&f, SPAN("550"));
	fold_add(&f, SPAN(" "));
	fold_add(&f, SPAN("5.1.1 "));
	fold_add(&f, SPAN("  no"));
	fold_add(&f, SPAN(" "));
	assert_span(buf_view(&b), SPAN("550 5.1.1 no"));
	buf_fini(&b);
}

/* Whatever comes in: lines of at most 900 octets, printable, further ones indented and not blank.
 */
static void check_lines(struct span text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\r') {
			assert_true(i + 4 < text.n);
			assert_memory_equal(text.p + i, "\r\n  ", 4);
			assert_true(text.p[i + 4] > ' ');
			column = 0;
			i++;
			continue;
		}
		assert_true(text.p[i] >= ' ' && text.p[i] < 127);
		assert_true(++column <= 900);
	}
}

static void test_lines(void **state)
{
	uint8_t text[4000];
	struct buf b;

	(void)state;
	buf_init(&b, 20000);
	for (size_t step = 1; step < 2000; step = step * 3 / 2 + 1) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = i % step == step - 1 ? ' ' : (uint8_t)('a' + i % 26);
		check_lines(folded(&b, span_of(text, sizeof(text))));
		assert_true(step > 70 || buf_len(&b) < 4400);
	}
	memset(text, ' ', sizeof(text));
	text[sizeof(text) - 1] = 'x';
	assert_span(folded(&b, span_of(text, sizeof(text))), SPAN("x"));
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cleaning),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
