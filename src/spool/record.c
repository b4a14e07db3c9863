#include "spool/record.h"

#include "base/cursor.h"

#include <xxhash.h>

enum { RECORD_MAGIC = 0x47575231, FLAG_OWN = 1, SUM_AT = RECORD_HEADER - 8 };

static uint8_t *store_le(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + n;
}

static uint64_t load_le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint64_t spool_sum(struct span s)
{
	return XXH3_64bits(s.n ? s.p : (const void *)"", s.n);
}

static uint64_t head_sum(const uint8_t *head, const struct spool_key *key, uint64_t at)
{
	uint64_t seed =
	    load_le64(key->b) ^ load_le64(key->b + 8) ^ (at * UINT64_C(0x9E3779B97F4A7C15));

	return XXH3_64bits_withSeed(head, SUM_AT, seed);
}

void record_encode(const struct record_head *h, const struct spool_key *key, uint64_t at,
    uint8_t out[RECORD_HEADER])
{
	uint8_t *p = out;

	memcpy(p, key->b, SPOOL_KEY);
	p = store_le(p + SPOOL_KEY, RECORD_MAGIC, 4);
	p = store_le(p, RECORD_VERSION, 1);
	p = store_le(p, (uint64_t)h->type, 1);
	p = store_le(p, h->own ? FLAG_OWN : 0, 2);
	memcpy(p, h->id.b, sizeof(h->id.b));
	p = store_le(p + sizeof(h->id.b), h->meta_len, 4);
	p = store_le(p, h->body_len, 4);
	p = store_le(p, h->flush_page, 4);
	p = store_le(p, h->flush_pad, 4);
	p = store_le(p, h->meta_sum, 8);
	p = store_le(p, h->body_sum, 8);
	store_le(p, head_sum(out, key, at), 8);
}

static void fields_v1(struct cursor *c, struct record_head *out)
{
	out->type = (enum record_type)get_u8(c);
	out->own = get_u16(c) & FLAG_OWN;
	out->id = get_msgid(c);
	out->meta_len = get_u32(c);
	out->body_len = get_u32(c);
	out->flush_page = get_u32(c);
	out->flush_pad = get_u32(c);
	out->meta_sum = get_u64(c);
	out->body_sum = get_u64(c);
}

/* Who reads which version. Rows are never removed while such segments may lie on a disk. */
static const struct {
	uint8_t version;
	void (*fields)(struct cursor *c, struct record_head *out);
} readers[] = {
    {1, fields_v1},
};

static int read_fields(struct span in, struct record_head *out)
{
	struct cursor c = cursor_of(span_skip(span_first(in, SUM_AT), SPOOL_KEY));

	if (get_u32(&c) != RECORD_MAGIC)
		return GW_ECORRUPT;
	uint8_t version = get_u8(&c);
	for (size_t i = 0; i < GW_ARRAY_LEN(readers); i++) {
		if (readers[i].version != version)
			continue;
		readers[i].fields(&c, out);
		return cursor_done(&c) ? 0 : GW_ECORRUPT;
	}
	return GW_EVERSION;
}

int record_decode(struct span in, const struct spool_key *key, uint64_t at, struct record_head *out)
{
	if (in.n < RECORD_HEADER)
		return GW_EMORE;
	if (memcmp(in.p, key->b, SPOOL_KEY) != 0)
		return GW_EFORMAT;
	if (load_le64(in.p + SUM_AT) != head_sum(in.p, key, at))
		return GW_ECORRUPT;
	return read_fields(in, out);
}

/* How many of the eight octets differ. */
static unsigned octets_unlike(uint64_t a, uint64_t b)
{
	uint64_t x = a ^ b;

	x |= x >> 4;
	x |= x >> 2;
	x |= x >> 1;
	return (unsigned)__builtin_popcountll(x & UINT64_C(0x0101010101010101));
}

bool record_resembles(struct span in, const struct spool_key *key)
{
	enum { BAD_MAX = 6 };

	if (in.n < RECORD_HEADER)
		return false;
	unsigned bad = octets_unlike(load_le64(in.p), load_le64(key->b));
	if (bad > BAD_MAX)
		return false;
	bad += octets_unlike(load_le64(in.p + 8), load_le64(key->b + 8));
	bad += octets_unlike(load_le64(in.p + SPOOL_KEY) & UINT32_MAX, RECORD_MAGIC);
	return bad <= BAD_MAX;
}

int record_guess(struct span in, struct record_head *out)
{
	struct cursor c = cursor_of(span_skip(span_first(in, SUM_AT), SPOOL_KEY + 5));

	if (in.n < RECORD_HEADER)
		return GW_EMORE;
	fields_v1(&c, out);
	return 0;
}

int record_stray(struct span in, uint64_t at, struct spool_key *key)
{
	struct record_head h;

	if (in.n < RECORD_HEADER)
		return GW_EMORE;
	memcpy(key->b, in.p, SPOOL_KEY);
	return record_decode(in, key, at, &h);
}

size_t record_find(struct span s, const struct spool_key *key)
{
	uint64_t want, have;

	memcpy(&want, key->b, sizeof(want));
	for (size_t i = 0; i + SPOOL_KEY <= s.n; i += RECORD_ALIGN) {
		memcpy(&have, s.p + i, sizeof(have));
		if (have == want && memcmp(s.p + i, key->b, SPOOL_KEY) == 0)
			return i;
	}
	return s.n;
}

void truncate_encode(const struct truncate *t, uint8_t out[TRUNCATE_META])
{
	store_le(store_le(out, t->segment, 8), t->offset, 8);
}

int truncate_decode(struct span meta, struct truncate *out)
{
	struct cursor c = cursor_of(meta);

	out->segment = get_u64(&c);
	out->offset = get_u64(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}
