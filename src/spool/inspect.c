#include "spool/inspect-private.h"

#include "spool/index.h"

#include <stdio.h>
#include <stdlib.h>

enum { INSPECT_MAGIC = (int)GW_MAGIC('i', 'n', 's', 'p') };

const char *inspect_type_name(enum record_type type)
{
	static const char *const names[] = {
	    [REC_MESSAGE] = "MESSAGE",
	    [REC_PART] = "PART",
	    [REC_RESULT] = "RESULT",
	    [REC_DEFERRED] = "DEFERRED",
	    [REC_EXPANDED] = "EXPANDED",
	    [REC_HELD] = "HELD",
	    [REC_RELEASED] = "RELEASED",
	    [REC_MOVED] = "MOVED",
	    [REC_PAST_DOT] = "PAST_DOT",
	    [REC_LIMIT] = "LIMIT",
	    [REC_COUNTED] = "COUNTED",
	    [REC_EVENT] = "EVENT",
	    [REC_TRUNCATE] = "TRUNCATE",
	    [REC_SEAL] = "SEAL",
	};

	return (size_t)type < GW_ARRAY_LEN(names) && names[type] ? names[type] : "unknown";
}

const char *inspect_fault_name(enum inspect_fault fault)
{
	static const char *const names[] = {
	    [FAULT_NONE] = "none",
	    [FAULT_SEGMENT] = "segment header",
	    [FAULT_HEAD] = "header",
	    [FAULT_META] = "meta",
	    [FAULT_BODY] = "body",
	    [FAULT_TAIL] = "end of segment",
	};

	return names[fault];
}

/* ---- the directory --------------------------------------------------------------------------- */

static void remember_index(struct inspect *p, uint64_t generation)
{
	p->indexes = gw_realloc(p->indexes, (p->n_indexes + 1) * sizeof(*p->indexes));
	p->indexes[p->n_indexes++] = generation;
}

static struct segment *add_segment(
    struct inspect *p, int handle, const struct segment_head *h, int64_t size)
{
	struct segment *seg = store_adopt(&p->list, handle, h, size);

	seg->end = seg->size;
	return seg;
}

/* Its header is bad: the index or any good record tells the key, and the file its size. */
static void add_headless(struct inspect *p, int handle, uint64_t generation, int64_t size)
{
	struct segment_head h = {.generation = generation, .size = page_down((uint64_t)size)};
	struct index_head index;

	if (index_read_head(p->disk, generation, &index) == 0)
		h.key = index.key;
	else if (salvage_key(p->disk, handle, h.size, &h.key) != 0)
		h.size = 0; /* nothing to be read */
	add_segment(p, handle, &h, size)->headless = true;
}

static int add_file(struct inspect *p, const char *name, uint64_t generation)
{
	uint8_t page[SPOOL_PAGE];
	struct segment_head h;
	int handle = p->disk->ops->open(p->disk, name, false);

	if (handle == GW_ENOENT && p->live)
		return 0;
	if (handle < 0)
		return handle;
	int64_t got = p->disk->ops->read(p->disk, handle, page, sizeof(page), 0);
	int64_t size = p->disk->ops->size(p->disk, handle);
	int err = size < 0 ? GW_EIO : segment_decode(span_of(page, got < 0 ? 0 : (size_t)got), &h);
	if (err == 0 && h.generation != generation)
		err = GW_EFORMAT;
	if (err == 0)
		(void)add_segment(p, handle, &h, size);
	else if (err == GW_EFORMAT)
		add_headless(p, handle, generation, size);
	else
		p->disk->ops->close(p->disk, handle);
	return err == GW_EFORMAT ? 0 : err;
}

