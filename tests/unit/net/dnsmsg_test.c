/* The reader of DNS messages: what it takes. */
#include "unit/net/dns_packet.h"

/* ---- answers ------------------------------------------------------------------------------------
 */

static void mx_in_small_letters(void **state)
{
	(void)state;
	begin("Example.TEST", DNS_MX, OK);
	count(0, 2);
	put_mx(NULL, 20, "MX2.Example.test");
	put_mx("eXample.test", 10, "mx1.example.test");
	assert_int_equal(look("example.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_FOUND);
	assert_int_equal(answer.n_record, 2);
	assert_int_equal(answer.record[0].preference, 20);
	check(answer.record[0].name, "mx2.example.test");
	check(answer.record[1].name, "mx1.example.test");
	check(answer.canonical, "example.test");
	assert_int_equal(answer.ttl, 300);
	assert_false(answer.cut);
	assert_false(answer.secure);
	assert_int_equal(answer.why.n, 0);
}

static void addresses(void **state)
{
	(void)state;
	begin("a.test", DNS_A, OK);
	count(0, 3);
	put_a(NULL, 0x7f000001, 100);
	put_a("other.test", 0x7f000002, 1);
	put_a(NULL, 0x7f000003, 50);
	assert_int_equal(look("a.test", DNS_A), 0);
	assert_int_equal(answer.n_record, 2);
	assert_int_equal(ntohl(answer.record[1].address.a.s_addr), 0x7f000003);
	assert_int_equal(answer.ttl, 50);

	begin("a.test", DNS_AAAA, OK);
	count(0, 1);
	begin_record(NULL, DNS_AAAA, 5);
	for (unsigned i = 0; i < 16; i++)
		put8(i);
	end_record();
	assert_int_equal(look("a.test", DNS_AAAA), 0);
	assert_int_equal(answer.record[0].address.aaaa.s6_addr[15], 15);
}

static void texts_are_put_together(void **state)
{
	(void)state;
	begin("t.test", DNS_TXT, OK);
	count(0, 2);
	begin_record(NULL, DNS_TXT, 5);
	put8(3);
	put8('a');
	put8(0);
	put8('b');
	put8(0);
	put8(1);
	put8('c');
	end_record();
	begin_record(NULL, DNS_TXT, 5);
	for (unsigned i = 0; i < 20; i++) { /* 5120 octets */
		put8(255);
		for (unsigned k = 0; k < 255; k++)
			put8('x');
	}
	end_record();
	assert_int_equal(look("t.test", DNS_TXT), 0);
	assert_int_equal(answer.n_record, 1);
	assert_true(span_eq(answer.record[0].data, span_of("a\0bc", 4)));
	assert_true(answer.cut);
}

static void data_as_it_is(void **state)
{
	(void)state;
	begin("_25._tcp.mx.test", DNS_TLSA, OK);
	count(0, 2);
	begin_record(NULL, DNS_TLSA, 5);
	put32(0x03010199);
	end_record();
	begin_record(NULL, DNS_TLSA, 5);
	put8(9);
	end_record();
	assert_int_equal(look("_25._tcp.mx.test", DNS_TLSA), 0);
	assert_int_equal(answer.n_record, 2);
	assert_true(span_eq(answer.record[0].data, span_of("\3\1\1\x99", 4)));
	assert_int_equal(answer.record[1].data.n, 1);
}

static void null_mx(void **state)
{
	(void)state;
	begin("n.test", DNS_MX, OK);
	count(0, 1);
	put_mx(NULL, 0, "");
	assert_int_equal(look("n.test", DNS_MX), 0);
	assert_int_equal(answer.n_record, 1);
	assert_int_equal(answer.record[0].name.n, 0);
	assert_false(answer.cut);
}

/* ---- no
 * ------------------------------------------------------------------------------------------- */

static void no_name_no_data(void **state)
{
	(void)state;
	begin("no.test", DNS_MX, NXDOMAIN);
	count(1, 1);
	put_soa("test", 500, 77);
	assert_int_equal(look("no.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_NXDOMAIN);
	assert_int_equal(answer.ttl, 77);

	begin("no.test", DNS_MX, OK);
	count(1, 1);
	put_soa("test", 50, 77);
	assert_int_equal(look("no.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_NODATA);
	assert_int_equal(answer.ttl, 50);

	begin("no.test", DNS_MX, OK);
	assert_int_equal(look("no.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_NODATA);
	assert_int_equal(answer.ttl, DNSMSG_NEGATIVE_TTL);
}

/* Only these two may ever mean that there is no such thing. */
static void every_other_code_is_trouble(void **state)
{
	(void)state;
	for (unsigned rcode = 1; rcode < 16; rcode++) {
		if (rcode == NXDOMAIN)
			continue;
		begin("x.test", DNS_MX, rcode);
		count(0, 1);
		put_mx(NULL, 1, "mx.test");
		is_trouble(look("x.test", DNS_MX), "x.test");
	}
	begin("x.test", DNS_MX, SERVFAIL);
	is_trouble(look("x.test", DNS_MX), "SERVFAIL for x.test");
	begin("x.test", DNS_MX, REFUSED);
	is_trouble(look("x.test", DNS_MX), "REFUSED for x.test");
}

static void cut_answers(void **state)
{
	(void)state;
	begin("x.test", DNS_MX, CUT_FLAG);
	is_trouble(look("x.test", DNS_MX), "was cut");
	begin("x.test", DNS_MX, CUT_FLAG | NXDOMAIN);
	is_trouble(look("x.test", DNS_MX), "was cut");
	begin("x.test", DNS_MX, CUT_FLAG);
	count(0, 1);
	put_mx(NULL, 1, "mx.test");
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_FOUND);
	assert_true(answer.cut);
}

static void one_who_contradicts_himself(void **state)
{
	(void)state;
	begin("x.test", DNS_MX, NXDOMAIN);
	count(0, 1);
	put_mx(NULL, 1, "mx.test");
	assert_int_equal(look("x.test", DNS_MX), GW_EFORMAT);
	is_trouble(GW_EFORMAT, "not to be there");
}

/* ---- aliases
 * -------------------------------------------------------------------------------------- */

static void put_chain(unsigned n)
{
	char from[16] = "x.test", to[16];

	begin("x.test", DNS_A, OK);
	count(0, n + 1);
	for (unsigned i = 0; i < n; i++) {
		snprintf(to, sizeof(to), "c%u.test", i);
		put_alias(from, to, 100 - i);
		snprintf(from, sizeof(from), "%s", to);
	}
	put_a(from, 1, 1000);
}

static void chains(void **state)
{
	char end[16];

	(void)state;
	for (unsigned n = 1; n <= DNSMSG_CHAIN_MAX; n++) {
		put_chain(n);
		assert_int_equal(look("x.test", DNS_A), 0);
		assert_int_equal(answer.status, DNS_FOUND);
		assert_int_equal(answer.n_record, 1);
		snprintf(end, sizeof(end), "c%u.test", n - 1);
		check(answer.canonical, end);
		assert_int_equal(answer.ttl, 100 - n + 1);
	}
	put_chain(DNSMSG_CHAIN_MAX + 1);
	is_trouble(look("x.test", DNS_A), "more than 8");
}

static void chains_in_any_order(void **state)
{
	(void)state;
	begin("x.test", DNS_MX, OK);
	count(0, 4);
	put_mx("c.test", 1, "mx.test");
	put_alias("b.test", "c.test", 9);
	put_mx("b.test.evil.test", 1, "evil.test");
	put_alias("x.test", "b.test", 10);
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.n_record, 1);
	check(answer.canonical, "c.test");
	check(answer.record[0].name, "mx.test");
}

static void chains_that_end_in_nothing(void **state)
{
	(void)state;
	begin("x.test", DNS_MX, NXDOMAIN);
	count(0, 1);
	put_alias("x.test", "b.test", 9);
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_NXDOMAIN);
	check(answer.canonical, "b.test");
	assert_int_equal(answer.ttl, 9);
	set16(2, 0x8180);
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.status, DNS_NODATA);
}

static void loops(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_alias(NULL, "x.test", 1);
	is_trouble(look("x.test", DNS_A), "more than 8");
	begin("x.test", DNS_A, OK);
	count(0, 2);
	put_alias(NULL, "y.test", 1);
	put_alias("y.test", "x.test", 1);
	is_trouble(look("x.test", DNS_A), "more than 8");
}

/* ---- names that cannot be
 * --------------------------------------------------------------------------- */

static void odd_names_are_left_out(void **state)
{
	static const char *const odd[] = {"a b.test", "a\nb.test", "a\\.test", "\xc3\xa4.test",
	    "*.test", "a/b.test", "[127.test", "a@b.test", "\".test"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(odd); i++) {
		begin("x.test", DNS_MX, OK);
		count(0, 2);
		put_mx(NULL, 1, odd[i]);
		put_mx(NULL, 2, "mx.test");
		assert_int_equal(look("x.test", DNS_MX), 0);
		assert_int_equal(answer.n_record, 1);
		check(answer.record[0].name, "mx.test");
		assert_true(answer.cut);
		count(0, 1);
		is_trouble(look("x.test", DNS_MX), "can be used");
	}
}

/* A null MX beside a host that cannot be is no null MX: the answer says that it is not whole. */
static void an_odd_name_makes_no_null_mx(void **state)
{
	(void)state;
	begin("x.test", DNS_MX, OK);
	count(0, 2);
	put_mx(NULL, 1, "a b.test");
	put_mx(NULL, 0, "");
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.n_record, 1);
	assert_true(answer.cut);
}

/* A label with a dot in it is another name than the one that looks like it. */
static void a_dot_in_a_label(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put8(6);
	for (const char *c = "x.test"; *c; c++)
		put8((uint8_t)*c);
	put8(0);
	put16(DNS_A);
	put16(1);
	put32(1);
	put16(4);
	put32(0x7f000001);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.status, DNS_NODATA);
	/* And so is the question. */
	length = QUESTION_AT;
	put8(6);
	for (const char *c = "x.test"; *c; c++)
		put8((uint8_t)*c);
	put8(0);
	put16(DNS_A);
	put16(1);
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
}

static void pointers_of_address_names(void **state)
{
	(void)state;
	begin("1.0.0.127.in-addr.arpa", DNS_PTR, OK);
	count(0, 2);
	begin_record(NULL, DNS_PTR, 9);
	put_name("Host.test");
	end_record();
	begin_record(NULL, DNS_PTR, 9);
	put_name("a b.test");
	end_record();
	assert_int_equal(look("1.0.0.127.in-addr.arpa", DNS_PTR), 0);
	assert_int_equal(answer.n_record, 1);
	check(answer.record[0].name, "host.test");
	begin("1.0.0.127.in-addr.arpa", DNS_PTR, OK);
	count(0, 1);
	begin_record(NULL, DNS_PTR, 9);
	put_name("");
	end_record();
	assert_int_equal(look("1.0.0.127.in-addr.arpa", DNS_PTR), 0);
	assert_int_equal(answer.status, DNS_NODATA);
}

static void an_alias_of_nothing(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_alias(NULL, "a b.test", 1);
	is_trouble(look("x.test", DNS_A), "cannot be a host");
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_alias(NULL, "", 1);
	is_trouble(look("x.test", DNS_A), "cannot be a host");
}

/* ---- ceilings
 * ----------------------------------------------------------------------------------------- */

static void of_too_many_the_best_are_kept(void **state)
{
	char host[32];
	unsigned best = 1000;

	(void)state;
	begin("x.test", DNS_MX, OK);
	count(0, 400);
	for (unsigned i = 400; i > 0; i--) {
		snprintf(host, sizeof(host), "mx%u.test", i);
		put_mx(NULL, i, host);
	}
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.n_record, DNS_RECORDS_MAX);
	assert_true(answer.cut);
	for (size_t i = 0; i < answer.n_record; i++) {
		assert_true(answer.record[i].preference <= DNS_RECORDS_MAX);
		if (answer.record[i].preference < best)
			best = answer.record[i].preference;
		snprintf(host, sizeof(host), "mx%u.test", answer.record[i].preference);
		check(answer.record[i].name, host);
	}
	assert_int_equal(best, 1);
}

static void times_are_bounded(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_a(NULL, 1, 1000000);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.ttl, DNS_TTL_MAX);
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_a(NULL, 1, 0x80000001);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.ttl, 0);
	begin("x.test", DNS_A, OK);
	count(1, 1);
	put_soa("test", 0xffffffff, 5);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.ttl, 0);
}

