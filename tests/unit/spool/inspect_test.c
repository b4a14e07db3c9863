#include "fixture.h"
#include "mail.h"

#include "spool/inspect.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 10000, DAMAGED = RECORDS / 100, BIG = 1 << 20 };

/* A record of the big log, and what was said of it. */
struct entry {
	struct store_record record;
	bool damaged, named, given;
};

static struct entry entries[RECORDS];
static int n_entries;
static uint64_t dice;

static uint64_t below(uint64_t n)
{
	return sim_random(&dice) % n;
}

static struct inspect *open_inspect(struct world *w)
{
	struct inspect *p = NULL;
	char why[100];

	assert_int_equal(inspect_open(&p, disk_sim_disk(w->disk), false, why, sizeof(why)), 0);
	return p;
}

/* The log of a bigger disk, not open. */
static void big_world(struct world *w)
{
	w->params.segment_size = BIG;
	w->params.spares = 1;
	disk_sim_params(w->disk)->capacity = 64 * BIG;
	world_again(w, false);
}

static void make_one(int i, struct store_record *r, struct buf *meta)
{
	uint32_t n = (uint32_t)i;

	*r = (struct store_record){.type = REC_MESSAGE, .id = mail_id(n), .own = i % 3 == 0};
	switch (i < 10 ? 0 : below(5)) {
	case 0:
	case 1: *meta = mail_message(n, 1 + below(8), NULL); break;
	case 2:
		*meta = mail_change((uint32_t)below(n), 0, n, OUTCOME_DELIVERED);
		r->type = REC_RESULT;
		break;
	case 3:
		*meta = mail_change((uint32_t)below(n), 0, n, OUTCOME_DEFERRED);
		r->type = REC_DEFERRED;
		break;
	default: buf_init(meta, 10); r->type = REC_PART;
	}
	if (r->type == REC_RESULT || r->type == REC_DEFERRED)
		memcpy(r->id.b, buf_view(meta).p + 6, sizeof(r->id.b));
}

static void make_log(struct world *w)
{
	static uint8_t content[4000];
	struct span body[16];
	struct store_record r[16];
	struct buf meta[16];

	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 7);
	for (n_entries = 0; n_entries < RECORDS;) {
		int n = 1 + (int)below(16);

		if (n > RECORDS - n_entries)
			n = RECORDS - n_entries;
		for (int i = 0; i < n; i++) {
			make_one(n_entries + i, &r[i], &meta[i]);
			r[i].meta = buf_view(&meta[i]);
			body[i] = span_of(content, below(4) ? below(700) : below(4000));
			r[i].body = &body[i];
			r[i].n_body = r[i].type == REC_MESSAGE || r[i].type == REC_PART;
		}
		assert_int_equal(store_commit(w->store, r, (size_t)n), STORE_DONE);
		for (int i = 0; i < n; i++) {
			assert_int_equal(r[i].status, 0);
			entries[n_entries++] = (struct entry){.record = r[i]};
			buf_fini(&meta[i]);
		}
	}
	/* Behind the last, so that nothing of it looks torn. */
	struct store_record last = world_record("last", NULL);
	assert_int_equal(world_put(w, &last), STORE_DONE);
}

static uint64_t place(const struct entry *e)
{
	return e->record.meta_at.offset - RECORD_HEADER;
}

static void damage(struct world *w, struct entry *e)
{
	char name[DISK_NAME_MAX];
	uint64_t size = RECORD_HEADER + e->record.meta_at.length + e->record.body_at.length;
	/* The header is small: it gets more than its share. */
	uint64_t at = place(e) + (below(2) ? below(RECORD_HEADER) : below(size));

	e->damaged = true;
	segment_format(name, SEGMENT_LOG, e->record.meta_at.segment);
	assert_int_equal(disk_sim_flip(w->disk, name, at), 0);
}

static struct entry *entry_at(uint64_t segment, uint64_t offset)
{
	for (int i = 0; i < n_entries; i++) {
		if (entries[i].record.meta_at.segment == segment && place(&entries[i]) == offset)
			return &entries[i];
	}
	return NULL;
}

