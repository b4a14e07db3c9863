/* What replies to RCPT mean, what is remembered of them, and how often a client may guess. */
#include "flow/callout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#define SEC INT64_C(1000000)

static void what_replies_mean(void **state)
{
	static const struct {
		unsigned code, a, b, c;
		enum callout_verdict is;
	} cases[] = {
	    {250, 2, 1, 5, CALLOUT_KNOWN},
	    {251, 0, 0, 0, CALLOUT_KNOWN},
	    {550, 5, 1, 1, CALLOUT_UNKNOWN},
	    {554, 5, 1, 1, CALLOUT_UNKNOWN},
	    {550, 5, 1, 2, CALLOUT_UNKNOWN},
	    {550, 5, 1, 7, CALLOUT_AWAY},
	    {550, 5, 1, 8, CALLOUT_AWAY},
	    {550, 0, 0, 0, CALLOUT_UNKNOWN},
	    {551, 0, 0, 0, CALLOUT_UNKNOWN},
	    {553, 0, 0, 0, CALLOUT_UNKNOWN},
	    {550, 5, 0, 0, CALLOUT_UNKNOWN},
	    {550, 5, 2, 1, CALLOUT_UNKNOWN},
	    {550, 5, 7, 1, CALLOUT_AWAY},
	    {550, 5, 4, 6, CALLOUT_AWAY},
	    {550, 5, 3, 0, CALLOUT_AWAY},
	    {552, 5, 2, 2, CALLOUT_AWAY},
	    {552, 0, 0, 0, CALLOUT_AWAY},
	    {554, 0, 0, 0, CALLOUT_AWAY},
	    {500, 5, 5, 1, CALLOUT_AWAY},
	    {450, 4, 1, 1, CALLOUT_AWAY},
	    {421, 4, 3, 2, CALLOUT_AWAY},
	    {354, 0, 0, 0, CALLOUT_AWAY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply r = {(uint16_t)cases[i].code,
		    {(uint8_t)cases[i].a, (uint8_t)cases[i].b, (uint8_t)cases[i].c}, {0}};

		assert_int_equal(callout_judge(&r), cases[i].is);
	}
}

static void answers_have_their_time(void **state)
{
	struct callout_cache *c = callout_cache_new(3, 1);
	struct span d = SPAN("a.test");
	bool known;

	(void)state;
	callout_cache_put(c, d, SPAN("x@a.test"), true, 10 * SEC, 0);
	callout_cache_put(c, d, SPAN("y@a.test"), false, 2 * SEC, 0);
	assert_true(callout_cache_find(c, d, SPAN("x@a.test"), SEC, &known) && known);
	assert_true(callout_cache_find(c, d, SPAN("y@a.test"), SEC, &known) && !known);
	assert_false(callout_cache_find(c, d, SPAN("X@a.test"), SEC, &known));
	assert_false(callout_cache_find(c, SPAN("b.test"), SPAN("x@a.test"), SEC, &known));
	/* Neither half can be part of the other one. */
	assert_false(callout_cache_find(c, SPAN("a.tes"), SPAN("tx@a.test"), SEC, &known));
	assert_false(callout_cache_find(c, d, SPAN("y@a.test"), 2 * SEC, &known));
	assert_int_equal(callout_cache_count(c), 1);
	/* What is said later counts. */
	callout_cache_put(c, d, SPAN("x@a.test"), false, 10 * SEC, 2 * SEC);
	assert_true(callout_cache_find(c, d, SPAN("x@a.test"), 3 * SEC, &known) && !known);
	callout_cache_free(&c);
}

static void answers_have_a_ceiling(void **state)
{
	struct callout_cache *c = callout_cache_new(100, 1);
	char addr[32];
	bool known;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int n = snprintf(addr, sizeof(addr), "%d@a.test", i);

		callout_cache_put(c, SPAN("a.test"), span_of(addr, (size_t)n), true, 10 * SEC, 0);
		assert_true(callout_cache_count(c) <= 100);
	}
	assert_true(callout_cache_find(c, SPAN("a.test"), SPAN("999@a.test"), 0, &known));
	assert_false(callout_cache_find(c, SPAN("a.test"), SPAN("0@a.test"), 0, &known));
	callout_cache_free(&c);
}

static struct config *rules(const char *domains)
{
	struct config_diags diags;
	struct buf bundle;
	struct config *c;
	char text[2048];

	snprintf(text, sizeof(text), "hostname mx.test\nlisten mx 127.0.0.1:25\n%s", domains);
	buf_init(&bundle, 64 << 10);
	assert_int_equal(config_bundle_text("t", span_str(text), &bundle), 0);
	config_diags_init(&diags);
	c = config_parse(buf_view(&bundle), 1, &diags);
	config_diags_fini(&diags);
	buf_fini(&bundle);
	assert_non_null(c);
	return c;
}

