/* Writing: records of one turn become a batch in the active segment, one write and one flush. */
#include "spool/store-private.h"

#include <stdlib.h>

/* Placed in the chunk, not flushed yet: never seen by the caller. */
enum { STATUS_PLACED = 1, STATUS_NEW = 2 };

/* How the batch at hand went so far. */
struct batch {
	bool failed;         /* a write or flush failed */
	int no_mail, no_own; /* why there is no segment for these, or 0 */
	bool checked_room;
};

void chunk_fini(struct chunk *c)
{
	free(c->v);
	free(c->heads);
	free(c->records);
	*c = (struct chunk){0};
}

/* Each record may need up to seven zeros in front of its header. */
enum { HEAD_SLOT = RECORD_ALIGN + RECORD_HEADER };

/* Room for all records of the batch, one SEAL and the zeros behind: nothing moves afterwards. */
static void chunk_reserve(struct chunk *c, const struct store_record *r, size_t n)
{
	size_t spans = 1 + 2;

	for (size_t i = 0; i < n; i++)
		spans += 2 + r[i].n_body;
	if (spans > c->cap_v) {
		c->cap_v = 2 * spans;
		c->v = gw_realloc(c->v, c->cap_v * sizeof(*c->v));
	}
	if (n + 1 > c->cap_heads) {
		c->cap_heads = 2 * (n + 1);
		c->heads = gw_realloc(c->heads, c->cap_heads * HEAD_SLOT);
		c->records = gw_realloc(c->records, c->cap_heads * sizeof(*c->records));
	}
}

static void chunk_restart(struct chunk *c, uint64_t at, uint32_t pad)
{
	c->pad = pad;
	c->n_v = c->n_heads = c->n_records = 0;
	c->start = c->at = at;
}

static uint64_t body_length(const struct store_record *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n_body; i++)
		n += r->body[i].n;
	return n;
}

static uint64_t body_sum(const struct store_record *r)
{
	struct store_read *state = NULL;

	if (r->n_body == 0)
		return spool_sum(SPAN_NONE);
	if (r->n_body == 1)
		return spool_sum(r->body[0]);
	for (size_t i = 0; i < r->n_body; i++)
		store_sum_feed(&state, r->body[i]);
	return store_sum_end(&state);
}

static void chunk_span(struct chunk *c, struct span s)
{
	if (s.n > 0)
		c->v[c->n_v++] = s;
}

/* Puts a record behind the others; it fits. */
static void chunk_add(struct chunk *c, const struct segment *seg, struct store_record *r)
{
	uint8_t *slot = c->heads + c->n_heads++ * HEAD_SLOT;
	uint64_t at = record_align(c->at), meta_at = at + RECORD_HEADER;
	size_t pad = (size_t)(at - c->at);
	struct record_head h = {.type = r->type, .own = r->own, .id = r->id};

	h.meta_len = (uint32_t)r->meta.n;
	h.body_len = (uint32_t)body_length(r);
	h.meta_sum = spool_sum(r->meta);
	h.body_sum = body_sum(r);
	h.flush_page = (uint32_t)(c->start / SPOOL_PAGE);
	h.flush_pad = c->pad;
	memset(slot, 0, RECORD_ALIGN);
	record_encode(&h, &seg->key, at, slot + RECORD_ALIGN);
	chunk_span(c, span_of(slot + RECORD_ALIGN - pad, pad + RECORD_HEADER));
	chunk_span(c, r->meta);
	for (size_t i = 0; i < r->n_body; i++)
		chunk_span(c, r->body[i]);
	c->at = at + record_size(&h);
	r->meta_at = (struct extent){seg->generation, meta_at, h.meta_len, h.meta_sum};
	r->body_at = (struct extent){seg->generation, meta_at + h.meta_len, h.body_len, h.body_sum};
	r->status = STATUS_PLACED;
}

static void chunk_place(struct store *s, struct store_record *r)
{
	chunk_add(&s->chunk, s->active, r);
	s->chunk.records[s->chunk.n_records++] = r;
}

/* Zeros up to the end of the page: no page ever holds octets of two flushes, and no page has to be
 * read before it is written. */
static void chunk_close(struct chunk *c)
{
	static const uint8_t zeros[SPOOL_PAGE];

	c->pad = (uint32_t)(page_up(c->at) - c->at);
	chunk_span(c, span_of(zeros, c->pad));
	c->at += c->pad;
}

static int chunk_write(struct store *s, const struct segment *seg)
{
	struct chunk *c = &s->chunk;

	chunk_close(c);
	int err = s->disk->ops->write(s->disk, seg->handle, c->v, c->n_v, c->start);
	return err == 0 ? s->disk->ops->sync(s->disk, seg->handle) : err;
}

static void chunk_durable(struct store *s)
{
	struct chunk *c = &s->chunk;

	pthread_mutex_lock(&s->lock);
	s->active_at = c->at;
	s->active_pad = c->pad;
	s->active->holds += (unsigned)c->n_records;
	s->bytes_written += c->at - c->start;
	s->records += c->n_records;
	s->commits++;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < c->n_records; i++)
		c->records[i]->status = 0;
	chunk_restart(c, c->at, c->pad);
}

