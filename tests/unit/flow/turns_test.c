/* Whose turn it is: the promises of flow/turns.h, against random rings and in numbers. */
#include "unit/base/helper.h"

#include "flow/turns.h"

#include <time.h>

struct who {
	struct turn turn;
	unsigned account;
	enum priority class;
	bool in;
};

struct ring {
	struct map book;
	struct turns turns;
};

static void ring_init(struct ring *r)
{
	map_init(&r->book, 7);
	turns_init(&r->turns, &r->book);
}

static void ring_fini(struct ring *r)
{
	assert_int_equal(map_len(&r->book), 0);
	map_fini(&r->book);
}

static void join(struct ring *r, struct who *w)
{
	char name[32];

	snprintf(name, sizeof(name), "user%u@example.com", w->account);
	turns_join(&r->turns, &w->turn, w->class, w->account ? span_str(name) : SPAN_NONE);
	w->in = true;
}

static void leave(struct ring *r, struct who *w)
{
	turns_leave(&r->turns, &w->turn);
	assert_false(turn_is_in(&w->turn));
	w->in = false;
}

/* turn is the first member */
static struct who *take(struct ring *r, unsigned classes)
{
	struct turn *e = turns_next(&r->turns, classes);

	if (e != NULL)
		turns_taken(&r->turns, e);
	return (struct who *)e;
}

/* ---- classes ------------------------------------------------------------------------------- */

static void count_round(struct ring *r, size_t n[PRIORITY_COUNT])
{
	memset(n, 0, PRIORITY_COUNT * sizeof(*n));
	for (int i = 0; i < TURNS_ROUND; i++)
		n[take(r, TURNS_ALL)->class]++;
}

static void test_shares(void **state)
{
	struct who w[PRIORITY_COUNT] = {{.class = PRIORITY_NORMAL, .account = 1},
	    {.class = PRIORITY_HIGH, .account = 2}, {.class = PRIORITY_BULK, .account = 3}};
	size_t n[PRIORITY_COUNT];
	struct ring r;

	(void)state;
	ring_init(&r);
	assert_null(turns_next(&r.turns, TURNS_ALL));
	for (int i = 0; i < PRIORITY_COUNT; i++)
		join(&r, &w[i]);
	assert_int_equal(turns_classes(&r.turns), TURNS_ALL);
	count_round(&r, n);
	assert_int_equal(n[PRIORITY_HIGH], TURNS_HIGH_SHARE);
	assert_int_equal(n[PRIORITY_NORMAL], TURNS_NORMAL_SHARE);
	assert_int_equal(n[PRIORITY_BULK], TURNS_BULK_SHARE);
	leave(&r, &w[PRIORITY_HIGH]);
	count_round(&r, n);
	assert_int_equal(n[PRIORITY_NORMAL], TURNS_ROUND - TURNS_BULK_SHARE);
	leave(&r, &w[PRIORITY_NORMAL]);
	count_round(&r, n);
	assert_int_equal(n[PRIORITY_BULK], TURNS_ROUND);
	assert_null(turns_next(&r.turns, TURNS_ALL & ~(1U << PRIORITY_BULK)));
	leave(&r, &w[PRIORITY_BULK]);
	turns_leave(&r.turns, &w[PRIORITY_BULK].turn); /* again: nothing */
	assert_int_equal(turns_classes(&r.turns), 0);
	ring_fini(&r);
}

/* From every place of the round: one turn of a lower class at most before it. */
static void test_high_waits_for_one(void **state)
{
	struct who high = {.class = PRIORITY_HIGH}, normal = {.class = PRIORITY_NORMAL},
		   bulk = {.class = PRIORITY_BULK};
	size_t worst = 0;
	struct ring r;

	(void)state;
	ring_init(&r);
	join(&r, &normal);
	join(&r, &bulk);
	for (int start = 0; start < 3 * TURNS_ROUND; start++) {
		size_t before = 0;

		join(&r, &high);
		while (take(&r, TURNS_ALL) != &high)
			before++;
		leave(&r, &high);
		worst = before > worst ? before : worst;
	}
	assert_int_equal(worst, 1);
	leave(&r, &normal);
	leave(&r, &bulk);
	ring_fini(&r);
}

/* ---- accounts ------------------------------------------------------------------------------ */

