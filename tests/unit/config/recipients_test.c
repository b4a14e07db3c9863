#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "config/recipients.h"

#include <stdio.h>
#include <stdlib.h>

static struct recipients *parse(const char *table, const char *aliases)
{
	struct recipients_error e = {0};
	const char *which;
	struct recipients *r = recipients_parse(span_str(table), table ? "table" : NULL,
	    span_str(aliases), aliases ? "aliases" : NULL, &e, &which);

	if (r == NULL)
		fail_msg("%s:%u:%u: %s", which, e.line, e.column, e.text);
	return r;
}

static const struct recipient_rule *find(const struct recipients *r, const char *local)
{
	const struct recipient_rule *x = recipients_find(r, span_str(local));

	return x != NULL ? x : recipients_match(r, span_str(local));
}

static void test_all_actions(void **state)
{
	struct recipients *r = parse("# ours\n"
				     "alice\n"
				     "\"John Doe\" # with a comment\r\n"
				     "\tbob\treject \"550 5.1.6 moved to bob@example.net\"\n"
				     "trap drop\n"
				     "legal hold # and another\n"
				     "\n"
				     "Info to Alice@Example.COM bob \"a@b\"\n"
				     "sales-* hold\n"
				     "*-?ox drop\n"
				     "\"lit*\"",
	    NULL);
	const struct recipient_rule *x;

	(void)state;
	assert_int_equal(recipients_count(r), 9);
	assert_int_equal(find(r, "ALICE")->action, RECIPIENT_TAKE);
	assert_int_equal(find(r, "john doe")->place.line, 3);
	x = find(r, "bob");
	assert_int_equal(x->action, RECIPIENT_REJECT);
	assert_string_equal(x->reply, "550 5.1.6 moved to bob@example.net");
	assert_string_equal(x->place.file, "table");
	assert_int_equal(x->place.line, 4);
	assert_int_equal(x->place.column, 2);
	assert_int_equal(find(r, "trap")->action, RECIPIENT_DROP);
	assert_int_equal(find(r, "legal")->action, RECIPIENT_HOLD);
	x = find(r, "info");
	assert_int_equal(x->action, RECIPIENT_EXPAND);
	assert_int_equal(x->n_to, 3);
	assert_string_equal(x->to[0], "Alice@example.com");
	assert_string_equal(x->to[1], "bob");
	assert_string_equal(x->to[2], "a@b");
	assert_int_equal(find(r, "Sales-")->action, RECIPIENT_HOLD);
	assert_int_equal(find(r, "sales-x-Fox")->action, RECIPIENT_HOLD);
	assert_int_equal(find(r, "a-b-Fox")->action, RECIPIENT_DROP);
	assert_null(find(r, "a-ox"));
	assert_null(find(r, "lit"));
	assert_null(find(r, "litx"));
	assert_non_null(find(r, "lit*"));
	assert_null(find(r, ""));
	recipients_free(&r);
	assert_null(r);
}

static void test_aliases(void **state)
{
	struct recipients *r =
	    parse("root to kept@example.net\n", "# aliases(5)\n"
						"root: alice\n"
						"staff: alice, bob@example.net,\n"
						"  # in between\n"
						"\n"
						"\tcarol , \"d e\"@example.org\n"
						"  ,\"f g\" # end\n"
						"Post.Master:root\n"
						"\"q r\" : staff\n"
						"self: self, staff\n");
	const struct recipient_rule *x = find(r, "STAFF");

	(void)state;
	assert_int_equal(recipients_alias_count(r), 5);
	assert_int_equal(x->n_to, 5);
	assert_string_equal(x->to[0], "alice");
	assert_string_equal(x->to[1], "bob@example.net");
	assert_string_equal(x->to[2], "carol");
	assert_string_equal(x->to[3], "\"d e\"@example.org");
	assert_string_equal(x->to[4], "\"f g\"");
	assert_int_equal(x->place.line, 3);
	assert_string_equal(find(r, "root")->place.file, "table");
	assert_string_equal(find(r, "post.master")->to[0], "root");
	assert_non_null(find(r, "q r"));
	assert_int_equal(find(r, "self")->n_to, 2);
	recipients_free(&r);
}

