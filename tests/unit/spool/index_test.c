#include "fixture.h"
#include "mail.h"

#include "spool/index.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t filler[SEGMENT];

static void put(struct world *w, enum record_type type, uint32_t id, struct buf meta)
{
	struct store_record r = {.type = type, .id = mail_id(id), .own = true};
	struct span body = span_of(filler, 100);

	r.meta = buf_view(&meta);
	r.body = &body;
	r.n_body = type == REC_MESSAGE || type == REC_PART;
	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, 0);
	buf_fini(&meta);
}

static void put_message(struct world *w, uint32_t id, size_t n_rcpt)
{
	put(w, REC_MESSAGE, id, mail_message(id, n_rcpt, NULL));
}

static void put_result(struct world *w, uint32_t id, uint32_t rcpt, uint32_t number)
{
	put(w, REC_RESULT, id, mail_change(id, rcpt, number, OUTCOME_DELIVERED));
}

/* A report about a message: its own end of one recipient of it. */
static void put_report(struct world *w, uint32_t id, uint32_t about)
{
	struct buf ends = mail_change(about, 0, 1, OUTCOME_FAILED);
	struct mail_extra x = {.ends = buf_view(&ends)};

	put(w, REC_MESSAGE, id, mail_message(id, 1, &x));
	buf_fini(&ends);
}

/* The active segment is left, and its index written. */
static void leave(struct world *w)
{
	struct store_record r = world_record("next", NULL);
	struct span body = span_of(filler, SEGMENT - 4096 - 200);

	r.type = REC_EVENT;
	r.body = &body;
	r.n_body = 1;
	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, 0);
	while (store_prepare(w->store) > 0)
		;
}

/* "M1" and so on for what recovery gave out of segments that are older than the last. */
static void expect(struct world *w, bool by_index, const char *want)
{
	static const char letters[] = "?MPRD";
	char have[200] = "";
	size_t n = 0;

	w->params.ignore_indexes = !by_index;
	world_again(w, true);
	assert_int_equal(w->damage.records, 0);
	for (int i = 0; i < w->n_found; i++) {
		const struct store_record *r = &w->found[i];
		size_t type = r->type == REC_EVENT ? 0 : r->type;

		if (type == 0)
			continue;
		n += (size_t)snprintf(
		    have + n, sizeof(have) - n, "%c%u ", letters[type], r->id.b[0]);
	}
	assert_string_equal(have, want);
	w->params.ignore_indexes = false;
}

static void test_what_stays(void **state)
{
	struct world *w = *state;

	put_message(w, 1, 2); /* one recipient stays */
	put_result(w, 1, 0, 1);
	put_message(w, 2, 1); /* deferred is not finished */
	put(w, REC_DEFERRED, 2, mail_change(2, 0, 1, OUTCOME_DEFERRED));
	put_message(w, 3, 1); /* finished */
	put_result(w, 3, 0, 1);
	put_result(w, 77, 0, 1); /* of an older message */
	put_report(w, 4, 78);    /* finished itself, ends an older one */
	put_result(w, 4, 0, 1);
	put_report(w, 5, 2); /* ends one of this segment, and is alive */
	put_report(w, 6, 3);
	put(w, REC_PART, 9, (struct buf){0});
	leave(w);
	expect(w, false, "M1 R1 M2 D2 M3 R3 R77 M4 R4 M5 M6 P9 ");
	/* Message 2 was ended by 5 in the end; 6 ends what is gone, which is no harm. Of messages
	 * 2, 3 and 4 the nonces are known. */
	expect(w, true, "M2 M3 M4 M1 R1 R77 R78 M5 M6 ");
	assert_int_equal(w->damage.indexed, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w->found[i].body_at.length, 0);
}

/* Nonces are kept as long as somebody may ask. */
static void test_nonces(void **state)
{
	struct world *w = *state;
	const int64_t start = INT64_C(1700000000000000), minute = 60000000;

	for (uint32_t i = 1; i <= 3; i++) {
		struct mail_extra x = {.accepted = start + (int64_t)i * 8 * minute};

		put(w, REC_MESSAGE, i, mail_message(i, 1, &x));
		put_result(w, i, 0, 1);
	}
	leave(w);
	expect(w, true, "M2 M3 ");
	leave(w);
	struct mail_extra late = {.accepted = start + 35 * minute};
	put(w, REC_MESSAGE, 4, mail_message(4, 1, &late));
	leave(w);
	expect(w, true, "M4 "); /* the younger segment shows how late it is */
}

