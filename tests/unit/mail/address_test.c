#include "mail/address.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <cmocka.h>

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10
#define LABEL63 X60 "xxx"
#define DOMAIN191 LABEL63 "." LABEL63 "." LABEL63

enum { MAIL = 1, RCPT = 2, BOTH = 3 };

/* Good paths: for whom, what is written, its kind, and the canonical form. */
struct good {
	unsigned who;
	const char *path;
	enum address_kind kind;
	const char *canonical;
};

static const struct good goods[] = {
    {MAIL, "<>", ADDRESS_NULL, ""},
    {RCPT, "<postmaster>", ADDRESS_BARE, "postmaster"},
    {RCPT, "<PostMaster>", ADDRESS_BARE, "postmaster"},
    {BOTH, "<a@b>", ADDRESS_DOMAIN, "a@b"},
    {BOTH, "<Postmaster@Example.COM>", ADDRESS_DOMAIN, "Postmaster@example.com"},
    {BOTH, "<postmasters@b>", ADDRESS_DOMAIN, "postmasters@b"},
    {BOTH, "<first.last@sub.example.com>", ADDRESS_DOMAIN, "first.last@sub.example.com"},
    {BOTH, "<Case.Kept@EXAMPLE.com>", ADDRESS_DOMAIN, "Case.Kept@example.com"},
    {BOTH, "<!#$%&'*+-/=?^_`{|}~@b.c>", ADDRESS_DOMAIN, "!#$%&'*+-/=?^_`{|}~@b.c"},
    {BOTH, "<a+tag@b.c>", ADDRESS_DOMAIN, "a+tag@b.c"},
    {BOTH, "<-a@b.c>", ADDRESS_DOMAIN, "-a@b.c"},
    {BOTH, "<a@1.b>", ADDRESS_DOMAIN, "a@1.b"},
    {BOTH, "<a@xn--bcher-kva.example>", ADDRESS_DOMAIN, "a@xn--bcher-kva.example"},
    {BOTH, "<a@b-c.d>", ADDRESS_DOMAIN, "a@b-c.d"},
    /* the percent hack and bang paths are a local part like any other */
    {BOTH, "<user%other.example@us.example>", ADDRESS_DOMAIN, "user%other.example@us.example"},
    {BOTH, "<other.example!user@us.example>", ADDRESS_DOMAIN, "other.example!user@us.example"},
    {BOTH, "<a!b%c%d@us.example>", ADDRESS_DOMAIN, "a!b%c%d@us.example"},
    /* quoted local parts: the domain is behind the last unquoted @ */
    {BOTH, "<\"a\"@b.c>", ADDRESS_DOMAIN, "a@b.c"},
    {BOTH, "<\"a.b\"@b.c>", ADDRESS_DOMAIN, "a.b@b.c"},
    {BOTH, "<\"a b\"@b.c>", ADDRESS_DOMAIN, "\"a b\"@b.c"},
    {BOTH, "<\"\"@b.c>", ADDRESS_DOMAIN, "\"\"@b.c"},
    {BOTH, "<\"a..b\"@b.c>", ADDRESS_DOMAIN, "\"a..b\"@b.c"},
    {BOTH, "<\".a\"@b.c>", ADDRESS_DOMAIN, "\".a\"@b.c"},
    {BOTH, "<\"user@other.example\"@us.example>", ADDRESS_DOMAIN,
	"\"user@other.example\"@us.example"},
    {BOTH, "<\"a>b\"@b.c>", ADDRESS_DOMAIN, "\"a>b\"@b.c"},
    {BOTH, "<\"<>\"@b.c>", ADDRESS_DOMAIN, "\"<>\"@b.c"},
    {BOTH, "<\"\\a\\b\"@b.c>", ADDRESS_DOMAIN, "ab@b.c"},
    {BOTH, "<\"\\\"\"@b.c>", ADDRESS_DOMAIN, "\"\\\"\"@b.c"},
    {BOTH, "<\"\\\\\"@b.c>", ADDRESS_DOMAIN, "\"\\\\\"@b.c"},
    {BOTH, "<\"\\@\"@b.c>", ADDRESS_DOMAIN, "\"@\"@b.c"},
    {BOTH, "<\"|cmd\"@b.c>", ADDRESS_DOMAIN, "|cmd@b.c"},
    {BOTH, "<\"| rm -rf /\"@b.c>", ADDRESS_DOMAIN, "\"| rm -rf /\"@b.c"},
    {BOTH, "<\"/etc/passwd\"@b.c>", ADDRESS_DOMAIN, "/etc/passwd@b.c"},
    {BOTH, "<${run{x}}@b.c>", ADDRESS_DOMAIN, "${run{x}}@b.c"},
    {BOTH, "<`x`@b.c>", ADDRESS_DOMAIN, "`x`@b.c"},
    {BOTH, "<-OQueueDirectory=/tmp@b.c>", ADDRESS_DOMAIN, "-OQueueDirectory=/tmp@b.c"},
    /* literals */
    {BOTH, "<a@[192.0.2.1]>", ADDRESS_LITERAL, "a@[192.0.2.1]"},
    {BOTH, "<a@[0.0.0.0]>", ADDRESS_LITERAL, "a@[0.0.0.0]"},
    {BOTH, "<a@[255.255.255.255]>", ADDRESS_LITERAL, "a@[255.255.255.255]"},
    {BOTH, "<a@[IPv6:::]>", ADDRESS_LITERAL, "a@[IPv6:::]"},
    {BOTH, "<a@[ipv6:2001:DB8::1]>", ADDRESS_LITERAL, "a@[IPv6:2001:db8::1]"},
    {BOTH, "<a@[IPv6:1:2:3:4:5:6:7:8]>", ADDRESS_LITERAL, "a@[IPv6:1:2:3:4:5:6:7:8]"},
    {BOTH, "<a@[IPv6:::ffff:192.0.2.1]>", ADDRESS_LITERAL, "a@[IPv6:::ffff:192.0.2.1]"},
    {BOTH, "<a@[IPv6:1:2:3:4:5:6:1.2.3.4]>", ADDRESS_LITERAL, "a@[IPv6:1:2:3:4:5:6:1.2.3.4]"},
    {BOTH, "<a@[IPv6:1:2:3:4:5:6:7::]>", ADDRESS_LITERAL, "a@[IPv6:1:2:3:4:5:6:7::]"},
    {BOTH, "<\"a b\"@[192.0.2.1]>", ADDRESS_LITERAL, "\"a b\"@[192.0.2.1]"},
    /* source routes are read and forgotten */
    {BOTH, "<@a:b@c>", ADDRESS_DOMAIN, "b@c"},
    {BOTH, "<@a,@b.example:c@D.example>", ADDRESS_DOMAIN, "c@d.example"},
    {BOTH, "<@a:\"x@y\"@[192.0.2.1]>", ADDRESS_LITERAL, "\"x@y\"@[192.0.2.1]"},
    {BOTH, "<@us.example:victim@other.example>", ADDRESS_DOMAIN, "victim@other.example"},
    /* limits */
    {BOTH, "<" X60 "xxxx@b.c>", ADDRESS_DOMAIN, X60 "xxxx@b.c"},
    {BOTH, "<a@" LABEL63 ">", ADDRESS_DOMAIN, "a@" LABEL63},
    {BOTH, "<a@" DOMAIN191 "." X60 ">", ADDRESS_DOMAIN, "a@" DOMAIN191 "." X60},
};

