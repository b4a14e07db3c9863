/* The container of messages at rest: slots, the index by id, the heap, finished recipients. */
#include "flow/parked.h"

#include "base/map.h"
#include "mail/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MANY = 5000, SEED = 7 };

static struct msgid id_of(uint64_t n)
{
	struct msgid id = {{0}};

	memcpy(id.b, &n, sizeof(n));
	return id;
}

static int set_up(void **state)
{
	struct parking *k = gw_calloc(1, sizeof(*k));

	parking_init(k, SEED);
	*state = k;
	return 0;
}

static int tear_down(void **state)
{
	parking_fini(*state);
	free(*state);
	return 0;
}

static void test_empty(void **state)
{
	struct parking *k = *state;
	struct msgid id = id_of(1);

	assert_null(parking_find(k, &id));
	assert_int_equal(parking_len(k), 0);
	assert_null(heap_min(&k->due));
}

/* Is exactly every third one gone? */
static void check_two_thirds(struct parking *k)
{
	for (uint64_t i = 0; i < MANY; i++) {
		struct msgid id = id_of(i);
		struct parked *p = parking_find(k, &id);

		assert_int_equal(p == NULL, i % 3 == 0);
		if (p == NULL)
			continue;
		assert_true(msgid_eq(&p->id, &id));
		assert_int_equal(p->octets, i);
		assert_int_equal(p->n_rcpt, 1 + i % 4);
		assert_int_equal(parked_rest(p)[p->n_rcpt - 1].number, i);
	}
}

static void test_many(void **state)
{
	struct parking *k = *state;

	for (uint64_t i = 0; i < MANY; i++) {
		struct msgid id = id_of(i);
		struct parked *p = parking_add(k, &id, (uint32_t)(1 + i % 4));

		p->octets = i;
		parked_rest(p)[p->n_rcpt - 1].number = (uint32_t)i;
		heap_set(&k->due, &p->node, (int64_t)(MANY - i));
	}
	for (uint64_t i = 0; i < MANY; i += 3) {
		struct msgid id = id_of(i);

		parking_remove(k, parking_find(k, &id));
	}
	assert_int_equal(parking_len(k), MANY - (MANY + 2) / 3);
	check_two_thirds(k);
	/* What left its slot is in the heap no more; the others are there in their order. */
	for (uint64_t i = MANY; i-- > 0;) {
		struct parked *p;

		if (i % 3 == 0)
			continue;
		p = (struct parked *)heap_min(&k->due);
		assert_int_equal(p->octets, i);
		parking_remove(k, p);
	}
	assert_int_equal(parking_len(k), 0);
	assert_null(heap_min(&k->due));
}

/* Three ids of one bucket of the first index: each is found, whichever goes first. */
static void test_one_bucket(void **state)
{
	for (int gone = 0; gone < 3; gone++) {
		struct parking *k = *state;
		struct parked *p[3];
		struct msgid id[3];
		int n = 0;

		for (uint64_t i = 0; n < 3; i++) {
			id[n] = id_of(i);
			n += (map_hash(msgid_span(&id[n]), SEED) & 63) == 5;
		}
		for (int i = 0; i < 3; i++)
			p[i] = parking_add(k, &id[i], 1);
		assert_int_equal(k->n_bucket, 64);
		assert_ptr_equal(k->bucket[5], p[2]);
		parking_remove(k, p[gone]);
		for (int i = 0; i < 3; i++)
			assert_ptr_equal(parking_find(k, &id[i]), i == gone ? NULL : p[i]);
		for (int i = 0; i < 3; i++) {
			if (i != gone)
				parking_remove(k, p[i]);
		}
		assert_null(k->bucket[5]);
	}
}

/* A slot that is used again knows nothing of its last life. */
static void test_blank(void **state)
{
	struct parking *k = *state;
	struct msgid id = id_of(1), other = id_of(2), stays = id_of(3);
	struct parked *p = parking_add(k, &id, 2), *q;

	assert_non_null(parking_add(k, &stays, 1)); /* and with it the chunk */

	p->copying = true;
	p->kills = 3;
	p->accepted = 99;
	parked_rest(p)[1].outcome = OUTCOME_HELD;
	parking_remove(k, p);
	q = parking_add(k, &other, 1);
	assert_ptr_equal(p, q);
	assert_false(q->copying);
	assert_true(q->kills == 0 && q->accepted == 0 && q->in == NULL);
	assert_true(q->n_rcpt == 1 && q->n_open == 1);
	assert_int_equal(parked_entry(q, 0)->outcome, OUTCOME_NONE);
	assert_null(parked_entry(q, 1));
}

static void finish(struct parked *p, uint32_t index, enum outcome o)
{
	parked_entry(p, index)->outcome = (uint8_t)o;
}