static void test_domains_buy_no_turns(void **state)
{
	enum { DOMAINS = 1000, TURNS = 4000 };
	static struct who many[DOMAINS];
	struct who one = {.class = PRIORITY_NORMAL, .account = 2};
	size_t n = 0, least = SIZE_MAX, most = 0, got[DOMAINS] = {0};
	struct ring r;

	(void)state;
	ring_init(&r);
	for (size_t i = 0; i < DOMAINS; i++) {
		many[i] = (struct who){.class = PRIORITY_NORMAL, .account = 1};
		join(&r, &many[i]);
	}
	join(&r, &one);
	for (size_t i = 0; i < TURNS; i++) {
		const struct who *w = take(&r, TURNS_ALL);

		if (w == &one)
			n++;
		else
			got[w - many]++;
	}
	assert_int_equal(n, TURNS / 2);
	for (size_t i = 0; i < DOMAINS; i++) {
		least = got[i] < least ? got[i] : least;
		most = got[i] > most ? got[i] : most;
		leave(&r, &many[i]);
	}
	assert_true(most - least <= 1 && least == TURNS / 2 / DOMAINS);
	leave(&r, &one);
	ring_fini(&r);
}

/* Names that begin alike, names longer than what is kept of them, and none. */
static void test_names(void **state)
{
	char text[TURNS_ACCOUNT_MAX + 10];
	struct turn none = {0}, a = {0}, ab = {0}, x = {0}, y = {0};
	struct ring r;

	(void)state;
	memset(text, 'x', sizeof(text));
	ring_init(&r);
	turns_join(&r.turns, &none, PRIORITY_NORMAL, SPAN_NONE);
	turns_join(&r.turns, &a, PRIORITY_NORMAL, SPAN("a"));
	turns_join(&r.turns, &ab, PRIORITY_NORMAL, SPAN("ab"));
	turns_join(&r.turns, &x, PRIORITY_NORMAL, span_of(text, sizeof(text)));
	turns_join(&r.turns, &y, PRIORITY_NORMAL, span_of(text, sizeof(text) - 1));
	assert_int_equal(map_len(&r.book), 4);
	assert_ptr_equal(x.account, y.account);
	turns_leave(&r.turns, &none);
	turns_leave(&r.turns, &a);
	turns_leave(&r.turns, &ab);
	turns_leave(&r.turns, &x);
	turns_leave(&r.turns, &y);
	ring_fini(&r);
}

/* Two rings share a book and nothing else. */
static void test_two_rings(void **state)
{
	struct turn here = {0}, there = {0};
	struct turns second;
	struct ring r;

	(void)state;
	ring_init(&r);
	turns_init(&second, &r.book);
	turns_join(&r.turns, &here, PRIORITY_BULK, SPAN("a"));
	assert_null(turns_next(&second, TURNS_ALL));
	turns_join(&second, &there, PRIORITY_BULK, SPAN("a"));
	assert_ptr_equal(turns_next(&r.turns, TURNS_ALL), &here);
	assert_ptr_equal(turns_next(&second, TURNS_ALL), &there);
	turns_leave(&r.turns, &here);
	turns_leave(&second, &there);
	ring_fini(&r);
}

/* ---- all promises, at random ---------------------------------------------------------------- */

enum { WHO = 60, ACCOUNTS = 6 };

struct model {
	struct ring ring;
	struct who w[WHO];
	/* By class: turns in a row in which it had something, and of the last of them those it had.
	 */
	size_t present[PRIORITY_COUNT];
	uint32_t had[PRIORITY_COUNT]; /* bits, the last turn is the lowest */
	/* By class and account: since it came or had its turn, has the other one had one? */
	bool passed[PRIORITY_COUNT][ACCOUNTS][ACCOUNTS];
	bool passed_entry[WHO][WHO];
};

static bool account_is_in(const struct model *m, unsigned class, unsigned account)
{
	for (size_t i = 0; i < WHO; i++) {
		if (m->w[i].in && m->w[i].class == class && m->w[i].account == account)
			return true;
	}
	return false;
}