struct bad {
	unsigned who;
	struct span path;
	const char *why; /* a piece of the clause */
};

#define BAD(who, lit, why) \
	{ \
		who, SPAN(lit), why \
	}

static const struct bad bads[] = {
    BAD(BOTH, "", "must stand in <>"),
    BAD(BOTH, "a@b", "must stand in <>"),
    BAD(BOTH, " <a@b>", "must stand in <>"),
    BAD(BOTH, "\"x\" <a@b>", "must stand in <>"),
    BAD(RCPT, "<>", "null address"),
    BAD(MAIL, "<postmaster>", "domain is missing"),
    BAD(BOTH, "<postmaster", "missing"),
    BAD(RCPT, "<postmaster ", "bad character"),
    BAD(RCPT, "<\"postmaster\">", "domain is missing"),
    BAD(RCPT, "<@a:postmaster>", "domain is missing"),
    BAD(BOTH, "<", "local part"),
    BAD(BOTH, "<a", "domain is missing"),
    BAD(BOTH, "<a>", "domain is missing"),
    BAD(BOTH, "<a@>", "domain is missing"),
    BAD(BOTH, "<a@", "domain is missing"),
    BAD(BOTH, "<@>", "domain is missing"),
    BAD(BOTH, "<@b.c>", "source route"),
    BAD(BOTH, "<a@b", "> is missing"),
    BAD(BOTH, "<a@b c>", "> is missing"),
    BAD(BOTH, "<a@b@c>", "two @"),
    BAD(BOTH, "<a@@b>", "domain is missing"),
    BAD(BOTH, "<user@us.example@other.example>", "two @"),
    BAD(BOTH, "<a@b.c.>", "ends in a dot"),
    BAD(BOTH, "<a@.>", "ends in a dot"),
    BAD(BOTH, "<a@.b>", "not correct"),
    BAD(BOTH, "<a@b..c>", "not correct"),
    BAD(BOTH, "<a@-b>", "not correct"),
    BAD(BOTH, "<a@b->", "not correct"),
    BAD(BOTH, "<a@b.-c.d>", "not correct"),
    BAD(BOTH, "<a@b_c>", "> is missing"),
    BAD(BOTH, "<a@b,c@d>", "> is missing"),
    BAD(BOTH, "<a,b@c>", "bad character"),
    BAD(BOTH, "<a;b@c>", "bad character"),
    BAD(BOTH, "<a:b@c>", "bad character"),
    BAD(BOTH, "<a(b)@c>", "bad character"),
    BAD(BOTH, "<a\\b@c>", "bad character"),
    BAD(BOTH, "<a\"b\"@c>", "bad character"),
    BAD(BOTH, "<\"a\"b@c>", "bad character"),
    BAD(BOTH, "<\"a\".b@c>", "bad character"),
    BAD(BOTH, "<a b@c>", "bad character"),
    BAD(BOTH, "< a@b>", "bad character"),
    BAD(BOTH, "<a @b>", "bad character"),
    BAD(BOTH, "<a@ b>", "domain is missing"),
    BAD(BOTH, "<a@b >", "> is missing"),
    BAD(BOTH, "<<a@b>>", "bad character"),
    BAD(BOTH, "<.a@b>", "dot"),
    BAD(BOTH, "<a.@b>", "dot"),
    BAD(BOTH, "<a..b@c>", "dot"),
    BAD(BOTH, "<../../x@b.c>", "dot"),
    BAD(BOTH, "<.@b>", "dot"),
    BAD(BOTH, "<;touch x;>", "bad character"),
    BAD(BOTH, "<\"|cmd\">", "domain is missing"),
    BAD(BOTH, "<|cmd>", "domain is missing"),
    BAD(BOTH, "<\"a@b>", "unfinished quoted"),
    BAD(BOTH, "<\"a\\\"@b>", "unfinished quoted"),
    BAD(BOTH, "<\"a\\", "unfinished quoted"),
    BAD(BOTH, "<\"", "unfinished quoted"),
    BAD(BOTH, "<\"a\tb\"@c>", "control"),
    BAD(BOTH, "<\"a\\\rb\"@c>", "control"),
    BAD(BOTH, "<\"a\nb\"@c>", "control"),
    BAD(BOTH, "<a\0@b>", "control"),
    BAD(BOTH, "<a@b\0>", "control"),
    BAD(BOTH, "<a@b\0.us.example>", "control"),
    BAD(BOTH, "<\"\0\"@b>", "control"),
    BAD(BOTH, "<a\x7f@b>", "control"),
    BAD(BOTH, "<a\r\nRSET\r\n@b>", "control"),
    BAD(BOTH, "<a@b\r\n>", "control"),
    BAD(BOTH, "<\xc3\xa4@b>", "8-bit"),
    BAD(BOTH, "<a@b\xc3\xa4.c>", "8-bit"),
    BAD(BOTH, "<\"\xff\"@b>", "8-bit"),
    BAD(BOTH, "<a\xe3\x80\x82@b>", "8-bit"),
    BAD(BOTH, "<a@[192.0.2.1>", "unfinished address literal"),
    BAD(BOTH, "<a@[192.0.2.256]>", "literal"),
    BAD(BOTH, "<a@[192.0.2]>", "literal"),
    BAD(BOTH, "<a@[192.0.2.1.1]>", "literal"),
    BAD(BOTH, "<a@[192.0.2.01]>", "literal"),
    BAD(BOTH, "<a@[0x7f.0.0.1]>", "literal"),
    BAD(BOTH, "<a@[2130706433]>", "literal"),
    BAD(BOTH, "<a@[127.1]>", "literal"),
    BAD(BOTH, "<a@[ 192.0.2.1]>", "literal"),
    BAD(BOTH, "<a@[192.0.2.1 ]>", "literal"),
    BAD(BOTH, "<a@[]>", "literal"),
    BAD(BOTH, "<a@[::1]>", "literal"),
    BAD(BOTH, "<a@[IPv6:]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1]>", "literal"),
    BAD(BOTH, "<a@[IPv6::1]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1::2::3]>", "literal"),
    BAD(BOTH, "<a@[IPv6::::]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1:2:3:4:5:6:7]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1:2:3:4:5:6:7:8:9]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1:2:3:4:5:6:7:8::]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1:2:3:4:5:6:7:1.2.3.4]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1.2.3.4::]>", "literal"),
    BAD(BOTH, "<a@[IPv6:12345::]>", "literal"),
    BAD(BOTH, "<a@[IPv6:g::]>", "literal"),
    BAD(BOTH, "<a@[IPv6:fe80::1%eth0]>", "literal"),
    BAD(BOTH, "<a@[IPv6:1:2:3:4:5:6:7:]>", "literal"),
    BAD(BOTH, "<a@[x400:foo]>", "literal"),
    BAD(BOTH, "<a@[192.0.2.1].example>", "> is missing"),
    BAD(BOTH, "<a@b[192.0.2.1]>", "> is missing"),
    BAD(BOTH, "<@a:>", "local part"),
    BAD(BOTH, "<@a,b:c@d>", "source route"),
    BAD(BOTH, "<@a,:c@d>", "source route"),
    BAD(BOTH, "<@a;c@d>", "source route"),
    BAD(BOTH, "<@a.:c@d>", "ends in a dot"),
    BAD(BOTH, "<@[192.0.2.1]:c@d>", "domain is missing"),
    BAD(BOTH, "<@a:@b:c@d>", "local part is missing"),
    BAD(BOTH, "<" X60 "xxxxx@b.c>", "longer than 64"),
    BAD(BOTH, "<\"" X60 "xxx\"@b.c>", "longer than 64"),
    BAD(BOTH, "<a@" LABEL63 "x>", "not correct"),
    BAD(BOTH, "<ab@" DOMAIN191 "." X60 ">", "longer than 256"),
    BAD(BOTH, "<@a:a@" DOMAIN191 "." X60 ">", "longer than 256"),
    BAD(BOTH, "<\"\x7f\"@b>", "control"),
    BAD(BOTH, "<a@" DOMAIN191 "." LABEL63 ".x>", "not correct"),
};
#undef BAD

