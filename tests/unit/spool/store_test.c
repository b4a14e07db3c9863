#include "fixture.h"

static uint8_t big[SEGMENT];

static void read_back(struct world *w, const struct extent *e, struct span want)
{
	static uint8_t have[SEGMENT];

	assert_int_equal(e->length, want.n);
	assert_int_equal(store_read_at(w->store, e, 0, have, sizeof(have)), want.n);
	assert_memory_equal(have, want.p, want.n);
}

static void test_batch(void **state)
{
	struct world *w = *state;
	struct span body[3] = {SPAN("one "), SPAN_NONE, SPAN("two")};
	struct store_record r[2] = {world_record("meta-a", body), world_record("meta-b", NULL)};
	uint8_t byte;

	r[0].n_body = 3;
	uint64_t before = disk_sim_ops(w->disk);
	assert_int_equal(store_commit(w->store, r, 2), STORE_DONE);
	/* A first segment: open, allocate, header, sync, rename, sync_dir; then one write, one
	 * sync. */
	assert_int_equal(disk_sim_ops(w->disk) - before, 8);
	before = disk_sim_ops(w->disk);
	assert_int_equal(store_commit(w->store, r, 2), STORE_DONE);
	assert_int_equal(disk_sim_ops(w->disk) - before, 2);
	assert_int_equal(r[0].status, 0);
	read_back(w, &r[0].meta_at, SPAN("meta-a"));
	read_back(w, &r[0].body_at, SPAN("one two"));
	read_back(w, &r[1].meta_at, SPAN("meta-b"));
	assert_int_equal(store_read_at(w->store, &r[0].body_at, 6, &byte, 1), 1);
	assert_int_equal(byte, 'o');
	assert_int_equal(store_read_at(w->store, &r[0].body_at, 7, &byte, 1), 0);
	r[0].body_at.segment = 77;
	assert_int_equal(store_read_at(w->store, &r[0].body_at, 0, &byte, 1), GW_ENOENT);
	/* No flush shares a page with another. */
	assert_true(r[1].meta_at.offset / SPOOL_PAGE == 2);
}

static void test_sizes(void **state)
{
	struct world *w = *state;
	struct span body = span_of(big, SEGMENT - SEGMENT_START - 2 * RECORD_HEADER - 8 - 1);
	struct store_record r[3] = {
	    world_record("x", &body), world_record("yy", &body), world_record("", NULL)};

	assert_int_equal(store_commit(w->store, r, 3), STORE_DONE);
	assert_int_equal(r[0].status, 0);
	assert_int_equal(r[1].status, GW_EFULL);
	assert_int_equal(r[2].status, 0);
	assert_true(r[2].meta_at.segment == r[0].meta_at.segment + 1);
	assert_int_equal(store_commit(w->store, r, 0), STORE_DONE);
	world_again(w, true);
	assert_int_equal(w->n_found, 2);
	read_back(w, &w->found[0].body_at, body);
}

/* After the failed flush the page cache still shows the record; it is refused and stays away. */
static void test_failed_flush(void **state)
{
	struct world *w = *state;
	struct store_record a = world_record("a", NULL), b = world_record("b", NULL);

	assert_int_equal(world_put(w, &a), STORE_DONE);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	assert_int_equal(world_put(w, &b), STORE_DONE);
	assert_int_equal(b.status, GW_EIO);
	assert_true(store_failed_segment(w->store) == a.meta_at.segment);
	b.meta = SPAN("c");
	assert_int_equal(world_put(w, &b), STORE_DONE);
	assert_int_equal(b.status, 0);
	assert_true(b.meta_at.segment == a.meta_at.segment + 1);
	assert_null(disk_sim_violation(w->disk));
	world_again(w, false);
	assert_int_equal(w->n_found, 2);
	assert_string_equal(w->text[0], "a");
	assert_string_equal(w->text[1], "c");
	assert_true(w->damage.truncates == 1 && w->damage.records == 0);
}

