#include "spool/index.h"

#include "base/cursor.h"
#include "mail/change.h"
#include "mail/envelope.h"

#include <stdlib.h>

static const struct span index_magic = {(const uint8_t *)"GODWITIX", 8};
enum { SUM_AT = INDEX_HEAD - 8, FLAG_OWN = 1, MADE_MAX = 4096 };

/* ---- the head -------------------------------------------------------------------------------- */

void index_head_encode(const struct index_head *h, uint8_t out[INDEX_HEAD])
{
	struct buf b;

	buf_init(&b, INDEX_HEAD);
	buf_add_span(&b, index_magic);
	put_u32(&b, INDEX_VERSION);
	put_u32(&b, 0);
	put_u64(&b, h->generation);
	buf_add(&b, h->key.b, SPOOL_KEY);
	put_u64(&b, h->size);
	put_u64(&b, h->previous);
	put_u64(&b, h->end);
	put_u64(&b, h->truncate.segment);
	put_u64(&b, h->truncate.offset);
	put_u64(&b, (uint64_t)h->newest);
	put_u64(&b, h->n_nonces);
	put_u64(&b, h->n_entries);
	put_u64(&b, h->octets);
	put_u64(&b, h->sum);
	put_u64(&b, spool_sum(buf_view(&b)));
	gw_assert(!buf_failed(&b) && buf_len(&b) == INDEX_HEAD);
	memcpy(out, buf_view(&b).p, INDEX_HEAD);
	buf_fini(&b);
}

static void get_key(struct cursor *c, struct spool_key *key)
{
	struct span s = get_bytes(c, SPOOL_KEY);

	if (s.n == SPOOL_KEY)
		memcpy(key->b, s.p, SPOOL_KEY);
}