static void check_left(struct parked *p, const uint32_t *index, uint32_t n)
{
	assert_int_equal(p->n_open, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(parked_rest(p)[i].index, index[i]);
		assert_ptr_equal(parked_entry(p, index[i]), &parked_rest(p)[i]);
		assert_int_equal(parked_rest(p)[i].number, 100 + index[i]);
	}
}

/* Finished ones give their memory back and leave their outcome, over several rounds. */
static void test_compact(void **state)
{
	static const uint32_t first[] = {1, 2, 4, 5}, second[] = {2};
	struct parking *k = *state;
	struct msgid id = id_of(1);
	struct parked *p = parking_add(k, &id, 6);

	for (uint32_t i = 0; i < 6; i++)
		parked_entry(p, i)->number = 100 + i;
	parked_compact(p);
	assert_int_equal(p->n_open, 6);
	finish(p, 0, OUTCOME_DELIVERED);
	finish(p, 3, OUTCOME_FAILED);
	finish(p, 4, OUTCOME_HELD); /* neither of these is finished */
	finish(p, 5, OUTCOME_MAYBE);
	parked_compact(p);
	check_left(p, first, 4);
	assert_null(parked_entry(p, 0));
	assert_null(parked_entry(p, 3));
	assert_null(parked_entry(p, 6));
	finish(p, 1, OUTCOME_EXPIRED);
	finish(p, 4, OUTCOME_DROPPED);
	finish(p, 5, OUTCOME_DELIVERED);
	parked_compact(p);
	check_left(p, second, 1);
	assert_int_equal(parked_ended(p, 0), OUTCOME_DELIVERED);
	assert_int_equal(parked_ended(p, 1), OUTCOME_EXPIRED);
	assert_int_equal(parked_ended(p, 2), OUTCOME_NONE);
	assert_int_equal(parked_ended(p, 3), OUTCOME_FAILED);
	assert_int_equal(parked_ended(p, 4), OUTCOME_DROPPED);
	assert_int_equal(parked_ended(p, 5), OUTCOME_DELIVERED);
	finish(p, 2, OUTCOME_DROPPED);
	parked_compact(p);
	assert_int_equal(p->n_open, 0);
	assert_null(parked_entry(p, 2));
	assert_int_equal(parked_ended(p, 2), OUTCOME_DROPPED);
	/* The only recipient of a message stays in its slot. */
	p = parking_add(k, &(struct msgid){{9}}, 1);
	finish(p, 0, OUTCOME_DELIVERED);
	parked_compact(p);
	assert_int_equal(p->n_open, 1);
	assert_int_equal(parked_ended(p, 0), OUTCOME_NONE);
}

/* Given back with the slot, as the sanitizers see. */
static void test_times(void **state)
{
	struct parking *k = *state;
	struct parked *p = parking_add(k, &(struct msgid){{9}}, 1);

	assert_int_equal(parked_release(p), 0);
	assert_int_equal(parked_by_at(p), 0);
	p->accepted = 50;
	assert_int_equal(parked_born(p), 50);
	parked_set_times(p, 70, 0);
	assert_int_equal(parked_release(p), 70);
	assert_int_equal(parked_born(p), 70);
	assert_int_equal(resting_not_before(p, parked_rest(p)), 70);
	parked_set_times(p, 0, 90);
	assert_int_equal(parked_release(p), 0);
	assert_int_equal(parked_by_at(p), 90);
	parked_set_times(p, 0, 0);
	assert_null(p->times);
	parked_set_times(p, 1, 2);
	parking_remove(k, p);
	p = parking_add(k, &(struct msgid){{9}}, 1);
	assert_int_equal(parked_release(p), 0);
	parked_set_times(p, 3, 4);
}

static void test_octets(void **state)
{
	(void)state;
	assert_int_equal(parked_octets(0), 0);
	assert_int_equal(parked_octets(UINT32_MAX - 1), UINT32_MAX - 1);
	assert_int_equal(parked_octets((uint64_t)UINT32_MAX + 5), UINT32_MAX);
}

/* The promise of the header: a slot with one recipient, its bucket and its place in the heap. What
 * is kept for each besides (sites, segments, the library) needs the rest of the 200. */
static void test_size(void **state)
{
	size_t in_heap = 2 * sizeof(void *), in_bucket = 2 * sizeof(void *);

	(void)state;
	assert_in_range(sizeof(struct parked) + in_heap + in_bucket, 100, 184);
}

#define PARKED_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PARKED_TEST(test_empty),
	    PARKED_TEST(test_times),
	    cmocka_unit_test(test_octets),
	    PARKED_TEST(test_many),
	    PARKED_TEST(test_one_bucket),
	    PARKED_TEST(test_blank),
	    PARKED_TEST(test_compact),
	    cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
