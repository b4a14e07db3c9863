#include "mail/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* What a walk gives as one text: "[local|domain] [local|] !", "!" for not a list of addresses. */
static void walk(struct span value, struct buf *out)
{
	struct mailbox_walk w = mailbox_walk_of(value);
	struct mailbox m;
	int got;

	while ((got = mailbox_next(&w, &m)) > 0) {
		assert_ptr_equal(m.addr.p, m.local.p);
		if (m.domain.n > 0)
			assert_ptr_equal(m.addr.p + m.addr.n, m.domain.p + m.domain.n);
		else
			assert_int_equal(m.addr.n, m.local.n);
		buf_addf(out, "%s[%.*s|%.*s]", buf_len(out) > 0 ? " " : "", SPAN_ARG(m.local),
		    SPAN_ARG(m.domain));
	}
	if (got < 0)
		buf_add_str(out, buf_len(out) > 0 ? " !" : "!");
	assert_int_equal(mailbox_next(&w, &m), 0);
}

static void expect(struct span value, const char *want)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	walk(value, &out);
	if (!span_eq(buf_view(&out), span_str(want)))
		fail_msg("%.*s: %.*s, not %s", SPAN_ARG(value), SPAN_ARG(buf_view(&out)), want);
	buf_fini(&out);
}

struct row {
	struct span value;
	const char *want;
};

static void expect_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect(rows[i].value, rows[i].want);
}
#define EXPECT_ALL(rows) expect_all(rows, GW_ARRAY_LEN(rows))

