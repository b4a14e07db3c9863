/* What may stand behind ETRN. */
#include "mail/etrn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void good(const char *args, enum etrn_kind kind, const char *name, const char *text)
{
	char said[ETRN_TEXT_MAX];
	enum etrn_kind k;
	struct span s;

	assert_int_equal(etrn_parse(span_str(args), &k, &s), 0);
	assert_int_equal(k, kind);
	assert_true(span_eq(s, span_str(name)));
	assert_string_equal(etrn_text(k, s, said), text);
}

static void bad(const char *args)
{
	enum etrn_kind k;
	struct span s;

	if (etrn_parse(span_str(args), &k, &s) != GW_EFORMAT)
		fail_msg("taken: %s", args);
}

static void test_names(void **state)
{
	(void)state;
	good("x.test", ETRN_NODE, "x.test", "x.test");
	good("X.Test", ETRN_NODE, "X.Test", "x.test");
	good("@x.test", ETRN_BELOW, "x.test", "@x.test");
	good("#bulk-a_1.b", ETRN_GROUP, "bulk-a_1.b", "#bulk-a_1.b");
	good("#Bulk", ETRN_GROUP, "Bulk", "#Bulk");
}

static void test_no_names(void **state)
{
	static const char *const list[] = {"", "@", "#", "x.test ", "x.test y.test", "@@x.test",
	    "#@x", "x.test.", ".x.test", "x..test", "-x.test", "x-.test", "*", "*.x.test",
	    "[127.0.0.1]", "x'.test", "\"x.test\"", "x;y.test", "../../x", "#../../x", "#a/b",
	    "# a", "bob@x.test", "#a'b", "x\ttest", "x%s.test",
	    "#123456789012345678901234567890123"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(list); i++)
		bad(list[i]);
}

static void test_long(void **state)
{
	char name[400], said[ETRN_TEXT_MAX];
	enum etrn_kind k;
	struct span s;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	name[0] = '@';
	assert_int_equal(etrn_parse(span_of(name, 256), &k, &s), 0);
	assert_int_equal(strlen(etrn_text(k, s, said)), ETRN_NAME_MAX + 1);
	assert_int_equal(etrn_parse(span_of(name, 258), &k, &s), GW_EFORMAT);
	assert_int_equal(etrn_parse(span_of("x\0y", 3), &k, &s), GW_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_no_names),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
