/* The arguments of XCLIENT. */
#include "smtp/xclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buf text = {.max = XCLIENT_TEXT_MAX};
static struct xclient x;

static void good(const char *args)
{
	if (xclient_decode(span_str(args), &text, &x) < 0)
		fail_msg("%s", args);
}

static void bad(const char *args)
{
	if (xclient_decode(span_str(args), &text, &x) == 0)
		fail_msg("%s", args);
}

static void check(enum xclient_attribute a, const char *want)
{
	assert_true(x.said >> a & 1);
	if (!span_eq(x.value[a], span_str(want)))
		fail_msg("%.*s, not %s", SPAN_ARG(x.value[a]), want);
}

static void all_of_them(void **state)
{
	(void)state;
	good("NAME=a.test  addr=192.0.2.1 Port=0 PROTO=esmtp HELO=[192.0.2.1] LOGIN=a+40b+20c "
	     "DESTADDR=IPV6:::1 DESTPORT=65535");
	check(XCLIENT_NAME, "a.test");
	check(XCLIENT_ADDR, "192.0.2.1");
	check(XCLIENT_PORT, "0");
	check(XCLIENT_PROTO, "esmtp");
	check(XCLIENT_HELO, "[192.0.2.1]");
	check(XCLIENT_LOGIN, "a@b c");
	check(XCLIENT_DESTADDR, "IPV6:::1");
	check(XCLIENT_DESTPORT, "65535");
}

static void check_address(const char *want, bool want_six)
{
	bool six;
	struct span bare = xclient_address(x.value[XCLIENT_ADDR], &six);

	assert_true(span_eq(bare, span_str(want)));
	assert_int_equal(six, want_six);
}

static void addresses(void **state)
{
	(void)state;
	good("ADDR=ipv6:2001:db8::1");
	check_address("2001:db8::1", true);
	good("ADDR=[UNAVAILABLE]");
	check(XCLIENT_ADDR, "");
	good("NAME=[tempunavail]");
	check(XCLIENT_NAME, "");
	/* One address is one client, whoever encodes it. */
	good("ADDR=+31+39+32.0.2.1");
	check_address("192.0.2.1", false);
	bad("ADDR=192.0.2.1+00");
}

static void what_makes_no_sense(void **state)
{
	char args[2200];

	(void)state;
	bad("");
	bad("NAME");
	bad("=x");
	bad("NAME=");
	bad("OTHER=x");
	bad("NAME=a NAME=b");
	bad("NAME=a name=a");
	bad("HELO=a+0D+0AMAIL");
	bad("HELO=a+0A");
	bad("HELO=a+7F");
	bad("HELO=a+80");
	bad("HELO=a+2Cb");
	bad("HELO=a+2");
	bad("HELO=a+");
	bad("HELO=a+3d+g0");
	bad("HELO=a=b");
	bad("PORT=65536");
	bad("PORT=");
	bad("PORT=+2D1");
	bad("PROTO=[UNAVAILABLE]");
	bad("PROTO=HTTP");
	memset(args, 'x', sizeof(args));
	memcpy(args, "LOGIN=", 6);
	args[6 + XCLIENT_VALUE_MAX] = '\0';
	good(args);
	args[6 + XCLIENT_VALUE_MAX] = 'x';
	args[6 + XCLIENT_VALUE_MAX + 1] = '\0';
	bad(args);
	args[6 + XCLIENT_VALUE_MAX + 1] = 'x';
	args[2100] = '\0';
	bad(args);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_them),
	    cmocka_unit_test(addresses), cmocka_unit_test(what_makes_no_sense)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buf_fini(&text);
	return failed;
}
