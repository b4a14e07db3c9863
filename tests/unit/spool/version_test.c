/*
 * Segments as each version of the program wrote them must be readable for ever: fixtures/vN holds
 * the files of version N, never to be changed. When the format changes, "version_test write DIR"
 * makes the files of the new version, from nothing but constants.
 */
#include "fixture.h"
#include "mail.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL = SEGMENT_MIN };

static const char *const names[] = {
    "seg-0000000000000001", "idx-0000000000000001", "seg-0000000000000002", "seg-0000000000000003"};

/* What recovery gives out: type, id, octets of meta and body, and the checksum of both together. */
static const char *const wanted_v1[] = {
    "2 009 0 300 a53582391d179e37",
    "1 001 187 900 ff29f58e80065793",
    "3 001 78 0 f7008e3cbaa84a46",
    "1 002 243 1000 53d76af32ca8ebb1",
    "4 001 78 0 f6e184ec6f8eda70",
    "11 003 78 0 120acf737f771285",
    "1 006 127 0 1709dd29c5baba53",
    "3 006 78 0 35face2b45a7ff62",
    "1 004 127 7000 9d3dcc39552fb2b7",
    "3 004 78 0 b42f996c0fa621fa",
};

static void constant_key(void *to, size_t n)
{
	static uint8_t next;

	memset(to, 0xA0 + next++, n);
}

struct batch {
	struct store_record r[8];
	struct span body[8];
	struct buf meta[8];
	size_t n;
};

static void add(struct batch *b, enum record_type type, uint32_t id, struct buf meta, size_t body_n)
{
	static uint8_t body[SMALL];
	size_t i = b->n++;

	for (size_t k = 0; k < sizeof(body); k++)
		body[k] = (uint8_t)(k * k + 3);
	b->meta[i] = meta;
	b->body[i] = span_of(body, body_n);
	b->r[i] = (struct store_record){.type = type, .id = mail_id(id), .own = type == REC_RESULT};
	b->r[i].meta = buf_view(&meta);
	b->r[i].body = &b->body[i];
	b->r[i].n_body = 1;
}

static void put(struct world *w, struct batch *b)
{
	assert_int_equal(store_commit(w->store, b->r, b->n), STORE_DONE);
	while (b->n > 0)
		buf_fini(&b->meta[--b->n]);
}

static void make_records(struct world *w)
{
	struct batch b = {.n = 0};
	struct buf ends = mail_change(1, 1, 1, OUTCOME_FAILED);
	struct part part = {1, 4096 + RECORD_HEADER, 300, 7};
	struct mail_extra x = {.ends = buf_view(&ends), .part = &part, .n_part = 1};

	add(&b, REC_PART, 9, (struct buf){0}, 300);
	add(&b, REC_MESSAGE, 1, mail_message(1, 3, NULL), 900);
	add(&b, REC_RESULT, 1, mail_change(1, 0, 1, OUTCOME_DELIVERED), 0);
	add(&b, REC_MESSAGE, 2, mail_message(2, 1, &x), 1000);
	put(w, &b);
	add(&b, REC_DEFERRED, 1, mail_change(1, 2, 1, OUTCOME_DEFERRED), 0);
	add(&b, REC_EVENT, 3, mail_change(3, 0, 1, OUTCOME_NONE), 0);
	add(&b, REC_MESSAGE, 6, mail_message(6, 1, NULL), 0);
	add(&b, REC_RESULT, 6, mail_change(6, 0, 1, OUTCOME_DROPPED), 0);
	put(w, &b);
	add(&b, REC_MESSAGE, 4, mail_message(4, 1, NULL), 7000); /* the next segment */
	put(w, &b);
	disk_sim_fail(w->disk, SIM_SYNC, 1, GW_EIO);
	add(&b, REC_MESSAGE, 5, mail_message(5, 1, NULL), 10); /* refused: a TRUNCATE, the third */
	put(w, &b);
	add(&b, REC_RESULT, 4, mail_change(4, 0, 1, OUTCOME_DELIVERED), 0);
	put(w, &b);
	buf_fini(&ends);
}

static int write_files(const char *dir)
{
	struct world *w = NULL;
	char path[512];

	if (world_set_up((void **)&w) != 0)
		return 1;
	store_close(&w->store);
	w->params.segment_size = SMALL;
	w->params.random = constant_key;
	assert_int_equal(world_open(w), 0);
	make_records(w);
	while (store_prepare(w->store) > 0)
		;
	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
		struct span s = disk_sim_peek(w->disk, names[i]);

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		FILE *f = fopen(path, "wbx");
		if (!f || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
			return 1;
	}
	return world_tear_down((void **)&w);
}

static void load_file(struct world *w, const char *dir, const char *name)
{
	struct disk *d = disk_sim_disk(w->disk);
	char path[512];
	static uint8_t mem[1 << 20];

	snprintf(path, sizeof(path), "tests/unit/spool/fixtures/%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened", path);
	struct span v = span_of(mem, fread(mem, 1, sizeof(mem), f));
	fclose(f);
	int h = d->ops->open(d, name, true);
	assert_int_equal(d->ops->write(d, h, &v, 1, 0), 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	d->ops->close(d, h);
	assert_int_equal(d->ops->sync_dir(d), 0);
}

static void describe(struct world *w, const struct store_record *r, char *to, size_t size)
{
	static uint8_t body[SMALL];
	struct store_read *sum = NULL;
	int64_t got = store_read_at(w->store, &r->body_at, 0, body, sizeof(body));

	assert_int_equal(got, r->body_at.length);
	store_sum_feed(&sum, span_of(body, (size_t)got));
	assert_true(store_sum_end(&sum) == r->body_at.sum);
	assert_true(spool_sum(r->meta) == r->meta_at.sum);
	store_sum_feed(&sum, r->meta);
	store_sum_feed(&sum, span_of(body, (size_t)got));
	snprintf(to, size, "%u %03u %zu %lld %016llx", r->type, r->id.b[0], r->meta.n,
	    (long long)got, (unsigned long long)store_sum_end(&sum));
}

static void compare(const char *dir, const char *const *want, size_t n, bool by_index)
{
	struct world *w = NULL;
	struct store_record r;
	char why[80], have[120];
	size_t at = 0;

	assert_int_equal(world_set_up((void **)&w), 0);
	store_close(&w->store);
	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++)
		load_file(w, dir, names[i]);
	w->params.ignore_indexes = !by_index;
	assert_int_equal(
	    store_open(&w->store, disk_sim_disk(w->disk), &w->params, why, sizeof(why)), 0);
	while (store_recover(w->store, &r, &w->damage) > 0) {
		if (by_index)
			continue;
		describe(w, &r, have, sizeof(have));
		if (at >= n || strcmp(have, want[at]) != 0)
			fail_msg("%s, record %zu: %s", dir, at, have);
		at++;
	}
	assert_true(by_index || at == n);
	assert_true(w->damage.records == 0 && w->damage.truncates == 1);
	assert_true(w->damage.bad_indexes == 0 && w->damage.indexed == (by_index ? 1 : 0));
	assert_int_equal(world_tear_down((void **)&w), 0);
}

static void test_version_1(void **state)
{
	(void)state;
	compare("v1", wanted_v1, GW_ARRAY_LEN(wanted_v1), false);
	compare("v1", wanted_v1, GW_ARRAY_LEN(wanted_v1), true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_version_1)};

	if (argc == 3 && strcmp(argv[1], "write") == 0)
		return write_files(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