/* The first record of an id counts, as in the queue; a second one goes and stays with it. */
static void test_twice(void **state)
{
	struct world *w = *state;

	put_message(w, 1, 1);
	put_message(w, 1, 2);
	put_result(w, 1, 0, 1);
	put_message(w, 2, 2);
	put_message(w, 2, 1);
	put_result(w, 2, 0, 1);
	leave(w);
	expect(w, true, "M1 M2 M2 R2 ");
}

/* What the queue cannot decode is handed to it all the same: it counts such records. */
static void test_strange(void **state)
{
	struct world *w = *state;
	struct buf junk;

	buf_init(&junk, 10);
	buf_add_str(&junk, "junk");
	put(w, REC_MESSAGE, 1, junk);
	buf_init(&junk, 10);
	buf_add_str(&junk, "junk");
	put(w, REC_RESULT, 2, junk);
	put_message(w, 3, 0);
	leave(w);
	expect(w, true, "M1 R2 M3 ");
}

/* A copy says what became of the first recipient. */
static void put_copy(struct world *w, uint32_t id, size_t n_rcpt, uint32_t number, enum outcome o)
{
	struct buf told = mail_change(id, 0, number, o);
	struct mail_extra x = {.state = buf_view(&told)};

	put(w, REC_MESSAGE, id, mail_message(id, n_rcpt, &x));
	buf_fini(&told);
}

/*
 * A copy stays in the index, and all changes of it: its original may still be in the log, with none
 * of them.
 */
static void test_copies(void **state)
{
	struct world *w = *state;

	put_message(w, 1, 1);
	put_message(w, 2, 1);
	put_result(w, 2, 0, 1);
	leave(w);
	put_copy(w, 1, 1, 1, OUTCOME_DEFERRED); /* finished here, and stays */
	put_result(w, 1, 0, 2);
	put_copy(w, 3, 1, 1, OUTCOME_DELIVERED); /* finished when it was copied */
	put_copy(w, 4, 2, 1, OUTCOME_DELIVERED); /* not finished */
	put_message(w, 5, 1);                    /* no copy: is left out but for its nonce */
	put_result(w, 5, 0, 1);
	put_message(w, 6, 1); /* copied in its own segment */
	put_copy(w, 6, 1, 2, OUTCOME_DEFERRED);
	put_result(w, 6, 0, 3);
	leave(w);
	expect(w, false, "M1 M2 R2 M1 R1 M3 M4 M5 R5 M6 M6 R6 ");
	expect(w, true, "M2 M1 M5 M1 R1 M3 M4 M6 M6 R6 ");
	assert_in_range(w->damage.indexed, 2, 3);
}

/* A report that is copied ends nobody: that was told by the state of the other message. */
static void test_ends_of_copies(void **state)
{
	struct world *w = *state;

	put_copy(w, 1, 1, 1, OUTCOME_DEFERRED);
	put_report(w, 2, 1); /* ends a copy: stays, though both are finished here */
	put_result(w, 2, 0, 1);
	leave(w);
	expect(w, true, "M2 M1 R1 ");
}

static const char idx[] = "idx-0000000000000001";

/* Every octet of an index counts; without a good one the segment is read. */
static void test_every_octet(void **state)
{
	struct world *w = *state;

	put_message(w, 1, 2);
	put_result(w, 1, 0, 1);
	put_message(w, 2, 1);
	put_result(w, 2, 0, 1);
	leave(w);
	size_t n = disk_sim_peek(w->disk, idx).n;
	assert_in_range(n, 200, 1000);
	for (size_t at = 0; at < n; at++) {
		assert_int_equal(disk_sim_flip(w->disk, idx, at), 0);
		expect(w, true, "M1 R1 M2 R2 ");
		assert_true(w->damage.bad_indexes == 1 && w->damage.indexed == 0);
		assert_int_equal(disk_sim_flip(w->disk, idx, at), 0);
	}
	assert_int_equal(disk_sim_flip(w->disk, idx, 200), 0);
	expect(w, true, "M1 R1 M2 R2 ");
	while (store_prepare(w->store) > 0) /* written anew */
		;
	expect(w, true, "M2 M1 R1 ");
	assert_true(w->damage.bad_indexes == 0);
}

