#include "fixture.h"

static uint8_t big[SEGMENT];
static const char first_name[] = "seg-0000000000000001";

static void put(struct world *w, const char *meta, size_t body_n, struct store_record *out)
{
	struct span body = span_of(big, body_n);

	*out = world_record(meta, &body);
	assert_int_equal(world_put(w, out), STORE_DONE);
	assert_int_equal(out->status, 0);
}

static void expect(struct world *w, const char *all)
{
	char have[400] = "";

	for (int i = 0; i < w->n_found; i++)
		strcat(have, w->text[i]);
	assert_string_equal(have, all);
}

static void test_empty(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->n_found, 0);
	world_again(w, true);
	assert_int_equal(w->n_found, 0);
}

static void test_order(void **state)
{
	struct world *w = *state;
	struct store_record r;

	for (char c[2] = "a"; c[0] <= 'z'; c[0]++)
		put(w, c, (size_t)(c[0] % 7) * 3000, &r);
	world_again(w, true);
	expect(w, "abcdefghijklmnopqrstuvwxyz");
	/* The next life goes on in a segment of its own. */
	uint64_t last = w->found[25].meta_at.segment;
	put(w, "A", 5, &r);
	assert_true(r.meta_at.segment == last + 1);
	world_again(w, true);
	expect(w, "abcdefghijklmnopqrstuvwxyzA");
	assert_int_equal(w->damage.records, 0);
}

/* Damage in body, meta or header: this record alone is missing, and its place is told. */
static void test_damage(void **state)
{
	static const int64_t places[] = {-80, -70, -1, 0, 3, 4, 4003};
	struct world *w = *state;
	struct store_record r[3];

	put(w, "aaaa", 4000, &r[0]);
	put(w, "bbbb", 4000, &r[1]);
	put(w, "cccc", 4000, &r[2]);
	for (size_t i = 0; i < GW_ARRAY_LEN(places); i++) {
		uint64_t at = (uint64_t)((int64_t)r[1].meta_at.offset + places[i]);

		assert_int_equal(disk_sim_flip(w->disk, first_name, at), 0);
		world_again(w, false);
		expect(w, "aaaacccc");
		assert_int_equal(w->damage.records, 1);
		assert_true(w->damage.segment == 1);
		/* Where a flush began is not known without its header: then the page before. */
		assert_true(page_up(w->damage.offset) == r[1].meta_at.offset - RECORD_HEADER);
		assert_int_equal(disk_sim_flip(w->disk, first_name, at), 0);
	}
}

/* The last flush of a life may be torn: no damage. Once something followed, it is. */
static void test_tear_or_damage(void **state)
{
	struct world *w = *state;
	struct store_record r,
	    batch[3] = {world_record("b", NULL), world_record("c", NULL), world_record("d", NULL)};

	put(w, "a", 10, &r);
	assert_int_equal(store_commit(w->store, batch, 3), STORE_DONE);
	disk_sim_flip(w->disk, first_name, batch[1].meta_at.offset);
	world_again(w, false);
	expect(w, "abd");
	assert_int_equal(w->damage.records, 0);
	assert_int_equal(w->damage.truncated, RECORD_HEADER + 1);
	disk_sim_flip(w->disk, first_name, r.meta_at.offset);
	world_again(w, false);
	expect(w, "bd");
	assert_int_equal(w->damage.records, 1);
}

/* The segment was left in order, so its end is known: a lost tail is damage. */
static void test_lost_tail(void **state)
{
	struct world *w = *state;
	struct store_record r[3];

	put(w, "a", 30000, &r[0]);
	put(w, "b", 10, &r[1]);
	put(w, "c", 30000, &r[2]);
	assert_true(r[2].meta_at.segment == 2);
	world_again(w, false);
	assert_int_equal(w->damage.records, 0);
	uint64_t seal = page_up(r[1].body_at.offset + 10);
	disk_sim_flip(w->disk, first_name, r[1].meta_at.offset - 1);
	disk_sim_flip(w->disk, first_name, seal + 40);
	world_again(w, false);
	expect(w, "ac");
	assert_int_equal(w->damage.records, 1);
}

/*
 * The attack: a client has seen the disk and sends a body that holds a perfect record of this
 * segment, and the real header in front of it is torn away. It lies at another offset: no record.
 */
static void test_forged_record(void **state)
{
	struct world *w = *state;
	struct store_record r;
	static uint8_t stolen[8192], body[8192];
	static const size_t shifts[] = {0, 1, 4, 8};
	struct extent all = {1, SEGMENT_START, 4096, 0};

	put(w, "a", 1000, &r);
	assert_int_equal(store_read_at(w->store, &all, 0, stolen, 4096), 4096);
	for (size_t i = 0; i < GW_ARRAY_LEN(shifts); i++) {
		memcpy(body, stolen, 4096);
		memcpy(body + shifts[i], stolen, 4096);
		struct span s = span_of(body, 4096 + shifts[i]);
		r = world_record("evil", &s);
		assert_int_equal(world_put(w, &r), STORE_DONE);
		assert_true(r.meta_at.segment == 1);
		disk_sim_flip(w->disk, first_name, r.meta_at.offset - 1);
	}
	world_again(w, false);
	expect(w, "a");
}