int index_head_decode(struct span in, struct index_head *out)
{
	struct cursor c = cursor_of(span_first(in, SUM_AT));
	struct cursor sum = cursor_of(span_first(span_skip(in, SUM_AT), 8));

	if (!span_eq(get_bytes(&c, index_magic.n), index_magic))
		return GW_EFORMAT;
	if (get_u64(&sum) != spool_sum(span_first(in, SUM_AT)) || !cursor_done(&sum))
		return GW_EFORMAT;
	if (get_u32(&c) != INDEX_VERSION)
		return GW_EVERSION;
	(void)get_u32(&c);
	out->generation = get_u64(&c);
	get_key(&c, &out->key);
	out->size = get_u64(&c);
	out->previous = get_u64(&c);
	out->end = get_u64(&c);
	out->truncate.segment = get_u64(&c);
	out->truncate.offset = get_u64(&c);
	out->newest = (int64_t)get_u64(&c);
	out->n_nonces = get_u64(&c);
	out->n_entries = get_u64(&c);
	out->octets = get_u64(&c);
	out->sum = get_u64(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

static int open_index(struct disk *d, uint64_t generation)
{
	char name[DISK_NAME_MAX];

	segment_format(name, SEGMENT_INDEX, generation);
	return d->ops->open(d, name, false);
}

static int read_head(struct disk *d, int handle, uint64_t generation, struct index_head *out)
{
	uint8_t raw[INDEX_HEAD];
	int64_t got = d->ops->read(d, handle, raw, sizeof(raw), 0);
	int64_t size = d->ops->size(d, handle);

	if (got < 0 || size < 0)
		return GW_EIO;
	int err = index_head_decode(span_of(raw, (size_t)got), out);
	if (err != 0)
		return err == GW_EVERSION ? err : GW_ECORRUPT;
	if (out->generation != generation || (uint64_t)size < INDEX_HEAD ||
	    out->octets != (uint64_t)size - INDEX_HEAD)
		return GW_ECORRUPT;
	return 0;
}

int index_read_head(struct disk *d, uint64_t generation, struct index_head *out)
{
	int handle = open_index(d, generation);

	if (handle < 0)
		return handle;
	int err = read_head(d, handle, generation, out);
	d->ops->close(d, handle);
	if (err != 0)
		out->generation = 0;
	return err;
}

bool index_fits(const struct index_head *h, const struct segment *seg)
{
	return h->generation == seg->generation && memcmp(h->key.b, seg->key.b, SPOOL_KEY) == 0 &&
	       h->previous == seg->previous && h->size >= seg->size && h->end <= seg->size &&
	       h->end > SEGMENT_START && h->end % SPOOL_PAGE == 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

void index_reader_init(struct index_reader *r)
{
	*r = (struct index_reader){.cap = 0};
	buf_init(&r->made, MADE_MAX);
}

void index_reader_fini(struct index_reader *r)
{
	free(r->mem);
	buf_fini(&r->made);
	*r = (struct index_reader){.cap = 0};
}

static int read_content(struct index_reader *r, struct disk *d, int handle)
{
	size_t n = (size_t)r->head.octets;

	if (n > r->cap) {
		free(r->mem);
		r->mem = gw_calloc(1, n);
		r->cap = n;
	}
	if (d->ops->read(d, handle, r->mem, n, INDEX_HEAD) != (int64_t)n)
		return GW_EIO;
	return spool_sum(span_of(r->mem, n)) == r->head.sum ? 0 : GW_ECORRUPT;
}

static bool same_head(const struct index_head *a, const struct index_head *b)
{
	uint8_t raw[2][INDEX_HEAD];

	index_head_encode(a, raw[0]);
	index_head_encode(b, raw[1]);
	return memcmp(raw[0], raw[1], INDEX_HEAD) == 0;
}

int index_reader_start(
    struct index_reader *r, struct disk *d, const struct index_head *h, bool nonces)
{
	int handle = open_index(d, h->generation);

	r->nonces = r->entries = SPAN_NONE;
	if (handle < 0)
		return handle;
	int err = read_head(d, handle, h->generation, &r->head);
	if (err == 0 && (!same_head(&r->head, h) || h->octets / INDEX_NONCE < h->n_nonces ||
			    h->octets > h->size))
		err = GW_ECORRUPT;
	if (err == 0)
		err = read_content(r, d, handle);
	d->ops->close(d, handle);
	if (err != 0)
		return err;
	struct span all = span_of(r->mem, (size_t)h->octets);
	size_t n = (size_t)h->n_nonces * INDEX_NONCE;
	if (nonces)
		r->nonces = span_first(all, n);
	r->entries = span_skip(all, n);
	return 0;
}

static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = n; i > 0; i--)
		v = v << 8 | p[i - 1];
	return v;
}

/*
 * A finished message whose nonce may still be asked for: a message without content that ends its
 * own and only recipient.
 */
static void make_finished(struct index_reader *r, const uint8_t *p, struct store_record *out)
{
	struct rcpt nobody = {.addr = SPAN("postmaster")};
	struct change_rcpt dropped = {.number = 1, .outcome = OUTCOME_DROPPED};
	struct change c = {.rcpt = &dropped, .n_rcpt = 1};
	struct envelope e = {.rcpt = &nobody, .n_rcpt = 1, .origin = ORIGIN_SYSTEM};
	uint8_t ends[256];
	struct buf b;

	memcpy(e.id.b, p, sizeof(e.id.b));
	memcpy(e.nonce.b, p + 16, sizeof(e.nonce.b));
	e.accepted = c.when = (int64_t)load(p + 32, 8);
	c.id = e.id;
	buf_init(&b, sizeof(ends));
	change_encode(&c, &b);
	gw_assert(!buf_failed(&b));
	memcpy(ends, buf_view(&b).p, buf_len(&b));
	e.ends = span_of(ends, buf_len(&b));
	buf_fini(&b);
	buf_clear(&r->made);
	envelope_encode(&e, &r->made);
	gw_assert(!buf_failed(&r->made));
	*out = (struct store_record){.type = REC_MESSAGE, .id = e.id, .meta = buf_view(&r->made)};
	out->meta_at = out->body_at =
	    (struct extent){.segment = r->head.generation, .sum = spool_sum(SPAN_NONE)};
}

static void read_entry(const struct index_reader *r, const uint8_t *p, struct store_record *out)
{
	uint64_t meta_at = load(p + 4, 4);
	uint32_t meta_len = (uint32_t)load(p + 8, 4), body_len = (uint32_t)load(p + 12, 4);

	*out = (struct store_record){.type = (enum record_type)p[0], .own = p[1] & FLAG_OWN};
	memcpy(out->id.b, p + 32, sizeof(out->id.b));
	out->meta = span_of(p + INDEX_ENTRY, meta_len);
	out->meta_at = (struct extent){r->head.generation, meta_at, meta_len, load(p + 16, 8)};
	out->body_at =
	    (struct extent){r->head.generation, meta_at + meta_len, body_len, load(p + 24, 8)};
}

int index_reader_next(struct index_reader *r, struct store_record *out)
{
	if (r->nonces.n >= INDEX_NONCE) {
		make_finished(r, r->nonces.p, out);
		r->nonces = span_skip(r->nonces, INDEX_NONCE);
		return 1;
	}
	if (r->entries.n < INDEX_ENTRY || load(r->entries.p + 8, 4) > r->entries.n - INDEX_ENTRY)
		return 0;
	read_entry(r, r->entries.p, out);
	r->entries = span_skip(r->entries, (size_t)record_align(INDEX_ENTRY + out->meta.n));
	return 1;
}
