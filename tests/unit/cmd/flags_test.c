#include "cmd/commands.h"
#include "cmd/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cmd_globals g;
static bool on;
static const char *text;
static struct flag_list list;
static uint64_t number, size;
static int64_t span;
static int code;

static const struct flag rows[] = {
    {"--on", FLAG_ON, &on},
    {"--text", FLAG_TEXT, &text},
    {"--list", FLAG_LIST, &list},
    {"--number", FLAG_NUMBER, &number},
    {"--size", FLAG_SIZE, &size},
    {"--span", FLAG_TIME, &span},
};

static int argc_left;
static const char *argv_left[128];

/* Reads the words behind the verb; they end with NULL. */
static bool read_flags(bool first_word_ends, const char *const *words)
{
	struct flags f = {"test", rows, GW_ARRAY_LEN(rows), &g, first_word_ends};

	on = false;
	text = NULL;
	list.n = 0;
	number = size = 0;
	span = 0;
	code = -1;
	memset(&g, 0, sizeof(g));
	argv_left[0] = "test";
	for (argc_left = 1; words[argc_left - 1] != NULL; argc_left++)
		argv_left[argc_left] = words[argc_left - 1];
	return flags_read(&f, &argc_left, (char **)argv_left, &code);
}

#define READ(...) read_flags(false, (const char *const[]){__VA_ARGS__, NULL})

static void values_are_taken(void **state)
{
	(void)state;
	assert_true(READ("--on", "--text", "a b", "--list=1", "--list", "--on", "--number", "20k",
	    "--size=10k", "--span", "90s", "--json", "--timeout=2m"));
	assert_true(on && g.json && !g.yes);
	assert_string_equal(text, "a b");
	assert_int_equal(list.n, 2);
	assert_string_equal(list.value[1], "--on");
	assert_int_equal(number, 20000);
	assert_int_equal(size, 10240);
	assert_int_equal(span, 90000000);
	assert_int_equal(g.timeout, 120000000);
	assert_int_equal(argc_left, 1);
}

static void words_keep_their_order(void **state)
{
	(void)state;
	assert_true(READ("one", "--on", "two", "--text=", "-", "--", "--on", "three"));
	assert_int_equal(argc_left, 6);
	assert_string_equal(argv_left[1], "one");
	assert_string_equal(argv_left[2], "two");
	assert_string_equal(argv_left[3], "-");
	assert_string_equal(argv_left[4], "--on");
	assert_string_equal(argv_left[5], "three");
	assert_string_equal(text, "");
}

static void first_word_can_end_it(void **state)
{
	static const char *const words[] = {"--json", "verb", "--bogus", "--on", NULL};

	(void)state;
	assert_true(read_flags(true, words));
	assert_true(g.json && !on);
	assert_int_equal(argc_left, 4);
	assert_string_equal(argv_left[2], "--bogus");
}

static void usage_errors(void **state)
{
	(void)state;
	assert_false(READ("--bogus"));
	assert_int_equal(code, CMD_USAGE);
	assert_false(READ("--on=1"));
	assert_int_equal(code, CMD_USAGE);
	assert_false(READ("--text"));
	assert_false(READ("--number", "x"));
	assert_false(READ("--number", ""));
	assert_false(READ("--number", "-1"));
	assert_false(READ("--number", "99999999999999999999"));
	assert_false(READ("--size", "9223372036854775807k"));
	assert_false(READ("--span", "30"));
	assert_false(READ("--span", "0s"));
	assert_false(READ("--span", "99999999d"));
	assert_false(READ("--o"));
	assert_false(READ("--onn"));
	assert_false(READ("-x"));
	assert_int_equal(code, CMD_USAGE);
}

static void lists_have_an_end(void **state)
{
	const char *words[FLAG_LIST_MAX + 2];

	(void)state;
	for (size_t i = 0; i < FLAG_LIST_MAX; i++)
		words[i] = "--list=x";
	words[FLAG_LIST_MAX] = NULL;
	assert_true(read_flags(false, words));
	words[FLAG_LIST_MAX] = "--list=x";
	words[FLAG_LIST_MAX + 1] = NULL;
	assert_false(read_flags(false, words));
}

static void verbs_are_described(void **state)
{
	static const char *const verbs[] = {
	    "serve", "dev", "send", "queue", "status", "config", "bench", "help", "version"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(verbs); i++) {
		const struct command *c = command_find(verbs[i]);

		assert_non_null(c);
		assert_true(c->purpose[0] != '\0' && strlen(c->purpose) < 60);
		assert_non_null(strstr(c->usage, verbs[i]));
		assert_int_equal(c->usage[strlen(c->usage) - 1], '\n');
	}
	assert_null(command_find("serv"));
	assert_null(command_find(""));
}

static int run_program(const char *a, const char *b)
{
	char *argv[] = {(char *)"godwit", (char *)a, (char *)b, NULL};

	return command_main(b ? 3 : a ? 2 : 1, argv);
}

static void program_refuses(void **state)
{
	(void)state;
	assert_int_equal(run_program(NULL, NULL), CMD_USAGE);
	assert_int_equal(run_program("quee", NULL), CMD_USAGE);
	assert_int_equal(run_program("--bogus", NULL), CMD_USAGE);
	assert_int_equal(run_program("help", "nothing"), CMD_USAGE);
	assert_int_equal(run_program("queue", "destroy"), CMD_USAGE);
	assert_int_equal(run_program("version", NULL), CMD_OK);
	assert_int_equal(run_program("help", "queue"), CMD_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_taken),
	    cmocka_unit_test(words_keep_their_order),
	    cmocka_unit_test(first_word_can_end_it),
	    cmocka_unit_test(usage_errors),
	    cmocka_unit_test(lists_have_an_end),
	    cmocka_unit_test(verbs_are_described),
	    cmocka_unit_test(program_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
