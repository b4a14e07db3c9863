/*
 * An index whose checksums are good and whose content the input chooses, beside a
 * segment with two records. Recovery must come to its end without harm, and what it
 * gives out can be asked for: a place outside the segment is refused. The raw input
 * is also read as the head of an index.
 */
#include "sim/disk_sim.c"
#include "sim/disk_sim_cut.c"
#include "sim/faults.c"

#include "base/cursor.h"
#include "spool/index.h"

enum { SIZE = 65536 };

static uint64_t keys = 1;

static void any_key(void *to, size_t n)
{
	for (uint8_t *p = to; n > 0; n--)
		*p++ = (uint8_t)sim_random(&keys);
}

static struct store *open_store(struct disk *d)
{
	struct store_params p = {.segment_size = SIZE, .random = any_key};
	struct store *s = NULL;
	char why[80];

	gw_assert(store_open(&s, d, &p, why, sizeof(why)) == 0);
	return s;
}

/* A life that leaves a segment; its header. */
static struct segment_head make_segment(struct disk_sim *sim)
{
	struct store *s = open_store(disk_sim_disk(sim));
	struct store_record r[2] = {
	    {.type = REC_MESSAGE, .meta = SPAN("one")}, {.type = REC_RESULT, .meta = SPAN("two")}};
	struct store_damage damage;
	struct store_record none;
	struct segment_head h;

	gw_assert(store_recover(s, &none, &damage) == 0);
	gw_assert(store_commit(s, r, 2) == STORE_DONE && r[1].status == 0);
	store_close(&s);
	gw_assert(segment_decode(
		      span_first(disk_sim_peek(sim, "seg-0000000000000001"), SPOOL_PAGE), &h) == 0);
	return h;
}

static void write_index(struct disk *d, const struct segment_head *seg, struct cursor *c)
{
	struct index_head h = {.generation = 1, .key = seg->key, .size = seg->size};
	uint8_t raw[INDEX_HEAD];

	h.end = (uint64_t)get_u8(c) * SPOOL_PAGE;
	h.truncate.segment = get_u8(c) % 3;
	h.truncate.offset = (uint64_t)get_u8(c) * (SPOOL_PAGE / 2);
	h.newest = (int64_t)get_u64(c);
	h.n_nonces = get_u16(c);
	h.n_entries = get_u16(c);
	h.octets = c->rest.n;
	h.sum = spool_sum(c->rest);
	index_head_encode(&h, raw);
	struct span v[2] = {span_of(raw, sizeof(raw)), c->rest};
	int f = d->ops->open(d, "idx-0000000000000001", true);
	gw_assert(f >= 0 && d->ops->write(d, f, v, c->rest.n > 0 ? 2 : 1, 0) == 0);
	d->ops->close(d, f);
}

static void recover(struct disk *d)
{
	struct store *s = open_store(d);
	struct store_record r;
	struct store_damage damage;
	uint8_t octets[64];
	int rc;

	while ((rc = store_recover(s, &r, &damage)) > 0) {
		uint8_t last = r.meta.n > 0 ? r.meta.p[r.meta.n - 1] : 0;

		gw_assert(r.meta.n <= SIZE && last + 1 > 0);
		(void)!store_read_at(s, &r.body_at, 0, octets, sizeof(octets));
		store_hold(s, r.meta_at.segment);
	}
	gw_assert(rc == 0);
	while (store_prepare(s) > 0)
		continue;
	store_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct disk_sim_params p = {.capacity = 1 << 20};
	struct disk_sim *sim = disk_sim_new(1, &p);
	struct cursor c = cursor_of(span_of(data, n));
	struct segment_head seg = make_segment(sim);
	struct index_head h;

	(void)!index_head_decode(c.rest, &h);
	write_index(disk_sim_disk(sim), &seg, &c);
	recover(disk_sim_disk(sim));
	disk_sim_free(&sim);
	return 0;
}
