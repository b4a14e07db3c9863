/* The lines of Dovecot's auth service, good and hostile. */
#include "auth/dovecot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct buf room;

static int feed(const char *line, struct dovecot_line *x)
{
	return dovecot_read(span_str(line), &room, x);
}

static void what_it_says(void **state)
{
	struct dovecot_line x;

	(void)state;
	assert_int_equal(feed("VERSION\t1\t2", &x), 0);
	assert_true(x.word == DOVECOT_VERSION && x.major == 1);
	assert_int_equal(feed("MECH\tPLAIN\tplaintext", &x), 0);
	assert_true(x.word == DOVECOT_MECH && x.plain);
	assert_int_equal(feed("MECH\tCRAM-MD5\tdictionary", &x), 0);
	assert_true(x.word == DOVECOT_MECH && !x.plain);
	assert_int_equal(feed("SPID\t12", &x), 0);
	assert_int_equal(x.word, DOVECOT_OTHER);
	assert_int_equal(feed("DONE", &x), 0);
	assert_int_equal(x.word, DOVECOT_DONE);
	assert_int_equal(feed("OK\t7\tuser=alice@example.com\toriginal_user=a\tnologin", &x), 0);
	assert_true(x.word == DOVECOT_OK && x.id == 7 && x.nologin);
	assert_true(span_eq(x.user, SPAN("alice@example.com")));
	assert_int_equal(feed("FAIL\t8\tuser=bob\ttemp", &x), 0);
	assert_true(x.word == DOVECOT_FAIL && x.temporary && !x.disabled);
	assert_int_equal(feed("FAIL\t8\tuser=bob\tcode=temp_fail", &x), 0);
	assert_true(x.temporary);
	assert_int_equal(feed("FAIL\t8\tuser=bob\tuser_disabled", &x), 0);
	assert_true(x.disabled && !x.temporary);
	assert_int_equal(feed("FAIL\t8\treason=temp", &x), 0);
	assert_true(!x.disabled && !x.temporary);
	assert_int_equal(feed("USER\t4294967295\tb\001t\001\061", &x), GW_EFORMAT); /* a tab */
	assert_int_equal(feed("USER\t4294967295\tbob\tuid=1", &x), 0);
	assert_true(x.word == DOVECOT_USER && x.id == UINT32_MAX);
	assert_int_equal(feed("NOTFOUND\t3", &x), 0);
	assert_true(x.word == DOVECOT_NOTFOUND && x.id == 3);
}

static void what_it_cannot_say(void **state)
{
	static const char *const bad[] = {"", "OK", "OK\t", "OK\t0\tuser=a", "OK\t-1\tuser=a",
	    "OK\t4294967296\tuser=a", "OK\t1", "OK\t1\tuser=", "OK\t1\tuser=a\001",
	    "OK\t1x\tuser=a", "OK\t1\tuser=a\001x", "OK\t1\tuser=a\0010", "OK\t1\tuser=a\001n",
	    "OK\t1\tuser=a\177", "FAIL\tx", "USER\t1", "NOTFOUND", "VERSION", "VERSION\tx",
	    "VERSION\t99999999999999999"};
	struct dovecot_line x;
	char name[400] = "OK\t1\tuser=";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(feed(bad[i], &x), GW_EFORMAT);
	for (size_t i = 10; i < 10 + DOVECOT_NAME_MAX; i++)
		name[i] = 'a';
	assert_int_equal(feed(name, &x), 0);
	name[10 + DOVECOT_NAME_MAX] = 'a';
	assert_int_equal(feed(name, &x), GW_EFORMAT);
}

static void what_is_said_to_it(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, DOVECOT_LINE_MAX);
	dovecot_put_hello(&b, 12);
	assert_true(span_eq(buf_view(&b), SPAN("VERSION\t1\t1\nCPID\t12\n")));
	buf_clear(&b);
	assert_int_equal(dovecot_put_login(&b, 1, SPAN("a"), SPAN("b\tc\n"), "192.0.2.1"), 0);
	assert_true(span_eq(buf_view(&b),
	    SPAN("AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsecured\trip=192.0.2.1\t"
		 "resp=AGEAYgljCg==\n")));
	buf_clear(&b);
	assert_int_equal(dovecot_put_login(&b, 1, SPAN("a\0b"), SPAN("c"), "::1"), GW_EFORMAT);
	assert_int_equal(dovecot_put_login(&b, 1, SPAN("a"), SPAN("c\0"), "::1"), GW_EFORMAT);
	buf_clear(&b);
	dovecot_put_user(&b, 9, SPAN("a\tb\nUSER\t10\001"));
	assert_true(
	    span_eq(buf_view(&b), SPAN("USER\t9\ta\001tb\001nUSER\001t10\0011\tservice=smtp\n")));
	buf_wipe(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_it_says),
	    cmocka_unit_test(what_it_cannot_say), cmocka_unit_test(what_is_said_to_it)};

	buf_init(&room, DOVECOT_LINE_MAX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
