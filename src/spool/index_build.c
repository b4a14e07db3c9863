/* Making and writing the index of a segment. */
#include "spool/index.h"

#include "base/cursor.h"
#include "spool/ledger.h"
#include "spool/reader.h"

#include <stdlib.h>

/* A record that may be put into the index, or what of it has to be. */
struct note {
	struct record_head head;
	uint64_t meta_at;
	size_t meta; /* where its copy is */
	struct ledger_entry entry;
	size_t ends; /* where the change is, in the copy */
};

struct builder {
	const struct segment *seg;
	struct reader reader;
	struct ledger ledger;
	struct buf metas, content;
	struct note *note;
	size_t n, cap;
	struct index_head head;
};

static void note_record(
    struct builder *b, uint64_t at, const struct record_head *h, const struct store_record *r)
{
	struct note n = {.head = *h, .meta_at = at + RECORD_HEADER, .meta = buf_len(&b->metas)};

	ledger_add(&b->ledger, r, &n.entry);
	if (n.entry.change.n > 0)
		n.ends = n.meta + (size_t)(n.entry.change.p - r->meta.p);
	buf_add_span(&b->metas, r->meta);
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 256;
		b->note = gw_realloc(b->note, b->cap * sizeof(*b->note));
	}
	b->note[b->n++] = n;
}

static void take_record(
    struct builder *b, uint64_t at, const struct record_head *h, struct span meta)
{
	uint64_t meta_at = at + RECORD_HEADER, g = b->seg->generation;
	struct store_record r = {.type = h->type, .id = h->id, .meta = meta};

	if (h->type == REC_TRUNCATE && at == SEGMENT_START &&
	    truncate_decode(meta, &b->head.truncate) != 0)
		b->head.truncate = (struct truncate){0};
	if (h->type == REC_TRUNCATE || h->type == REC_SEAL || h->type == REC_PART)
		return;
	r.meta_at = (struct extent){g, meta_at, h->meta_len, h->meta_sum};
	r.body_at = (struct extent){g, meta_at + h->meta_len, h->body_len, h->body_sum};
	note_record(b, at, h, &r);
}

/* All records; a segment with a hole, or without a record, gets no index. */
static int read_segment(struct builder *b)
{
	struct reader *r = &b->reader;
	struct record_head h;
	struct span meta;
	uint64_t records = 0;
	int rc;

	segment_reader_start(r, b->seg);
	while ((rc = segment_reader_next(r, &h)) > 0) {
		uint64_t at = r->at;

		rc = segment_reader_take(r, &h, &meta);
		if (rc != 0)
			return rc;
		records++;
		take_record(b, at, &h, meta);
	}
	if (rc < 0)
		return rc;
	if (segment_reader_settle(r) > 0 || r->holes.n > 0 || r->damage.n > 0 || records == 0)
		return GW_ECORRUPT;
	b->head.end = page_up(r->last_end);
	return buf_failed(&b->metas) ? GW_EFULL : 0;
}

/* A copy stays, with its changes: the original may still be in the log without them. */
static bool is_finished(const struct builder *b, const struct msgid *id)
{
	const struct ledger_message *m = ledger_find(&b->ledger, id);

	return ledger_finished(m) && !m->copied;
}

static void put_entry(struct builder *b, struct buf *out, const struct note *n, struct span meta)
{
	static const uint8_t zeros[RECORD_ALIGN];
	const struct record_head *h = &n->head;

	put_u8(out, (uint8_t)h->type);
	put_u8(out, h->own);
	put_u16(out, 0);
	put_u32(out, (uint32_t)n->meta_at);
	put_u32(out, (uint32_t)meta.n);
	put_u32(out, h->body_len);
	put_u64(out, h->meta_sum);
	put_u64(out, h->body_sum);
	buf_add(out, h->id.b, sizeof(h->id.b));
	buf_add_span(out, meta);
	buf_add(out, zeros, (size_t)(record_align(meta.n) - meta.n));
	b->head.n_entries++;
}

/* What is left of a message that is finished: the end of another one's recipients. Its place is
 * that of the message, so that it can be read back. */
static void put_ends(struct builder *b, struct buf *out, const struct note *n)
{
	struct span ends = span_skip(buf_view(&b->metas), n->ends);
	struct note change = *n;

	ends = span_first(ends, n->entry.change.n);
	change.head = (struct record_head){.type = REC_RESULT, .own = true};
	change.head.id = n->entry.about;
	change.head.meta_sum = spool_sum(ends);
	change.head.body_sum = spool_sum(SPAN_NONE);
	put_entry(b, out, &change, ends);
}

static void put_note(struct builder *b, struct buf *out, const struct note *n)
{
	const struct ledger_entry *e = &n->entry;
	bool ended = e->ends && is_finished(b, &e->about);

	if (e->kind == LEDGER_MESSAGE && is_finished(b, &e->message->id)) {
		if (e->ends && !ended)
			put_ends(b, out, n);
		return;
	}
	if (e->kind == LEDGER_CHANGE && ended)
		return;
	struct span meta = span_skip(buf_view(&b->metas), n->meta);
	put_entry(b, out, n, span_first(meta, n->head.meta_len));
}

static int64_t newest(const struct builder *b)
{
	int64_t at = INT64_MIN;

	for (size_t i = 0; i < b->ledger.n; i++) {
		if (b->ledger.message[i]->accepted > at)
			at = b->ledger.message[i]->accepted;
	}
	return at;
}

