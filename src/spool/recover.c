#include "spool/reader.h"

#include <stdlib.h>

/*
 * First pass (begin): find TRUNCATEs and which segments were left in order, write the last flush of
 * every other segment once more and flush it. Second pass: give the records out.
 */
struct recovery {
	bool begun;
	size_t index; /* of the segment being read */
	bool in_segment;
	struct reader reader;
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
	segment_reader_fini(&(*r)->reader);
	free(*r);
	*r = NULL;
}

static void apply_truncate(struct store *s, const struct truncate *t, struct store_damage *damage)
{
	struct segment *seg = store_find(s, t->segment);

	damage->truncates++;
	if (!seg || t->offset < SEGMENT_START || t->offset % SPOOL_PAGE != 0)
		return;
	if (t->offset < seg->end)
		seg->end = t->offset;
	seg->proven = true;
	seg->left = false;
}

/* A TRUNCATE is the first record of its segment; any first record speaks for the previous segment.
 */
static int read_first(struct store *s, struct segment *seg)
{
	struct recovery *rec = s->recovery;
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
		struct segment *previous = seg->previous ? store_find(s, seg->previous) : NULL;

		if (previous)
			previous->proven = previous->left = true;
		return 0;
	}
	meta = span_first(span_skip(first, RECORD_HEADER), h.meta_len);
	if (meta.n != h.meta_len || spool_sum(meta) != h.meta_sum || truncate_decode(meta, &t) != 0)
		return 0;
	apply_truncate(s, &t, &rec->damage);
	return 0;
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
	int err = 0;

	segment_reader_init(&s->recovery->reader, s->disk);
	s->recovery->begun = true;
	s->recovery->damage.strangers = s->strangers;
	for (size_t i = 0; i < s->n_segments && err == 0; i++)
		err = read_first(s, s->segments[i]);
	for (size_t i = 0; i < s->n_segments && err == 0; i++) {
		if (!s->segments[i]->proven)
			err = make_durable(s, s->segments[i]);
	}
	return err == 0 ? s->disk->ops->sync_dir(s->disk) : err;
}

static void fill_record(struct store_record *r, const struct segment *seg, uint64_t at,
    const struct record_head *h, struct span meta)
{
	uint64_t meta_at = at + RECORD_HEADER;

	*r = (struct store_record){.type = h->type, .id = h->id, .own = h->own, .meta = meta};
	r->meta_at = (struct extent){seg->generation, meta_at, h->meta_len, h->meta_sum};
	r->body_at =
	    (struct extent){seg->generation, meta_at + h->meta_len, h->body_len, h->body_sum};
}

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
		fill_record(r, rd->seg, at, &h, meta);
		return 1;
	}
	return rc;
}

static void end_segment(struct recovery *rec)
{
	struct reader *rd = &rec->reader;

	rec->damage.truncated += segment_reader_settle(rd);
	rec->damage.records += rd->damage.n;
	if (rd->damage.n > 0) {
		rec->damage.segment = rd->seg->generation;
		rec->damage.offset = rd->damage.v[rd->damage.n - 1].at;
	}
	rec->in_segment = false;
	rec->index++;
}

static int next_record(struct store *s, struct store_record *r)
{
	struct recovery *rec = s->recovery;
	int rc;

	while (rec->index < s->n_segments) {
		if (!rec->in_segment)
			segment_reader_start(&rec->reader, s->segments[rec->index]);
		rec->in_segment = true;
		rc = next_in_segment(&rec->reader, r);
		if (rc != 0)
			return rc;
		end_segment(rec);
	}
	return 0;
}

int store_recover(struct store *s, struct store_record *r, struct store_damage *damage)
{
	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	gw_assert(s->recovery);
	int rc = s->recovery->begun ? 0 : begin(s);

	if (rc == 0)
		rc = next_record(s, r);
	*damage = s->recovery->damage;
	if (rc == 0) {
		recovery_free(&s->recovery);
		s->ready = true;
	}
	return rc < 0 ? GW_EIO : rc;
}
