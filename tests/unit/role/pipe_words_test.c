/* What an address can make of a program's words and environment: nothing but one plain word. And
 * what a program's end means. */
#include "role/pipe_words.h"

#include "role/pipe_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include <cmocka.h>

static struct arena mem;

static char **args(const char *const *words, size_t n, const char *rcpt, const char *from)
{
	struct pipe p = {.arg = words, .n_arg = n};
	struct pipe_letter l = {.from = span_str(from), .rcpt = span_str(rcpt), .subaddress = '+'};

	arena_reset(&mem);
	return pipe_args(&p, &l, &mem);
}

static void values_are_words(void **state)
{
	static const char *const words[] = {
	    "/bin/x", "%u", "-d", "%d", "%id", "text", "", "--", "%to", "%from"};
	char **v = args(words, GW_ARRAY_LEN(words), "bob+x@example.org", "-a@example.net");

	(void)state;
	assert_non_null(v);
	assert_string_equal(v[0], "/bin/x");
	assert_string_equal(v[1], "bob");
	assert_string_equal(v[2], "-d");
	assert_string_equal(v[3], "example.org");
	assert_int_equal(strlen(v[4]), MSGID_TEXT);
	assert_string_equal(v[6], "");
	assert_string_equal(v[8], "bob+x@example.org");
	assert_string_equal(v[9], "-a@example.net");
	assert_null(v[10]);
}

static void no_value_is_an_option(void **state)
{
	static const char *const to[] = {"/bin/x", "%to"}, *const from[] = {
							       "/bin/x", "-f", "%from"};
	static const char *const behind[] = {"/bin/x", "%to", "--"}, *const name[] = {
									 "/bin/x", "%u"};

	(void)state;
	assert_null(args(to, 2, "-x@example.org", ""));
	assert_null(args(from, 3, "bob@example.org", "-x@example.org"));
	assert_null(args(behind, 3, "-x@example.org", ""));
	assert_non_null(args(from, 3, "bob@example.org", ""));
	assert_string_equal(args(name, 2, "--x@example.org", "")[1], "%2D-x");
}

/* Whatever octet: %u and %d are names that are neither paths nor options nor empty. */
static void no_octet_steers(void **state)
{
	static const char *const words[] = {"/bin/x", "%u", "%d"};

	(void)state;
	for (int c = 0; c < 256; c++) {
		char addr[] = "\"\\a-x\"@example.org";
		struct pipe p = {.arg = words, .n_arg = 3};
		struct pipe_letter l = {.rcpt = span_of(addr, sizeof(addr) - 1)};
		char **v;

		addr[2] = (char)c;
		arena_reset(&mem);
		v = pipe_args(&p, &l, &mem);
		if (v == NULL)
			continue;
		assert_true(v[1][0] != '-' && v[1][0] != '.' && v[1][0] != '\0');
		assert_null(strpbrk(v[1], "/ \t\n\"';|&$`<>\\*?"));
		assert_string_equal(v[2], "example.org");
	}
}

static void a_zero_octet_ends_no_word(void **state)
{
	static const char *const words[] = {"/bin/x", "--", "%to"};
	struct pipe p = {.arg = words, .n_arg = 3};
	struct pipe_letter l = {.rcpt = span_of("bob\0@example.org", 16)};
	struct pipe_user u = {1, 1, "nobody", "/"};
	char **env;

	(void)state;
	arena_reset(&mem);
	assert_null(pipe_args(&p, &l, &mem));
	env = pipe_environment(&u, &l, &mem);
	assert_string_equal(env[7], "RECIPIENT=bob?@example.org");
}

static void the_environment_is_ours(void **state)
{
	struct pipe_user u = {1, 1, "nobody", "/srv/x"};
	struct pipe_letter l = {.from = SPAN(""), .rcpt = SPAN("\"() { :;}; x\"@example.org")};
	char **env;

	(void)state;
	setenv("LD_PRELOAD", "/evil", 1);
	arena_reset(&mem);
	env = pipe_environment(&u, &l, &mem);
	unsetenv("LD_PRELOAD");
	assert_string_equal(env[0], "PATH=/usr/local/bin:/usr/bin:/bin");
	assert_string_equal(env[1], "HOME=/srv/x");
	assert_string_equal(env[6], "SENDER=");
	assert_string_equal(env[7], "RECIPIENT=\"() { :;}; x\"@example.org");
	assert_null(env[9]);
}

static void what_the_end_means(void **state)
{
	static const struct {
		int status;
		enum outcome outcome;
		uint16_t code;
		const char *text;
	} cases[] = {
	    {0, OUTCOME_DELIVERED, 250, "Given to x: a b"},
	    {EX_NOUSER << 8, OUTCOME_FAILED, 550, "x ended with status 67: a b"},
	    {EX_NOPERM << 8, OUTCOME_FAILED, 550, "x ended with status 77: a b"},
	    {EX_DATAERR << 8, OUTCOME_FAILED, 554, "x ended with status 65: a b"},
	    {100 << 8, OUTCOME_FAILED, 554, "x ended with status 100: a b"},
	    {EX_TEMPFAIL << 8, OUTCOME_DEFERRED, 451, "x ended with status 75: a b"},
	    {EX_USAGE << 8, OUTCOME_DEFERRED, 451, "x ended with status 64: a b"},
	    {EX_CONFIG << 8, OUTCOME_DEFERRED, 451, "x ended with status 78: a b"},
	    {EX_CANTCREAT << 8, OUTCOME_DEFERRED, 450, "x ended with status 73: a b"},
	    {1 << 8, OUTCOME_DEFERRED, 451, "x ended with status 1: a b"},
	    {255 << 8, OUTCOME_DEFERRED, 451, "x ended with status 255: a b"},
	    {9, OUTCOME_DEFERRED, 451, "x was ended by signal 9: a b"},
	};
	struct maildir_result r;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		pipe_judge(cases[i].status, "/usr/bin/x", SPAN("\r\n a\x1b\x07\xff\n\n\tb \n"), &r);
		assert_int_equal(r.outcome, cases[i].outcome);
		assert_int_equal(r.code, cases[i].code);
		assert_int_equal(r.esc[0], cases[i].code / 100);
		assert_string_equal(r.text, cases[i].text);
	}
}

/* For every status: the code, its enhanced one and the outcome agree. */
static void every_status_has_one_meaning(void **state)
{
	static char said[8000];
	struct maildir_result r;

	(void)state;
	memset(said, 'x', sizeof(said));
	for (int status = 0; status < 256; status++) {
		pipe_judge(status << 8, "/x", span_of(said, sizeof(said)), &r);
		assert_int_equal(r.code / 100, r.esc[0]);
		assert_int_equal(r.code / 100, r.outcome == OUTCOME_DELIVERED ? 2
					       : r.outcome == OUTCOME_FAILED  ? 5
									      : 4);
		assert_int_equal(strlen(r.text), MAILDIR_TEXT_MAX - 1);
		assert_int_equal(r.outcome == OUTCOME_DELIVERED, status == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_words),
	    cmocka_unit_test(no_value_is_an_option),
	    cmocka_unit_test(no_octet_steers),
	    cmocka_unit_test(a_zero_octet_ends_no_word),
	    cmocka_unit_test(the_environment_is_ours),
	    cmocka_unit_test(what_the_end_means),
	    cmocka_unit_test(every_status_has_one_meaning),
	};
	int failed;

	arena_init(&mem, 1 << 20);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_reset(&mem);
	return failed;
}
