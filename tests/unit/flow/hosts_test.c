/* Which hosts take the mail of a domain: a test for each rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "unit/flow/hosts_fixture.h"

#include <cmocka.h>

static struct arena arena;

/* The list, or the reply, for these parameters. */
static const char *solve_with(struct hosts_params p, const char *zone)
{
	static struct hosts_params kept;
	struct hosts *h;

	kept = p;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&kept, &arena);
	assert_non_null(h);
	hosts_run(h, zone);
	assert_false(hosts_wait(h));
	return hosts_text(h);
}

static const char *solve(const char *domain, const char *zone)
{
	return solve_with((struct hosts_params){.domain = span_str(domain), .port = 25}, zone);
}

#define IS(zone, text) assert_string_equal(solve("d.test", zone), text)

static void mx_by_preference(void **state)
{
	(void)state;
	IS("d.test MX 20 b.test\nd.test MX 10 a.test\nd.test MX 30 c.test\n"
	   "a.test A 1.0.0.1\nb.test A 1.0.0.2\nb.test AAAA 2600::2\n",
	    "a.test[10] 1.0.0.1; b.test[20] 2600::2 1.0.0.2");
}

static void named_twice(void **state)
{
	(void)state;
	IS("d.test MX 20 a.test\nd.test MX 10 A.Test\nd.test MX 15 b.test\na.test A 1.0.0.1\n"
	   "A.Test A 1.0.0.1\nb.test A 1.0.0.2\n",
	    "A.Test[10] 1.0.0.1; b.test[15] 1.0.0.2");
}

static void equals_take_turns(void **state)
{
	const char *zone = "d.test MX 10 a.test\nd.test MX 10 b.test\nd.test MX 5 c.test\n"
			   "a.test A 1.0.0.1\nb.test A 1.0.0.2\nc.test A 1.0.0.3\n";
	unsigned first = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 400; seed++) {
		const char *s = solve_with(
		    (struct hosts_params){.domain = SPAN("d.test"), .port = 25, .seed = seed},
		    zone);

		assert_memory_equal(s, "c.test[5]", 9);
		first += strstr(s, "a.test") < strstr(s, "b.test");
	}
	assert_in_range(first, 150, 250);
}

static void no_mx_means_the_domain(void **state)
{
	(void)state;
	IS("d.test A 1.0.0.1\nd.test AAAA 2600::1\n", "d.test[0] 2600::1 1.0.0.1");
	IS("d.test TXT x\n", "550 5.1.2 d.test has neither a mail host nor an address");
}

static void a_name_that_is_not_there(void **state)
{
	(void)state;
	IS("", "550 5.1.2 There is no domain d.test");
	assert_string_equal(solve("under d.test", ""), "550 5.1.2 There is no domain under d.test");
}

static void null_mx(void **state)
{
	(void)state;
	IS("d.test MX 0 .\nd.test A 1.0.0.1\n", "556 5.1.10 d.test takes no mail (null MX)");
	/* Beside others it is a mistake; they count (RFC 7505 section 3). */
	IS("d.test MX 0 .\nd.test MX 10 a.test\na.test A 1.0.0.1\n", "a.test[10] 1.0.0.1");
}

static void trouble_is_never_the_end(void **state)
{
	(void)state;
	IS("d.test MX !trouble\n",
	    "451 4.4.3 DNS cannot say now where mail for d.test goes: nobody answers");
	/* One host cannot be found, the other can. */
	IS("d.test MX 10 a.test\nd.test MX 20 b.test\na.test * !trouble\nb.test A 1.0.0.2\n",
	    "b.test[20] 1.0.0.2");
	/* One family of it. */
	IS("d.test MX 10 a.test\na.test AAAA !trouble\na.test A 1.0.0.1\n", "a.test[10] 1.0.0.1");
	/* None with an address, and of one we do not know. */
	IS("d.test MX 10 a.test\nd.test MX 20 b.test\na.test TXT x\nb.test A !trouble\n",
	    "451 4.4.3 DNS cannot say now where mail for d.test goes: nobody answers");
	/* Without MX the domain itself. */
	IS("d.test A !trouble\n",
	    "451 4.4.3 DNS cannot say now where mail for d.test goes: nobody answers");
}

