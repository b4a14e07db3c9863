#include "spool/reader.h"

#include <stdlib.h>

enum { WINDOW = 1 << 20 };

void segment_reader_init(struct reader *r, struct disk *d)
{
	*r = (struct reader){.disk = d};
}

void segment_reader_fini(struct reader *r)
{
	free(r->mem);
	free(r->meta);
	free(r->holes.v);
	free(r->damage.v);
	*r = (struct reader){0};
}

void segment_reader_start(struct reader *r, const struct segment *seg)
{
	r->seg = seg;
	r->at = SEGMENT_START;
	r->window_n = 0;
	r->holes.n = r->damage.n = 0;
	r->sealed = false;
	r->last_flush = 0;
	r->last_end = SEGMENT_START;
}

/* A page that cannot be read counts as zeros, so that one bad place costs the records in it and not
 * the whole log. If nothing can be read it is the disk. */
static int fill_by_page(struct reader *r, uint64_t at, size_t n)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i += SPOOL_PAGE) {
		size_t want = n - i < SPOOL_PAGE ? n - i : SPOOL_PAGE;
		int64_t got = r->disk->ops->read(r->disk, r->seg->handle, r->mem + i, want, at + i);

		if (got == (int64_t)want)
			good++;
		else
			memset(r->mem + i, 0, want);
	}
	return good > 0 || r->patient ? 0 : GW_EIO;
}

/* Makes the window cover this octet and whatever follows that fits. */
static int fill(struct reader *r, uint64_t at)
{
	uint64_t from = page_down(at);
	size_t n = r->seg->end - from < WINDOW ? (size_t)(r->seg->end - from) : WINDOW;

	if (n > r->window_cap) {
		r->mem = gw_realloc(r->mem, n);
		r->window_cap = n;
	}
	int64_t got = r->disk->ops->read(r->disk, r->seg->handle, r->mem, n, from);
	int err = got == (int64_t)n ? 0 : fill_by_page(r, from, n);

	r->window_at = from;
	r->window_n = err == 0 ? n : 0;
	return err;
}

/* What the window has from here on, at least `want` octets (not more than WINDOW - SPOOL_PAGE)
 * unless the segment ends before. */
static int look(struct reader *r, uint64_t at, size_t want, struct span *out)
{
	uint64_t end = r->window_at + r->window_n;

	if (r->window_n == 0 || at < r->window_at || at > end ||
	    (end - at < want && end < r->seg->end)) {
		int err = fill(r, at);

		if (err != 0)
			return err;
		end = r->window_at + r->window_n;
	}
	*out = span_of(r->mem + (at - r->window_at), (size_t)(end - at));
	return 0;
}

static void push_hole(struct hole_list *l, const struct hole *h)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->v = gw_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = *h;
}

static void add_hole(struct reader *r, uint64_t at, uint64_t bytes)
{
	push_hole(&r->holes, &(struct hole){.at = at, .bytes = bytes, .kind = HOLE_HEAD});
}

/* The record at r->at: its head is good. */
static void add_record(
    struct reader *r, enum hole_kind kind, uint64_t bytes, const struct record_head *h)
{
	push_hole(&r->holes, &(struct hole){r->at, bytes, kind, *h});
}

/* Everything before this offset was flushed: holes in it are damage. */
static void prove(struct reader *r, uint64_t offset)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->holes.n; i++) {
		if (r->holes.v[i].at < offset)
			push_hole(&r->damage, &r->holes.v[i]);
		else
			r->holes.v[kept++] = r->holes.v[i];
	}
	r->holes.n = kept;
}

/* Where the records of the flush before this one's ended, this one's head says. */
static void accept_head(struct reader *r, const struct record_head *h)
{
	uint64_t flush = (uint64_t)h->flush_page * SPOOL_PAGE;
	uint64_t expected = record_align(r->last_end);

	if (flush > r->last_flush) {
		if (r->last_end + h->flush_pad < flush)
			add_hole(r, expected, flush - r->last_end);
		r->last_flush = flush;
		prove(r, flush);
		expected = flush;
	}
	if (expected < r->at)
		add_hole(r, expected, r->at - expected);
}

int segment_reader_next(struct reader *r, struct record_head *h)
{
	struct span s;

	while (!r->sealed && r->at + RECORD_HEADER <= r->seg->end) {
		int err = look(r, r->at, RECORD_HEADER, &s);

		if (err != 0)
			return err;
		if (record_decode(s, &r->seg->key, r->at, h) == 0) {
			accept_head(r, h);
			return 1;
		}
		size_t found = record_find(span_skip(s, RECORD_ALIGN), &r->seg->key) + RECORD_ALIGN;
		/* The last octets may be the front part of a key: they are looked at again. */
		if (found + SPOOL_KEY > s.n)
			found = record_align(s.n - SPOOL_KEY + 1);
		r->at += found;
	}
	return 0;
}