static void test_undecided(void **state)
{
	struct world *w = *state;
	struct store_record a = world_record("a", NULL), b = world_record("b", NULL);
	struct store_stat stat;

	assert_int_equal(world_put(w, &a), STORE_DONE);
	disk_sim_params(w->disk)->fail_per_10000[SIM_SYNC] = 10000;
	assert_int_equal(world_put(w, &b), STORE_UNDECIDED);
	assert_int_equal(b.status, GW_EIO);
	store_stat(w->store, &stat);
	assert_false(stat.accepting);
	for (int i = 0; i < 100; i++)
		assert_int_not_equal(store_heal(w->store), 0);
	store_stat(w->store, &stat);
	/* A disk that fails for long does not fill up with the attempts to heal it. */
	assert_true(stat.free_bytes >= 62 * SEGMENT);
	disk_sim_params(w->disk)->fail_per_10000[SIM_SYNC] = 0;
	assert_int_equal(store_heal(w->store), 0);
	assert_int_equal(world_put(w, &a), STORE_DONE);
	assert_int_equal(a.status, 0);
	assert_null(disk_sim_violation(w->disk));
	store_stat(w->store, &stat);
	assert_true(stat.accepting);
}

/* A batch over two segments, the second of which fails: each record by itself. */
static void test_half_failed(void **state)
{
	struct world *w = *state;
	struct span body = span_of(big, 40000);
	struct store_record r[2] = {world_record("a", &body), world_record("b", &body)};

	disk_sim_fail(w->disk, SIM_SYNC, 4, GW_EIO); /* header, header, first chunk, second chunk */
	assert_int_equal(store_commit(w->store, r, 2), STORE_DONE);
	assert_int_equal(r[0].status, 0);
	assert_int_equal(r[1].status, GW_EIO);
	world_again(w, false);
	assert_int_equal(w->n_found, 1);
	assert_string_equal(w->text[0], "a");
}

/* Killed between the failed flush and its TRUNCATE: what recovery then gives out is durable. */
static void test_killed_after_failure(void **state)
{
	struct world *w = *state;
	struct store_record a = world_record("a", NULL);
	struct store_record first = world_record("0", NULL);

	assert_int_equal(world_put(w, &first), STORE_DONE);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	disk_sim_params(w->disk)->fail_per_10000[SIM_OPEN] = 10000;
	assert_int_equal(world_put(w, &a), STORE_UNDECIDED);
	disk_sim_params(w->disk)->fail_per_10000[SIM_OPEN] = 0;
	world_again(w, false);
	assert_int_equal(w->n_found, 2);
	for (int i = 0; i < 10; i++) {
		world_again(w, true);
		assert_int_equal(w->n_found, 2);
	}
}

static void test_reserve(void **state)
{
	struct world *w = *state;
	struct span body = span_of(big, 50000);
	struct store_record mail[2] = {world_record("m", &body), world_record("s", NULL)};
	struct store_record own = world_record("o", &body);
	struct store_stat stat;

	own.own = true;
	w->params.reserve = 4 * SEGMENT;
	world_again(w, false);
	disk_sim_others(w->disk, 59 * SEGMENT); /* five are free */
	assert_int_equal(world_put(w, &mail[0]), STORE_DONE);
	assert_int_equal(mail[0].status, 0);
	assert_int_equal(world_put(w, &mail[0]), STORE_DONE);
	assert_int_equal(mail[0].status, GW_ENOSPC);
	assert_int_equal(world_put(w, &own), STORE_DONE);
	assert_int_equal(own.status, 0);
	/* No mail into a segment that came out of the reserve, and none is invited. */
	assert_int_equal(world_put(w, &mail[1]), STORE_DONE);
	assert_int_equal(mail[1].status, GW_ENOSPC);
	store_stat(w->store, &stat);
	assert_false(stat.accepting);
	disk_sim_others(w->disk, 0);
	store_stat(w->store, &stat);
	assert_true(stat.accepting);
	assert_int_equal(store_commit(w->store, mail, 2), STORE_DONE);
	assert_true(mail[0].status == 0 && mail[1].status == 0);
	/* Not a byte left: own records are refused too, and come back by themselves. */
	disk_sim_others(w->disk, 64 * SEGMENT);
	for (int i = 0; i < 2; i++)
		assert_int_equal(world_put(w, &own), STORE_DONE);
	assert_int_equal(own.status, GW_ENOSPC);
	disk_sim_others(w->disk, 0);
	assert_int_equal(world_put(w, &own), STORE_DONE);
	assert_int_equal(own.status, 0);
}

/* Mail that finds no room does not keep our own records of the batch from the reserve. */
static void test_mixed_batch(void **state)
{
	struct world *w = *state;
	struct span body = span_of(big, 50000);
	struct store_record r[4] = {world_record("m", &body), world_record("n", &body),
	    world_record("o", &body), world_record("s", NULL)};

	r[2].own = true;
	w->params.reserve = 4 * SEGMENT;
	world_again(w, false);
	disk_sim_others(w->disk, 59 * SEGMENT);
	assert_int_equal(store_commit(w->store, r, 4), STORE_DONE);
	assert_int_equal(r[0].status, 0);
	assert_int_equal(r[1].status, GW_ENOSPC);
	assert_int_equal(r[2].status, 0);
	assert_int_equal(r[3].status, GW_ENOSPC);
}