static int parse(struct span path, bool reverse, struct address *a, const char **why)
{
	struct span in = path;
	int err = address_parse_path(&in, reverse, NULL, a, why);

	if (err != 0)
		assert_ptr_equal(in.p, path.p);
	return err;
}

static void assert_canonical(const struct address *a, const char *want)
{
	struct buf b;

	buf_init(&b, 1024);
	address_canonical(a, &b);
	if (!span_eq(buf_view(&b), span_str(want)))
		fail_msg("canonical is %.*s, not %s", SPAN_ARG(buf_view(&b)), want);
	buf_fini(&b);
}

static void check_good(const struct good *g, bool reverse)
{
	struct span in = span_str(g->path);
	struct address a, again;
	const char *why;

	if (address_parse_path(&in, reverse, NULL, &a, &why) != 0)
		fail_msg("%s: %s", g->path, why);
	assert_int_equal(in.n, 0);
	assert_int_equal(a.kind, g->kind);
	assert_canonical(&a, g->canonical);
	if (a.kind == ADDRESS_NULL)
		return;
	/* The canonical form is an address and its own canonical form. */
	assert_int_equal(address_parse(span_str(g->canonical), &again), 0);
	assert_int_equal(again.kind, a.kind);
	assert_canonical(&again, g->canonical);
}