/* The active segment has ended where the chunk that failed began. */
static void active_failed(struct store *s)
{
	s->pending = (struct truncate){s->active->generation, s->chunk.start};
	pthread_mutex_lock(&s->lock);
	s->active->failed = true;
	s->active->end = s->chunk.start; /* for those who follow the log */
	s->failed_segment = s->active->generation;
	s->active = NULL;
	s->undecided = true;
	pthread_mutex_unlock(&s->lock);
}

static int flush_chunk(struct store *s)
{
	if (s->chunk.n_v == 0)
		return 0;
	if (chunk_write(s, s->active) != 0) {
		active_failed(s);
		return GW_EIO;
	}
	chunk_durable(s);
	return 0;
}

static void activate(struct store *s, struct segment *seg, uint64_t at, uint32_t pad)
{
	pthread_mutex_lock(&s->lock);
	if (s->active)
		s->active->proven = s->active->left = true;
	store_append(s, seg);
	s->active = seg;
	s->active_at = at;
	s->active_pad = pad;
	s->undecided = false;
	pthread_mutex_unlock(&s->lock);
	chunk_restart(&s->chunk, at, pad);
}

/* The record must leave room for a SEAL behind it. */
static bool fits(const struct store *s, uint64_t size)
{
	return s->active &&
	       record_align(s->chunk.at) + size + RECORD_ALIGN + RECORD_HEADER <= s->active->size;
}

static bool seal_fits(const struct store *s)
{
	return record_align(s->chunk.at) + RECORD_HEADER <= s->active->size;
}

/* Leaves the active segment for a new one; the new one is had before the old one is sealed. */
static int next_segment(struct store *s, bool own, struct batch *b)
{
	struct store_record seal = {.type = REC_SEAL, .own = true};
	uint64_t previous = s->active ? s->active->generation : 0;
	int err = segment_take(s, previous, own, &s->fresh);

	if (err != 0)
		return err;
	if (s->active && seal_fits(s))
		chunk_add(&s->chunk, s->active, &seal);
	if (flush_chunk(s) != 0) {
		b->failed = true;
		return GW_EIO;
	}
	activate(s, s->fresh, SEGMENT_START, 0);
	s->fresh = NULL;
	b->checked_room = true;
	return 0;
}

/* Whether mail may go into a segment that was taken from the reserve. */
static bool mail_allowed(struct store *s, struct batch *b)
{
	uint64_t room;

	if (!s->active || !s->active->own_only)
		return true;
	if (b->checked_room)
		return false;
	b->checked_room = true;
	if (store_room(s, &room) == 0 && room >= s->p.reserve) {
		pthread_mutex_lock(&s->lock);
		s->active->own_only = false;
		pthread_mutex_unlock(&s->lock);
	}
	return !s->active->own_only;
}

static uint64_t largest_record(const struct store *s)
{
	return s->p.segment_size - SEGMENT_START - RECORD_ALIGN - RECORD_HEADER;
}

static void place(struct store *s, struct store_record *r, struct batch *b)
{
	uint64_t size = (uint64_t)RECORD_HEADER + r->meta.n + body_length(r);
	int *refusal = r->own ? &b->no_own : &b->no_mail;

	if (size > largest_record(s)) {
		r->status = GW_EFULL;
		return;
	}
	if (!r->own && !mail_allowed(s, b)) {
		r->status = GW_ENOSPC;
		return;
	}
	if (!fits(s, size)) {
		if (*refusal == 0)
			*refusal = next_segment(s, r->own, b);
		if (b->failed)
			return;
		if (*refusal != 0) {
			r->status = *refusal;
			return;
		}
	}
	chunk_place(s, r);
}

enum store_outcome store_commit(struct store *s, struct store_record *r, size_t n)
{
	struct batch b = {0};

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	gw_assert(s->ready && s->pending.segment == 0);
	chunk_reserve(&s->chunk, r, n);
	chunk_restart(&s->chunk, s->active_at, s->active_pad);
	for (size_t i = 0; i < n; i++)
		r[i].status = STATUS_NEW;
	for (size_t i = 0; i < n && !b.failed; i++)
		place(s, &r[i], &b);
	if (!b.failed && flush_chunk(s) != 0)
		b.failed = true;
	if (!b.failed)
		return STORE_DONE;
	for (size_t i = 0; i < n; i++) {
		if (r[i].status > 0)
			r[i].status = GW_EIO;
	}
	return store_heal(s) == 0 ? STORE_DONE : STORE_UNDECIDED;
}

/* A segment that failed while it was healing another holds nothing but the truth about that one:
 * it may stay or go. */
int store_heal(struct store *s)
{
	struct store_record r = {.type = REC_TRUNCATE, .own = true};
	uint8_t meta[TRUNCATE_META];
	int err = 0;

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	if (s->pending.segment == 0)
		return 0;
	if (!s->fresh)
		err = segment_take(s, s->pending.segment, true, &s->fresh);
	if (err != 0)
		return err;
	truncate_encode(&s->pending, meta);
	r.meta = span_of(meta, sizeof(meta));
	chunk_reserve(&s->chunk, &r, 1);
	chunk_restart(&s->chunk, SEGMENT_START, 0);
	chunk_add(&s->chunk, s->fresh, &r);
	err = chunk_write(s, s->fresh);
	if (err != 0) {
		segment_drop(s, &s->fresh);
		return err;
	}
	s->pending = (struct truncate){0};
	activate(s, s->fresh, s->chunk.at, s->chunk.pad);
	s->fresh = NULL;
	return 0;
}
