/* Where does a recipient go, which group and site is it, and what does a rejection say? */
#include "unit/config/helper.h"

#include "flow/route.h"

static const char text[] = "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 10.1.0.0/16\n"
			   "domain our.test { deliver maildir /var/mail/%u }\n"
			   "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
			   "domain tcp.test { deliver lmtp 127.0.0.1:24 }\n"
			   "domain no.test { deliver reject \"550 5.1.1 nobody\" }\n"
			   "route to domain a.test via relay next.test:2525\n"
			   "route to domain *.a.test via relay 10.0.0.1:25\n"
			   "route to domain b.test via relay [2001:db8::1]:25\n"
			   "route to domain closed.test via reject \"554 5.7.1 closed\"\n"
			   "shape slow { domain a.test; connections 1 }\n"
			   "shape wide { domain *.a.test lmtp.test }\n"
			   "faults fail.test\n";

/* There are warnings, and they are right. */
static struct config *parse_warned(const char *config)
{
	struct config_diags d;
	struct config *c;

	config_diags_init(&d);
	c = parse_text(config, &d);
	assert_non_null(c);
	config_diags_fini(&d);
	return c;
}

struct row {
	const char *addr;
	enum target_kind kind;
	const char *site, *shape;
	unsigned line;
};

static const struct row rows[] = {
    {"x@our.test", TARGET_MAILDIR, "maildir /var/mail/%u", "*", 4},
    {"x@lmtp.test", TARGET_LMTP, "lmtp unix:/run/lmtp", "wide", 5},
    {"x@tcp.test", TARGET_LMTP, "lmtp 127.0.0.1:24", "*", 6},
    {"x@no.test", TARGET_REJECT, "reject 550 5.1.1 nobody", "*", 7},
    {"x@a.test", TARGET_RELAY, "relay next.test:2525", "slow", 8},
    {"x@s.a.test", TARGET_RELAY, "relay 10.0.0.1:25", "wide", 9},
    {"x@b.test", TARGET_RELAY, "relay [2001:db8::1]:25", "*", 10},
    {"x@closed.test", TARGET_REJECT, "reject 554 5.7.1 closed", "*", 11},
    {"x@else.test", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"\"a@our.test\"@else.test", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"\"x@else.test\"@our.test", TARGET_MAILDIR, "maildir /var/mail/%u", "*", 4},
    {"postmaster", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"@", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"x@", TARGET_REJECT, "reject 550 5.4.4 No route to this domain", "*", 0},
    {"@our.test", TARGET_MAILDIR, "maildir /var/mail/%u", "*", 4},
    {"bounce@fail.test", TARGET_REJECT, "reject 550 5.1.1 Fault address: bounced later, as asked",
	"*", 0},
    {"defer@fail.test", TARGET_REJECT, "reject 451 4.3.0 Fault address: deferred, as asked", "*",
	0},
};

static void test_rows(void **state)
{
	struct config *c = parse_warned(text);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct routed where;

		route_of(c, &(struct route_ask){.addr = span_str(row->addr)}, &where);
		if (where.target.kind != row->kind || strcmp(where.site, row->site) != 0 ||
		    strcmp(where.shape->name, row->shape) != 0 || where.place.line != row->line)
			fail_msg("%s: %s, group %s, line %u", row->addr, where.site,
			    where.shape->name, where.place.line);
	}
	config_free(&c);
}

/* An address of any length, with any octets. */
static void test_long(void **state)
{
	struct config *c = parse_warned(text);
	static char addr[70000];
	struct routed where;

	(void)state;
	memset(addr, '@', sizeof(addr));
	route_of(c, &(struct route_ask){.addr = span_of(addr, sizeof(addr))}, &where);
	assert_int_equal(where.target.kind, TARGET_REJECT);
	memset(addr + 1, 'x', sizeof(addr) - 1);
	route_of(c, &(struct route_ask){.addr = span_of(addr, sizeof(addr))}, &where);
	assert_int_equal(where.target.kind, TARGET_REJECT);
	config_free(&c);
}

/* ---- more than the domain ------------------------------------------------------------------- */