static void test_full_during_flush(void **state)
{
	struct world *w = *state;
	struct store_record a = world_record("a", NULL);

	assert_int_equal(world_put(w, &a), STORE_DONE);
	disk_sim_fail(w->disk, SIM_WRITE, 1, GW_ENOSPC);
	assert_int_equal(world_put(w, &a), STORE_DONE);
	assert_int_equal(a.status, GW_EIO);
	assert_int_equal(world_put(w, &a), STORE_DONE);
	assert_int_equal(a.status, 0);
}

static void fill_segments(struct world *w, struct store_record *r, int n)
{
	struct span body = span_of(big, 50000);

	for (int i = 0; i < n; i++) {
		r[i] = world_record("full", &body);
		assert_int_equal(world_put(w, &r[i]), STORE_DONE);
		assert_int_equal(r[i].status, 0);
	}
}

/* A record's hold comes with its status; the oldest keeps all behind it. */
static void test_retire(void **state)
{
	struct world *w = *state;
	struct store_record r[4];
	struct store_stat stat;

	w->params.spares = 2;
	world_again(w, false);
	fill_segments(w, r, 4);
	assert_int_equal(store_retire(w->store), 0);
	store_release(w->store, r[1].meta_at.segment);
	assert_int_equal(store_retire(w->store), 0);
	store_release(w->store, r[0].meta_at.segment);
	assert_int_equal(store_retire(w->store), 2);
	assert_int_equal(store_read_at(w->store, &r[0].meta_at, 0, big, 1), GW_ENOENT);
	store_hold(w->store, r[2].meta_at.segment);
	store_release(w->store, r[2].meta_at.segment);
	assert_int_equal(store_retire(w->store), 0);
	store_release(w->store, r[2].meta_at.segment);
	store_release(w->store, r[3].meta_at.segment);
	assert_int_equal(store_retire(w->store), 1); /* never the newest */
	while (store_prepare(w->store) > 0)
		;
	store_stat(w->store, &stat);
	assert_int_equal(stat.segments, 1);
	assert_int_equal(stat.spares, 3);
	/* Their old records are not taken for new ones. */
	fill_segments(w, r, 2);
	world_again(w, true);
	assert_int_equal(w->n_found, 3);
	assert_int_equal(w->damage.records, 0);
}

static void test_spares(void **state)
{
	struct world *w = *state;
	struct store_record r[8];
	struct store_stat stat;

	w->params.spares = 1;
	world_again(w, false);
	assert_int_equal(store_prepare(w->store), 1);
	assert_int_equal(store_prepare(w->store), 0);
	world_again(w, false);
	assert_int_equal(store_prepare(w->store), 0); /* found again */
	fill_segments(w, r, 8);
	for (int i = 0; i < 8; i++)
		store_release(w->store, r[i].meta_at.segment);
	assert_int_equal(store_retire(w->store), 7);
	while (store_prepare(w->store) > 0)
		;
	store_stat(w->store, &stat);
	assert_int_equal(stat.spares, 2); /* the rest went back to the file system */
	assert_true(stat.free_bytes == 61 * SEGMENT);
}

/* ---- whole records by their place ------------------------------------------------------------ */

static void check_record(
    struct world *w, const struct store_record *r, struct store_record *out, struct buf *meta)
{
	assert_int_equal(
	    store_read_record(w->store, r->meta_at.segment, r->meta_at.offset, out, meta), 0);
	assert_int_equal(out->type, r->type);
	assert_int_equal(out->own, r->own);
	assert_true(msgid_eq(&out->id, &r->id));
	assert_true(span_eq(out->meta, r->meta));
	assert_memory_equal(&out->meta_at, &r->meta_at, sizeof(r->meta_at));
	assert_memory_equal(&out->body_at, &r->body_at, sizeof(r->body_at));
}

