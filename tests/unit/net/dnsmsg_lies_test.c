/* The reader of DNS messages: what it does with packets that lie. */
#include "unit/net/dns_packet.h"

/* ---- lies
 * -------------------------------------------------------------------------------------------------
 */

static void another_question(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	put_a(NULL, 1, 1);
	count(0, 1);
	assert_int_equal(look("y.test", DNS_A), GW_EFORMAT);
	is_trouble(GW_EFORMAT, "another question");
	assert_int_equal(look("x.test", DNS_AAAA), GW_EFORMAT);
	assert_int_equal(look("x.test", DNS_A), 0);
	set16(QUESTION_AT + 8 + 2, 3); /* class CHAOS */
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
}

static void several_questions(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 5; n++) {
		begin("x.test", DNS_A, OK);
		set16(4, n);
		assert_int_equal(look("x.test", DNS_A), n == 1 ? 0 : GW_EFORMAT);
	}
}

static void not_an_answer(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	set16(2, 0x0180);
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	set16(2, 0xa180); /* opcode 4 */
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	set16(2, 0x8180);
	assert_int_equal(look("x.test", DNS_A), 0);
}

/* Cut at every octet: an answer about nothing, or trouble, and never a read behind the end. */
static void truncated_everywhere(void **state)
{
	size_t whole;

	(void)state;
	begin("x.test", DNS_MX, OK);
	count(0, 3);
	put_alias(NULL, "y.test", 5);
	put_mx("y.test", 1, "mx1.test");
	put_mx("y.test", 2, "mx2.test");
	count(1, 1);
	put_soa("test", 5, 5);
	whole = length;
	for (size_t n = 0; n < whole; n++) {
		int err;

		length = n;
		err = look("x.test", DNS_MX);
		if (err == 0)
			assert_true(answer.status == DNS_FOUND && answer.n_record == 2);
		else
			assert_int_equal(err, GW_EFORMAT);
	}
}

static void counts_that_lie(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 65535);
	put_a(NULL, 1, 1);
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	is_trouble(GW_EFORMAT, "broken");
	begin("x.test", DNS_A, OK);
	count(1, 65535);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.ttl, DNSMSG_NEGATIVE_TTL);
}

static void lengths_that_lie(void **state)
{
	static const unsigned lies[] = {0, 1, 3, 5, 16, 255, 0x7fff, 0xffff};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lies); i++) {
		begin("x.test", DNS_A, OK);
		count(0, 1);
		put_a(NULL, 1, 1);
		set16(data_at - 2, lies[i]);
		assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
		begin("x.test", DNS_MX, OK);
		count(0, 1);
		put_mx(NULL, 1, "mx.test");
		if (lies[i] == length - data_at)
			continue;
		set16(data_at - 2, lies[i]);
		assert_int_equal(look("x.test", DNS_MX), GW_EFORMAT);
		begin("x.test", DNS_AAAA, OK);
		count(0, 1);
		begin_record(NULL, DNS_AAAA, 1);
		put32(1);
		end_record();
		assert_int_equal(look("x.test", DNS_AAAA), GW_EFORMAT);
	}
	/* A name that goes on behind the data it is said to be. */
	begin("x.test", DNS_MX, OK);
	count(0, 2);
	put_mx(NULL, 1, "mx.test");
	set16(data_at - 2, 5);
	put_mx(NULL, 1, "mx.test");
	assert_int_equal(look("x.test", DNS_MX), GW_EFORMAT);
	/* A string that does. */
	begin("x.test", DNS_TXT, OK);
	count(0, 1);
	begin_record(NULL, DNS_TXT, 1);
	put8(200);
	put8('x');
	end_record();
	put_soa("test", 1, 1);
	assert_int_equal(look("x.test", DNS_TXT), GW_EFORMAT);
}

/* ---- compression
 * --------------------------------------------------------------------------------------------- */

/* The owner of the one record is what the caller puts. */
static void begin_owner(void)
{
	begin("x.test", DNS_A, OK);
	count(0, 1);
}

static void end_owner(void)
{
	put16(DNS_A);
	put16(1);
	put32(1);
	put16(4);
	put32(1);
}

static void pointers(void **state)
{
	(void)state;
	/* A label, then a pointer into the question. */
	begin("x.test", DNS_MX, OK);
	count(0, 1);
	begin_record(NULL, DNS_MX, 5);
	put16(1);
	put8(2);
	put8('m');
	put8('x');
	put16(0xc000 | (QUESTION_AT + 2));
	end_record();
	assert_int_equal(look("x.test", DNS_MX), 0);
	check(answer.record[0].name, "mx.test");
}