static void pass(struct reader *r, const struct record_head *h)
{
	r->last_end = r->at + record_size(h);
	r->at = record_align(r->last_end);
	r->sealed = h->type == REC_SEAL;
}

void segment_reader_skip(struct reader *r, const struct record_head *h)
{
	if (r->at + record_size(h) <= r->seg->end)
		pass(r, h);
	else
		r->at += RECORD_HEADER;
}

/* Over more octets than one look gives. */
static int sum_pieces(struct reader *r, uint64_t at, uint64_t n, uint8_t *to, uint64_t *sum)
{
	struct store_read *state = NULL;
	struct span s;
	int err = 0;

	while (n > 0 && (err = look(r, at, 1, &s)) == 0) {
		s = span_first(s, (size_t)n);
		if (to) {
			memcpy(to, s.p, s.n);
			to += s.n;
		}
		store_sum_feed(&state, s);
		at += s.n;
		n -= s.n;
	}
	*sum = store_sum_end(&state);
	return err;
}

/* Copies to `to` unless it is NULL. */
static int sum_range(struct reader *r, uint64_t at, uint64_t n, uint8_t *to, uint64_t *sum)
{
	struct span s = SPAN_NONE;
	int err = n > 0 ? look(r, at, 1, &s) : 0;

	if (err != 0)
		return err;
	if (s.n < n)
		return sum_pieces(r, at, n, to, sum);
	s = span_first(s, (size_t)n);
	if (to && s.n > 0)
		memcpy(to, s.p, s.n);
	*sum = spool_sum(s);
	return 0;
}

static void meta_room(struct reader *r, size_t n)
{
	if (n <= r->meta_cap)
		return;
	r->meta_cap = n;
	r->meta = gw_realloc(r->meta, n);
}

int segment_reader_take(struct reader *r, const struct record_head *h, struct span *meta)
{
	uint64_t at = r->at + RECORD_HEADER, sum = 0;

	*meta = SPAN_NONE;
	if (r->at + record_size(h) > r->seg->end) {
		add_record(r, HOLE_SHORT, r->seg->end - r->at, h);
		r->at += RECORD_HEADER;
		return GW_ECORRUPT;
	}
	meta_room(r, h->meta_len);
	int err = sum_range(r, at, h->meta_len, r->meta, &sum);
	enum hole_kind bad = HOLE_META;
	if (err == 0 && sum == h->meta_sum) {
		bad = HOLE_BODY;
		*meta = span_of(r->meta, h->meta_len);
		err = sum_range(r, at + h->meta_len, h->body_len, NULL, &sum);
	}
	if (err != 0)
		return err;
	bool good = bad == HOLE_BODY && sum == h->body_sum;
	if (!good)
		add_record(r, bad, record_size(h), h);
	pass(r, h);
	return good ? 0 : GW_ECORRUPT;
}

/* A segment that was left or truncated has a known end; a gap before it swallowed something. */
static bool tail_missing(const struct reader *r)
{
	if (!r->seg->proven || r->sealed)
		return false;
	if (r->seg->left)
		return page_up(r->last_end) + RECORD_HEADER <= r->seg->end;
	return page_up(r->last_end) < r->seg->end;
}

uint64_t segment_reader_settle(struct reader *r)
{
	uint64_t torn = 0;

	if (r->seg->proven)
		prove(r, r->seg->end);
	for (size_t i = 0; i < r->holes.n; i++)
		torn += r->holes.v[i].bytes;
	if (tail_missing(r))
		push_hole(&r->damage,
		    &(struct hole){
			.at = r->last_end, .bytes = r->seg->end - r->last_end, .kind = HOLE_TAIL});
	return torn;
}

void segment_reader_record(struct store_record *r, const struct segment *seg, uint64_t at,
    const struct record_head *h, struct span meta)
{
	uint64_t meta_at = at + RECORD_HEADER;

	*r = (struct store_record){.type = h->type, .id = h->id, .own = h->own, .meta = meta};
	r->meta_at = (struct extent){seg->generation, meta_at, h->meta_len, h->meta_sum};
	r->body_at =
	    (struct extent){seg->generation, meta_at + h->meta_len, h->body_len, h->body_sum};
}