/* Reports of our own have their id for a nonce: nobody asks for it. */
static bool may_be_asked(const struct builder *b, const struct ledger_message *m)
{
	return ledger_finished(m) && !m->copied && !msgid_eq(&m->nonce, &m->id) &&
	       !msgid_eq(&m->nonce, &(struct msgid){{0}}) &&
	       index_recent(m->accepted, b->head.newest);
}

static void put_nonces(struct builder *b, struct buf *out)
{
	for (size_t i = 0; i < b->ledger.n; i++) {
		const struct ledger_message *m = b->ledger.message[i];

		if (!may_be_asked(b, m))
			continue;
		buf_add(out, m->id.b, sizeof(m->id.b));
		buf_add(out, m->nonce.b, sizeof(m->nonce.b));
		put_u64(out, (uint64_t)m->accepted);
		b->head.n_nonces++;
	}
}

static int put_index(struct builder *b, struct buf *out)
{
	uint8_t head[INDEX_HEAD];

	b->head.newest = b->ledger.n > 0 ? newest(b) : 0;
	put_nonces(b, &b->content);
	for (size_t i = 0; i < b->n; i++)
		put_note(b, &b->content, &b->note[i]);
	struct span content = buf_view(&b->content);
	b->head.octets = content.n;
	b->head.sum = spool_sum(content);
	index_head_encode(&b->head, head);
	buf_add(out, head, sizeof(head));
	buf_add_span(out, content);
	return buf_failed(&b->content) || buf_failed(out) ? GW_EFULL : 0;
}

static void builder_init(struct builder *b, struct disk *d, const struct segment *seg)
{
	uint64_t seed;

	*b = (struct builder){.seg = seg};
	memcpy(&seed, seg->key.b, sizeof(seed));
	segment_reader_init(&b->reader, d);
	ledger_init(&b->ledger, seed);
	buf_init(&b->metas, (size_t)seg->size);
	buf_init(&b->content, (size_t)seg->size);
	b->head.generation = seg->generation;
	b->head.key = seg->key;
	b->head.size = seg->size;
	b->head.previous = seg->previous;
}

static void builder_fini(struct builder *b)
{
	segment_reader_fini(&b->reader);
	ledger_fini(&b->ledger);
	buf_fini(&b->metas);
	buf_fini(&b->content);
	free(b->note);
}

int index_compose(struct disk *d, const struct segment *seg, struct buf *out)
{
	struct builder b;

	builder_init(&b, d, seg);
	int err = read_segment(&b);
	if (err == 0)
		err = put_index(&b, out);
	builder_fini(&b);
	return err;
}

static int write_named(
    struct disk *d, int handle, uint64_t number, uint64_t generation, struct span content)
{
	char from[DISK_NAME_MAX], to[DISK_NAME_MAX];

	segment_format(from, SEGMENT_NEW, number);
	segment_format(to, SEGMENT_INDEX, generation);
	int err = d->ops->write(d, handle, &content, 1, 0);
	if (err == 0)
		err = d->ops->sync(d, handle);
	if (err == 0)
		err = d->ops->rename(d, from, to);
	if (err != 0)
		(void)d->ops->remove(d, from);
	return err == 0 ? d->ops->sync_dir(d) : err;
}

int index_write(struct disk *d, uint64_t number, uint64_t generation, struct span content)
{
	int handle = segment_create(d, number, content.n);

	if (handle < 0)
		return handle;
	int err = write_named(d, handle, number, generation, content);
	d->ops->close(d, handle);
	return err;
}

/* ---- the index thread ------------------------------------------------------------------------ */

enum { TRIES = 3 };

/* A copy: the file stays open and as it is while this thread, which alone recycles, is here. */
static bool pick_segment(struct store *s, struct segment *out)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_segments && s->ready && !found; i++) {
		struct segment *seg = s->segments[i];

		found = seg != s->active && !seg->failed && !seg->has_index &&
			seg->index_tries < TRIES && seg->generation < s->index_below;
		if (!found)
			continue;
		seg->index_tries++;
		*out = *seg;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

void store_index_below(struct store *s, uint64_t generation)
{
	pthread_mutex_lock(&s->lock);
	s->index_below = generation;
	pthread_mutex_unlock(&s->lock);
}

/* Once is enough for what will not get better. */
static void settle_segment(struct store *s, uint64_t generation, int err)
{
	pthread_mutex_lock(&s->lock);
	struct segment *seg = store_find(s, generation);
	if (seg && err == 0)
		seg->has_index = true;
	if (seg && (err == GW_ECORRUPT || err == GW_EFULL))
		seg->index_tries = TRIES;
	pthread_mutex_unlock(&s->lock);
}

/* It may have been retired meanwhile: then its index goes with it, by this same thread. */
int store_write_index(struct store *s)
{
	uint64_t free_bytes, total;
	struct segment seg;
	struct buf content;

	if (s->disk->ops->space(s->disk, &free_bytes, &total) != 0)
		return GW_EIO;
	if (free_bytes < s->p.reserve + s->p.segment_size || !pick_segment(s, &seg))
		return 0;
	buf_init(&content, (size_t)seg.size + INDEX_HEAD);
	int err = index_compose(s->disk, &seg, &content);
	if (err == 0)
		err =
		    index_write(s->disk, store_take_number(s), seg.generation, buf_view(&content));
	buf_fini(&content);
	settle_segment(s, seg.generation, err);
	return err == 0 || err == GW_ECORRUPT || err == GW_EFULL ? 1 : err;
}
