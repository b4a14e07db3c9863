/*
 * Reading all segments after a start: whole records in their order, torn ones not, all of it
 * flushed before it is used.
 */
#include "spool/index.h"
#include "spool/reader.h"

#include <stdlib.h>

/*
 * First pass (begin): the heads of indexes; TRUNCATEs and which segments were left in order; write
 * the last flush of every segment of which nothing says that it was flushed once more, and flush
 * it. Second pass: give the records out, from the index where there is a good one.
 */
struct recovery {
	bool begun;
	size_t index; /* of the segment being read */
	bool in_segment, by_index;
	struct reader reader;
	struct index_reader index_reader;
	struct index_head
	    *heads;     /* beside the list of segments; generation 0: no index to be used */
	int64_t newest; /* the last acceptance that an index knows of */
	struct store_damage damage;
};

struct recovery *recovery_new(void)
{
	return gw_calloc(1, sizeof(struct recovery));
}

void recovery_free(struct recovery **r)
{
	if (!*r)
		return;
	if ((*r)->begun) {
		segment_reader_fini(&(*r)->reader);
		index_reader_fini(&(*r)->index_reader);
	}
	free((*r)->heads);
	free(*r);
	*r = NULL;
}

/* ---- the first pass -------------------------------------------------------------------------- */

static void apply_truncate(struct store *s, const struct truncate *t, uint64_t *truncates)
{
	struct segment *seg = store_find(s, t->segment);

	++*truncates;
	if (!seg || t->offset < SEGMENT_START || t->offset % SPOOL_PAGE != 0)
		return;
	if (t->offset < seg->end)
		seg->end = t->offset;
	seg->proven = true;
	seg->left = false;
}

/* Any record but a TRUNCATE shows that the segment before was left after its last flush. */
static void previous_was_left(struct store *s, uint64_t generation)
{
	struct segment *previous = generation ? store_find(s, generation) : NULL;

	if (previous)
		previous->proven = previous->left = true;
}

int recovery_first_record(struct store *s, const struct segment *seg, uint64_t *truncates)
{
	struct record_head h;
	struct truncate t;
	struct span meta;

	if (seg->end <= SEGMENT_START)
		return 0;
	uint8_t page[SPOOL_PAGE];
	int64_t got = s->disk->ops->read(s->disk, seg->handle, page, sizeof(page), SEGMENT_START);
	if (got < 0)
		return GW_EIO;
	struct span first = span_of(page, (size_t)got);
	if (record_decode(first, &seg->key, SEGMENT_START, &h) != 0)
		return 0;
	if (h.type != REC_TRUNCATE) {
		previous_was_left(s, seg->previous);
		return 0;
	}
	meta = span_first(span_skip(first, RECORD_HEADER), h.meta_len);
	if (meta.n != h.meta_len || spool_sum(meta) != h.meta_sum || truncate_decode(meta, &t) != 0)
		return 0;
	apply_truncate(s, &t, truncates);
	return 0;
}

static void drop_index(struct recovery *rec, size_t i)
{
	rec->heads[i].generation = 0;
	rec->damage.bad_indexes++;
}

static void read_index_heads(struct store *s)
{
	struct recovery *rec = s->recovery;

	rec->heads = gw_calloc(s->n_segments + 1, sizeof(*rec->heads));
	for (size_t i = 0; i < s->n_segments && !s->p.ignore_indexes; i++) {
		struct segment *seg = s->segments[i];

		if (seg->has_index &&
		    (index_read_head(s->disk, seg->generation, &rec->heads[i]) != 0 ||
			!index_fits(&rec->heads[i], seg)))
			drop_index(rec, i);
	}
}

static int read_first_records(struct store *s)
{
	struct recovery *rec = s->recovery;
	int err = 0;

	for (size_t i = 0; i < s->n_segments && err == 0; i++) {
		const struct index_head *h = &rec->heads[i];

		if (h->generation == 0)
			err = recovery_first_record(s, s->segments[i], &rec->damage.truncates);
		else if (h->truncate.segment != 0)
			apply_truncate(s, &h->truncate, &rec->damage.truncates);
		else
			previous_was_left(s, h->previous);
	}
	return err;
}

/* An index is made from flushed records only: it proves its segment up to the last of them. */
static void apply_index_heads(struct store *s)
{
	struct recovery *rec = s->recovery;

	for (size_t i = 0; i < s->n_segments; i++) {
		const struct index_head *h = &rec->heads[i];
		struct segment *seg = s->segments[i];

		if (h->generation != 0 && h->end > seg->end)
			drop_index(rec, i); /* a TRUNCATE knows better */
		if (h->generation == 0)
			continue;
		seg->end = h->end;
		seg->proven = true;
		seg->left = false;
		if (h->newest != 0)
			rec->newest = h->newest;
	}
}

/*
 * The flush that ended a segment may have failed before this process started, and then the kernel
 * counts its pages as clean: only writing the same octets again makes the next flush tell the
 * truth.
 */
