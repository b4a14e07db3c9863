#include "mail/idna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_ascii(const char *name, const char *want)
{
	struct buf b;
	int err;

	buf_init(&b, 600);
	buf_add_str(&b, "x@");
	err = domain_to_ascii(span_str(name), &b);
	if ((err == 0) != (want != NULL))
		fail_msg("%s: %d", name, err);
	if (want == NULL)
		assert_int_equal(buf_len(&b), 2);
	else
		assert_true(span_eq(span_skip(buf_view(&b), 2), span_str(want)));
	buf_fini(&b);
}

static void names(void **state)
{
	(void)state;
	assert_ascii("Example.ORG", "example.org");
	assert_ascii("b\u00fccher.example", "xn--bcher-kva.example");
	assert_ascii("B\u00fccher.XN--Bcher-KVA.Example", "xn--bcher-kva.xn--bcher-kva.example");
	assert_ascii("stra\u00dfe.example", "xn--strae-oqa.example");
	assert_ascii("\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah");
	assert_ascii("\u0645\u062b\u0627\u0644.example", "xn--mgbh0fb.example");
	/* Composed before it is turned: one name has one form. */
	assert_ascii("bu\u0308cher.example", "xn--bcher-kva.example");
}

static void no_names(void **state)
{
	char many[500] = "";

	(void)state;
	assert_ascii("", NULL);
	assert_ascii(".", NULL);
	assert_ascii("a..b", NULL);
	assert_ascii("a.", NULL);
	assert_ascii("a_b.example", NULL);
	assert_ascii("\u00fc_b.example", NULL);
	assert_ascii("\u00fc b", NULL);
	assert_ascii("B\u00dcCHER.example", NULL);
	assert_ascii("\u00fc.xn--zzzzz99", NULL);
	assert_ascii("\u00fc\uff0eexample", NULL);
	assert_ascii("\u00ad\u00fc.example", NULL);
	assert_ascii("\u200d.example", NULL);
	assert_ascii("\u0300\u00fc.example", NULL);
	assert_ascii("a\xff.example", NULL);
	assert_ascii("\xc0\xae.example", NULL);
	for (size_t i = 0; i < 60; i++)
		strcat(many, "\u7528");
	assert_ascii(many, NULL); /* fits as U-label, not as A-label */
	for (size_t i = 0; i < 60; i++)
		strcat(many, "x.\u00fc");
	assert_ascii(many, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(no_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