static void hosts_without_address(void **state)
{
	(void)state;
	IS("d.test MX 10 a.test\nd.test MX 20 b.test\nb.test TXT x\n",
	    "550 5.4.4 No mail host of d.test has an address");
	/* Not all of them were told: perhaps there is one. */
	IS("d.test MX 10 a.test\nd.test MX !cut\n",
	    "451 4.4.3 DNS cannot say now where mail for d.test goes: more mail hosts than can be "
	    "looked at");
	/* RFC 5321 section 5.1: an address is no host; nobody is asked for it. */
	IS("d.test MX 10 192.0.2.1\n192.0.2.1 A 1.0.0.1\n",
	    "550 5.4.4 No mail host of d.test has an address");
}

static void aliases(void **state)
{
	const struct host *list;
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	struct hosts *h;

	(void)state;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&p, &arena);
	hosts_run(h, "d.test MX 10 a.test\na.test CNAME b.test\nb.test CNAME c.test\n"
		     "c.test A 1.0.0.3\n");
	assert_int_equal(hosts_list(h, &list), 1);
	assert_true(span_eq(list->name, SPAN("a.test")));
	assert_true(span_eq(list->canonical, SPAN("c.test")));
}

static struct host_address v4(const char *text, uint16_t port)
{
	struct host_address a = {.family = AF_INET, .port = port};

	if (inet_pton(AF_INET, text, a.bytes) != 1) {
		a.family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, a.bytes), 1);
	}
	return a;
}

static const char *solve_self(const char *zone)
{
	static struct host_address own[3];
	static struct hosts_self self = {SPAN_NONE, own, 3};

	own[0] = v4("1.0.0.9", 25);
	own[1] = v4("2600::9", 25);
	own[2] = v4("1.0.0.7", 2525);
	self.name = SPAN("me.test");
	return solve_with(
	    (struct hosts_params){.domain = SPAN("d.test"), .port = 25, .self = &self}, zone);
}

#define SELF_IS(zone, text) assert_string_equal(solve_self(zone), text)

static void own_name_cuts(void **state)
{
	(void)state;
	SELF_IS("d.test MX 10 a.test\nd.test MX 20 Me.Test\nd.test MX 20 b.test\n"
		"d.test MX 30 c.test\na.test A 1.0.0.1\nb.test A 1.0.0.2\nc.test A 1.0.0.3\n",
	    "a.test[10] 1.0.0.1");
	SELF_IS("d.test MX 10 me.test\nd.test MX 20 b.test\nb.test A 1.0.0.2\n",
	    "554 5.4.6 Mail for d.test loops back to this machine");
	SELF_IS("d.test MX 10 me.test\nd.test MX 10 b.test\nb.test A 1.0.0.2\n",
	    "554 5.4.6 Mail for d.test loops back to this machine");
	/* The null MX that should not be there is not better than we are. */
	SELF_IS("d.test MX 0 .\nd.test MX 10 me.test\n",
	    "554 5.4.6 Mail for d.test loops back to this machine");
}

static void own_address_cuts(void **state)
{
	(void)state;
	SELF_IS(
	    "d.test MX 10 a.test\nd.test MX 20 x.test\nd.test MX 20 b.test\nd.test MX 30 c.test\n"
	    "a.test A 1.0.0.1\nx.test A 1.0.0.9\nb.test A 1.0.0.2\nc.test A 1.0.0.3\n",
	    "a.test[10] 1.0.0.1");
	SELF_IS("d.test MX 10 x.test\nd.test MX 20 b.test\nx.test AAAA 2600::9\nb.test A 1.0.0.2\n",
	    "554 5.4.6 Mail for d.test loops back to this machine");
	/* Mapped, it is the same address. */
	SELF_IS("d.test MX 10 x.test\nx.test AAAA ::ffff:1.0.0.9\n",
	    "554 5.4.6 Mail for d.test loops back to this machine");
	SELF_IS("d.test A 1.0.0.9\n", "554 5.4.6 Mail for d.test loops back to this machine");
	/* Another port of ours is not where that mail would arrive. */
	SELF_IS("d.test A 1.0.0.7\n", "d.test[0] 1.0.0.7");
	/* What we do not know of an equal does not matter; of a better one, it does. */
	SELF_IS("d.test MX 10 x.test\nd.test MX 10 b.test\nx.test A 1.0.0.9\nb.test * !trouble\n",
	    "451 4.4.3 DNS cannot say now where mail for d.test goes: nobody answers");
}