/* Short ones, those that end where the first read does, and long ones; also after a start. */
static void test_read_record(void **state)
{
	static const size_t sizes[] = {0, 1, 943, 944, 945, 1024, 5000, 40000};
	struct world *w = *state;
	struct store_record r[GW_ARRAY_LEN(sizes)], out;
	struct span body = SPAN("the body");
	struct buf meta;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	buf_init(&meta, SEGMENT);
	for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
		r[i] = world_record("", i % 2 ? &body : NULL);
		r[i].meta = span_of(big, sizes[i]);
		r[i].id.b[3] = (uint8_t)(1 + i);
		r[i].own = i % 3 == 0;
		r[i].type = i % 2 ? REC_MESSAGE : REC_DEFERRED;
		assert_int_equal(world_put(w, &r[i]), STORE_DONE);
		assert_int_equal(r[i].status, 0);
	}
	for (int life = 0; life < 2; life++) {
		for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
			check_record(w, &r[i], &out, &meta);
			if (i % 2)
				read_back(w, &out.body_at, body);
		}
		world_again(w, true);
	}
	buf_fini(&meta);
	memset(big, 0, sizeof(big));
}

static int read_at(struct world *w, uint64_t segment, uint64_t at, size_t room)
{
	struct store_record out;
	struct buf meta;
	int rc;

	buf_init(&meta, room);
	rc = store_read_record(w->store, segment, at, &out, &meta);
	buf_fini(&meta);
	return rc;
}

/* No other place of the segment passes for a record, nor a segment that is not there. */
static void test_read_record_elsewhere(void **state)
{
	struct world *w = *state;
	struct store_record r = world_record("the meta", NULL);

	assert_int_equal(world_put(w, &r), STORE_DONE);
	for (uint64_t at = 0; at <= SEGMENT + 100; at++) {
		int want = at == r.meta_at.offset ? 0 : GW_ECORRUPT;

		assert_int_equal(read_at(w, r.meta_at.segment, at, 100), want);
	}
	assert_int_equal(read_at(w, r.meta_at.segment, UINT64_MAX, 100), GW_ECORRUPT);
	assert_int_equal(read_at(w, r.meta_at.segment, r.meta_at.offset, 7), GW_EFULL);
	assert_int_equal(read_at(w, 0, r.meta_at.offset, 100), GW_ENOENT);
	assert_int_equal(read_at(w, r.meta_at.segment + 1, r.meta_at.offset, 100), GW_ENOENT);
}

/* Every octet of header and meta counts, also of a meta that takes two reads. */
static void test_read_record_damaged(void **state)
{
	static const char file[] = "seg-0000000000000001";
	struct world *w = *state;
	struct store_record r = world_record("", NULL);

	r.meta = span_of(big, 1500);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	for (uint64_t at = r.meta_at.offset - RECORD_HEADER; at < r.meta_at.offset + 1500; at++) {
		assert_int_equal(disk_sim_flip(w->disk, file, at), 0);
		assert_int_equal(read_at(w, 1, r.meta_at.offset, 4096), GW_ECORRUPT);
		assert_int_equal(disk_sim_flip(w->disk, file, at), 0);
	}
	assert_int_equal(read_at(w, 1, r.meta_at.offset, 4096), 0);
	/* A retired segment is read no more. */
	struct store_record next[3];
	fill_segments(w, next, 3);
	assert_int_equal(next[0].meta_at.segment, 1);
	for (int i = 0; i < 2; i++) /* the hold that came with each of the two */
		store_release(w->store, 1);
	assert_int_equal(store_retire(w->store), 1);
	assert_int_equal(read_at(w, 1, r.meta_at.offset, 4096), GW_ENOENT);
}

static void test_sum(void **state)
{
	struct store_read *sum = NULL;

	(void)state;
	store_sum_feed(&sum, SPAN("ab"));
	store_sum_feed(&sum, SPAN_NONE);
	store_sum_feed(&sum, SPAN("c"));
	assert_true(store_sum_end(&sum) == spool_sum(SPAN("abc")));
	assert_null(sum);
	assert_true(store_sum_end(&sum) == spool_sum(SPAN_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_batch),
	    WORLD_TEST(test_sizes),
	    WORLD_TEST(test_failed_flush),
	    WORLD_TEST(test_undecided),
	    WORLD_TEST(test_half_failed),
	    WORLD_TEST(test_killed_after_failure),
	    WORLD_TEST(test_reserve),
	    WORLD_TEST(test_mixed_batch),
	    WORLD_TEST(test_full_during_flush),
	    WORLD_TEST(test_retire),
	    WORLD_TEST(test_spares),
	    WORLD_TEST(test_read_record),
	    WORLD_TEST(test_read_record_elsewhere),
	    WORLD_TEST(test_read_record_damaged),
	    cmocka_unit_test(test_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
