/* The users' files of addresses: what is taken, what is refused. */
#include "mail/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* "keep a@b c@d", or why it is refused. */
static void check(const char *text, const char *want)
{
	struct forward *f = gw_calloc(1, sizeof(*f));
	struct arena a;
	char got[500] = "";
	size_t n = 0;
	int err;

	arena_init(&a, 64 << 10);
	err = forward_parse(span_str(text), SPAN("bob+x@ours.test"), '+', f, &a);
	if (err < 0)
		n = (size_t)snprintf(got, sizeof(got), "%s", f->why);
	else if (f->keep)
		n = (size_t)snprintf(got, sizeof(got), "keep");
	if (err < 0)
		assert_true(f->n == 0 && !f->keep);
	for (size_t i = 0; i < f->n; i++)
		n += (size_t)snprintf(
		    got + n, sizeof(got) - n, "%s%.*s", n > 0 ? " " : "", SPAN_ARG(f->to[i]));
	assert_string_equal(got, want);
	arena_reset(&a);
	free(f);
}

static void test_taken(void **state)
{
	(void)state;
	check("", "");
	check("# nobody\n\n  \n", "");
	check("a@far.test", "a@far.test");
	check("a@far.test, b@FAR.test\r\n<c@far.test>\n", "a@far.test b@far.test c@far.test");
	check("a@far.test,a@far.test\na@far.test", "a@far.test");
	check("\\bob, a@far.test", "keep a@far.test");
	check("\"\\bob\", a@far.test", "keep a@far.test");
	check("BOB@ours.test", "keep");
	check("bob+x", "keep");
	check("bob", "keep");
	check("carol, \\dave", "carol@ours.test dave@ours.test");
	check("\"a, b\"@far.test", "\"a, b\"@far.test");
	check("bob@other.test", "bob@other.test");
	check(",,a@far.test,,", "a@far.test");
}

static void test_refused(void **state)
{
	(void)state;
	check("a@far.test\n|/bin/sh", "line 2: programs are not run from here");
	check("\"|/usr/bin/vacation bob\"", "line 1: programs are not run from here");
	check("a@far.test, \"|exec sh, -c x\"", "line 1: programs are not run from here");
	check("\\|/bin/sh", "line 1: programs are not run from here");
	check("/etc/passwd", "line 1: files are not written from here");
	check("\"/srv/mail/box\"", "line 1: files are not written from here");
	check(":include:/etc/shadow", "line 1: :include: is not read from here");
	check("<>", "line 1: an address is missing");
	check("root:x:0:0", "line 1: this is no address");
	check("a@far.test\x01", "line 1: this is no text of ASCII");
	check("a@far.test\nb@far.test\xc3\xa9", "line 2: this is no text of ASCII");
	check("a@far.test -oQ/tmp", "line 1: this is no address");
	check("a@far.test>\"", "line 1: this is no address");
}

static void test_bounds(void **state)
{
	struct forward *f = gw_calloc(1, sizeof(*f));
	char *text = gw_calloc(1, FORWARD_OCTETS + 2);
	struct arena a;
	size_t n = 0;

	(void)state;
	arena_init(&a, 64 << 10);
	for (int i = 0; i < FORWARD_MAX; i++)
		n += (size_t)sprintf(text + n, "u%d@far.test\n", i);
	assert_int_equal(forward_parse(span_of(text, n), SPAN("bob@ours.test"), '+', f, &a), 0);
	assert_int_equal(f->n, FORWARD_MAX);
	n += (size_t)sprintf(text + n, "one.more@far.test\n");
	assert_int_equal(
	    forward_parse(span_of(text, n), SPAN("bob@ours.test"), '+', f, &a), GW_EFORMAT);
	memset(text, '#', FORWARD_OCTETS + 1);
	assert_int_equal(
	    forward_parse(span_of(text, FORWARD_OCTETS + 1), SPAN("bob@ours.test"), '+', f, &a),
	    GW_EFORMAT);
	arena_reset(&a);
	free(text);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
