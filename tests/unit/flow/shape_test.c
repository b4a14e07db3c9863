#include "unit/flow/fixture.h"

#include "flow/shape.h"

#include <stdlib.h>

#define MS INT64_C(1000)

/* A peer of paper: messages take a while, and it writes down when it saw each of them. */
struct peer {
	struct window w;
	int64_t now, under_way[256], started[256];
	size_t n, seen;
	int64_t saw[200000];
	uint64_t dice;
};

static int64_t roll(struct peer *p, int64_t most)
{
	struct dice d = {p->dice};
	uint64_t x = dice_roll(&d);

	p->dice = d.state;
	return (int64_t)(x % (uint64_t)(most + 1));
}

static struct peer *peer_new(uint32_t n, uint32_t seconds)
{
	struct peer *p = gw_calloc(1, sizeof(*p));

	window_init(&p->w, (struct rate){n, seconds});
	p->now = 1000 * SEC;
	p->dice = n + seconds;
	return p;
}

static void arrive(struct peer *p)
{
	for (size_t i = 0; i < p->n;) {
		if (p->under_way[i] > p->now) {
			i++;
			continue;
		}
		window_back(&p->w, true, p->started[i], p->now);
		p->saw[p->seen++] = p->under_way[i];
		p->under_way[i] = p->under_way[--p->n];
		p->started[i] = p->started[p->n];
	}
}

/* As much as goes, over "conns" connections, with messages that take from..to. */
static void run(struct peer *p, int64_t length, size_t conns, int64_t from, int64_t to)
{
	int64_t end = p->now + length;

	for (; p->now < end; p->now += MS) {
		arrive(p);
		while (p->n < conns && window_open(&p->w, p->now)) {
			window_take(&p->w);
			p->started[p->n] = p->now;
			p->under_way[p->n++] = p->now + from + roll(p, to - from);
		}
	}
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The most that were seen in any interval of that length. */
static size_t densest(struct peer *p, int64_t length)
{
	size_t most = 0, first = 0;

	qsort(p->saw, p->seen, sizeof(p->saw[0]), by_time);
	for (size_t i = 0; i < p->seen; i++) {
		while (p->saw[i] - p->saw[first] >= length)
			first++;
		if (i - first + 1 > most)
			most = i - first + 1;
	}
	return most;
}

static const struct {
	uint32_t n, seconds;
	int64_t from, to, length;
} cases[] = {
    {50, 1, 2 * MS, 6 * MS, 100 * SEC},
    {20, 1, 1 * MS, 20 * MS, 100 * SEC},
    {3, 10, 50 * MS, 300 * MS, 20 * MIN},
    {1, 60, 100 * MS, 2 * SEC, 10 * HOURS},
    {1000, 3600, 5 * MS, 400 * MS, 8 * HOURS},
};

static void test_never_above(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		struct peer *p = peer_new(cases[i].n, cases[i].seconds);
		int64_t interval = cases[i].seconds * SEC;
		double due = (double)cases[i].n * (double)cases[i].length / (double)interval;

		run(p, cases[i].length, 20, cases[i].from, cases[i].to);
		assert_in_range(densest(p, interval), 1, cases[i].n);
		assert_true((double)p->seen >= 0.95 * due - cases[i].n);
		free(p);
	}
}

/* New connections are slow and old ones quick: what was started late arrives late. */
static void test_slow_then_quick(void **state)
{
	struct peer *p = peer_new(50, 1);

	(void)state;
	for (int i = 0; i < 30; i++) {
		run(p, 300 * MS, 50, 100 * MS, 200 * MS);
		run(p, 2 * SEC, 50, 1 * MS, 3 * MS);
	}
	assert_in_range(densest(p, SEC), 1, 50);
	free(p);
}

/* A peer that is slow for long is not given less: what every message needs is known. */
static void test_slow_peer(void **state)
{
	struct peer *p = peer_new(50, 1);
	size_t before;

	(void)state;
	run(p, 130 * SEC, 60, 500 * MS, 510 * MS);
	before = p->seen;
	run(p, 60 * SEC, 60, 500 * MS, 510 * MS);
	assert_in_range(p->seen - before, 54 * 50, 60 * 50);
	assert_in_range(densest(p, SEC), 1, 50);
	free(p);
}