static void test_good_paths(void **state)
{
	struct address a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(goods); i++) {
		for (unsigned who = MAIL; who <= RCPT; who++) {
			if (goods[i].who & who)
				check_good(&goods[i], who == MAIL);
			else
				assert_int_equal(
				    parse(span_str(goods[i].path), who == MAIL, &a, &why),
				    GW_EFORMAT);
		}
	}
}

static void test_bad_paths(void **state)
{
	struct address a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bads); i++) {
		for (unsigned who = MAIL; who <= RCPT; who++) {
			if (!(bads[i].who & who))
				continue;
			if (parse(bads[i].path, who == MAIL, &a, &why) != GW_EFORMAT)
				fail_msg("taken: %.*s", SPAN_ARG(bads[i].path));
			if (strstr(why, bads[i].why) == NULL)
				fail_msg("%.*s: %s", SPAN_ARG(bads[i].path), why);
			assert_true(strlen(why) < 60);
		}
	}
}

static void test_bad_without_brackets(void **state)
{
	static const char *const bad[] = {"", "a", "a@", "@b", "<a@b>", "a@b>", "a@b ", " a@b",
	    "a@b@c", "a@b.", "@a:b@c", "a@b\n", "postmaster@", "postmasterx", "a b@c",
	    "ab@" DOMAIN191 "." X60};
	struct address a;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(address_parse(span_str(bad[i]), &a), GW_EFORMAT);
	assert_int_equal(address_parse(SPAN("a@b\0"), &a), GW_EFORMAT);
	assert_int_equal(address_parse(SPAN("POSTMASTER"), &a), 0);
	assert_int_equal(a.kind, ADDRESS_BARE);
}

