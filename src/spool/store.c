#include "spool/store-private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The index of the first segment of that generation or a later one. */
static size_t lower_bound(const struct store *s, uint64_t generation)
{
	size_t low = 0, high = s->n_segments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->segments[mid]->generation < generation)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct segment *store_find(struct store *s, uint64_t generation)
{
	size_t i = lower_bound(s, generation);

	if (i == s->n_segments || s->segments[i]->generation != generation)
		return NULL;
	return s->segments[i];
}

static void insert_segment(struct store *s, struct segment *seg)
{
	size_t i = lower_bound(s, seg->generation);

	if (s->n_segments == s->cap_segments) {
		s->cap_segments = s->cap_segments ? 2 * s->cap_segments : 16;
		s->segments = gw_realloc(s->segments, s->cap_segments * sizeof(struct segment *));
	}
	memmove(
	    s->segments + i + 1, s->segments + i, (s->n_segments - i) * sizeof(struct segment *));
	s->segments[i] = seg;
	s->n_segments++;
}

void store_append(struct store *s, struct segment *seg)
{
	gw_assert(
	    s->n_segments == 0 || s->segments[s->n_segments - 1]->generation < seg->generation);
	insert_segment(s, seg);
}

static int read_header(struct store *s, int handle, struct segment_head *h)
{
	uint8_t page[SPOOL_PAGE];
	int64_t got = s->disk->ops->read(s->disk, handle, page, sizeof(page), 0);

	if (got < 0)
		return (int)got;
	return segment_decode(span_of(page, (size_t)got), h);
}

struct segment *store_adopt(struct store *s, int handle, const struct segment_head *h, int64_t size)
{
	struct segment *seg = gw_calloc(1, sizeof(*seg));

	seg->generation = h->generation;
	seg->previous = h->previous;
	seg->key = h->key;
	seg->handle = handle;
	/* A file cut short is read as far as it goes. */
	seg->size = seg->end = (uint64_t)size < h->size ? page_down((uint64_t)size) : h->size;
	insert_segment(s, seg);
	return seg;
}

static int found_segment(struct store *s, const char *name, uint64_t generation)
{
	struct segment_head h;
	int handle = s->disk->ops->open(s->disk, name, false);

	if (generation >= s->next_generation)
		s->next_generation = generation + 1;
	if (handle < 0)
		return handle;
	int err = read_header(s, handle, &h);
	int64_t size = s->disk->ops->size(s->disk, handle);
	if (err == 0 && size < 0)
		err = GW_EIO;
	if (err == 0 && (h.generation != generation || h.size % SPOOL_PAGE != 0))
		err = GW_EFORMAT;
	if (err == 0) {
		(void)store_adopt(s, handle, &h, size);
		return 0;
	}
	s->disk->ops->close(s->disk, handle);
	if (err != GW_EFORMAT)
		return err;
	s->strangers++;
	return 0;
}

static int found_spare(struct store *s, const char *name)
{
	struct unused u = {.good = true};

	u.handle = s->disk->ops->open(s->disk, name, false);
	if (u.handle < 0)
		return u.handle;
	if (s->disk->ops->size(s->disk, u.handle) != (int64_t)s->p.segment_size) {
		s->disk->ops->close(s->disk, u.handle);
		(void)s->disk->ops->remove(s->disk, name);
		return 0;
	}
	strcpy(u.name, name);
	unused_push(&s->spares, &u);
	return 0;
}

static int found_file(struct store *s, const char *name)
{
	enum segment_name kind;
	uint64_t number;

	if (segment_parse(name, &kind, &number) != 0)
		return 0;
	if ((kind == SEGMENT_NEW || kind == SEGMENT_SPARE) && number >= s->next_number)
		s->next_number = number + 1;
	switch (kind) {
	case SEGMENT_INDEX: return 0; /* when all segments are known */
	case SEGMENT_LOG: return found_segment(s, name, number);
	case SEGMENT_SPARE: return found_spare(s, name);
	case SEGMENT_NEW: (void)s->disk->ops->remove(s->disk, name); return 0;
	}
	return 0;
}

struct name {
	char text[DISK_NAME_MAX];
};

/* All names first: what is done with them changes the directory. */
static int list_names(struct store *s, struct name **names, size_t *n)
{
	struct name name;
	uint64_t at = 0;
	size_t cap = 0;
	int rc;

	while ((rc = s->disk->ops->list(s->disk, &at, name.text)) > 0) {
		if (*n == cap) {
			cap = cap ? 2 * cap : 64;
			*names = gw_realloc(*names, cap * sizeof(**names));
		}
		(*names)[(*n)++] = name;
	}
	return rc;
}

static bool has_name(const struct name *names, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i].text, text) == 0)
			return true;
	}
	return false;
}

/* An index goes with its segment. That of a stranger stays: a tool may want it. */
static void found_indexes(struct store *s, const struct name *names, size_t n)
{
	enum segment_name kind;
	uint64_t number;
	char of[DISK_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		if (segment_parse(names[i].text, &kind, &number) != 0 || kind != SEGMENT_INDEX)
			continue;
		struct segment *seg = store_find(s, number);

		segment_format(of, SEGMENT_LOG, number);
		if (seg)
			seg->has_index = true;
		else if (!has_name(names, n, of))
			(void)s->disk->ops->remove(s->disk, names[i].text);
	}
}