static void test_nothing_is_a_table(void **state)
{
	struct recipients *r = parse("", NULL);

	(void)state;
	assert_null(find(r, "alice"));
	assert_null(find(r, "postmaster"));
	recipients_free(&r);
	r = parse(NULL, "\n#\n");
	assert_int_equal(recipients_alias_count(r), 0);
	recipients_free(&r);
}

static void refused(const char *table, const char *aliases, const char *file, unsigned line,
    unsigned column, const char *words)
{
	struct recipients_error e = {0};
	const char *which = NULL;
	struct recipients *r = recipients_parse(span_str(table), table ? "table" : NULL,
	    span_str(aliases), aliases ? "aliases" : NULL, &e, &which);

	if (r != NULL)
		fail_msg("taken: %s%s", table ? table : "", aliases ? aliases : "");
	if (strcmp(which, file) != 0 || e.line != line || e.column != column ||
	    strstr(e.text, words) == NULL)
		fail_msg("%s:%u:%u: %s", which, e.line, e.column, e.text);
}

static void test_mistakes_in_the_table(void **state)
{
	(void)state;
	refused("alice\nalice\n", NULL, "table", 2, 1, "twice, first in line 1");
	refused("alice\n\"ALICE\" drop\n", NULL, "table", 2, 1, "twice");
	refused("alice@example.com\n", NULL, "table", 1, 1, "name alone");
	refused("alice take\n", NULL, "table", 1, 7, "not one of");
	refused("alice Drop\n", NULL, "table", 1, 7, "not one of");
	refused("alice drop it\n", NULL, "table", 1, 12, "one word too many");
	refused("alice reject\n", NULL, "table", 1, 13, "write: NAME reject");
	refused("alice reject 550\n", NULL, "table", 1, 14, "not a reply");
	refused("alice reject \"250 2.0.0 yes\"\n", NULL, "table", 1, 14, "not a reply");
	refused("alice reject \"550 4.0.0 mixed\"\n", NULL, "table", 1, 14, "not a reply");
	refused("alice reject \"550 5.1.1 open\n", NULL, "table", 1, 14, "not closed");
	refused("alice to\n", NULL, "table", 1, 9, "write: NAME to");
	refused("alice to b, c\n", NULL, "table", 1, 11, "parted by spaces");
	refused("alice to b@@c\n", NULL, "table", 1, 10, "is no address");
	refused("alice to <b@c>\n", NULL, "table", 1, 10, "is no address");
	refused("alice to b@\n", NULL, "table", 1, 10, "is no address");
	refused("alice to \"\"\n", NULL, "table", 1, 10, "is no address");
	refused("\n\nal\"ice\n", NULL, "table", 3, 3, "a space is missing");
	refused("al\x01ice\n", NULL, "table", 1, 3, "control character");
	refused("gr\xfc\xdf\n", NULL, "table", 1, 3, "can be seen");
	refused("gr\xe2\x80\xae\n", NULL, "table", 1, 3, "can be seen");
	refused("\"\"\n", NULL, "table", 1, 1, "1 to 64");
	refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	    NULL, "table", 1, 1, "1 to 64");
}

static void test_mistakes_in_aliases(void **state)
{
	(void)state;
	refused("", "a: |/bin/sh\n", "aliases", 1, 4, "programs are not run");
	refused("", "a: \"|/bin/sh -c 'rm x'\"\n", "aliases", 1, 4, "programs are not run");
	refused("", "a: b,/dev/null\n", "aliases", 1, 6, "cannot be a file");
	refused("", "a:\n\t:include:/etc/list\n", "aliases", 2, 2, "was not read");
	refused("", "a: \\a\n", "aliases", 1, 4, "no backslash");
	refused("", "a: b c\n", "aliases", 1, 6, "comma is missing");
	refused("", "a: b\nA: c\n", "aliases", 2, 1, "twice");
	refused("", "a b: c\n", "aliases", 1, 1, "write: NAME:");
	refused("", "alice\n", "aliases", 1, 1, "write: NAME:");
	refused("", " alice\n", "aliases", 1, 1, "continues nothing");
	refused("", "a@b c: d\n", "aliases", 1, 1, "write: NAME:");
	refused("", "@: d\n", "aliases", 1, 1, "neither a name nor");
	refused("", "a@[192.0.2.1]: d\n", "aliases", 1, 1, "neither a name nor");
	refused("", "a@x.test: b\nA@X.test: c\n", "aliases", 2, 1, "twice");
	refused("", "a: :include:list\n", "aliases", 1, 4, "begins with /");
	refused("", "b: c\na:\n#\nd: e\n", "aliases", 2, 1, "no address behind it");
	refused("", "a: ,\n", "aliases", 1, 1, "no address behind it");
	refused("", ": b\n", "aliases", 1, 1, "1 to 64");
}