static int write_again(struct store *s, const struct segment *seg, uint64_t from, uint64_t to)
{
	enum { STEP = 1 << 20 };
	uint8_t *mem = gw_calloc(1, to - from < STEP ? (size_t)(to - from) : STEP);
	int err = 0;

	for (; err == 0 && from < to; from += STEP) {
		size_t n = to - from < STEP ? (size_t)(to - from) : STEP;
		struct span v = span_of(mem, n);

		/* What cannot be read is damaged in any case. */
		if (s->disk->ops->read(s->disk, seg->handle, mem, n, from) == (int64_t)n)
			err = s->disk->ops->write(s->disk, seg->handle, &v, 1, from);
	}
	free(mem);
	return err;
}

static int make_durable(struct store *s, const struct segment *seg)
{
	struct reader *r = &s->recovery->reader;
	struct record_head h;
	int rc;

	segment_reader_start(r, seg);
	while ((rc = segment_reader_next(r, &h)) > 0)
		segment_reader_skip(r, &h);
	if (rc == 0 && r->last_flush >= SEGMENT_START)
		rc = write_again(s, seg, r->last_flush, page_up(r->last_end));
	return rc == 0 ? s->disk->ops->sync(s->disk, seg->handle) : rc;
}

static int begin(struct store *s)
{
	struct recovery *rec = s->recovery;

	segment_reader_init(&rec->reader, s->disk);
	index_reader_init(&rec->index_reader);
	rec->begun = true;
	rec->damage.strangers = s->strangers;
	read_index_heads(s);
	int err = read_first_records(s);
	apply_index_heads(s);
	for (size_t i = 0; i < s->n_segments && err == 0; i++) {
		if (!s->segments[i]->proven)
			err = make_durable(s, s->segments[i]);
	}
	return err == 0 ? s->disk->ops->sync_dir(s->disk) : err;
}

/* ---- the second pass ------------------------------------------------------------------------- */

/* 1: a record for the caller; 0: the segment is at its end; GW_EIO. */
static int next_in_segment(struct reader *rd, struct store_record *r)
{
	struct record_head h;
	struct span meta;
	int rc;

	while ((rc = segment_reader_next(rd, &h)) > 0) {
		uint64_t at = rd->at;

		rc = segment_reader_take(rd, &h, &meta);
		if (rc == GW_EIO)
			return rc;
		if (rc != 0 || h.type == REC_TRUNCATE || h.type == REC_SEAL)
			continue;
		segment_reader_record(r, rd->seg, at, &h, meta);
		return 1;
	}
	return rc;
}

static void end_segment(struct store *s)
{
	struct recovery *rec = s->recovery;
	struct reader *rd = &rec->reader;
	struct segment *seg = s->segments[rec->index];

	rec->in_segment = false;
	rec->index++;
	if (rec->by_index) {
		rec->damage.indexed++;
		return;
	}
	seg->last_end = page_up(rd->last_end);
	rec->damage.truncated += segment_reader_settle(rd);
	rec->damage.records += rd->damage.n;
	if (rd->damage.n > 0) {
		rec->damage.segment = rd->seg->generation;
		rec->damage.offset = rd->damage.v[rd->damage.n - 1].at;
	}
}

/* What is wrong with an index costs time and nothing else. */
static void start_segment(struct store *s)
{
	struct recovery *rec = s->recovery;
	const struct index_head *h = &rec->heads[rec->index];

	rec->in_segment = true;
	rec->by_index = h->generation != 0 && index_reader_start(&rec->index_reader, s->disk, h,
						  index_recent(h->newest, rec->newest)) == 0;
	if (h->generation != 0 && !rec->by_index)
		drop_index(rec, rec->index);
	if (!rec->by_index)
		segment_reader_start(&rec->reader, s->segments[rec->index]);
}

static int next_record(struct store *s, struct store_record *r)
{
	struct recovery *rec = s->recovery;
	int rc;

	while (rec->index < s->n_segments) {
		if (!rec->in_segment)
			start_segment(s);
		rc = rec->by_index ? index_reader_next(&rec->index_reader, r)
				   : next_in_segment(&rec->reader, r);
		if (rc != 0)
			return rc;
		end_segment(s);
	}
	return 0;
}

/* The index thread may be at work from now on: it writes what is missing. */
static void finish(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_segments && !s->p.ignore_indexes; i++)
		s->segments[i]->has_index = s->recovery->heads[i].generation != 0;
	s->ready = true;
	pthread_mutex_unlock(&s->lock);
	recovery_free(&s->recovery);
}

int store_recover(struct store *s, struct store_record *r, struct store_damage *damage)
{
	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	gw_assert(s->recovery);
	int rc = s->recovery->begun ? 0 : begin(s);

	if (rc == 0)
		rc = next_record(s, r);
	*damage = s->recovery->damage;
	if (rc == 0)
		finish(s);
	return rc < 0 ? GW_EIO : rc;
}