static int scan_directory(struct store *s, char *why, size_t why_size)
{
	struct name *names = NULL;
	size_t n = 0;
	int err = list_names(s, &names, &n);

	if (err != 0)
		snprintf(why, why_size, "cannot read the spool directory");
	for (size_t i = 0; i < n && err == 0; i++) {
		err = found_file(s, names[i].text);
		if (err == GW_EVERSION)
			snprintf(why, why_size, "%s: written by a later version", names[i].text);
		else if (err != 0)
			snprintf(why, why_size, "%s: cannot be read", names[i].text);
	}
	if (err == 0)
		found_indexes(s, names, n);
	free(names);
	return err == 0 || err == GW_EVERSION ? err : GW_EIO;
}

static void check_params(const struct store_params *p)
{
	gw_assert(p->segment_size >= SEGMENT_MIN && p->segment_size % SPOOL_PAGE == 0);
	gw_assert(p->segment_size <= UINT32_MAX && p->random);
}

int store_open(
    struct store **out, struct disk *disk, const struct store_params *p, char *why, size_t why_size)
{
	struct store *s = gw_calloc(1, sizeof(*s));

	check_params(p);
	s->magic = (uint32_t)STORE_MAGIC;
	s->disk = disk;
	s->p = *p;
	s->index_below = UINT64_MAX;
	s->next_generation = 1;
	pthread_mutex_init(&s->lock, NULL);
	int err = scan_directory(s, why, why_size);
	if (err != 0) {
		store_close(&s);
		return err;
	}
	s->recovery = recovery_new();
	*out = s;
	return 0;
}

void store_close(struct store **sp)
{
	struct store *s = *sp;

	if (!s)
		return;
	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	for (size_t i = 0; i < s->n_segments; i++) {
		s->disk->ops->close(s->disk, s->segments[i]->handle);
		free(s->segments[i]);
	}
	free(s->segments);
	segment_drop(s, &s->fresh);
	unused_fini(s, &s->spares);
	unused_fini(s, &s->retired);
	chunk_fini(&s->chunk);
	recovery_free(&s->recovery);
	pthread_mutex_destroy(&s->lock);
	s->magic = 0;
	free(s);
	*sp = NULL;
}

uint64_t store_failed_segment(const struct store *cs)
{
	struct store *s = (struct store *)(uintptr_t)cs;

	pthread_mutex_lock(&s->lock);
	uint64_t generation = s->failed_segment;
	pthread_mutex_unlock(&s->lock);
	return generation;
}

void store_hold(struct store *s, uint64_t segment)
{
	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	pthread_mutex_lock(&s->lock);
	struct segment *seg = store_find(s, segment);
	if (seg)
		seg->holds++;
	pthread_mutex_unlock(&s->lock);
}

void store_release(struct store *s, uint64_t segment)
{
	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	pthread_mutex_lock(&s->lock);
	struct segment *seg = store_find(s, segment);
	gw_assert(!seg || seg->holds > 0);
	if (seg)
		seg->holds--;
	pthread_mutex_unlock(&s->lock);
}

static void retire_oldest(struct store *s)
{
	struct segment *seg = s->segments[0];
	struct unused u = {.handle = seg->handle, .generation = seg->generation};

	u.good = !seg->failed && seg->size == s->p.segment_size;
	segment_format(u.name, SEGMENT_LOG, seg->generation);
	unused_push(&s->retired, &u);
	free(seg);
	s->n_segments--;
	memmove(s->segments, s->segments + 1, s->n_segments * sizeof(struct segment *));
}

unsigned store_retire(struct store *s)
{
	return store_retire_before(s, UINT64_MAX);
}

unsigned store_retire_before(struct store *s, uint64_t generation)
{
	unsigned n = 0;

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	gw_assert(s->ready);
	pthread_mutex_lock(&s->lock);
	/* The newest stays: it keeps the generations rising, and while a TRUNCATE is owed it is the
	 * one that failed. */
	while (s->n_segments > 1 && s->segments[0]->holds == 0 &&
	       s->segments[0]->generation < generation) {
		retire_oldest(s);
		n++;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void store_stat(struct store *s, struct store_stat *out)
{
	uint64_t room = 0;
	int err = store_room(s, &room);

	*out = (struct store_stat){0};
	if (s->disk->ops->space(s->disk, &out->free_bytes, &out->total_bytes) != 0)
		out->free_bytes = out->total_bytes = 0;
	pthread_mutex_lock(&s->lock);
	bool into_active = s->active && s->active->size - s->active_at >= s->active->size / 8 &&
			   (!s->active->own_only || room >= s->p.reserve);
	bool into_new = err == 0 && room >= s->p.reserve + s->p.segment_size;
	out->accepting = s->ready && !s->undecided && (into_active || into_new);
	out->bytes_written = s->bytes_written;
	out->commits = s->commits;
	out->records = s->records;
	out->segments = (unsigned)s->n_segments;
	out->spares = (unsigned)s->spares.n;
	for (size_t i = 0; i < s->n_segments; i++) {
		out->indexes += s->segments[i]->has_index;
		out->log_bytes += s->segments[i]->size;
	}
	if (s->n_segments > 0) {
		out->oldest = s->segments[0]->generation;
		out->newest = s->segments[s->n_segments - 1]->generation;
	}
	pthread_mutex_unlock(&s->lock);
}