static void compare_item(const struct inspect_item *item)
{
	struct entry *e = entry_at(item->segment, item->offset);

	if (!e) /* the one behind all others, of another kind */
		assert_true(item->kind == INSPECT_RECORD && item->record.meta.n == 4);
	if (!e)
		return;
	if (item->known) {
		assert_int_equal(item->record.type, e->record.type);
		assert_true(msgid_eq(&item->record.id, &e->record.id));
	}
	if (item->kind == INSPECT_RECORD) {
		assert_false(e->damaged || e->given);
		e->given = true;
		return;
	}
	assert_int_equal(item->kind, INSPECT_DAMAGED);
	assert_true(e->damaged);
	assert_false(e->named);
	e->named = true;
	/* Unless key, lengths or checksum of the header are hit, the message is named too. */
	if (item->fault == FAULT_META || item->fault == FAULT_BODY)
		assert_true(item->known);
}

/* One record in a hundred is damaged: these are lost and named, and no other. */
static void test_one_in_hundred(void **state)
{
	struct world *w = *state;
	struct inspect_item item;
	unsigned known = 0;

	dice = 17;
	big_world(w);
	make_log(w);
	store_close(&w->store);
	for (int n = 0; n < DAMAGED;) {
		struct entry *e = &entries[below(RECORDS)];

		if (e->damaged)
			continue;
		damage(w, e);
		/* Neighbours too: they must not be taken for one. */
		if (n < 20 && e + 1 < entries + RECORDS && !e[1].damaged) {
			damage(w, e + 1);
			n++;
		}
		n++;
	}
	struct inspect *p = open_inspect(w);
	while (inspect_next(p, &item) > 0) {
		compare_item(&item);
		known += item.kind == INSPECT_DAMAGED && item.known;
	}
	assert_int_equal(inspect_done(p), inspect_total(p));
	inspect_close(&p);
	for (int i = 0; i < n_entries; i++)
		assert_true(entries[i].given == !entries[i].damaged &&
			    entries[i].named == entries[i].damaged);
	assert_true(known > DAMAGED / 2);
	/* Recovery gives out the same records. */
	char why[80];
	struct store_record r;
	int given = 0;
	assert_int_equal(
	    store_open(&w->store, disk_sim_disk(w->disk), &w->params, why, sizeof(why)), 0);
	while (store_recover(w->store, &r, &w->damage) > 0)
		given++;
	assert_int_equal(given, RECORDS + 1 - DAMAGED);
	assert_true(w->damage.records > 0 && w->damage.records <= DAMAGED);
}

static void put(struct world *w, const char *meta, size_t body_n, struct store_record *r)
{
	static uint8_t big[SEGMENT];
	struct span body = span_of(big, body_n);

	*r = world_record(meta, &body);
	assert_int_equal(world_put(w, r), STORE_DONE);
	assert_int_equal(r->status, 0);
}

/* "R" for each good record, "D" or "T" for damage, with the first letter of the fault. */
static void expect(struct world *w, const char *all)
{
	struct inspect *p = open_inspect(w);
	struct inspect_item item;
	char have[200] = "";
	size_t n = 0;

	while (n + 3 < sizeof(have) && inspect_next(p, &item) > 0) {
		have[n++] = "RDT"[item.kind];
		if (item.kind != INSPECT_RECORD)
			have[n++] = inspect_fault_name(item.fault)[0];
	}
	have[n] = '\0';
	inspect_close(&p);
	assert_string_equal(have, all);
}

static void test_kinds(void **state)
{
	struct world *w = *state;
	struct store_record r[5];
	static const char name[] = "seg-0000000000000001";

	expect(w, "");
	for (int i = 0; i < 4; i++)
		put(w, "meta", 500, &r[i]);
	expect(w, "RRRR");
	disk_sim_flip(w->disk, name, r[0].body_at.offset);
	disk_sim_flip(w->disk, name, r[1].meta_at.offset);
	disk_sim_flip(w->disk, name, r[2].meta_at.offset - 40);
	expect(w, "RDbDmDh");
	/* The last flush of a life may have been torn; nothing shows that the others were not the
	 * last. */
	disk_sim_flip(w->disk, name, r[3].meta_at.offset - 70);
	expect(w, "DbTmThTh");
	disk_sim_flip(w->disk, name, r[3].meta_at.offset - 70);
	/* Left in order: what is missing at the end is known to be. */
	put(w, "meta", 50000, &r[4]);
	assert_true(r[4].meta_at.segment == 2);
	disk_sim_flip(w->disk, name, r[3].meta_at.offset - 70);
	expect(w, "DbDmDhDhR");
}