static void the_largest_packet(void **state)
{
	unsigned n = 0;

	(void)state;
	begin("x.test", DNS_A, OK);
	while (length + 16 <= PACKET_MAX) {
		put_a(NULL, n++, 100);
	}
	count(0, n);
	assert_true(n > 4000);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.n_record, DNS_RECORDS_MAX);
	assert_true(answer.cut);
	/* The same with an alias of an alias in front: each costs a look at all of it. */
	begin("x.test", DNS_A, OK);
	n = 1;
	put_alias(NULL, "x.test", 1);
	while (length + 16 <= PACKET_MAX) {
		put_a("y.test", n++, 100);
		if (length + 24 > PACKET_MAX)
			break;
	}
	count(0, n);
	is_trouble(look("x.test", DNS_A), "more than 8");
}

static void a_small_arena(void **state)
{
	static const size_t sizes[] = {1, 100, 3000, 6500};

	(void)state;
	begin("x.test", DNS_MX, OK);
	count(0, 2);
	put_mx(NULL, 1, "mx1.example.test");
	put_mx(NULL, 2, "mx2.example.test");
	for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
		struct arena small;
		int err;

		arena_init(&small, sizes[i]);
		err = dnsmsg_read(span_of(packet, length), DNS_MX, SPAN("x.test"), &small, &answer);
		assert_true(err == GW_EFULL || (err == 0 && answer.n_record == 2));
		assert_true(sizes[i] > 4000 || err == GW_EFULL);
		arena_reset(&small);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mx_in_small_letters),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(texts_are_put_together),
	    cmocka_unit_test(data_as_it_is),
	    cmocka_unit_test(null_mx),
	    cmocka_unit_test(no_name_no_data),
	    cmocka_unit_test(every_other_code_is_trouble),
	    cmocka_unit_test(cut_answers),
	    cmocka_unit_test(one_who_contradicts_himself),
	    cmocka_unit_test(chains),
	    cmocka_unit_test(chains_in_any_order),
	    cmocka_unit_test(chains_that_end_in_nothing),
	    cmocka_unit_test(loops),
	    cmocka_unit_test(odd_names_are_left_out),
	    cmocka_unit_test(an_odd_name_makes_no_null_mx),
	    cmocka_unit_test(a_dot_in_a_label),
	    cmocka_unit_test(pointers_of_address_names),
	    cmocka_unit_test(an_alias_of_nothing),
	    cmocka_unit_test(of_too_many_the_best_are_kept),
	    cmocka_unit_test(times_are_bounded),
	    cmocka_unit_test(the_largest_packet),
	    cmocka_unit_test(a_small_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
