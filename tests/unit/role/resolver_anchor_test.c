/* Which stubs are validated: those that a chain of signatures can reach. */
#include "role/resolver_anchor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct anchors read_text(const char *text)
{
	char path[] = "/tmp/gw-anchors-XXXXXX";
	int fd = mkstemp(path);
	struct anchors a;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(anchors_read(&a, path), 0);
	unlink(path);
	return a;
}

static void names_of_a_file(void **state)
{
	struct anchors a = read_text("; a comment\n$TTL 60\n\n"
				     ".\tIN DNSKEY 257 3 8 AwEAA\n"
				     "  IN DS 1 8 2 00\n"
				     "Safe.Test. 3600 IN DS 1 8 2 00\n"
				     "other.test\tIN\tDS 1 8 2 00");

	(void)state;
	assert_int_equal(a.n, 3);
	assert_string_equal(a.name[0], ".");
	assert_string_equal(a.name[1], "safe.test.");
	assert_string_equal(a.name[2], "other.test.");
	anchors_free(&a);
	assert_int_equal(anchors_read(&a, "/nonexistent/anchors"), GW_EIO);
}

static void below(void **state)
{
	(void)state;
	assert_true(anchors_below("a.test.", "test."));
	assert_true(anchors_below("test.", "test."));
	assert_true(anchors_below("test.", "."));
	assert_true(anchors_below(".", "."));
	assert_false(anchors_below("atest.", "test."));
	assert_false(anchors_below("test.", "a.test."));
	assert_false(anchors_below(".", "test."));
}

static bool reached(const char *anchors, const char *stub, const char *other)
{
	struct dns_server server[2] = {
	    {.domain = stub, .stub = true}, {.domain = other, .stub = true}};
	struct config c = {.resolver = {.server = server, .n_server = other != NULL ? 2 : 1}};
	struct anchors a = read_text(anchors);
	bool is = anchors_reach(&a, &c, stub);

	anchors_free(&a);
	return is;
}

static void what_is_reached(void **state)
{
	static const char root[] = ". IN DS 1 8 2 00\n", safe[] = "safe.test. IN DS 1 8 2 00\n";

	(void)state;
	/* The root of the world does not know of a name that is inside only. */
	assert_false(reached(root, "corp.example", NULL));
	assert_true(reached(root, ".", NULL));
	assert_true(reached(root, "corp.example", "."));
	assert_true(reached(safe, "safe.test", NULL));
	assert_true(reached(safe, "test", NULL));
	assert_true(reached(safe, "sub.safe.test", "safe.test"));
	assert_false(reached(safe, "sub.safe.test", NULL));
	assert_false(reached(safe, "unsafe.test", "plain.test"));
	assert_false(reached("", "safe.test", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_of_a_file),
	    cmocka_unit_test(below),
	    cmocka_unit_test(what_is_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