static void backup_waits_for_the_primary(void **state)
{
	(void)state;
	SELF_IS("d.test MX 10 gone.test\nd.test MX 20 me.test\n",
	    "451 4.4.4 No better mail host of d.test than this one has an address");
	SELF_IS("d.test MX 10 gone.test\nd.test MX 20 x.test\nx.test A 1.0.0.9\n",
	    "451 4.4.4 No better mail host of d.test than this one has an address");
}

static void private_addresses(void **state)
{
	const char *zone = "d.test MX 10 a.test\nd.test MX 20 b.test\n"
			   "a.test A 10.0.0.1\nb.test A 192.168.1.1\nb.test A 1.0.0.2\n";
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25, .private_ok = true};

	(void)state;
	IS(zone, "b.test[20] 1.0.0.2");
	IS("d.test A 127.0.0.1\nd.test AAAA ::1\n",
	    "550 5.4.4 The mail hosts of d.test have private addresses only (allowed by: via mx "
	    "private)");
	assert_memory_equal(solve_with(p, zone), "a.test[10] 10.0.0.1; b.test[20]", 31);
}

static void ranges(void **state)
{
	static const char *const bad[] = {"0.0.0.0", "0.1.2.3", "10.255.255.255", "100.64.0.1",
	    "100.127.255.255", "127.1.2.3", "169.254.9.9", "172.16.0.1", "172.31.255.255",
	    "192.0.0.8", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
	    "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1",
	    "::1.2.3.4", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
	    "2001::1", "2001:db8::1", "2002:0a00:0001::1", "2002:7f00:0001::", "3fff::1", "5f00::1",
	    "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1"};
	static const char *const good[] = {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255",
	    "100.128.0.0", "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.0",
	    "192.0.1.1", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
	    "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:0101:0101::1", "2001:200::1", "2600::1",
	    "2a00::1", "fb00::1", "3ffe::1"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		struct host_address a = v4(bad[i], 25);

		if (!address_is_private(&a))
			fail_msg("%s is not private", bad[i]);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(good); i++) {
		struct host_address a = v4(good[i], 25);

		if (address_is_private(&a))
			fail_msg("%s is private", good[i]);
	}
}

static void literals(void **state)
{
	(void)state;
	assert_string_equal(solve("[1.2.3.4]", ""), "1.2.3.4[0] 1.2.3.4");
	assert_string_equal(solve("[ipv6:2600::1]", ""), "2600::1[0] 2600::1");
	assert_string_equal(solve("[127.0.0.1]", ""),
	    "550 5.4.4 The mail hosts of [127.0.0.1] have private addresses only (allowed by: via "
	    "mx private)");
	assert_string_equal(solve("[1.2.3]", ""), "550 5.1.2 There is no domain [1.2.3]");
}

static void families(void **state)
{
	const char *zone = "d.test A 1.0.0.1\nd.test A 1.0.0.1\nd.test A 1.0.0.1\n"
			   "d.test AAAA 2600::1\nd.test AAAA 2600::1\n";
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};

	(void)state;
	assert_string_equal(
	    solve_with(p, zone), "d.test[0] 2600::1 1.0.0.1 2600::1 1.0.0.1 1.0.0.1");
	p.wish = FAMILY_V4_FIRST;
	assert_string_equal(
	    solve_with(p, zone), "d.test[0] 1.0.0.1 2600::1 1.0.0.1 2600::1 1.0.0.1");
	p.wish = FAMILY_V4_ONLY;
	assert_string_equal(solve_with(p, zone), "d.test[0] 1.0.0.1 1.0.0.1 1.0.0.1");
	p.wish = FAMILY_V6_FIRST;
	p.no_v4 = true;
	assert_string_equal(solve_with(p, zone), "d.test[0] 2600::1 2600::1");
	assert_string_equal(solve_with(p, "d.test A 1.0.0.1\n"),
	    "451 4.4.4 d.test has no address of a family that can be used here");
	/* A name that is not there has no address of the other family either. */
	assert_string_equal(solve_with(p, "d.test MX 10 gone.test\n"),
	    "550 5.4.4 No mail host of d.test has an address");
}

static void all_addresses_are_first_once(void **state)
{
	const char *zone = "d.test A 1.0.0.1\nd.test A 1.0.0.2\nd.test A 1.0.0.3\n";
	unsigned first[3] = {0};

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		const char *s = solve_with(
		    (struct hosts_params){.domain = SPAN("d.test"), .port = 25, .seed = seed},
		    zone);

		first[s[strlen("d.test[0] 1.0.0.")] - '1']++;
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(first[i], 60, 140);
}

