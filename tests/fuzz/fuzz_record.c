/*
 * Recovery of a segment that the input composes: good records, lies in good
 * headers, junk, the segment's own key in wrong places, flipped octets. What is
 * given out must be a record that was put, at its place and unharmed; and the
 * store must work afterwards. Then its index is written and read: it gives out
 * nothing that the segment does not hold. The tools' reading must come to its
 * end, with the same good records. The raw input is also decoded as header pages.
 */
#include "sim/disk_sim.c"
#include "sim/disk_sim_cut.c"
#include "sim/faults.c"

#include "base/cursor.h"
#include "spool/index.h"
#include "spool/inspect.h"
#include "spool/segment.h"

enum { SIZE = 65536, MAX_PUT = 64 };

static const struct spool_key the_key = {"0123456789abcde"};
static uint64_t keys = 1;

static void any_key(void *to, size_t n)
{
	for (uint8_t *p = to; n > 0; n--)
		*p++ = (uint8_t)sim_random(&keys);
}

struct put {
	uint64_t at, n;
	uint8_t copy[2048];
};

static struct put all_puts[MAX_PUT];
static size_t n_puts;
static uint8_t image[SIZE];

static uint64_t put_record(struct cursor *c, uint64_t at)
{
	struct record_head h = {.type = (enum record_type)get_u8(c)};
	struct span meta = get_bytes(c, get_u8(c) % 40);
	uint8_t lie = get_u8(c);

	h.body_len = get_u16(c) % 1900;
	h.flush_page = get_u8(c) % 20;
	h.flush_pad = get_u16(c);
	h.meta_len = (uint32_t)meta.n;
	if (!cursor_ok(c) || n_puts == MAX_PUT || at + record_size(&h) > SIZE)
		return at;
	h.meta_sum = spool_sum(meta);
	h.body_sum = spool_sum(span_of(image + at + RECORD_HEADER + meta.n, h.body_len));
	h.meta_len += (lie & 1) ? 1u << (lie >> 3) : 0;
	h.body_sum ^= lie & 2;
	h.meta_sum ^= lie & 4;
	record_encode(&h, &the_key, at, image + at);
	if (meta.n > 0)
		memcpy(image + at + RECORD_HEADER, meta.p, meta.n);
	if ((lie & 7) == 0) {
		struct put *p = &all_puts[n_puts++];

		p->at = at;
		p->n = record_size(&h);
		memcpy(p->copy, image + at, p->n);
	}
	return record_align(at + record_size(&h));
}

static void compose(struct cursor *c)
{
	uint64_t at = SEGMENT_START;

	while (cursor_ok(c) && c->rest.n > 0) {
		uint8_t what = get_u8(c);
		uint64_t n = get_u16(c);

		if (what < 128) {
			at = put_record(c, at);
		} else if (what < 160) {
			at = page_up(at + 1);
		} else if (what < 190) {
			image[n] ^= (uint8_t)(what | 1);
		} else if (what < 220) {
			memcpy(image + (n < SIZE - SPOOL_KEY ? n : 0), the_key.b, SPOOL_KEY);
		} else {
			struct span junk = get_bytes(c, n % 200);

			if (junk.n > 0 && at + junk.n <= SIZE)
				memcpy(image + at, junk.p, junk.n);
			at += junk.n;
		}
		if (at + 4096 > SIZE)
			at = SEGMENT_START;
	}
}

static void make_segment(struct disk *d)
{
	struct segment_head h = {.generation = 3, .size = SIZE, .key = the_key};
	struct span v = span_of(image, SIZE);
	char name[DISK_NAME_MAX];

	segment_encode(&h, image);
	segment_format(name, SEGMENT_LOG, 3);
	int f = d->ops->open(d, name, true);
	gw_assert(f >= 0 && d->ops->write(d, f, &v, 1, 0) == 0);
	d->ops->close(d, f);
}

static void check_given(const struct store_record *r)
{
	uint64_t at = r->meta_at.offset - RECORD_HEADER;

	for (size_t i = 0; i < n_puts; i++) {
		const struct put *p = &all_puts[i];

		if (p->at == at && memcmp(p->copy, image + at, p->n) == 0) {
			gw_assert(p->n == RECORD_HEADER + r->meta.n + r->body_at.length);
			gw_assert(span_eq(r->meta, span_of(p->copy + RECORD_HEADER, r->meta.n)));
			return;
		}
	}
	die("given out, but never put");
}

static struct store *open_store(struct disk *d)
{
	struct store_params p = {.segment_size = SIZE, .random = any_key};
	struct store *s = NULL;
	char why[80];

	gw_assert(store_open(&s, d, &p, why, sizeof(why)) == 0);
	return s;
}

/* The number of records. */
static unsigned recover(struct disk *d)
{
	struct store *s = open_store(d);
	struct store_record r;
	struct store_damage damage;
	uint64_t last = 0;
	unsigned n = 0;
	int rc;

	for (; (rc = store_recover(s, &r, &damage)) > 0; n++) {
		gw_assert(r.meta_at.offset > last);
		last = r.meta_at.offset;
		check_given(&r);
	}
	gw_assert(rc == 0);
	struct store_record mine = {.type = REC_EVENT, .meta = SPAN("x")};
	gw_assert(store_commit(s, &mine, 1) == STORE_DONE && mine.status == 0);
	while (store_prepare(s) > 0)
		continue;
	store_close(&s);
	return n;
}

/* All from the segment, or of its own making: a finished message, without a place. */
static void recover_by_index(struct disk *d)
{
	struct store *s = open_store(d);
	struct store_record r;
	struct store_damage damage;
	int rc;

	while ((rc = store_recover(s, &r, &damage)) > 0) {
		if (r.meta_at.segment != 3 || r.meta_at.length == 0)
			continue;
		gw_assert(r.meta_at.offset + r.meta_at.length <= SIZE);
		gw_assert(span_eq(r.meta, span_of(image + r.meta_at.offset, r.meta.n)));
		gw_assert(spool_sum(r.meta) == r.meta_at.sum);
	}
	gw_assert(rc == 0 && damage.bad_indexes == 0);
	store_close(&s);
}

static void inspect(struct disk *d, unsigned want)
{
	struct inspect *p = NULL;
	struct inspect_item item;
	char why[80];
	unsigned n = 0;
	int rc;

	gw_assert(inspect_open(&p, d, false, why, sizeof(why)) == 0);
	while ((rc = inspect_next(p, &item)) > 0) {
		gw_assert(item.offset + item.octets <= UINT32_MAX + (uint64_t)SIZE);
		if (item.kind == INSPECT_RECORD && item.segment == 3) {
			check_given(&item.record);
			n++;
		}
	}
	gw_assert(rc == 0 && n == want);
	inspect_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct disk_sim_params p = {.capacity = 1 << 20};
	struct disk_sim *sim = disk_sim_new(1, &p);
	struct cursor c = cursor_of(span_of(data, n));
	struct segment_head sh;
	struct record_head rh;
	struct truncate t;

	(void)!segment_decode(c.rest, &sh);
	(void)!record_decode(c.rest, &the_key, 4096, &rh);
	(void)!truncate_decode(c.rest, &t);
	memset(image, 0, sizeof(image));
	n_puts = 0;
	compose(&c);
	make_segment(disk_sim_disk(sim));
	unsigned given = recover(disk_sim_disk(sim));
	inspect(disk_sim_disk(sim), given);
	recover_by_index(disk_sim_disk(sim));
	disk_sim_free(&sim);
	return 0;
}