/* Nothing is lost with the header of a segment; older octets in the file stay dead. */
static void test_headless(void **state)
{
	struct world *w = *state;
	struct store_record r[3], old;

	w->params.spares = 2;
	world_again(w, false);
	put(w, "old", 40000, &old);
	put(w, "old", 40000, &old);
	store_release(w->store, 1);
	assert_int_equal(store_retire(w->store), 1);
	while (store_prepare(w->store) > 0)
		;
	for (int i = 0; i < 3; i++)
		put(w, "new", 20000, &r[i]); /* 2 has room for one, 3 is the file of 1 */
	assert_true(r[2].meta_at.segment == 3);
	store_close(&w->store);
	disk_sim_flip(w->disk, "seg-0000000000000003", 100);
	expect(w, "RRDsRR");
	disk_sim_flip(w->disk, "seg-0000000000000002", 0);
	expect(w, "DsRRDsRR");
	struct inspect *p = open_inspect(w);
	assert_true(inspect_segment(p, 0)->headless && !inspect_segment(p, 0)->unknown);
	inspect_close(&p);
}

static void test_indexes(void **state)
{
	struct world *w = *state;
	struct disk *d = disk_sim_disk(w->disk);
	struct store_record r;
	static const char first[] = "idx-0000000000000001", second[] = "idx-0000000000000002";

	for (int i = 0; i < 3; i++)
		put(w, "meta", 50000, &r);
	while (store_prepare(w->store) > 0)
		;
	store_close(&w->store);
	struct inspect *p = open_inspect(w);
	assert_int_equal(inspect_count(p), 3);
	assert_int_equal(inspect_check_index(p, 0), INDEX_GOOD);
	assert_int_equal(inspect_check_index(p, 2), INDEX_NONE);
	disk_sim_flip(w->disk, first, 140);
	assert_int_equal(inspect_check_index(p, 0), INDEX_BAD);
	disk_sim_flip(w->disk, first, 140);
	disk_sim_flip(w->disk, first, 30);
	assert_int_equal(inspect_check_index(p, 0), INDEX_BAD);
	assert_int_equal(d->ops->rename(d, first, second), 0);
	inspect_close(&p);
	p = open_inspect(w);
	assert_int_equal(inspect_check_index(p, 0), INDEX_NONE);
	assert_int_equal(inspect_check_index(p, 1), INDEX_BAD);
	assert_int_equal(inspect_lone_indexes(p), 0);
	inspect_close(&p);
	assert_int_equal(d->ops->rename(d, second, "idx-0000000000000009"), 0);
	p = open_inspect(w);
	assert_int_equal(inspect_lone_indexes(p), 1);
	inspect_close(&p);
}

/* The attack: a body with this segment's own record at another place, behind a damaged header. */
static void test_forged(void **state)
{
	struct world *w = *state;
	struct store_record r;
	static uint8_t stolen[4096];
	struct extent all = {1, SEGMENT_START, 4096, 0};
	struct span body = span_of(stolen, sizeof(stolen));
	struct inspect_item item;

	put(w, "good", 100, &r);
	assert_int_equal(store_read_at(w->store, &all, 0, stolen, sizeof(stolen)), 4096);
	r = world_record("evil1234", &body);
	assert_int_equal(world_put(w, &r), STORE_DONE);
	disk_sim_flip(w->disk, "seg-0000000000000001", r.meta_at.offset - 30);
	put(w, "last", 0, &r);
	struct inspect *p = open_inspect(w);
	while (inspect_next(p, &item) > 0)
		assert_true(item.kind != INSPECT_RECORD || item.record.meta.n == 4);
	inspect_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_one_in_hundred),
	    WORLD_TEST(test_kinds),
	    WORLD_TEST(test_headless),
	    WORLD_TEST(test_indexes),
	    WORLD_TEST(test_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