static const char rich[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 10.1.0.0/16\n"
    "vmta news { address 192.0.2.11 }\n"
    "route to address Boss@a.test via relay 10.0.0.1\n"
    "route from account acme to domain *.a.test via relay 10.0.0.2\n"
    "route from domain n.test larger-than 1M via vmta news\n"
    "route from address Late@late.test larger-than 1M via reject \"552 5.3.4 too large\"\n"
    "route from domain late.test via relay 10.0.0.3\n"
    "route from account shut via reject \"550 5.7.1 no more\"\n"
    "route from account nobody to address x@y.test larger-than 1K via mx\n";

static const struct {
	const char *addr, *from, *account;
	uint64_t size;
	const char *site;
	enum route_fate fate; /* by what is known before the size is */
} conditions[] = {
    {"boss@a.test", "", "", 0, "relay 10.0.0.1:25", ROUTE_TAKES},
    {"BOSS@a.test", "x@y.test", "acme", 0, "relay 10.0.0.1:25", ROUTE_TAKES},
    {"bos@a.test", "", "", 0, "reject 550 5.4.4 No route to this domain", ROUTE_MISSING},
    {"x@b.a.test", "", "acme", 0, "relay 10.0.0.2:25", ROUTE_TAKES},
    {"x@b.a.test", "", "ACME", 0, "relay 10.0.0.2:25", ROUTE_TAKES},
    {"x@b.a.test", "", "acme2", 0, "reject 550 5.4.4 No route to this domain", ROUTE_MISSING},
    {"x@b.test", "y@n.test", "", 1048577, "mx b.test from news", ROUTE_TAKES},
    {"x@b.test", "y@n.test", "", 1048576, "reject 550 5.4.4 No route to this domain", ROUTE_TAKES},
    {"x@b.test", "y@m.n.test", "", 1048577, "reject 550 5.4.4 No route to this domain",
	ROUTE_MISSING},
    {"x@b.test", "late@late.test", "", 1048577, "reject 552 5.3.4 too large", ROUTE_TAKES},
    {"x@b.test", "late@late.test", "", 9, "relay 10.0.0.3:25", ROUTE_TAKES},
    {"x@b.test", "", "shut", 9, "reject 550 5.7.1 no more", ROUTE_REJECTS},
    /* What a client writes is compared, never taken for a pattern. */
    {"x@.a.test", "", "acme", 0, "reject 550 5.4.4 No route to this domain", ROUTE_MISSING},
    {"x@b.test", "y@.n.test", "", 2000000, "reject 550 5.4.4 No route to this domain",
	ROUTE_MISSING},
};

static void test_conditions(void **state)
{
	struct config *c = parse_warned(rich);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(conditions); i++) {
		struct route_ask ask = {span_str(conditions[i].addr), span_str(conditions[i].from),
		    span_str(conditions[i].account), conditions[i].size};
		const struct route *r;
		struct routed where;

		route_of(c, &ask, &where);
		ask.size = 0;
		if (strcmp(where.site, conditions[i].site) != 0 ||
		    route_fate(c, &ask, &r) != conditions[i].fate)
			fail_msg(
			    "%s from %s: %s", conditions[i].addr, conditions[i].from, where.site);
	}
	config_free(&c);
}

/* Two targets whose names are the same for longer than there is room are told apart. */
static void test_long_names(void **state)
{
	struct routed one, two;
	struct config *c;
	struct buf lines;

	(void)state;
	buf_init(&lines, 1 << 16);
	buf_add_str(&lines, "hostname mx.test\nlisten mx 127.0.0.1:25\n"
			    "domain our.test { deliver maildir /m }\n");
	for (int i = 0; i < 2; i++) {
		buf_addf(&lines, "route to domain r%d.test via relay", i);
		for (int k = 0; k < 15; k++)
			buf_addf(&lines, " host%d.with-a-rather-long-name.relay.test:2525", k);
		buf_addf(&lines, " last%d.test\n", i);
	}
	buf_add_byte(&lines, 0);
	c = parse_good((const char *)buf_view(&lines).p);
	route_of(c, &(struct route_ask){.addr = SPAN("x@r0.test")}, &one);
	route_of(c, &(struct route_ask){.addr = SPAN("x@r1.test")}, &two);
	assert_int_equal(strlen(one.site), SITE_KEY_MAX - 1);
	assert_string_not_equal(one.site, two.site);
	assert_int_equal(strlen(two.site), SITE_KEY_MAX - 1);
	assert_memory_equal(one.site, two.site, SITE_KEY_MAX - 18);
	route_of(c, &(struct route_ask){.addr = SPAN("y@r0.test")}, &two);
	assert_string_equal(one.site, two.site);
	config_free(&c);
	buf_fini(&lines);
}

static void reply(
    const char *text_, unsigned code, unsigned a, unsigned b, unsigned c, const char *words)
{
	struct reply r = route_reply(text_);

	if (r.code != code || r.esc[0] != a || r.esc[1] != b || r.esc[2] != c ||
	    !span_eq(r.text, span_str(words)))
		fail_msg("%s: %u %u.%u.%u %.*s", text_, r.code, r.esc[0], r.esc[1], r.esc[2],
		    SPAN_ARG(r.text));
}

static void test_reply(void **state)
{
	(void)state;
	reply("550 5.1.1 nobody here", 550, 5, 1, 1, "nobody here");
	reply("451 4.3.0 later", 451, 4, 3, 0, "later");
	reply("554 no enhanced code", 554, 5, 0, 0, "no enhanced code");
	reply("450 4.2 apples", 450, 4, 0, 0, "4.2 apples");
	reply("550 5.7.999 x", 550, 5, 7, 231, "x"); /* cut to an octet, never out of bounds */
	reply("250 2.0.0 yes", 550, 2, 0, 0, "yes"); /* never a success */
	reply("", 550, 5, 0, 0, "");
	reply("words alone", 550, 5, 0, 0, "words alone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_long),
	    cmocka_unit_test(test_conditions),
	    cmocka_unit_test(test_long_names),
	    cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