/* One page cannot be read: the records in it are missing, the others are not. */
static void test_bad_page(void **state)
{
	struct world *w = *state;
	struct store_record r[3];

	put(w, "a", 5000, &r[0]);
	put(w, "b", 5000, &r[1]);
	put(w, "c", 5000, &r[2]);
	memset(big, 'x', sizeof(big));
	put(w, "d", 5000, &r[1]);
	put(w, "e", 5000, &r[2]);
	assert_int_equal(disk_sim_bad_page(w->disk, first_name, r[1].body_at.offset + 4500), 0);
	world_again(w, false);
	expect(w, "abce");
	assert_int_equal(w->damage.records, 1);
}

static int make_file(struct world *w, const char *name, uint64_t size, uint8_t fill_with)
{
	struct disk *d = disk_sim_disk(w->disk);
	uint8_t *mem = gw_calloc(1, size);
	struct span v = span_of(mem, size);
	int h = d->ops->open(d, name, true);

	memset(mem, fill_with, size);
	assert_int_equal(d->ops->write(d, h, &v, 1, 0), 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	assert_int_equal(d->ops->sync_dir(d), 0);
	free(mem);
	return h;
}

static bool exists(struct world *w, const char *name)
{
	struct disk *d = disk_sim_disk(w->disk);
	int h = d->ops->open(d, name, false);

	if (h >= 0)
		d->ops->close(d, h);
	return h >= 0;
}

static void test_strange_files(void **state)
{
	struct world *w = *state;
	struct store_record r;

	put(w, "a", 10, &r);
	make_file(w, "seg-0000000000000007", 8192, 0x55);
	make_file(w, "seg-0000000000000008", 0, 0);
	make_file(w, "spare-0000000000000003", 8192, 0);
	make_file(w, "new-0000000000000009", 8192, 0);
	make_file(w, "README", 10, 'x');
	world_again(w, true);
	expect(w, "a");
	assert_int_equal(w->damage.strangers, 2);
	assert_true(exists(w, "seg-0000000000000007") && exists(w, "README"));
	assert_false(exists(w, "spare-0000000000000003") || exists(w, "new-0000000000000009"));
	/* Their generations are not used again. */
	put(w, "b", 10, &r);
	assert_true(r.meta_at.segment == 9);
}

/* A file that took the place of another, or a copy under another name, is a stranger. */
static void test_misnamed_segment(void **state)
{
	struct world *w = *state;
	struct disk *d = disk_sim_disk(w->disk);
	struct store_record r;

	put(w, "a", 10, &r);
	assert_int_equal(d->ops->rename(d, first_name, "seg-0000000000000005"), 0);
	world_again(w, false);
	expect(w, "");
	assert_int_equal(w->damage.strangers, 1);
}

static void test_later_version(void **state)
{
	struct world *w = *state;
	struct segment_head head = {.generation = 7, .size = SEGMENT};
	uint8_t page[SPOOL_PAGE];
	struct span v = span_of(page, sizeof(page));
	struct disk *d = disk_sim_disk(w->disk);

	segment_encode(&head, page);
	page[8] = 99;
	uint64_t sum = spool_sum(span_of(page, SPOOL_PAGE - 8));
	for (int i = 0; i < 8; i++)
		page[SPOOL_PAGE - 8 + i] = (uint8_t)(sum >> 8 * i);
	int h = make_file(w, "seg-0000000000000007", SEGMENT, 0);
	assert_int_equal(d->ops->write(d, h, &v, 1, 0), 0);
	store_close(&w->store);
	assert_int_equal(world_open(w), GW_EVERSION);
}

/* A segment cut short by somebody is read as far as it goes. */
static void test_short_file(void **state)
{
	struct world *w = *state;
	struct segment_head head = {.generation = 7, .size = SEGMENT};
	uint8_t page[SPOOL_PAGE];
	struct span v = span_of(page, sizeof(page));
	struct disk *d = disk_sim_disk(w->disk);

	segment_encode(&head, page);
	int h = make_file(w, "seg-0000000000000007", SPOOL_PAGE + 100, 0);
	assert_int_equal(d->ops->write(d, h, &v, 1, 0), 0);
	world_again(w, false);
	assert_int_equal(w->n_found, 0);
}

/* A flush that fails during recovery gives nothing out. */
static void test_flush_fails(void **state)
{
	struct world *w = *state;
	struct store_record r;

	put(w, "a", 10, &r);
	store_close(&w->store);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	assert_int_equal(world_open(w), GW_EIO);
	assert_int_equal(w->n_found, 0);
	world_again(w, false);
	expect(w, "a");
}

/* A meta larger than a window of recovery. */
static void test_large_meta(void **state)
{
	struct world *w = *state;
	const size_t n = 3 << 20;
	uint8_t *meta = gw_calloc(1, n);

	w->params.segment_size = 8 << 20;
	disk_sim_params(w->disk)->capacity = 64 << 20;
	world_again(w, false);
	memset(meta, 'm', n);
	struct store_record r = world_record("", NULL);
	r.meta = span_of(meta, n);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	assert_int_equal(r.status, 0);
	world_again(w, true);
	expect(w, "mmmmmmm");
	assert_int_equal(w->found[0].meta_at.length, n);
	free(meta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_empty),
	    WORLD_TEST(test_order),
	    WORLD_TEST(test_damage),
	    WORLD_TEST(test_tear_or_damage),
	    WORLD_TEST(test_lost_tail),
	    WORLD_TEST(test_forged_record),
	    WORLD_TEST(test_bad_page),
	    WORLD_TEST(test_strange_files),
	    WORLD_TEST(test_misnamed_segment),
	    WORLD_TEST(test_later_version),
	    WORLD_TEST(test_short_file),
	    WORLD_TEST(test_flush_fails),
	    WORLD_TEST(test_large_meta),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