/* Relay decisions compare the domain: it must be what stands behind the last unquoted @. */
static void test_domain_of_tricks(void **state)
{
	static const struct {
		const char *path, *local, *domain;
	} rows[] = {
	    {"<\"victim@other.example\"@us.example>", "\"victim@other.example\"", "us.example"},
	    {"<\"x@us.example>\\\"\"@other.example>", "\"x@us.example>\\\"\"", "other.example"},
	    {"<@us.example:x@other.example>", "x", "other.example"},
	    {"<x%us.example@other.example>", "x%us.example", "other.example"},
	    {"<us.example!x@other.example>", "us.example!x", "other.example"},
	    {"<x@us.example.other.example>", "x", "us.example.other.example"},
	};
	struct address a;
	const char *why;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		assert_int_equal(parse(span_str(rows[i].path), false, &a, &why), 0);
		assert_true(span_eq(a.domain, span_str(rows[i].domain)));
		assert_true(span_eq(a.local, span_str(rows[i].local)));
	}
}

static void test_stops_behind_the_bracket(void **state)
{
	struct span in = SPAN("<a@b> SIZE=1\r\n");
	struct address a;
	const char *why;

	(void)state;
	assert_int_equal(address_parse_path(&in, true, NULL, &a, &why), 0);
	assert_true(span_eq(in, SPAN(" SIZE=1\r\n")));
}