/* A burst after silence goes at once; what waits is told when. */
static void test_burst(void **state)
{
	struct window w;
	int64_t now = 77 * SEC + 333 * MS, at;

	(void)state;
	window_init(&w, (struct rate){10, 60});
	for (int i = 0; i < 10; i++) {
		assert_true(window_open(&w, now));
		window_take(&w);
	}
	assert_false(window_open(&w, now));
	assert_true(window_opens(&w) == INT64_MAX); /* not by time: all are under way */
	for (int i = 0; i < 10; i++)
		window_back(&w, i > 0, now, now + 5 * MS); /* the first was never sent */
	assert_true(window_open(&w, now + 5 * MS));
	window_take(&w);
	window_back(&w, true, now + 5 * MS, now + 6 * MS);
	assert_false(window_open(&w, now + 6 * MS));
	at = window_opens(&w);
	assert_in_range(at - now, 60 * SEC, 62 * SEC);
	assert_false(window_open(&w, at - 1));
	assert_false(window_empty(&w, at - 1));
	assert_true(window_open(&w, at));
	assert_true(window_empty(&w, at + 2 * SEC));
}

/* Clocks that stand still or jump far, and a result nobody waits for, do no harm. */
static void test_odd_times(void **state)
{
	struct window w, none;

	(void)state;
	window_init(&w, (struct rate){2, 0});
	window_back(&w, true, 0, 5 * SEC);
	assert_true(window_empty(&w, 5 * SEC));
	window_take(&w);
	window_back(&w, true, 9 * SEC, 5 * SEC); /* it came back before it went */
	assert_true(window_open(&w, 5 * SEC));
	assert_true(window_open(&w, INT64_MAX / 2));
	assert_true(window_empty(&w, INT64_MAX / 2));
	window_init(&none, (struct rate){0, 1});
	window_take(&none);
	assert_true(window_open(&none, 0) && window_empty(&none, 0));
}

static void test_rate_text(void **state)
{
	char text[RATE_TEXT];

	(void)state;
	assert_string_equal(rate_text((struct rate){50, 1}, text), "50/s");
	assert_string_equal(rate_text((struct rate){1, 60}, text), "1/m");
	assert_string_equal(rate_text((struct rate){500000, 86400}, text), "500000/d");
	assert_string_equal(rate_text((struct rate){3, 10}, text), "3/10s");
}

/* ---- connections ---------------------------------------------------------------------------- */

static void test_grows(void **state)
{
	struct grower g;
	size_t good = 0;

	(void)state;
	grower_init(&g, 20, false);
	assert_int_equal(g.allowed, GROWER_START);
	while (g.allowed < 20) {
		good++;
		(void)grower_good(&g, SEC);
	}
	assert_int_equal(good, (5 + 19) * 15 / 2); /* one more for each full round */
	assert_false(grower_good(&g, SEC));
	assert_int_equal(g.allowed, 20);
	grower_init(&g, 3, false);
	assert_int_equal(g.allowed, 3);
	grower_init(&g, 30, true);
	assert_int_equal(g.allowed, 30);
}

static void good_rounds(struct grower *g, int rounds, int64_t now)
{
	for (int i = 0; i < rounds * 100; i++)
		(void)grower_good(g, now);
}

/* A storm of refusals is one; each later one halves again; then it stays below for a while. */
static void test_cut(void **state)
{
	struct grower g;

	(void)state;
	grower_init(&g, 20, true);
	for (int i = 0; i < 20; i++)
		assert_int_equal(grower_cut(&g, 20, 10 * SEC, 11 * SEC), i == 0);
	assert_int_equal(g.allowed, 10);
	assert_true(grower_cut(&g, 8, 12 * SEC, 13 * SEC));
	assert_int_equal(g.allowed, 5);
	good_rounds(&g, 50, 14 * SEC);
	assert_int_equal(g.allowed, 7); /* eight were too many */
	good_rounds(&g, 50, 312 * SEC);
	assert_int_equal(g.allowed, 7);
	good_rounds(&g, 50, 313 * SEC);
	assert_int_equal(g.allowed, 20);
}

static void test_at_least_one(void **state)
{
	struct grower g;

	(void)state;
	grower_init(&g, 20, true);
	for (int i = 1; i < 20; i++)
		(void)grower_cut(&g, 0, i * SEC, i * SEC + 1);
	assert_int_equal(g.allowed, 1);
	assert_false(grower_fresh(&g, 21 * SEC));
	assert_true(grower_fresh(&g, 400 * SEC));
	/* Hosts that were away altogether have said nothing of how many they can bear. */
	assert_true(grower_good(&g, 21 * SEC));
	assert_int_equal(g.allowed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_never_above),
	    cmocka_unit_test(test_slow_then_quick),
	    cmocka_unit_test(test_slow_peer),
	    cmocka_unit_test(test_burst),
	    cmocka_unit_test(test_odd_times),
	    cmocka_unit_test(test_rate_text),
	    cmocka_unit_test(test_grows),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_at_least_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