static void test_single_mailboxes(void **state)
{
	static const struct row rows[] = {
	    {SPAN(" a@b.example"), "[a|b.example]"},
	    {SPAN(" <a@b>"), "[a|b]"},
	    {SPAN(" Ann Other <a.o@b>"), "[a.o|b]"},
	    {SPAN(" \"Other, Ann\" <a@b>"), "[a|b]"},
	    {SPAN(" \"Ann \\\"x@y\\\" Other\"\t<a@b>"), "[a|b]"},
	    {SPAN(" a@b (Ann Other)"), "[a|b]"},
	    {SPAN(" (hello) Ann (x@y, z) < (c) a (d) @ (e) b (f) > (g)"), "[a|b]"},
	    {SPAN(" ((a(b)c) \\( \\)) a@b"), "[a|b]"},
	    {SPAN(" \"a b\"@c"), "[\"a b\"|c]"},
	    {SPAN(" a@[192.0.2.1]"), "[a|[192.0.2.1]]"},
	    {SPAN(" a@[IPv6:2001:db8::1]"), "[a|[IPv6:2001:db8::1]]"},
	    {SPAN(" =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?w7w=?= <a@b>"), "[a|b]"},
	    {SPAN(" J\xc3\xbcrgen \"\xff\" <a@b> (\xe4)"), "[a|b]"},
	    {SPAN("\r\n Ann\r\n\tOther\r\n <a@b>\r\n "), "[a|b]"},
	    {SPAN(" <a_+=#$@x_y.example>"), "[a_+=#$|x_y.example]"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

static void test_lists_and_groups(void **state)
{
	static const struct row rows[] = {
	    {SPAN(""), ""},
	    {SPAN(" \r\n "), ""},
	    {SPAN(" (nobody)"), ""},
	    {SPAN(" a@b, c@d,Ann <e@f>"), "[a|b] [c|d] [e|f]"},
	    {SPAN(" a@b,\r\n\tc@d"), "[a|b] [c|d]"},
	    {SPAN(" undisclosed-recipients:;"), ""},
	    {SPAN(" Friends: a@b, Ann <c@d>;"), "[a|b] [c|d]"},
	    {SPAN(" a@b, Friends of me (old): c@d ; (end) , e@f"), "[a|b] [c|d] [e|f]"},
	    {SPAN(" one:;, two: a@b;"), "[a|b]"},
	    {SPAN(" one: a@b; two: c@d;"), "[a|b] [c|d]"},
	    {SPAN(" \"a:b\": c@d;"), "[c|d]"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

static void test_obsolete_forms(void **state)
{
	static const struct row rows[] = {
	    {SPAN(" ,,a@b, (x) ,\r\n ,c@d,"), "[a|b] [c|d]"},
	    {SPAN(" <@x.example,@y.example:a@b>"), "[a|b]"},
	    {SPAN(" <@x , , @y (c) : a@b>"), "[a|b]"},
	    {SPAN(" a . b @ c . d"), "[a . b|c . d]"},
	    {SPAN(" \"a\".b@c"), "[\"a\".b|c]"},
	    {SPAN(" John Q. Public <a@b>"), "[a|b]"},
	    {SPAN(" g: a@b,,;"), "[a|b]"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

static void test_what_is_merely_usual(void **state)
{
	static const struct row rows[] = {
	    {SPAN(" a..b.@c"), "[a..b.|c]"},
	    {SPAN(" .a@c"), "[.a|c]"},
	    {SPAN(" [list] Ann [x] <a@b>"), "[a|b]"},
	    {SPAN(" a@b; c@d;"), "[a|b] [c|d]"},
	    {SPAN(" undisclosed-recipients:"), ""},
	    {SPAN(" A@b <a@B>"), "[a|B]"},
	    {SPAN(" A@b < a@B >, c"), "[a|B] [c|]"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

static void test_bare_local_parts(void **state)
{
	static const struct row rows[] = {
	    {SPAN(" root"), "[root|]"},
	    {SPAN(" root (Cron)"), "[root|]"},
	    {SPAN(" Cron <root>"), "[root|]"},
	    {SPAN(" a.b, \"c d\" , <e>"), "[a.b|] [\"c d\"|] [e|]"},
	    {SPAN(" g: a, b;"), "[a|] [b|]"},
	    {SPAN(" =?utf-8?Q?x?="), "!"},
	    {SPAN(" =?utf-8?Q?Other,_Ann?= <a@b>"), "!"},
	    {SPAN(" j\xc3\xbcrgen"), "!"},
	    {SPAN(" two words"), "!"},
	    {SPAN(" ."), "!"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

/* RFC 6532 section 3.2. */
static void test_beyond_ascii(void **state)
{
	(void)state;
	expect(SPAN(" \xc3\xa4@b"), "[\xc3\xa4|b]");
	expect(SPAN(" J\xc3\xbc <\"\xc3\xa4 x\"@\xc3\xb6.test>, c@d"),
	    "[\"\xc3\xa4 x\"|\xc3\xb6.test] [c|d]");
}

static void test_what_is_no_list(void **state)
{
	static const struct row rows[] = {
	    {SPAN(" x@y <a@b>"), "!"},
	    {SPAN(" x@y (c) <a@b>"), "!"},
	    {SPAN(" Ann x@y <a@b>"), "!"},
	    {SPAN(" =?utf-8?q?x@y?= <a@b>"), "!"},
	    {SPAN(" a@b <>"), "!"},
	    {SPAN(" <>"), "!"},
	    {SPAN(" <a@b"), "!"},
	    {SPAN(" a@b>"), "!"},
	    {SPAN(" <<a@b>>"), "!"},
	    {SPAN(" <a@b> x"), "!"},
	    {SPAN(" <a@b> <c@d>"), "!"},
	    {SPAN(" <a@b><c@d>"), "!"},
	    {SPAN(" a@b c@d"), "!"},
	    {SPAN(" a@b@c"), "!"},
	    {SPAN(" a@"), "!"},
	    {SPAN(" @b"), "!"},
	    {SPAN(" a@.b"), "!"},
	    {SPAN(" a@b."), "!"},
	    {SPAN(" a@b..c"), "!"},
	    {SPAN(" a b@c"), "!"},
	    {SPAN(" a(x)b@c"), "!"},
	    {SPAN(" \"a\"b@c"), "!"},
	    {SPAN(" [a]@b"), "!"},
	    {SPAN(" a@[b"), "!"},
	    {SPAN(" a@[b[c]]"), "!"},
	    {SPAN(" a@[b[c]"), "!"},
	    {SPAN(" a@\"b\""), "!"},
	    {SPAN(" \xe4@b"), "!"},
	    {SPAN(" a@\xe4"), "!"},
	    {SPAN(" a\xe2\x80\xae@b"), "!"},
	    {SPAN(" \"\xc0\xaf\"@b"), "!"},
	    {SPAN(" \"open <a@b>"), "!"},
	    {SPAN(" (open <a@b>"), "!"},
	    {SPAN(" a@b )"), "!"},
	    {SPAN(" : a@b;"), "!"},
	    {SPAN(" a: b: c@d;"), "!"},
	    {SPAN(" <mailto:a@b>"), "!"},
	    {SPAN(" <@x a@b>"), "!"},
	    {SPAN(" <@x:>"), "!"},
	    {SPAN(" a\\@b"), "!"},
	    {SPAN(" a@b, x y"), "[a|b] !"},
	    {SPAN(" a@b\0, c@d"), "!"},
	    {SPAN(" \"a\0\" <a@b>"), "!"},
	    {SPAN(" (\x01) a@b"), "!"},
	    {SPAN(" \"\x7f\" <a@b>"), "!"},
	    {SPAN(" \"x\ny\" <a@b>"), "!"},
	    {SPAN(" \"x\r\ny\" <a@b>"), "!"},
	    {SPAN(" a@b\r\n"), "!"},
	    {SPAN(" a@b\n ,c@d"), "!"},
	    {SPAN(" \"x\\"), "!"},
	    {SPAN(" (x\\"), "!"},
	};

	(void)state;
	EXPECT_ALL(rows);
}

static void repeat(struct buf *b, const char *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_str(b, what);
}

static void test_comments_nest_to_a_limit(void **state)
{
	for (size_t depth = MAILBOX_COMMENT_DEPTH; depth <= MAILBOX_COMMENT_DEPTH + 1; depth++) {
		struct buf b;

		buf_init(&b, 1000);
		repeat(&b, "(", depth);
		repeat(&b, ")", depth);
		buf_add_str(&b, " a@b");
		expect(buf_view(&b), depth <= MAILBOX_COMMENT_DEPTH ? "[a|b]" : "!");
		buf_fini(&b);
	}
	(void)state;
}

/* What one could send to make it slow: each walk has to look at an octet a few times at most. */
static void test_hostile_lengths(void **state)
{
	static const char *const what[] = {"(", "\"", "<", ",", "(x)", "a ", ".", "[", ":", "x:;",
	    "@a,", "a@b <", "\\", "\"\\\"\"", "=?", "\r\n ", "((()))", "<@a,"};
	struct mailbox_walk w;
	struct mailbox m;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(what); i++) {
		struct buf b;
		size_t n = 0;

		buf_init(&b, 4 << 20);
		repeat(&b, what[i], 300000);
		w = mailbox_walk_of(buf_view(&b));
		while (mailbox_next(&w, &m) > 0)
			n++;
		assert_true(n <= 300000);
		buf_fini(&b);
	}
}

static void expect_address(struct span value, const char *want)
{
	struct mailbox_walk w = mailbox_walk_of(value);
	struct buf room, canonical;
	struct mailbox m;
	struct address a;

	buf_init(&room, 512);
	buf_init(&canonical, 512);
	assert_int_equal(mailbox_next(&w, &m), 1);
	if (mailbox_address(&m, &room, &a) == 0)
		address_canonical(&a, &canonical);
	if (!span_eq(buf_view(&canonical), span_str(want)))
		fail_msg("%.*s: %.*s", SPAN_ARG(value), SPAN_ARG(buf_view(&canonical)));
	buf_fini(&room);
	buf_fini(&canonical);
}

static void test_as_an_address_of_the_envelope(void **state)
{
	struct buf b;

	(void)state;
	expect_address(SPAN(" A.b@C.Example"), "A.b@c.example");
	expect_address(SPAN(" (x) a\r\n .b (y\\)) @ c (z) . d"), "a.b@c.d");
	expect_address(SPAN(" \"al\\ice\"@b"), "alice@b");
	expect_address(SPAN(" \"a (b) \\\" c\"@d"), "\"a (b) \\\" c\"@d");
	expect_address(SPAN(" \"a\r\n b\"@d"), "\"a b\"@d");
	expect_address(SPAN(" a@[192.0.2.1]"), "a@[192.0.2.1]");
	expect_address(SPAN(" a@[192.0. 2.1]"), "a@[192.0.2.1]");
	expect_address(SPAN(" postmaster"), "postmaster");
	expect_address(SPAN(" a"), "");
	expect_address(SPAN(" \"a\".b@c"), "");
	expect_address(SPAN(" a..b@c"), "");
	expect_address(SPAN(" a@x_y.example"), "");
	expect_address(SPAN(" a@[x]"), "");
	expect_address(SPAN(" a@[\"]"), "");
	buf_init(&b, 4000);
	repeat(&b, "a", 3000);
	buf_add_str(&b, "@b");
	expect_address(buf_view(&b), "");
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_single_mailboxes),
	    cmocka_unit_test(test_lists_and_groups),
	    cmocka_unit_test(test_obsolete_forms),
	    cmocka_unit_test(test_what_is_merely_usual),
	    cmocka_unit_test(test_bare_local_parts),
	    cmocka_unit_test(test_beyond_ascii),
	    cmocka_unit_test(test_what_is_no_list),
	    cmocka_unit_test(test_comments_nest_to_a_limit),
	    cmocka_unit_test(test_hostile_lengths),
	    cmocka_unit_test(test_as_an_address_of_the_envelope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