static void test_plain_local_part(void **state)
{
	static const struct {
		const char *address, *plain;
	} rows[] = {{"a.b@c", "a.b"}, {"\"a b\"@c", "a b"}, {"\"a\\\"\\\\b\"@c", "a\"\\b"},
	    {"\"\"@c", ""}, {"postmaster", "postmaster"}};
	struct address a;
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		assert_int_equal(address_parse(span_str(rows[i].address), &a), 0);
		buf_clear(&b);
		address_local_plain(&a, &b);
		assert_true(span_eq(buf_view(&b), span_str(rows[i].plain)));
	}
	buf_fini(&b);
}

static void test_domains(void **state)
{
	char longest[] = DOMAIN191 "." LABEL63 "x";

	(void)state;
	assert_true(domain_valid(SPAN("a")));
	assert_true(domain_valid(SPAN("a.b-c.d1")));
	assert_true(domain_valid(span_of(longest, 255)));
	assert_false(domain_valid(span_of(longest, 256)));
	assert_false(domain_valid(SPAN("")));
	assert_false(domain_valid(SPAN(".")));
	assert_false(domain_valid(SPAN("a.")));
	assert_false(domain_valid(SPAN("a b")));
	assert_false(domain_valid(SPAN("a\0")));
	assert_false(domain_valid(SPAN("a_b")));
	assert_false(domain_valid(SPAN("[192.0.2.1]")));
	assert_false(address_literal_valid(SPAN("")));
	assert_false(address_literal_valid(SPAN("[")));
	assert_false(address_literal_valid(SPAN("]")));
	assert_false(address_literal_valid(SPAN("192.0.2.1")));
}

static void test_a_full_buffer_is_marked(void **state)
{
	struct address a;
	struct buf b;

	(void)state;
	assert_int_equal(address_parse(SPAN("\"a b\"@example.com"), &a), 0);
	for (size_t max = 0; max < SPAN("\"a b\"@example.com").n; max++) {
		buf_init(&b, max);
		address_canonical(&a, &b);
		assert_true(buf_failed(&b));
		buf_fini(&b);
	}
}

/* ---- beyond ASCII, RFC 6531 ---------------------------------------------------------------- */

static void assert_utf8(const char *path, const char *want)
{
	struct span in = span_str(path);
	struct address a;
	const char *why = NULL;
	struct buf room;
	int err;

	buf_init(&room, 256);
	err = address_parse_path(&in, false, &room, &a, &why);
	if ((err == 0) != (want != NULL))
		fail_msg("%s: %s", path, why);
	if (want != NULL)
		assert_canonical(&a, want);
	buf_fini(&room);
	/* Who was not promised UTF-8 takes none of it. */
	in = span_str(path);
	assert_int_equal(address_parse_path(&in, false, NULL, &a, &why), GW_EFORMAT);
}

static void test_utf8(void **state)
{
	(void)state;
	assert_utf8("<b\u00f6b@example.org>", "b\u00f6b@example.org");
	assert_utf8("<\u7528\u6237.x@Example.ORG>", "\u7528\u6237.x@example.org");
	assert_utf8("<\"b\u00f6b\"@example.org>", "b\u00f6b@example.org");
	assert_utf8("<\"b\u00f6 b\"@example.org>", "\"b\u00f6 b\"@example.org");
	assert_utf8("<\u03b4\u03bf@\u03c0\u03b1.example>", "\u03b4\u03bf@xn--mxa3a.example");
	assert_utf8("<bob@B\u00fccher.Example>", "bob@xn--bcher-kva.example");
	/* As it came: another form of the same letter is another mailbox, if its server says so. */
	assert_utf8("<bo\u0308@bu\u0308cher.example>", "bo\u0308@xn--bcher-kva.example");
	assert_utf8("<a@\u0628\u0647.example>", "a@xn--ngb6d.example");
	assert_utf8("<\U0001f600@example.org>", "\U0001f600@example.org");
}

