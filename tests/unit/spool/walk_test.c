/* Following the log from a place on: all that is durable, in order, once. */
#include "fixture.h"

#include "spool/walk.h"

static uint8_t big[SEGMENT];

/* The metas up to the end of what is durable, one behind the other. */
static const char *rest(struct store_walk *w)
{
	static char text[4096];
	uint64_t budget = 64 * SEGMENT;
	struct store_record r;
	size_t n = 0;
	int rc;

	while ((rc = store_walk_next(w, &r, &budget)) == 1) {
		memcpy(text + n, r.meta.p, r.meta.n);
		n += r.meta.n;
	}
	assert_int_equal(rc, 0);
	text[n] = '\0';
	return text;
}

static void put(struct world *w, const char *meta)
{
	struct store_record r = world_record(meta, NULL);

	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, 0);
	store_release(w->store, r.meta_at.segment);
}

/* A record that fills a segment. */
static void put_large(struct world *w, const char *meta)
{
	struct span body = span_of(big, SEGMENT - SEGMENT_START - 2 * RECORD_HEADER - 64);
	struct store_record r = world_record(meta, &body);

	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, 0);
	store_release(w->store, r.meta_at.segment);
}

static void follows(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);

	assert_string_equal(rest(walk), "");
	put(w, "a");
	put(w, "b");
	assert_string_equal(rest(walk), "ab");
	assert_string_equal(rest(walk), "");
	put(w, "c");
	for (int i = 0; i < 5; i++)
		put_large(w, "L");
	assert_string_equal(rest(walk), "cLLLLL");
	put(w, "d");
	assert_string_equal(rest(walk), "d");
	store_walk_free(&walk);
}

/* The place behind a record that was committed is where the walk stands behind it. */
static void places_agree(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	struct span body = span_of(big, 777);
	struct store_record r = world_record("meta", &body);
	struct store_place behind, at;

	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_string_equal(rest(walk), "meta");
	put(w, "x");
	behind = store_place_behind(w->store, &r.meta_at, &r.body_at);
	assert_int_equal(store_walk_seek(walk, &behind), 0);
	at = store_walk_at(walk);
	assert_false(place_before(&at, &behind) || place_before(&behind, &at));
	assert_string_equal(rest(walk), "x");
	store_walk_free(&walk);
}

static void goes_on_after_a_restart(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	struct store_place at;

	put(w, "a");
	assert_string_equal(rest(walk), "a");
	at = store_walk_at(walk);
	put(w, "b");
	store_walk_free(&walk);
	world_again(w, true);
	put(w, "c");
	walk = store_walk_new(w->store);
	assert_int_equal(store_walk_seek(walk, &at), 0);
	assert_string_equal(rest(walk), "bc");
	store_walk_free(&walk);
}

static void tells_what_is_gone(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	struct store_place at, other;

	put(w, "a");
	assert_string_equal(rest(walk), "a");
	at = store_walk_at(walk);
	for (int i = 0; i < 4; i++)
		put_large(w, "L");
	/* Held back for who stands there, and for nobody else. */
	assert_int_equal(store_retire_before(w->store, at.segment), 0);
	assert_int_equal(store_retire_before(w->store, at.segment + 2), 2);
	assert_int_equal(store_walk_seek(walk, &at), 2);
	assert_string_equal(rest(walk), "LLL");
	/* A place of another log: of a segment that has its number, and one that is not yet. */
	other = store_walk_at(walk);
	other.mark ^= 1;
	assert_int_equal(store_walk_seek(walk, &other), 0);
	assert_string_equal(rest(walk), "LLL");
	other = (struct store_place){at.segment + 1000, SEGMENT_START, 1};
	assert_int_equal(store_walk_seek(walk, &other), 0);
	assert_string_equal(rest(walk), "LLL");
	/* Nonsense within a segment that is there. */
	other = store_walk_at(walk);
	other.offset = UINT64_MAX;
	assert_int_equal(store_walk_seek(walk, &other), 0);
	assert_string_equal(rest(walk), "LLL");
	store_walk_free(&walk);
}

static void retired_under_its_feet(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	uint64_t budget = SEGMENT;
	struct store_record r;
	struct store_place at;

	put(w, "a");
	assert_string_equal(rest(walk), "a");
	for (int i = 0; i < 3; i++)
		put_large(w, "L");
	assert_true(store_retire(w->store) > 0);
	assert_int_equal(store_walk_next(walk, &r, &budget), GW_ENOENT);
	at = store_walk_at(walk);
	assert_true(store_walk_seek(walk, &at) > 0);
	assert_string_equal(rest(walk), "L");
	store_walk_free(&walk);
}

/* What a flush took back is never told, whatever of it reached the disk. */
static void a_failed_flush_never_was(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	struct store_record r = world_record("never", NULL);
	struct store_place at;

	put(w, "a");
	assert_string_equal(rest(walk), "a");
	at = store_walk_at(walk);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, GW_EIO);
	assert_string_equal(rest(walk), "");
	put(w, "b");
	assert_string_equal(rest(walk), "b");
	store_walk_free(&walk);
	world_again(w, false);
	walk = store_walk_new(w->store);
	assert_int_equal(store_walk_seek(walk, &at), 0);
	assert_string_equal(rest(walk), "b");
	store_walk_free(&walk);
}

/* It comes back within its budget, and goes on where it stood. */
static void in_slices(void **state)
{
	struct world *w = *state;
	struct store_walk *walk = store_walk_new(w->store);
	struct store_record r;
	unsigned slices = 0, found = 0;
	int rc = 1;

	for (int i = 0; i < 6; i++)
		put_large(w, "L");
	while (rc != 0) {
		uint64_t budget = 1024;

		while ((rc = store_walk_next(walk, &r, &budget)) == 1)
			found++;
		assert_true(rc == 0 || rc == GW_EMORE);
		slices++;
	}
	assert_int_equal(found, 6);
	assert_true(slices >= 6);
	store_walk_free(&walk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(follows),
	    WORLD_TEST(places_agree),
	    WORLD_TEST(goes_on_after_a_restart),
	    WORLD_TEST(tells_what_is_gone),
	    WORLD_TEST(retired_under_its_feet),
	    WORLD_TEST(a_failed_flush_never_was),
	    WORLD_TEST(in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
