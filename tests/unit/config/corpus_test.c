/*
 * Every file of tests/config: what is said about it is compared with its .expected
 * file, which ends with "accepted" or "refused". UPDATE=1 in the environment writes
 * the .expected files anew; read the difference before you keep them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "config/config.h"
#include "config/schema.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool produced[CE_COUNT];
static size_t refused;

static void read_file(const char *name, struct buf *out)
{
	FILE *f = fopen(name, "rb");
	uint8_t part[4096];
	size_t n;

	if (f == NULL)
		fail_msg("%s cannot be opened", name);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(out, part, n);
	fclose(f);
	assert_false(buf_failed(out));
}

static void note(const struct config_diags *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->d[i].hint == NULL || d->d[i].hint[0] == '\0')
			fail_msg("%s: no hint for: %s", name, d->d[i].text);
		for (size_t e = 0; e < CE_COUNT; e++)
			produced[e] = produced[e] || config_errors[e].number == d->d[i].code;
	}
}

static struct config *read_config(const char *name, struct config_diags *d)
{
	struct config *c = NULL;
	struct buf bundle;
	int rc = 0;

	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	if (strstr(name, ".bundle") != NULL)
		read_file(name, &bundle);
	else
		rc = config_bundle_load(name, &bundle, d);
	if (rc == 0)
		c = config_parse(buf_view(&bundle), 1, d);
	buf_fini(&bundle);
	return c;
}

static void compare(const char *expected, struct buf *got)
{
	struct buf want;
	FILE *f;

	if (getenv("UPDATE") != NULL) {
		f = fopen(expected, "wb");
		assert_non_null(f);
		fwrite(buf_view(got).p, 1, buf_len(got), f);
		fclose(f);
		return;
	}
	buf_init(&want, 1 << 20);
	read_file(expected, &want);
	if (!span_eq(buf_view(&want), buf_view(got)))
		fail_msg("%s differs. Expected:\n%.*s\nGot:\n%.*s", expected,
		    SPAN_ARG(buf_view(&want)), SPAN_ARG(buf_view(got)));
	buf_fini(&want);
}

static void run(const char *name)
{
	struct config_diags d;
	struct config *c;
	struct buf out;
	char expected[512];

	config_diags_init(&d);
	buf_init(&out, 1 << 20);
	c = read_config(name, &d);
	assert_true((c != NULL) == (d.errors == 0));
	refused += c == NULL;
	note(&d, name);
	config_diags_format(&d, &out);
	buf_add_str(&out, c ? "accepted\n" : "refused\n");
	snprintf(
	    expected, sizeof(expected), "%.*s.expected", (int)(strrchr(name, '.') - name), name);
	compare(expected, &out);
	config_free(&c);
	config_diags_fini(&d);
	buf_fini(&out);
}

static size_t run_all(const char *pattern)
{
	glob_t g;

	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++)
		run(g.gl_pathv[i]);
	globfree(&g);
	return g.gl_pathc;
}

static void test_corpus(void **state)
{
	(void)state;
	assert_int_equal(chdir("tests/config"), 0);
	setenv("GODWIT_TEST_NAME", "mx7.example.com", 1);
	setenv("GODWIT_TEST_QUOTE", "/a\" \"/b", 1);
	setenv("GODWIT_TEST_NEWLINE", "/a\ntrust 0.0.0.0/0", 1);
	setenv("GODWIT_TEST_INJECT", "a.example { deliver maildir /x }; trust 0.0.0.0/0 #", 1);
	unsetenv("GODWIT_NOT_SET");
	run_all("*.conf");
	run_all("*.bundle");
	assert_true(refused >= 60);
}

/* What is wrong with other files and with the machine is not found by the parser (diag_test.c). */
static bool elsewhere(size_t e)
{
	return e == CE_FILE_UNUSABLE || e == CE_FILE_CONTENT || e == CE_SOURCE_ELSEWHERE ||
	       e == CE_FILE_UNREAD || e == CE_PLAN_UNKNOWN || e == CE_ACCOUNT_UNKNOWN ||
	       e == CE_TENANT_UNKNOWN || e == CE_PIPE_NOT_RUN;
}

static void test_each_message_occurs(void **state)
{
	(void)state;
	for (size_t e = 0; e < CE_COUNT; e++) {
		if (!produced[e] && !elsewhere(e))
			fail_msg(
			    "no file in tests/config produces code %u", config_errors[e].number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_corpus),
	    cmocka_unit_test(test_each_message_occurs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