static void test_utf8_refused(void **state)
{
	(void)state;
	assert_utf8("<b\xc0\xafz@example.org>", NULL);    /* too long a form */
	assert_utf8("<b\xed\xa0\x80@example.org>", NULL); /* a surrogate */
	assert_utf8("<b\xf6"
		    "b@example.org>",
	    NULL);                                   /* Latin-1 */
	assert_utf8("<b\xc3@example.org>", NULL);    /* cut */
	assert_utf8("<b\u202ex@example.org>", NULL); /* turns what follows */
	assert_utf8("<b\u2066x@example.org>", NULL);
	assert_utf8("<b\u200bx@example.org>", NULL);   /* is not seen */
	assert_utf8("<b\xc2\x85x@example.org>", NULL); /* a control */
	assert_utf8("<b\u2028x@example.org>", NULL);   /* a line ends */
	assert_utf8("<b\u00a0x@example.org>", NULL);   /* blanks */
	assert_utf8("<\"b\u3000x\"@example.org>", NULL);
	assert_utf8("<\"b\\\u00f6\"@example.org>", NULL); /* nothing to be quoted */
	assert_utf8("<b\ufffex@example.org>", NULL);
	assert_utf8("<bob@b\u202eucher.example>", NULL);
	assert_utf8("<bob@B\u00dcCHER.example>", NULL);   /* no U-label */
	assert_utf8("<bob@\uff42.example>", NULL);        /* full width */
	assert_utf8("<bob@evil\u3002example>", NULL);     /* another dot */
	assert_utf8("<bob@evil\u2100example.org>", NULL); /* a/c to some */
	assert_utf8("<bob@\u2615.example>", NULL);        /* a symbol */
	assert_utf8("<bob@-\u00fc.example>", NULL);
	assert_utf8("<bob@\u00fc-.example>", NULL);
	assert_utf8("<bob@\u00fc_x.example>", NULL);
	assert_utf8("<bob@ab--\u00fc.example>", NULL);
	assert_utf8("<bob@\u00fc..example>", NULL);
	assert_utf8("<bob@\u00fc.example.>", NULL);
	assert_utf8("<bob@\u05d0a.example>", NULL); /* two directions in a label */
	assert_utf8("<@\u00fc.example:bob@example.org>", NULL);
	assert_utf8("<bob@[\u00fc]>", NULL);
	assert_utf8("<b\u00f6b@>", NULL);
}

/* Octets are counted, and those of the A-labels too: what is taken can be read again. */
static void test_utf8_length(void **state)
{
	char path[400], local[80] = "";
	struct address a;

	(void)state;
	for (size_t i = 0; i < 32; i++)
		strcat(local, "\u00f6");
	snprintf(path, sizeof(path), "<%s@example.org>", local);
	assert_utf8(path, local[0] ? strcat(strcpy(path + 200, local), "@example.org") : NULL);
	snprintf(path, sizeof(path), "<%s\u00f6@example.org>", local);
	assert_utf8(path, NULL);
	snprintf(path, sizeof(path), "<%s@", local);
	for (size_t i = 0; i < 14; i++)
		strcat(path, "\u7528\u6237xx.");
	strcat(path, "de>");
	assert_utf8(path, NULL);
	assert_int_equal(address_parse(SPAN("bob@b\u00fccher.example"), &a), GW_EFORMAT);
	assert_int_equal(address_parse(SPAN("b\u00f6b@example.org"), &a), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good_paths),
	    cmocka_unit_test(test_bad_paths),
	    cmocka_unit_test(test_bad_without_brackets),
	    cmocka_unit_test(test_domain_of_tricks),
	    cmocka_unit_test(test_stops_behind_the_bracket),
	    cmocka_unit_test(test_plain_local_part),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_utf8_refused),
	    cmocka_unit_test(test_utf8_length),
	    cmocka_unit_test(test_domains),
	    cmocka_unit_test(test_a_full_buffer_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