static void bounds(void **state)
{
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	struct zone_answer *z = calloc(1, sizeof(*z));
	struct hosts_question q;
	const struct host *list;
	size_t n, questions = 0;
	struct hosts *h;

	(void)state;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&p, &arena);
	while (hosts_next(h, &q)) {
		z->a = (struct dns_answer){.status = DNS_FOUND, .record = z->record};
		z->a.n_record = DNS_RECORDS_MAX;
		z->a.cut = true;
		for (unsigned i = 0; i < DNS_RECORDS_MAX; i++) {
			z->record[i] = (struct dns_record){.preference = (uint16_t)(i / 4)};
			snprintf(z->name[i], sizeof(z->name[i]), "m%u.test", i);
			if (q.type == DNS_MX)
				z->record[i].name = span_str(z->name[i]);
			else
				memset(&z->record[i].address, (int)i + 40, 16);
		}
		assert_int_equal(hosts_answer(h, q.number, &z->a), 0);
		assert_true(++questions <= HOSTS_QUESTIONS_MAX);
	}
	n = hosts_list(h, &list);
	assert_int_equal(n, HOSTS_MAX);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(list[i].n_address, HOST_ADDRESSES_MAX);
		assert_int_equal(list[i].preference, i / 4);
	}
	assert_true(arena.used < 64 << 10);
	free(z);
}

/* A host enters the list when all of its preference are known, and never leaves its place. */
static void the_list_grows_from_its_front(void **state)
{
	const char *zone = "d.test MX 10 a.test\nd.test MX 20 b.test\na.test A 1.0.0.1\n"
			   "b.test A 1.0.0.2\n";
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	struct zone_answer *z = calloc(1, sizeof(*z));
	struct hosts_question q[5];
	const struct host *list;
	struct hosts *h;
	size_t n = 0;

	(void)state;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&p, &arena);
	assert_true(hosts_next(h, &q[0]));
	assert_false(hosts_next(h, &q[1]));
	zone_ask(zone, q[0].type, q[0].name, z);
	assert_int_equal(hosts_answer(h, q[0].number, &z->a), 0);
	while (hosts_next(h, &q[n]))
		n++;
	assert_int_equal(n, 4);
	/* The worse one is known first: that helps nobody yet. */
	for (size_t i = 4; i-- > 0;) {
		assert_int_equal(hosts_list(h, &list), 0);
		assert_true(hosts_wait(h));
		zone_ask(zone, q[i].type, q[i].name, z);
		assert_int_equal(hosts_answer(h, q[i].number, &z->a), 0);
	}
	assert_string_equal(hosts_text(h), "a.test[10] 1.0.0.1; b.test[20] 1.0.0.2");
	/* An answer that nobody asked for, or a second one, changes nothing. */
	assert_int_equal(hosts_answer(h, q[0].number, &z->a), 0);
	assert_int_equal(hosts_answer(h, 4000, &z->a), 0);
	assert_string_equal(hosts_text(h), "a.test[10] 1.0.0.1; b.test[20] 1.0.0.2");
	free(z);
}

static void the_better_one_need_not_wait(void **state)
{
	const char *zone = "d.test MX 10 a.test\nd.test MX 20 b.test\na.test A 1.0.0.1\n";
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	struct zone_answer *z = calloc(1, sizeof(*z));
	struct hosts_question q;
	struct hosts *h;

	(void)state;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&p, &arena);
	while (hosts_next(h, &q)) {
		if (span_eq(q.name, SPAN("b.test")))
			continue; /* its name servers are dead */
		zone_ask(zone, q.type, q.name, z);
		assert_int_equal(hosts_answer(h, q.number, &z->a), 0);
	}
	assert_true(hosts_wait(h));
	assert_string_equal(hosts_text(h), "a.test[10] 1.0.0.1");
	free(z);
}

static void validated(void **state)
{
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	const struct host *list;
	struct hosts *h;

	(void)state;
	arena_reset(&arena);
	arena_init(&arena, 1 << 20);
	h = hosts_start(&p, &arena);
	hosts_run(h, "d.test MX 10 a.test\nd.test MX 20 b.test\nd.test SECURE x\na.test A 1.0.0.1\n"
		     "a.test SECURE x\nb.test A 1.0.0.2\n");
	assert_int_equal(hosts_list(h, &list), 2);
	assert_true(list[0].secure);
	assert_false(list[1].secure);
	assert_true(list[0].vouched && list[1].vouched);
	h = hosts_start(&p, &arena);
	hosts_run(
	    h, "d.test MX 10 a.test\nd.test MX 20 d.test\na.test A 1.0.0.1\nd.test A 1.0.0.2\n");
	assert_int_equal(hosts_list(h, &list), 2);
	assert_false(list[0].vouched);
	assert_true(list[1].vouched);
}