static void test_loops(void **state)
{
	(void)state;
	refused("", "a: b\nb: a\n", "aliases", 2, 1, "leads back");
	refused("", "a: x, b\nb: y, c\nc: z, A\n", "aliases", 3, 1, "leads back");
	refused("a to b\n", "b: a\n", "aliases", 1, 1, "leads back");
	refused("b to a\n", "a: b\n", "aliases", 1, 1, "leads back");
}

/* a0 is a1, a1 is a2 and so on. */
static void chain(struct buf *b, int n)
{
	for (int i = 0; i < n; i++)
		buf_addf(b, "a%d: a%d\n", i, i + 1);
	buf_add_byte(b, 0);
}

/* Each name is the next one ten times over, qualified: 10^n without a ceiling. */
static void bomb(struct buf *b, int n)
{
	for (int i = 0; i < n; i++) {
		buf_addf(b, "b%d: x%d", i, i);
		for (int k = 0; k < 9; k++)
			buf_addf(b, ", b%d", i + 1);
		buf_add_str(b, "\n");
	}
	buf_addf(b, "b%d: end", n);
	buf_add_byte(b, 0);
}

static void test_ceilings(void **state)
{
	struct recipients *r;
	struct buf b;

	(void)state;
	buf_init(&b, 4 << 20);
	chain(&b, 11);
	r = parse(NULL, (const char *)buf_view(&b).p);
	recipients_free(&r);
	buf_clear(&b);
	chain(&b, 12);
	refused(NULL, (const char *)buf_view(&b).p, "aliases", 12, 1, "too many other names");
	buf_clear(&b);
	bomb(&b, 8);
	refused(NULL, (const char *)buf_view(&b).p, "aliases", 5, 1, "more than 1000");
	buf_clear(&b);
	buf_add_str(&b, "a:");
	for (int i = 0; i < RECIPIENTS_EXPAND_MAX; i++)
		buf_addf(&b, " x%d,\n", i);
	buf_add_byte(&b, 0);
	r = parse(NULL, (const char *)buf_view(&b).p);
	assert_int_equal(find(r, "a")->n_to, RECIPIENTS_EXPAND_MAX);
	recipients_free(&r);
	buf_cut(&b, buf_len(&b) - 1);
	buf_add_str(&b, " y");
	buf_add_byte(&b, 0);
	refused(NULL, (const char *)buf_view(&b).p, "aliases", 1001, 2, "more than 1000");
	buf_clear(&b);
	for (int i = 0; i <= RECIPIENTS_PATTERN_MAX; i++)
		buf_addf(&b, "p%d*\n", i);
	buf_add_byte(&b, 0);
	refused((const char *)buf_view(&b).p, NULL, "table", 1001, 1, "more than 1000 patterns");
	buf_fini(&b);
}

/* The classic way to make a pattern matcher take for ever. */
static void test_patterns_end(void **state)
{
	struct recipients *r = parse("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\n", NULL);
	char local[256];

	(void)state;
	memset(local, 'a', sizeof(local));
	for (int i = 0; i < 1000; i++)
		assert_null(recipients_match(r, span_of(local, sizeof(local))));
	local[255] = 'b';
	assert_non_null(recipients_match(r, span_of(local, sizeof(local))));
	recipients_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_actions),
	    cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_nothing_is_a_table),
	    cmocka_unit_test(test_mistakes_in_the_table),
	    cmocka_unit_test(test_mistakes_in_aliases),
	    cmocka_unit_test(test_loops),
	    cmocka_unit_test(test_ceilings),
	    cmocka_unit_test(test_patterns_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
