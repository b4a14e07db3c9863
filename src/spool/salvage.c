/* Reading the segments one after the other, and naming what is damaged in them. */
#include "spool/inspect-private.h"

#include "mail/change.h"
#include "mail/envelope.h"

#include <stdlib.h>

enum { STEP = 1 << 20, META_MAX = 32 << 20 };

/* ---- looking for headers --------------------------------------------------------------------- */

/* What can be read from here on: all that fits, else up to a header behind the end of the page,
 * else the rest of the page; 0: nothing. */
static size_t read_some(struct disk *d, int handle, uint8_t *mem, uint64_t from, uint64_t to)
{
	uint64_t page = page_down(from) + SPOOL_PAGE;
	const uint64_t ends[] = {from + STEP, page + RECORD_HEADER, page};

	for (size_t i = 0; i < GW_ARRAY_LEN(ends); i++) {
		size_t n = (size_t)((ends[i] < to ? ends[i] : to) - from);

		if (d->ops->read(d, handle, mem, n, from) == (int64_t)n)
			return n;
	}
	return 0;
}

/* Calls `found` for each place in the file, eight octets apart, with a header's length of octets
 * behind it; until it says false. What cannot be read is passed over. */
static void each_place(struct disk *d, int handle, uint64_t from, uint64_t to,
    bool (*found)(void *arg, struct span s, uint64_t at), void *arg)
{
	uint8_t *mem = gw_calloc(1, to > from && to - from < STEP ? (size_t)(to - from) : STEP);
	bool more = true;

	while (more && from + RECORD_HEADER <= to) {
		size_t n = read_some(d, handle, mem, from, to), at = 0;

		for (; more && at + RECORD_HEADER <= n; at += RECORD_ALIGN)
			more = found(arg, span_of(mem + at, n - at), from + at);
		from = at > 0 ? from + at : page_down(from) + SPOOL_PAGE;
	}
	free(mem);
}

struct key_search {
	struct spool_key key;
	bool found;
};

static bool try_key(void *arg, struct span s, uint64_t at)
{
	struct key_search *k = arg;

	k->found = record_stray(s, at, &k->key) == 0;
	return !k->found;
}

/* The first good record is of the segment's present life: older ones lie behind it. */
int salvage_key(struct disk *d, int handle, uint64_t size, struct spool_key *key)
{
	struct key_search k = {.found = false};

	each_place(d, handle, SEGMENT_START, size, try_key, &k);
	*key = k.key;
	return k.found ? 0 : GW_ENOENT;
}

/* ---- cutting a hole into records ------------------------------------------------------------- */

struct cutting {
	const struct spool_key *key;
	struct hole_list *out;
	uint64_t begin; /* of the piece before, or NOWHERE */
	bool tail;
};

#define NOWHERE UINT64_MAX

static void push_piece(struct hole_list *l, uint64_t from, uint64_t to)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->v = gw_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = (struct hole){.at = from, .bytes = to - from, .kind = HOLE_HEAD};
}

/* What a header says of its own length, if it can be: in a tail nothing else does. */
static uint64_t guess_end(struct span s, uint64_t at)
{
	struct record_head h;

	if (record_guess(s, &h) != 0 || record_size(&h) > UINT32_MAX)
		return at + RECORD_HEADER;
	return at + record_size(&h);
}

static bool cut(void *arg, struct span s, uint64_t at)
{
	struct cutting *c = arg;
	bool header = record_resembles(s, c->key);
	uint64_t octets;

	memcpy(&octets, s.p, sizeof(octets));
	if (c->tail) {
		if (header)
			push_piece(c->out, at, guess_end(s, at));
	} else if (header || (c->begin == NOWHERE && octets != 0)) {
		if (c->begin != NOWHERE)
			push_piece(c->out, c->begin, at);
		c->begin = at;
	}
	return true;
}

void salvage_split(struct disk *d, const struct segment *seg, const struct hole *h,
    struct hole_list *out, bool tail)
{
	struct cutting c = {.key = &seg->key, .out = out, .begin = NOWHERE, .tail = tail};
	uint64_t end = h->at + h->bytes;