static int scan_names(struct inspect *p, char *why, size_t why_size)
{
	char name[DISK_NAME_MAX];
	enum segment_name kind;
	uint64_t at = 0, number;
	int rc, err = 0;

	while (err == 0 && (rc = p->disk->ops->list(p->disk, &at, name)) > 0) {
		if (segment_parse(name, &kind, &number) != 0)
			continue;
		if (kind == SEGMENT_SPARE)
			p->spares++;
		if (kind == SEGMENT_INDEX)
			remember_index(p, number);
		if (kind == SEGMENT_LOG)
			err = add_file(p, name, number);
		if (err != 0)
			snprintf(why, why_size,
			    err == GW_EVERSION ? "%s: written by a later version"
					       : "%s: cannot be read",
			    name);
	}
	if (err == 0 && rc < 0)
		snprintf(why, why_size, "cannot read the spool directory");
	return err != 0 ? err : rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int read_first_records(struct inspect *p)
{
	int err = 0;

	for (size_t i = 0; i < p->list.n_segments && err == 0; i++)
		err = recovery_first_record(&p->list, p->list.segments[i], &p->truncates);
	return err;
}

static void describe_segments(struct inspect *p)
{
	p->about = gw_calloc(p->list.n_segments + 1, sizeof(*p->about));
	for (size_t i = 0; i < p->list.n_segments; i++) {
		const struct segment *seg = p->list.segments[i];

		p->about[i] = (struct inspect_segment){.generation = seg->generation,
		    .size = seg->size,
		    .headless = seg->headless,
		    .unknown = seg->headless && seg->size == 0,
		    .left = seg->left,
		    .truncated = seg->proven && !seg->left};
		p->total += seg->size;
	}
}

int inspect_open(struct inspect **out, struct disk *d, bool live, char *why, size_t why_size)
{
	struct inspect *p = gw_calloc(1, sizeof(*p));

	p->magic = (uint32_t)INSPECT_MAGIC;
	p->disk = p->list.disk = d;
	p->live = live;
	segment_reader_init(&p->reader, d);
	p->reader.patient = true;
	int err = scan_names(p, why, why_size);
	if (err == 0) {
		err = read_first_records(p);
		if (err != 0)
			snprintf(why, why_size, "a segment cannot be read");
	}
	if (err != 0) {
		inspect_close(&p);
		return err;
	}
	describe_segments(p);
	*out = p;
	return 0;
}

void inspect_close(struct inspect **pp)
{
	struct inspect *p = *pp;

	if (!p)
		return;
	for (size_t i = 0; i < p->list.n_segments; i++) {
		p->disk->ops->close(p->disk, p->list.segments[i]->handle);
		free(p->list.segments[i]);
	}
	free(p->list.segments);
	free(p->about);
	free(p->indexes);
	free(p->waiting.v);
	free(p->salvaged);
	segment_reader_fini(&p->reader);
	p->magic = 0;
	free(p);
	*pp = NULL;
}

size_t inspect_count(const struct inspect *p)
{
	return p->list.n_segments;
}

const struct inspect_segment *inspect_segment(const struct inspect *p, size_t i)
{
	return &p->about[i];
}

unsigned inspect_spares(const struct inspect *p)
{
	return p->spares;
}

uint64_t inspect_total(const struct inspect *p)
{
	return p->total;
}

uint64_t inspect_done(const struct inspect *p)
{
	uint64_t here = p->in_segment ? p->reader.at : 0;

	return p->done + here;
}

int64_t inspect_read(struct inspect *p, const struct extent *e, uint64_t from, void *to, size_t n)
{
	const struct segment *seg = store_find(&p->list, e->segment);

	if (!seg)
		return GW_ENOENT;
	if (from >= e->length)
		return 0;
	if (n > e->length - from)
		n = (size_t)(e->length - from);
	if (e->offset > seg->size || e->length > seg->size - e->offset)
		return GW_EIO;
	int64_t got = p->disk->ops->read(p->disk, seg->handle, to, n, e->offset + from);
	return got == (int64_t)n ? got : GW_EIO;
}

/* ---- indexes --------------------------------------------------------------------------------- */

/* A damaged segment says nothing about its index. */
static bool same_content(struct inspect *p, const struct index_reader *r, const struct segment *seg)
{
	struct buf made;
	uint8_t head[INDEX_HEAD];

	buf_init(&made, (size_t)seg->size + INDEX_HEAD);
	index_head_encode(&r->head, head);
	int err = index_compose(p->disk, seg, &made);
	struct span s = buf_view(&made);
	bool same = err == GW_ECORRUPT || err == GW_EIO ||
		    (err == 0 && span_eq(span_first(s, INDEX_HEAD), span_of(head, INDEX_HEAD)) &&
			span_eq(span_skip(s, INDEX_HEAD), span_of(r->mem, (size_t)r->head.octets)));
	buf_fini(&made);
	return same;
}

enum inspect_index inspect_check_index(struct inspect *p, size_t i)
{
	struct segment seg = *p->list.segments[i];
	struct index_reader r;
	struct index_head h;
	int err = index_read_head(p->disk, seg.generation, &h);

	if (err == GW_ENOENT)
		return INDEX_NONE;
	if (err != 0)
		return INDEX_BAD;
	if (seg.headless)
		seg.previous = h.previous;
	if (!index_fits(&h, &seg) || h.end > seg.end)
		return INDEX_OTHER;
	index_reader_init(&r);
	err = index_reader_start(&r, p->disk, &h, true);
	bool same = err == 0 && same_content(p, &r, &seg);
	index_reader_fini(&r);
	return err != 0 ? INDEX_BAD : same ? INDEX_GOOD : INDEX_OTHER;
}

unsigned inspect_lone_indexes(const struct inspect *p)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->n_indexes; i++)
		n += store_find((struct store *)(uintptr_t)&p->list, p->indexes[i]) == NULL;
	return n;
}
