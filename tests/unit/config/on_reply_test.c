/* What hosts say and what is done then; and that no words of theirs cost more than a moment. */
#include "unit/config/helper.h"

#include "config/words.h"

#include <time.h>

static const char rules[] = BASE "domain our.test { deliver maildir /m }\n"
				 "shape a { mx a.test\n"
				 "  on reply \"4\\.7\\.65[01]\" slow 1/m for 30m\n"
				 "  on reply \"temporarily deferred\" pause 2h\n"
				 "  on reply \"(?i)mailbox full\" retry 6h\n"
				 "  on reply ^421 pause 5m\n"
				 "  on reply \"^4.. .*policy$\" bounce\n"
				 "}\n"
				 "shape b { mx b.test }\n"
				 "shape * { on reply x bounce }\n";

static const struct shape *group(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_shape; i++) {
		if (strcmp(c->shape[i].name, name) == 0)
			return &c->shape[i];
	}
	fail_msg("no group %s", name);
	return NULL;
}

static void test_first_decides(void **state)
{
	static const struct {
		const char *text;
		int rule; /* -1: none */
		enum on_reply_kind kind;
		int64_t seconds;
	} said[] = {
	    {"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", 0,
		ON_REPLY_SLOW, 1800},
	    {"451 4.7.652 Something else", -1, 0, 0},
	    {"421 4.7.0 [TSS04] Messages temporarily deferred due to policy", 1, ON_REPLY_PAUSE,
		7200},
	    {"452 4.2.2 MAILBOX Full", 2, ON_REPLY_RETRY, 21600},
	    {"452 4.2.2 Temporarily Deferred", -1, 0, 0},
	    {"421 come back", 3, ON_REPLY_PAUSE, 300},
	    {"450 421", -1, 0, 0},
	    {"450 4.7.1 our policy", 4, ON_REPLY_BOUNCE, 0},
	    {"450 4.7.1 our policy says so", -1, 0, 0},
	    {"", -1, 0, 0},
	};
	struct config *c = parse_good(rules);
	const struct shape *a = group(c, "a");

	(void)state;
	assert_int_equal(a->n_on_reply, 5);
	for (size_t i = 0; i < GW_ARRAY_LEN(said); i++) {
		const struct on_reply *r = on_reply_find(a, span_str(said[i].text));
		const struct on_reply *want = said[i].rule < 0 ? NULL : &a->on_reply[said[i].rule];

		if (r != want)
			fail_msg("%s: %s", said[i].text, r ? r->pattern : "nothing");
		if (r != NULL)
			assert_true(
			    r->kind == said[i].kind && r->time == said[i].seconds * 1000000);
	}
	assert_int_equal(a->on_reply[0].rate.n, 1);
	assert_int_equal(a->on_reply[0].rate.seconds, 60);
	/* A group without rules has those of "*", one with rules its own alone. */
	assert_non_null(on_reply_find(group(c, "b"), SPAN("450 x")));
	assert_null(on_reply_find(a, SPAN("450 x")));
	config_free(&c);
}

/* Octets that are no text, and more than is looked at. */
static void test_any_octets(void **state)
{
	struct config *c = parse_good(BASE "domain our.test { deliver maildir /m }\n"
					   "shape a { mx a.test; on reply \"end$\" bounce\n"
					   "on reply \"\\x00\\xff\" bounce }\n");
	const struct shape *a = group(c, "a");
	char text[2000];

	(void)state;
	assert_null(on_reply_find(a, SPAN_NONE));
	assert_ptr_equal(on_reply_find(a, span_of("450 \0\xff", 6)), &a->on_reply[1]);
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 3, "end", 3);
	assert_null(on_reply_find(a, span_of(text, sizeof(text))));
	memcpy(text + 509, "end", 3);
	assert_non_null(on_reply_find(a, span_of(text, 512)));
	config_free(&c);
}

/* ---- hosts that want to be searched for long ------------------------------------------------- */

static double milliseconds(const struct shape *g, struct span text)
{
	struct timespec a, b;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	(void)on_reply_find(g, text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	return (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
}

static void test_cost(void **state)
{
	/* Patterns that people write without thinking, and some that nobody would. */
	static const char *const patterns[] = {"(a+)+b", "(a|a)*b", "(.*)*x", "(.*a){12}",
	    "a*a*a*a*b", "(a?){30}a{30}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y",
	    "([a-zA-Z]+)*[0-9]", "((a|b)+)+c", "(?:a(?=.*b))*c", "(a(?1)?a)+b",
	    ".*.*.*.*=", "[ab]*?[ab]*?[ab]*?c", "(?<!a{3})b.*c", "a{1,8}b{1,8}a{1,8}c"};
	static const char *const units[] = {
	    "a", "ab", "x", "aaaaaaab", "a ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "ba", "aab"};
	double worst = 0;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(patterns); i++) {
		char text[600], config[1000];
		const struct shape *g;
		struct config *c;

		snprintf(config, sizeof(config),
		    BASE "domain our.test { deliver maildir /m }\n"
			 "shape a { mx a.test; on reply \"%s\" bounce }\n",
		    patterns[i]);
		c = parse_good(config);
		g = group(c, "a");
		for (size_t u = 0; u < GW_ARRAY_LEN(units); u++) {
			size_t n = strlen(units[u]);
			double took;

			for (size_t k = 0; k < sizeof(text); k++)
				text[k] = units[u][k % n];
			took = milliseconds(g, span_of(text, sizeof(text)));
			if (took > worst)
				print_message("%.3f ms: %s on %s\n", took, patterns[i], units[u]);
			worst = took > worst ? took : worst;
		}
		config_free(&c);
	}
	/* Without the limits it would be years. */
	assert_true(worst < 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_decides),
	    cmocka_unit_test(test_any_octets),
	    cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