	each_place(d, seg->handle, record_align(h->at), end, cut, &c);
	if (tail)
		return;
	/* Without a letter of it left, the place is all there is to say. */
	push_piece(out, c.begin == NOWHERE ? h->at : c.begin, end);
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct span read_octets(
    struct disk *d, const struct segment *seg, uint64_t at, uint64_t n, uint8_t **mem)
{
	free(*mem);
	*mem = NULL;
	if (n > META_MAX || at > seg->end || n > seg->end - at)
		return SPAN_NONE;
	*mem = gw_calloc(1, (size_t)n + 1);
	if (d->ops->read(d, seg->handle, *mem, (size_t)n, at) != (int64_t)n)
		return SPAN_NONE;
	return span_of(*mem, (size_t)n);
}

static bool name_of_meta(struct span meta, struct store_record *r)
{
	struct arena a;
	struct envelope e;
	struct change c;
	bool known = true;

	arena_init(&a, META_MAX);
	if (envelope_decode(&e, meta, &a) == 0 && e.n_rcpt > 0) {
		r->type = REC_MESSAGE;
		r->id = e.id;
	} else if (change_decode(&c, meta, &a) == 0) {
		r->type = r->type == REC_DEFERRED ? REC_DEFERRED : REC_RESULT;
		r->id = c.id;
	} else {
		known = false;
	}
	arena_reset(&a);
	return known;
}

/* The meta is whole if it still has the checksum that the damaged header names. */
bool salvage_name(
    struct disk *d, const struct segment *seg, const struct hole *h, struct inspect_item *item)
{
	uint8_t *mem = NULL;
	struct record_head head;
	bool known = false;
	struct span s = read_octets(d, seg, h->at, RECORD_HEADER, &mem);