static void pointers_that_lead_nowhere(void **state)
{
	(void)state;
	for (unsigned to = 0; to < 65; to++) {
		begin_owner();
		put16(0xc000 | to);
		end_owner();
		if (to == QUESTION_AT)
			continue;
		/* To itself, ahead, behind the end, or into what is no name or another one. */
		if (look("x.test", DNS_A) == 0)
			assert_int_equal(answer.n_record, 0);
	}
	begin_owner();
	put16(0xc000 | length);
	end_owner();
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	begin_owner();
	put16(0xffff);
	end_owner();
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	/* Two that lead to each other. */
	begin_owner();
	put16(0xc000 | (length + 2));
	put16(0xc000 | (length - 2));
	end_owner();
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	/* A label and a pointer back to it: without end if it were followed. */
	begin_owner();
	put8(1);
	put8('a');
	put16(0xc000 | (length - 2));
	end_owner();
	assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
}

static void too_many_pointers(void **state)
{
	(void)state;
	for (unsigned jumps = 60; jumps < 70; jumps++) {
		size_t last = QUESTION_AT;

		/* A record that nobody reads holds the chain. */
		begin("x.test", DNS_A, OK);
		count(0, 2);
		begin_record("other.test", 99, 1);
		for (unsigned i = 1; i < jumps; i++) {
			put16(0xc000 | (unsigned)last);
			last = length - 2;
		}
		end_record();
		put16(0xc000 | (unsigned)last);
		end_owner();
		assert_int_equal(look("x.test", DNS_A), jumps <= 64 ? 0 : GW_EFORMAT);
		assert_int_equal(answer.n_record, jumps <= 64);
	}
}

static void other_label_types(void **state)
{
	(void)state;
	for (unsigned kind = 0x40; kind < 0xc0; kind++) {
		begin_owner();
		put8(kind);
		put8(0);
		end_owner();
		assert_int_equal(look("x.test", DNS_A), GW_EFORMAT);
	}
}

static void long_names(void **state)
{
	char name[300];

	(void)state;
	/* 253 octets are a name, 254 are none. */
	for (size_t n = 250; n < 260; n++) {
		int err;

		memset(name, 'a', n);
		name[n] = '\0';
		for (size_t i = 50; i < n - 1; i += 51)
			name[i] = '.';
		begin("x.test", DNS_MX, OK);
		count(0, 1);
		put_mx(NULL, 1, name);
		err = look("x.test", DNS_MX);
		assert_int_equal(err, n <= DNS_NAME_MAX ? 0 : GW_EFORMAT);
		if (err == 0)
			check(answer.record[0].name, name);
	}
	/* By pointers: many names of 60 octets, each in front of the one before. */
	begin("x.test", DNS_MX, OK);
	count(0, 8);
	for (unsigned i = 0; i < 8; i++) {
		size_t before = data_at + 2;

		begin_record(NULL, DNS_MX, 1);
		put16(i);
		put8(60);
		for (int k = 0; k < 60; k++)
			put8('b');
		if (i == 0)
			put8(0);
		else
			put16(0xc000 | (unsigned)before);
		end_record();
	}
	assert_int_equal(look("x.test", DNS_MX), GW_EFORMAT);
	count(0, 4);
	assert_int_equal(look("x.test", DNS_MX), 0);
	assert_int_equal(answer.record[3].name.n, 4 * 60 + 3);
}

static void classes_of_others(void **state)
{
	(void)state;
	begin("x.test", DNS_A, OK);
	count(0, 1);
	put_a(NULL, 1, 1);
	set16(data_at - 8, 3);
	assert_int_equal(look("x.test", DNS_A), 0);
	assert_int_equal(answer.status, DNS_NODATA);
}

static void the_words_are_bounded(void **state)
{
	char name[DNS_NAME_MAX + 1];

	(void)state;
	memset(name, 'a', DNS_NAME_MAX);
	name[DNS_NAME_MAX] = '\0';
	for (size_t i = 50; i < DNS_NAME_MAX; i += 51)
		name[i] = '.';
	begin(name, DNS_A, SERVFAIL);
	assert_int_equal(look(name, DNS_A), 0);
	assert_int_equal(answer.status, DNS_TROUBLE);
	assert_int_equal(answer.why.n, DNS_WHY_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(another_question),
	    cmocka_unit_test(several_questions),
	    cmocka_unit_test(not_an_answer),
	    cmocka_unit_test(truncated_everywhere),
	    cmocka_unit_test(counts_that_lie),
	    cmocka_unit_test(lengths_that_lie),
	    cmocka_unit_test(pointers),
	    cmocka_unit_test(pointers_that_lead_nowhere),
	    cmocka_unit_test(too_many_pointers),
	    cmocka_unit_test(other_label_types),
	    cmocka_unit_test(long_names),
	    cmocka_unit_test(classes_of_others),
	    cmocka_unit_test(the_words_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