static void given_hosts(void **state)
{
	static const struct hosts_given given[] = {
	    {SPAN_NONE, 25}, {SPAN_NONE, 26}, {SPAN_NONE, 27}, {SPAN_NONE, 28}};
	struct hosts_given g[4];
	struct hosts_params p = {.given = g, .n_given = 4};
	const struct host *list;
	struct hosts_self self = {.name = SPAN("a.test")};

	(void)state;
	memcpy(g, given, sizeof(g));
	g[0].name = SPAN("127.0.0.1"); /* whoever wrote it meant it */
	g[1].name = SPAN("gone.test");
	g[2].name = SPAN("a.test");
	g[3].name = SPAN("::1");
	p.self = &self;
	assert_string_equal(solve_with(p, "a.test MX 10 other.test\na.test A 10.0.0.1\n"),
	    "127.0.0.1[0] 127.0.0.1; a.test[2] 10.0.0.1; ::1[3] ::1");
	(void)list;
	p.given = &g[1];
	p.n_given = 1;
	assert_string_equal(solve_with(p, ""), "451 4.4.4 gone.test has no address");
	assert_string_equal(solve_with(p, "gone.test A !trouble\n"),
	    "451 4.4.3 DNS cannot say now where mail for gone.test goes: nobody answers");
}

static void without_memory(void **state)
{
	const char *zone = "d.test MX 10 a.test\nd.test MX 20 b.test\na.test A 1.0.0.1\n"
			   "b.test A 1.0.0.2\n";
	struct hosts_params p = {.domain = SPAN("d.test"), .port = 25};
	struct zone_answer *z = calloc(1, sizeof(*z));

	(void)state;
	for (size_t room = 0; room < 16000; room += 16) {
		struct hosts_question q;
		const struct host *list;
		struct arena small;
		struct hosts *h;

		arena_init(&small, room);
		h = hosts_start(&p, &small);
		while (h != NULL && hosts_next(h, &q)) {
			zone_ask(zone, q.type, q.name, z);
			(void)!hosts_answer(h, q.number, &z->a);
		}
		if (h != NULL && hosts_list(h, &list) == 0)
			assert_int_equal(hosts_reply(h).code, 451);
		arena_reset(&small);
	}
	free(z);
}

static void kinds_for_the_queue(void **state)
{
	struct dns_record odd = {.name = SPAN_NONE};
	struct dns_answer a = {.status = DNS_FOUND, .record = &odd, .n_record = 1};

	(void)state;
	assert_int_equal(mx_kind_of(&a), MX_NULL);
	a.cut = true; /* there were others */
	assert_int_equal(mx_kind_of(&a), MX_TROUBLE);
	a.n_record = 0;
	a.cut = false;
	assert_int_equal(mx_kind_of(&a), MX_TROUBLE);
	a.status = DNS_NODATA;
	assert_int_equal(mx_kind_of(&a), MX_IMPLICIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mx_by_preference),
	    cmocka_unit_test(named_twice),
	    cmocka_unit_test(equals_take_turns),
	    cmocka_unit_test(no_mx_means_the_domain),
	    cmocka_unit_test(a_name_that_is_not_there),
	    cmocka_unit_test(null_mx),
	    cmocka_unit_test(trouble_is_never_the_end),
	    cmocka_unit_test(hosts_without_address),
	    cmocka_unit_test(aliases),
	    cmocka_unit_test(own_name_cuts),
	    cmocka_unit_test(own_address_cuts),
	    cmocka_unit_test(backup_waits_for_the_primary),
	    cmocka_unit_test(private_addresses),
	    cmocka_unit_test(ranges),
	    cmocka_unit_test(literals),
	    cmocka_unit_test(families),
	    cmocka_unit_test(all_addresses_are_first_once),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(the_list_grows_from_its_front),
	    cmocka_unit_test(the_better_one_need_not_wait),
	    cmocka_unit_test(validated),
	    cmocka_unit_test(given_hosts),
	    cmocka_unit_test(without_memory),
	    cmocka_unit_test(kinds_for_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