	if (s.n == RECORD_HEADER && record_guess(s, &head) == 0) {
		s = read_octets(d, seg, h->at + RECORD_HEADER, head.meta_len, &mem);
		item->record.type = head.type;
		known = s.n > 0 && s.n == head.meta_len && spool_sum(s) == head.meta_sum &&
			name_of_meta(s, &item->record);
	}
	free(mem);
	return known;
}

/* ---- one segment after the other ------------------------------------------------------------- */

static void fill_damage(struct inspect *p, const struct hole *h, struct inspect_item *item)
{
	static const enum inspect_fault faults[] = {
	    [HOLE_HEAD] = FAULT_HEAD,
	    [HOLE_META] = FAULT_META,
	    [HOLE_BODY] = FAULT_BODY,
	    [HOLE_SHORT] = FAULT_META,
	    [HOLE_TAIL] = FAULT_TAIL,
	};
	const struct segment *seg = p->list.segments[p->index];
	struct span meta = SPAN_NONE;

	*item = (struct inspect_item){.fault = faults[h->kind],
	    .segment = seg->generation,
	    .offset = h->at,
	    .octets = h->bytes};
	if (h->kind == HOLE_TAIL)
		return;
	if (h->kind == HOLE_HEAD) {
		item->known = salvage_name(p->disk, seg, h, item);
		return;
	}
	if (h->kind == HOLE_BODY)
		meta = read_octets(
		    p->disk, seg, h->at + RECORD_HEADER, h->head.meta_len, &p->salvaged);
	item->known = true;
	segment_reader_record(&item->record, seg, h->at, &h->head, meta);
}

/* With the daemon at work: the file may have become a spare, or another segment. */
static bool was_taken_away(struct inspect *p)
{
	const struct segment *seg = p->list.segments[p->index];
	char name[DISK_NAME_MAX];
	uint8_t page[SPOOL_PAGE];
	struct segment_head h;

	if (!p->live || seg->headless)
		return false;
	segment_format(name, SEGMENT_LOG, seg->generation);
	int handle = p->disk->ops->open(p->disk, name, false);
	if (handle < 0)
		return handle == GW_ENOENT;
	int64_t got = p->disk->ops->read(p->disk, handle, page, sizeof(page), 0);
	p->disk->ops->close(p->disk, handle);
	return got == SPOOL_PAGE && segment_decode(span_of(page, sizeof(page)), &h) == 0 &&
	       memcmp(h.key.b, seg->key.b, SPOOL_KEY) != 0;
}

static void wait_for(struct inspect *p, const struct hole *h)
{
	struct hole_list *l = &p->waiting;
	size_t before = l->n;
	const struct segment *seg = p->list.segments[p->index];

	if (h->kind == HOLE_HEAD || h->kind == HOLE_TAIL)
		salvage_split(p->disk, seg, h, l, h->kind == HOLE_TAIL);
	if (l->n > before)
		return;
	push_piece(l, h->at, h->at + h->bytes);
	l->v[l->n - 1] = *h;
}

/* Behind the last record of a life a torn or damaged header may still be made out. */
static void look_behind(struct inspect *p)
{
	const struct segment *seg = p->list.segments[p->index];
	const struct reader *r = &p->reader;
	struct hole rest = {.at = r->last_end, .kind = HOLE_TAIL};

	if (seg->proven || r->sealed || r->last_end >= seg->end)
		return;
	rest.bytes = seg->end - r->last_end;
	salvage_split(p->disk, seg, &rest, &p->waiting, true);
}

static void end_segment(struct inspect *p)
{
	struct inspect_segment *about = &p->about[p->index];
	struct reader *r = &p->reader;

	about->torn = segment_reader_settle(r);
	about->used = record_align(r->last_end);
	p->in_segment = false;
	p->done += p->list.segments[p->index]->size;
	p->waiting.n = p->at = 0;
	bool gone = r->damage.n > 0 && was_taken_away(p);
	for (size_t i = 0; i < r->damage.n && !gone; i++)
		wait_for(p, &r->damage.v[i]);
	p->n_damaged = p->waiting.n;
	for (size_t i = 0; i < r->holes.n && !gone; i++)
		wait_for(p, &r->holes.v[i]);
	look_behind(p);
	/* A segment of which something is waiting is left when all of it was given out. */
	p->told_head = true;
	if (p->waiting.n == 0)
		p->index++;
}

/* What was there when we came: what is being written meanwhile looks torn in ways of its own. */
static int bound_segment(struct inspect *p, struct segment *seg)
{
	struct record_head h;
	int rc;

	segment_reader_start(&p->reader, seg);
	while ((rc = segment_reader_next(&p->reader, &h)) > 0)
		segment_reader_skip(&p->reader, &h);
	seg->end = page_up(p->reader.last_end);
	return rc;
}

static int start_segment(struct inspect *p)
{
	struct segment *seg = p->list.segments[p->index];
	int err = p->live && !seg->proven ? bound_segment(p, seg) : 0;

	if (err != 0)
		return err;
	segment_reader_start(&p->reader, seg);
	p->in_segment = true;
	p->told_head = false;
	return 0;
}

static int read_record(struct inspect *p, struct inspect_item *item)
{
	struct reader *r = &p->reader;
	struct record_head h;
	struct span meta;
	int rc;

	while ((rc = segment_reader_next(r, &h)) > 0) {
		uint64_t at = r->at;

		rc = segment_reader_take(r, &h, &meta);
		if (rc == GW_EIO)
			return rc;
		if (rc != 0 || h.type == REC_TRUNCATE || h.type == REC_SEAL)
			continue;
		*item = (struct inspect_item){.kind = INSPECT_RECORD,
		    .segment = r->seg->generation,
		    .offset = at,
		    .octets = record_size(&h),
		    .known = true};
		segment_reader_record(&item->record, r->seg, at, &h, meta);
		p->about[p->index].records++;
		return 1;
	}
	return rc;
}

static int tell_headless(struct inspect *p, struct inspect_item *item)
{
	const struct segment *seg = p->list.segments[p->index];

	p->told_head = true;
	*item = (struct inspect_item){.kind = INSPECT_DAMAGED,
	    .fault = FAULT_SEGMENT,
	    .segment = seg->generation,
	    .octets = SPOOL_PAGE};
	return 1;
}

static int tell_waiting(struct inspect *p, struct inspect_item *item)
{
	bool damaged = p->at < p->n_damaged;

	fill_damage(p, &p->waiting.v[p->at++], item);
	item->kind = damaged ? INSPECT_DAMAGED : INSPECT_TORN;
	if (p->at == p->waiting.n) {
		p->waiting.n = p->at = p->n_damaged = 0;
		p->index++;
	}
	return 1;
}

int inspect_next(struct inspect *p, struct inspect_item *item)
{
	int rc;

	for (;;) {
		if (p->at < p->waiting.n)
			return tell_waiting(p, item);
		if (p->index == p->list.n_segments)
			return 0;
		if (!p->in_segment && (rc = start_segment(p)) < 0)
			return rc;
		if (p->list.segments[p->index]->headless && !p->told_head)
			return tell_headless(p, item);
		rc = read_record(p, item);
		if (rc != 0)
			return rc;
		end_segment(p);
	}
}