static void model_turn(struct model *m)
{
	unsigned classes = turns_classes(&m->ring.turns);
	struct who *w = take(&m->ring, TURNS_ALL);
	static const int share[] = {[PRIORITY_HIGH] = TURNS_HIGH_SHARE,
	    [PRIORITY_NORMAL] = TURNS_NORMAL_SHARE,
	    [PRIORITY_BULK] = TURNS_BULK_SHARE};

	assert_true((w == NULL) == (classes == 0));
	if (w == NULL)
		return;
	for (unsigned c = 0; c < PRIORITY_COUNT; c++) {
		m->present[c] = classes & 1U << c ? m->present[c] + 1 : 0;
		m->had[c] = m->had[c] << 1 | (w->class == c);
		if (m->present[c] >= TURNS_ROUND)
			assert_true(__builtin_popcount(m->had[c] & 0xffff) >= share[c]);
	}
	for (unsigned a = 0; a < ACCOUNTS; a++) {
		if (a == w->account || !account_is_in(m, w->class, a))
			continue;
		assert_false(m->passed[w->class][a][w->account]); /* twice before a */
		m->passed[w->class][a][w->account] = true;
	}
	memset(m->passed[w->class][w->account], 0, sizeof(m->passed[0][0]));
	for (size_t i = 0; i < WHO; i++) {
		if (&m->w[i] == w || !m->w[i].in || m->w[i].class != w->class ||
		    m->w[i].account != w->account)
			continue;
		assert_false(m->passed_entry[i][w - m->w]);
		m->passed_entry[i][w - m->w] = true;
	}
	memset(m->passed_entry[w - m->w], 0, sizeof(m->passed_entry[0]));
}

/* Whoever comes stands behind the others, and is passed by none yet. Who goes and comes again gains
 * nothing: what it had since their last turns still counts. */
static void model_change(struct model *m, struct who *w, uint64_t *rng)
{
	size_t i = (size_t)(w - m->w);

	if (w->in) {
		leave(&m->ring, w);
		return;
	}
	w->account = helper_random(rng, ACCOUNTS);
	w->class = (enum priority)helper_random(rng, PRIORITY_COUNT);
	if (!account_is_in(m, w->class, w->account))
		memset(m->passed[w->class][w->account], 0, sizeof(m->passed[0][0]));
	memset(m->passed_entry[i], 0, sizeof(m->passed_entry[0]));
	join(&m->ring, w);
}

static void test_promises(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct model *m = gw_calloc(1, sizeof(*m));
		uint64_t rng = seed;
		uint32_t changes = 2 + helper_random(&rng, 30); /* of 32 steps */

		ring_init(&m->ring);
		for (int step = 0; step < 20000; step++) {
			if (helper_random(&rng, 32) < changes)
				model_turn(m);
			else
				model_change(m, &m->w[helper_random(&rng, WHO)], &rng);
		}
		for (size_t i = 0; i < WHO; i++) {
			if (m->w[i].in)
				leave(&m->ring, &m->w[i]);
		}
		ring_fini(&m->ring);
		free(m);
	}
	(void)state;
}

/* ---- size ----------------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double turn_cost(size_t n)
{
	enum { TURNS = 200000 };
	struct who *w = gw_calloc(n, sizeof(*w));
	struct ring r;
	double start;

	ring_init(&r);
	for (size_t i = 0; i < n; i++) {
		w[i] = (struct who){
		    .class = (enum priority)(i % PRIORITY_COUNT), .account = (unsigned)(i / 100)};
		join(&r, &w[i]);
	}
	start = seconds();
	for (size_t i = 0; i < TURNS; i++) {
		struct who *x = take(&r, TURNS_ALL);

		leave(&r, x);
		join(&r, x);
	}
	start = seconds() - start;
	for (size_t i = 0; i < n; i++)
		leave(&r, &w[i]);
	ring_fini(&r);
	free(w);
	return start / TURNS * 1e9;
}

/* A walk over all of them at each turn would take a hundred times as long, or more. */
static void test_any_number(void **state)
{
	double few = turn_cost(100), many = turn_cost(100000);

	(void)state;
	print_message("a turn: %.0f ns among 100, %.0f ns among 100,000\n", few, many);
	assert_true(many < 20 * few + 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shares),
	    cmocka_unit_test(test_high_waits_for_one),
	    cmocka_unit_test(test_domains_buy_no_turns),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_two_rings),
	    cmocka_unit_test(test_promises),
	    cmocka_unit_test(test_any_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