/* The index of another segment, of the same generation too, is not taken. */
static void test_other_segment(void **state)
{
	struct world *w = *state, other = *w;
	struct disk *d = disk_sim_disk(w->disk);
	struct disk_sim_params p = {.capacity = 64 * SEGMENT};

	put_message(w, 1, 1);
	leave(w);
	/* A second spool with the same generation. */
	other.disk = disk_sim_new(8, &p);
	assert_int_equal(world_open(&other), 0);
	put_message(&other, 2, 1);
	leave(&other);
	struct span foreign = disk_sim_peek(other.disk, idx);
	store_close(&w->store);
	assert_int_equal(d->ops->remove(d, idx), 0);
	int h = d->ops->open(d, idx, true);
	assert_int_equal(d->ops->write(d, h, &foreign, 1, 0), 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	assert_int_equal(d->ops->sync_dir(d), 0);
	assert_int_equal(world_open(w), 0);
	expect(w, true, "M1 ");
	assert_true(w->damage.bad_indexes == 1);
	store_close(&other.store);
	disk_sim_free(&other.disk);
}

/* Damage in a segment is not frozen by an index: none is written, and it is told at each start. */
static void test_no_index_of_damage(void **state)
{
	struct world *w = *state;
	struct store_record r = world_record("", NULL);
	struct buf meta = mail_message(1, 1, NULL);

	r.meta = buf_view(&meta);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	put_message(w, 2, 1);
	buf_fini(&meta);
	disk_sim_flip(w->disk, "seg-0000000000000001", r.meta_at.offset);
	leave(w);
	assert_int_equal(disk_sim_peek(w->disk, idx).n, 0);
	world_again(w, true);
	assert_int_equal(w->damage.records, 1);
	while (store_prepare(w->store) > 0)
		;
	assert_int_equal(disk_sim_peek(w->disk, idx).n, 0);
}

/* The index holds what the page with the TRUNCATE says: refused records stay away without it. */
static void test_truncate_is_kept(void **state)
{
	struct world *w = *state;
	struct buf meta = mail_message(7, 1, NULL);
	struct store_record r = world_record("", NULL);

	put_message(w, 1, 1);
	r.meta = buf_view(&meta);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, GW_EIO);
	buf_fini(&meta);
	put_message(w, 2, 1);
	leave(w);
	disk_sim_flip(w->disk, "seg-0000000000000002", SEGMENT_START + 90);
	expect(w, true, "M1 M2 ");
	assert_int_equal(w->damage.truncates, 1);
}

/* A life that was killed gets its index in the next one; the last flush is then not written again.
 */
static void test_after_a_kill(void **state)
{
	struct world *w = *state;

	put_message(w, 1, 1);
	world_again(w, false);
	while (store_prepare(w->store) > 0)
		;
	assert_true(disk_sim_peek(w->disk, idx).n > 0);
	expect(w, true, "M1 ");
	assert_int_equal(w->damage.indexed, 1);
	expect(w, false, "M1 ");
}

static void test_retired_with_its_segment(void **state)
{
	struct world *w = *state;
	struct store_stat stat;

	put_message(w, 1, 1);
	leave(w);
	store_stat(w->store, &stat);
	assert_int_equal(stat.indexes, 1);
	store_release(w->store, 1);
	assert_int_equal(store_retire(w->store), 1);
	while (store_prepare(w->store) > 0)
		;
	assert_int_equal(disk_sim_peek(w->disk, idx).n, 0);
	/* One that outlived it in a crash is removed at the start. */
	struct disk *d = disk_sim_disk(w->disk);
	d->ops->close(d, d->ops->open(d, idx, true));
	assert_int_equal(disk_sim_peek(w->disk, idx).p != NULL, 0);
	world_again(w, false);
	int h = d->ops->open(d, idx, false);
	assert_int_equal(h, GW_ENOENT);
}

/* A disk that is nearly full, or fails, costs no more than the index. */
static void test_no_room(void **state)
{
	struct world *w = *state;
	struct store_stat stat;

	put_message(w, 1, 1);
	disk_sim_params(w->disk)->fail_per_10000[SIM_ALLOCATE] = 0;
	disk_sim_fail(w->disk, SIM_RENAME, 2, GW_EIO); /* the segment's, then the index's */
	leave(w);
	store_stat(w->store, &stat);
	assert_int_equal(stat.indexes, 0);
	assert_int_equal(store_prepare(w->store), 1);
	store_stat(w->store, &stat);
	assert_int_equal(stat.indexes, 1);
	disk_sim_others(w->disk, 64 * SEGMENT);
	assert_int_equal(store_prepare(w->store), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_what_stays),
	    WORLD_TEST(test_nonces),
	    WORLD_TEST(test_twice),
	    WORLD_TEST(test_strange),
	    WORLD_TEST(test_copies),
	    WORLD_TEST(test_ends_of_copies),
	    WORLD_TEST(test_every_octet),
	    WORLD_TEST(test_other_segment),
	    WORLD_TEST(test_no_index_of_damage),
	    WORLD_TEST(test_truncate_is_kept),
	    WORLD_TEST(test_after_a_kill),
	    WORLD_TEST(test_retired_with_its_segment),
	    WORLD_TEST(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
