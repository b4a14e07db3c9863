/* Reading back what is stored: pieces of content, and whole records by their place. */
#include "spool/store-private.h"

#include <stdlib.h>
#include <xxhash.h>

/* ---- checksums over pieces in order ---------------------------------------------------------- */

struct store_read {
	XXH3_state_t *xxh;
};

void store_sum_feed(struct store_read **state, struct span data)
{
	if (!*state) {
		*state = gw_calloc(1, sizeof(**state));
		(*state)->xxh = XXH3_createState();
		gw_assert((*state)->xxh);
		XXH3_64bits_reset((*state)->xxh);
	}
	if (data.n > 0)
		XXH3_64bits_update((*state)->xxh, data.p, data.n);
}

uint64_t store_sum_end(struct store_read **state)
{
	uint64_t sum;

	if (!*state)
		return spool_sum(SPAN_NONE);
	sum = XXH3_64bits_digest((*state)->xxh);
	XXH3_freeState((*state)->xxh);
	free(*state);
	*state = NULL;
	return sum;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The open file of that segment and its size; -1: it is not in the log. */
static int find_file(struct store *s, uint64_t generation, struct spool_key *key, uint64_t *size)
{
	int handle = -1;

	pthread_mutex_lock(&s->lock);
	struct segment *seg = store_find(s, generation);
	if (seg) {
		handle = seg->handle;
		*size = seg->size;
		if (key)
			*key = seg->key;
	}
	pthread_mutex_unlock(&s->lock);
	return handle;
}

int64_t store_read_at(struct store *s, const struct extent *e, uint64_t from, void *to, size_t n)
{
	uint64_t size = 0;

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	if (from >= e->length)
		return 0;
	if (n > e->length - from)
		n = (size_t)(e->length - from);
	int handle = find_file(s, e->segment, NULL, &size);
	if (handle < 0)
		return GW_ENOENT;
	if (e->offset > size || e->length > size - e->offset)
		return GW_EIO;
	int64_t got = s->disk->ops->read(s->disk, handle, to, n, e->offset + from);
	return got == (int64_t)n ? got : GW_EIO;
}

/* ---- records --------------------------------------------------------------------------------- */

enum { FIRST_READ = 1024 }; /* header and, as a rule, the whole meta */

/* The rest of a meta that did not come with its header. */
static int read_rest(struct store *s, int handle, uint64_t at, size_t want, struct buf *meta)
{
	size_t have = buf_len(meta);
	uint8_t *room = buf_room(meta, want - have);

	if (!room)
		return GW_EFULL;
	if (s->disk->ops->read(s->disk, handle, room, want - have, at + have) !=
	    (int64_t)(want - have))
		return GW_EIO;
	buf_commit(meta, want - have);
	return 0;
}

static int read_meta(struct store *s, int handle, uint64_t size, const struct spool_key *key,
    uint64_t at, struct record_head *h, struct buf *meta)
{
	uint8_t first[FIRST_READ];
	size_t n = size - at < sizeof(first) ? (size_t)(size - at) : sizeof(first);

	if (s->disk->ops->read(s->disk, handle, first, n, at) != (int64_t)n)
		return GW_EIO;
	if (record_decode(span_of(first, n), key, at, h) != 0 || record_size(h) > size - at)
		return GW_ECORRUPT;
	n -= RECORD_HEADER;
	buf_add(meta, first + RECORD_HEADER, h->meta_len < n ? h->meta_len : n);
	if (h->meta_len <= n)
		return buf_failed(meta) ? GW_EFULL : 0;
	return read_rest(s, handle, at + RECORD_HEADER, h->meta_len, meta);
}

int store_read_record(
    struct store *s, uint64_t segment, uint64_t meta_at, struct store_record *out, struct buf *meta)
{
	struct record_head h;
	struct spool_key key;
	uint64_t size = 0, at = meta_at - RECORD_HEADER;

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	int handle = find_file(s, segment, &key, &size);
	if (handle < 0)
		return GW_ENOENT;
	if (meta_at < SEGMENT_START + RECORD_HEADER || meta_at > size)
		return GW_ECORRUPT;
	buf_clear(meta);
	int err = read_meta(s, handle, size, &key, at, &h, meta);
	if (err != 0)
		return err;
	if (spool_sum(buf_view(meta)) != h.meta_sum)
		return GW_ECORRUPT;
	*out =
	    (struct store_record){.type = h.type, .id = h.id, .own = h.own, .meta = buf_view(meta)};
	out->meta_at = (struct extent){segment, meta_at, h.meta_len, h.meta_sum};
	out->body_at = (struct extent){segment, meta_at + h.meta_len, h.body_len, h.body_sum};
	return 0;
}
