/* Connections and rates of clients, over several pages. */
#include "flow/rate.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define S INT64_C(1000000)
enum { PER = 60, PAGES = 4 };

static struct rate_page *page_new(void)
{
	return gw_calloc(1, sizeof(struct rate_page));
}

static struct rate_sum sum_of(struct rate_page *const *page, size_t n, uint64_t key, int64_t now)
{
	struct rate_sum sum = {0};

	for (size_t i = 0; i < n; i++)
		rate_add(page[i], key, PER, now, &sum);
	return sum;
}

static void pages_add_up(void **state)
{
	struct rate_page *page[2] = {page_new(), page_new()};
	struct rate_slot *a = rate_enter(page[0], 7, PER, true, 600 * S);
	struct rate_slot *b = rate_enter(page[1], 7, PER, true, 600 * S);
	struct rate_slot *other = rate_enter(page[1], 8, PER, true, 600 * S);

	(void)state;
	assert_int_equal(sum_of(page, 2, 7, 600 * S).open, 2);
	assert_int_equal(sum_of(page, 2, 7, 600 * S).made, 2);
	rate_leave(a, false);
	assert_int_equal(sum_of(page, 2, 7, 600 * S).open, 1);
	assert_int_equal(sum_of(page, 2, 7, 600 * S).made, 2);
	rate_leave(b, true);
	assert_int_equal(sum_of(page, 2, 7, 600 * S).open, 0);
	assert_int_equal(sum_of(page, 2, 7, 600 * S).made, 1);
	rate_leave(other, false);
	assert_int_equal(sum_of(page, 2, 9, 600 * S).open, 0);
	free(page[0]);
	free(page[1]);
}

static void windows_slide(void **state)
{
	struct rate_page *page = page_new();

	(void)state;
	for (int i = 0; i < 60; i++)
		rate_leave(rate_enter(page, 7, PER, true, 600 * S + i * S), false);
	assert_int_equal(sum_of(&page, 1, 7, 659 * S).made, 60);
	/* Half a window later half of them are still in sight. */
	assert_int_equal(sum_of(&page, 1, 7, 690 * S).made, 30);
	rate_leave(rate_enter(page, 7, PER, true, 690 * S), false);
	assert_int_equal(sum_of(&page, 1, 7, 690 * S).made, 31);
	assert_int_equal(sum_of(&page, 1, 7, 720 * S).made, 1);
	assert_int_equal(sum_of(&page, 1, 7, 780 * S).made, 0);
	/* A silence of many windows leaves nothing behind. */
	rate_leave(rate_enter(page, 7, PER, true, 9000 * S), false);
	assert_int_equal(sum_of(&page, 1, 7, 9000 * S).made, 1);
	free(page);
}

static void uncounted_is_open_but_no_rate(void **state)
{
	struct rate_page *page = page_new();
	struct rate_slot *s = rate_enter(page, 7, PER, false, 600 * S);

	(void)state;
	assert_int_equal(sum_of(&page, 1, 7, 600 * S).open, 1);
	assert_int_equal(sum_of(&page, 1, 7, 600 * S).made, 0);
	rate_forgive(s);
	assert_int_equal(sum_of(&page, 1, 7, 600 * S).made, 0);
	rate_leave(s, false);
	free(page);
}

/* Keys that all want the same places: who has nothing open makes room, the least busy first. */
static void full_places_make_room(void **state)
{
	struct rate_page *page = page_new();

	(void)state;
	for (uint64_t i = 1; i <= RATE_REACH; i++) {
		struct rate_slot *s = rate_enter(page, i * RATE_SLOTS, PER, true, 600 * S);

		assert_ptr_not_equal(s, &page->shared);
		rate_leave(s, false);
		if (i != 5)
			rate_leave(rate_enter(page, i * RATE_SLOTS, PER, true, 600 * S), false);
	}
	rate_enter(page, 99 * RATE_SLOTS, PER, true, 600 * S);
	assert_int_equal(sum_of(&page, 1, 99 * RATE_SLOTS, 600 * S).open, 1);
	assert_int_equal(sum_of(&page, 1, 5 * RATE_SLOTS, 600 * S).made, 0);
	assert_int_equal(sum_of(&page, 1, 6 * RATE_SLOTS, 600 * S).made, 2);
	free(page);
}