/* Is what was said under the one still known under the other? */
static bool outlives(const char *old, const char *next)
{
	struct callout_cache *c = callout_cache_new(10, 1);
	struct config *a = rules(old), *b = rules(next);
	bool known, found;

	callout_cache_put(c, SPAN("a.test"), SPAN("x@a.test"), true, 10 * SEC, 0);
	callout_cache_put(c, SPAN("gone.test"), SPAN("x@gone.test"), true, 10 * SEC, 0);
	callout_cache_change(c, a, b);
	found = callout_cache_find(c, SPAN("a.test"), SPAN("x@a.test"), SEC, &known);
	assert_false(callout_cache_find(c, SPAN("gone.test"), SPAN("x@gone.test"), SEC, &known));
	assert_int_equal(callout_cache_count(c), found);
	config_free(&a);
	config_free(&b);
	callout_cache_free(&c);
	return found;
}

#define ASKS(words) "domain a.test { deliver maildir /m; recipients " words " }\n"

static void answers_of_others_are_void(void **state)
{
	static const char *const others[] = {ASKS("callout smtp 127.0.0.1:26"),
	    ASKS("callout smtp 127.0.0.2:25"), ASKS("callout lmtp 127.0.0.1:25"),
	    ASKS("callout lmtp unix:/s"), ASKS("callout smtp 127.0.0.1:25 from x@a.test"),
	    ASKS("callout smtp 127.0.0.1:25 cache 2m"),
	    ASKS("callout smtp 127.0.0.1:25 negative 2m"), ASKS("dovecot unix:/s"), ASKS("any"),
	    "domain *.test { deliver maildir /m; recipients callout smtp 127.0.0.1:25 }\n", ""};
	const char *is = ASKS("callout smtp 127.0.0.1:25");

	(void)state;
	assert_true(outlives(is, is));
	assert_true(outlives(is, ASKS("callout smtp 127.0.0.1:25 timeout 2s away accept")));
	assert_true(outlives(ASKS("dovecot unix:/s"), ASKS("dovecot unix:/s")));
	assert_false(outlives(ASKS("dovecot unix:/s"), ASKS("dovecot unix:/t")));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_false(outlives(is, others[i]));
		assert_false(outlives(others[i], is));
	}
}

static void a_client_guesses_so_often(void **state)
{
	struct guesses *g = guesses_new(100, 1);
	uint8_t four[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [15] = 1}, other[16],
		six[16] = {0x20, 1, [15] = 1}, same_net[16] = {0x20, 1, [15] = 9};

	(void)state;
	memcpy(other, four, 16);
	other[15] = 2;
	for (int i = 0; i < GUESSES_UNKNOWN; i++) {
		assert_true(guesses_begin(g, four, i));
		guesses_end(g, four, true, i);
	}
	assert_false(guesses_begin(g, four, SEC));
	assert_false(guesses_begin(g, four, GUESSES_TIME - 1));
	assert_true(guesses_begin(g, other, SEC));
	assert_true(guesses_begin(g, four, GUESSES_TIME));
	/* What is known costs nothing. */
	for (int i = 0; i < 1000; i++) {
		assert_true(guesses_begin(g, other, 2 * SEC));
		guesses_end(g, other, false, 2 * SEC);
	}
	/* A network of IPv6 is one client; so many at a time. */
	for (int i = 0; i < GUESSES_OPEN; i++)
		assert_true(guesses_begin(g, i % 2 ? six : same_net, 3 * SEC));
	assert_false(guesses_begin(g, six, 3 * SEC));
	guesses_end(g, same_net, false, 3 * SEC);
	assert_true(guesses_begin(g, six, 3 * SEC));
	guesses_free(&g);
}

static void many_clients(void **state)
{
	struct guesses *g = guesses_new(50, 1);
	uint8_t ip[16] = {[10] = 0xff, [11] = 0xff}, nobody[16] = {0};

	(void)state;
	for (unsigned i = 1; i < 5000; i++) {
		memcpy(ip + 12, &i, 4);
		assert_true(guesses_begin(g, ip, (int64_t)i));
		if (i % 3)
			guesses_end(g, ip, true, (int64_t)i);
		assert_true(guesses_begin(g, nobody, (int64_t)i));
	}
	guesses_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_replies_mean),
	    cmocka_unit_test(answers_have_their_time), cmocka_unit_test(answers_have_a_ceiling),
	    cmocka_unit_test(answers_of_others_are_void),
	    cmocka_unit_test(a_client_guesses_so_often), cmocka_unit_test(many_clients)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
