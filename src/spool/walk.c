#include "spool/walk.h"

#include "spool/reader.h"

#include <stdlib.h>

struct store_walk {
	struct store *store;
	struct segment view; /* as the segment was at the last look; its handle is the store's */
	struct reader reader;
	struct store_place at;
};

static uint64_t mark_of(const struct segment *seg)
{
	return spool_sum(span_of(seg->key.b, SPOOL_KEY));
}

/* How far it is durable. The lock is held. */
static uint64_t durable_end(const struct store *s, const struct segment *seg)
{
	if (seg == s->active)
		return s->active_at;
	return seg->last_end && seg->last_end < seg->end ? seg->last_end : seg->end;
}

struct store_place store_place_behind(
    struct store *s, const struct extent *meta, const struct extent *body)
{
	struct store_place at = {
	    .segment = meta->segment, .offset = record_align(body->offset + body->length)};

	pthread_mutex_lock(&s->lock);
	struct segment *seg = store_find(s, meta->segment);
	at.mark = seg ? mark_of(seg) : 0;
	pthread_mutex_unlock(&s->lock);
	return at;
}

struct store_walk *store_walk_new(struct store *s)
{
	struct store_walk *w = gw_calloc(1, sizeof(*w));

	w->store = s;
	segment_reader_init(&w->reader, s->disk);
	return w;
}

void store_walk_free(struct store_walk **w)
{
	if (!*w)
		return;
	segment_reader_fini(&(*w)->reader);
	free(*w);
	*w = NULL;
}

/* ---- going there ----------------------------------------------------------------------------- */

/* The segment itself, or the first one behind it, or NULL. The lock is held. */
static const struct segment *at_or_behind(const struct store *s, uint64_t generation)
{
	for (size_t i = 0; i < s->n_segments; i++) {
		if (s->segments[i]->generation >= generation)
			return s->segments[i];
	}
	return NULL;
}

static void enter(struct store_walk *w, const struct segment *seg, uint64_t offset)
{
	w->view = *seg;
	w->view.end = durable_end(w->store, seg);
	segment_reader_start(&w->reader, &w->view);
	w->reader.at = w->reader.last_end = offset;
	w->at = (struct store_place){seg->generation, offset, mark_of(seg)};
}

static bool is_inside(
    const struct store *s, const struct segment *seg, const struct store_place *at)
{
	return mark_of(seg) == at->mark && at->offset >= SEGMENT_START &&
	       at->offset <= durable_end(s, seg) && at->offset % RECORD_ALIGN == 0;
}

/* The lock is held. */
static uint64_t seek(struct store_walk *w, const struct store_place *at)
{
	struct store *s = w->store;
	const struct segment *seg = at->segment ? at_or_behind(s, at->segment) : NULL;

	if (seg && seg->generation == at->segment && is_inside(s, seg, at)) {
		enter(w, seg, at->offset);
		return 0;
	}
	if (seg && seg->generation > at->segment) {
		enter(w, seg, SEGMENT_START);
		return seg->generation - at->segment;
	}
	if (s->n_segments > 0)
		enter(w, s->segments[0], SEGMENT_START);
	else
		w->at = (struct store_place){0};
	return 0;
}

uint64_t store_walk_seek(struct store_walk *w, const struct store_place *at)
{
	pthread_mutex_lock(&w->store->lock);
	uint64_t missing = seek(w, at);
	pthread_mutex_unlock(&w->store->lock);
	return missing;
}

struct store_place store_walk_at(const struct store_walk *w)
{
	return w->at;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Sees how far the segment is durable by now. 0, or GW_ENOENT. */
static int look_again(struct store_walk *w)
{
	struct store *s = w->store;

	pthread_mutex_lock(&s->lock);
	const struct segment *seg = store_find(s, w->at.segment);
	if (seg)
		w->view.end = durable_end(s, seg);
	pthread_mutex_unlock(&s->lock);
	return seg ? 0 : GW_ENOENT;
}

/* The segment behind this one, if this one takes no more. */
static bool go_on(struct store_walk *w)
{
	struct store *s = w->store;
	const struct segment *seg = NULL;

	pthread_mutex_lock(&s->lock);
	/* The active one stays so until a batch is done: its end was looked at before. */
	if (!s->active || s->active->generation != w->at.segment)
		seg = at_or_behind(s, w->at.segment + 1);
	if (seg && w->view.end == durable_end(s, store_find(s, w->at.segment)))
		enter(w, seg, SEGMENT_START);
	else
		seg = NULL;
	pthread_mutex_unlock(&s->lock);
	return seg != NULL;
}

static void spend(uint64_t *budget, uint64_t octets)
{
	*budget -= octets < *budget ? octets : *budget;
}

/* 1, 0: the end of what is durable here, GW_EIO; a damaged record is passed over: GW_ECORRUPT. */
static int next_here(struct store_walk *w, struct store_record *r, uint64_t *budget)
{
	struct reader *rd = &w->reader;
	uint64_t from = rd->at;
	struct record_head h;
	struct span meta;
	int rc = segment_reader_next(rd, &h);

	if (rc > 0) {
		uint64_t at = rd->at;

		rc = segment_reader_take(rd, &h, &meta);
		if (rc == 0 && h.type != REC_TRUNCATE && h.type != REC_SEAL) {
			*r = (struct store_record){
			    .type = h.type, .id = h.id, .own = h.own, .meta = meta};
			rc = 1;
		} else if (rc == 0) {
			rc = GW_ECORRUPT;
		}
		gw_assert(rd->at > at);
	}
	spend(budget, rd->at - from);
	/* What lies in holes was judged by recovery. */
	rd->holes.n = rd->damage.n = 0;
	return rc;
}

int store_walk_next(struct store_walk *w, struct store_record *r, uint64_t *budget)
{
	int rc;

	if (w->at.segment == 0)
		(void)store_walk_seek(w, &w->at);
	if (w->at.segment == 0)
		return 0;
	if (look_again(w) != 0)
		return GW_ENOENT;
	do {
		if (*budget == 0)
			return GW_EMORE;
		rc = next_here(w, r, budget);
		w->at.offset = w->reader.at;
	} while (rc == GW_ECORRUPT || (rc == 0 && go_on(w)));
	return rc;
}