/* All of them have something open: the others are counted as one client, never as none. */
static void full_places_share(void **state)
{
	struct rate_page *page = page_new();
	struct rate_slot *s[RATE_REACH + 3];
	struct rate_sum sum = {0};

	(void)state;
	for (uint64_t i = 0; i < RATE_REACH + 3; i++)
		s[i] = rate_enter(page, (i + 1) * RATE_SLOTS, PER, true, 600 * S);
	for (size_t i = RATE_REACH; i < RATE_REACH + 3; i++)
		assert_ptr_equal(s[i], &page->shared);
	rate_add_own(s[RATE_REACH], PER, 600 * S, &sum);
	assert_int_equal(sum.open, 3);
	for (size_t i = 0; i < RATE_REACH + 3; i++)
		rate_leave(s[i], false);
	assert_int_equal(page->shared.open, 0);
	free(page);
}

/* Random histories against a plain count. */
static void counts_are_exact(void **state)
{
	enum { KEYS = 500, STEPS = 200000 };
	struct rate_page *page[PAGES];
	struct rate_slot *open[KEYS][PAGES][3] = {{{0}}};
	unsigned n[KEYS] = {0};
	uint32_t dice = 1;

	(void)state;
	for (int i = 0; i < PAGES; i++)
		page[i] = page_new();
	for (int step = 0; step < STEPS; step++) {
		unsigned key, p, i;

		dice = dice * 1664525 + 1013904223;
		key = (dice >> 8) % KEYS;
		p = (dice >> 20) % PAGES;
		i = (dice >> 24) % 3;
		if (open[key][p][i] != NULL) {
			rate_leave(open[key][p][i], false);
			open[key][p][i] = NULL;
			n[key]--;
		} else {
			open[key][p][i] = rate_enter(
			    page[p], (key + 1) * 0x9e3779b97f4a7c15u, PER, true, 600 * S + step);
			n[key]++;
		}
		assert_int_equal(
		    sum_of(page, PAGES, (key + 1) * 0x9e3779b97f4a7c15u, 600 * S).open, n[key]);
	}
	for (int i = 0; i < PAGES; i++)
		free(page[i]);
}

/* A page full of lies: no overflow, no endless walk, and nobody becomes fewer by it. */
static void hostile_page(void **state)
{
	struct rate_page *page[2] = {page_new(), page_new()};

	(void)state;
	rate_enter(page[0], 7, PER, true, 600 * S);
	memset(page[1], 0xff, sizeof(*page[1]));
	assert_int_equal(sum_of(page, 2, 7, 600 * S).open, 1);
	for (int i = 0; i < RATE_SLOTS; i++)
		page[1]->slot[i].key = 7;
	assert_true(sum_of(page, 2, 7, 600 * S).open >= 1);
	assert_true(sum_of(page, 2, 7, 600 * S).made >= 1);
	free(page[0]);
	free(page[1]);
}

/* Two that come at once over the limit: never are both let in. */
struct racer {
	struct rate_page *own, *other;
	pthread_barrier_t *start;
	bool in;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct rate_sum sum = {0};
	struct rate_slot *s;

	pthread_barrier_wait(r->start);
	s = rate_enter(r->own, 7, PER, true, 600 * S);
	rate_add_own(s, PER, 600 * S, &sum);
	rate_add(r->other, 7, PER, 600 * S, &sum);
	r->in = sum.open <= 1;
	pthread_barrier_wait(r->start);
	rate_leave(s, true);
	return NULL;
}

static void the_last_place_goes_once(void **state)
{
	struct rate_page *page[2] = {page_new(), page_new()};
	pthread_barrier_t start;

	(void)state;
	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2000; i++) {
		struct racer r[2] = {
		    {page[0], page[1], &start, false}, {page[1], page[0], &start, false}};
		pthread_t t;

		assert_int_equal(pthread_create(&t, NULL, race, &r[1]), 0);
		race(&r[0]);
		pthread_join(t, NULL);
		assert_false(r[0].in && r[1].in);
	}
	pthread_barrier_destroy(&start);
	free(page[0]);
	free(page[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pages_add_up),
	    cmocka_unit_test(windows_slide),
	    cmocka_unit_test(uncounted_is_open_but_no_rate),
	    cmocka_unit_test(full_places_make_room),
	    cmocka_unit_test(full_places_share),
	    cmocka_unit_test(counts_are_exact),
	    cmocka_unit_test(hostile_page),
	    cmocka_unit_test(the_last_place_goes_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
