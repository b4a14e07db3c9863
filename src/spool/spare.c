/*
 * Files for new segments: made ahead, or from retired ones, so that a write waits for no
 * allocation.
 */
#include "spool/store-private.h"

#include <stdlib.h>

void unused_push(struct unused_list *l, const struct unused *u)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->item = gw_realloc(l->item, l->cap * sizeof(*l->item));
	}
	l->item[l->n++] = *u;
}

void unused_fini(struct store *s, struct unused_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		s->disk->ops->close(s->disk, l->item[i].handle);
	free(l->item);
	*l = (struct unused_list){0};
}

uint64_t store_take_number(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t number = s->next_number++;
	pthread_mutex_unlock(&s->lock);
	return number;
}

static bool pop_spare(struct store *s, struct unused *out)
{
	pthread_mutex_lock(&s->lock);
	bool any = s->spares.n > 0;
	if (any)
		*out = s->spares.item[--s->spares.n];
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void push_spare(struct store *s, const struct unused *u)
{
	pthread_mutex_lock(&s->lock);
	unused_push(&s->spares, u);
	pthread_mutex_unlock(&s->lock);
}

static int make_new(struct store *s, struct unused *out)
{
	uint64_t number = store_take_number(s);

	segment_format(out->name, SEGMENT_NEW, number);
	out->handle = segment_create(s->disk, number, s->p.segment_size);
	out->good = true;
	return out->handle < 0 ? out->handle : 0;
}

int store_room(struct store *s, uint64_t *room)
{
	uint64_t free_bytes, total;
	int err = s->disk->ops->space(s->disk, &free_bytes, &total);

	pthread_mutex_lock(&s->lock);
	*room = err == 0 ? free_bytes + s->spares.n * s->p.segment_size : 0;
	pthread_mutex_unlock(&s->lock);
	return err == 0 ? 0 : GW_EIO;
}

static struct segment *segment_from(struct store *s, uint64_t previous, int handle)
{
	struct segment *seg = gw_calloc(1, sizeof(*seg));

	seg->generation = s->next_generation++;
	seg->size = seg->end = s->p.segment_size;
	seg->previous = previous;
	seg->handle = handle;
	s->p.random(seg->key.b, SPOOL_KEY);
	return seg;
}

int segment_take(struct store *s, uint64_t previous, bool own, struct segment **out)
{
	struct unused u;
	uint64_t room;
	int err = store_room(s, &room);
	bool mail = err == 0 && room >= s->p.reserve + s->p.segment_size;

	if (!mail && !own)
		return err != 0 ? err : GW_ENOSPC;
	err = pop_spare(s, &u) ? 0 : make_new(s, &u);
	if (err != 0)
		return err;

	struct segment *seg = segment_from(s, previous, u.handle);
	struct segment_head h = {seg->generation, seg->size, previous, seg->key};

	seg->own_only = !mail;
	err = segment_install(s->disk, u.handle, u.name, &h);
	if (err != 0) {
		(void)s->disk->ops->remove(s->disk, u.name);
		segment_drop(s, &seg);
		return err;
	}
	*out = seg;
	return 0;
}

void segment_drop(struct store *s, struct segment **seg)
{
	char name[DISK_NAME_MAX];

	if (!*seg)
		return;
	segment_format(name, SEGMENT_LOG, (*seg)->generation);
	s->disk->ops->close(s->disk, (*seg)->handle);
	(void)s->disk->ops->remove(s->disk, name);
	free(*seg);
	*seg = NULL;
}

static void retired_shift(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->retired.n--;
	memmove(s->retired.item, s->retired.item + 1, s->retired.n * sizeof(*s->retired.item));
	pthread_mutex_unlock(&s->lock);
}

static void retired_renamed(struct store *s, const char *name)
{
	pthread_mutex_lock(&s->lock);
	strcpy(s->retired.item[0].name, name);
	pthread_mutex_unlock(&s->lock);
}

/* Before the segment: an index never outlives it but by a crash, and then a start removes it. */
static int remove_index(struct store *s, uint64_t generation)
{
	char name[DISK_NAME_MAX];

	segment_format(name, SEGMENT_INDEX, generation);
	int err = s->disk->ops->remove(s->disk, name);
	return err == GW_ENOENT ? 0 : err;
}

/*
 * The first retired segment leaves the log on disk, and this is durable before the next one does:
 * a RESULT must outlive the message it ends. After a failed flush of the directory the name is
 * changed once more, so that the next flush covers a change of its own.
 */
static int recycle(struct store *s, struct unused u, bool keep)
{
	struct disk *d = s->disk;
	char name[DISK_NAME_MAX];
	int err = remove_index(s, u.generation);

	if (err != 0)
		return err;
	if (keep) {
		segment_format(name, SEGMENT_SPARE, store_take_number(s));
		err = d->ops->rename(d, u.name, name);
		/* Not there: a rename that was reported as failed took place. Then it is no spare.
		 */
		keep = err == 0;
	}
	if (keep) {
		retired_renamed(s, name);
		strcpy(u.name, name);
	} else if (err == 0 || err == GW_ENOENT) {
		err = d->ops->remove(d, u.name);
	}
	if (err == 0 || err == GW_ENOENT)
		err = d->ops->sync_dir(d);
	if (err != 0)
		return err;
	retired_shift(s);
	if (keep)
		push_spare(s, &u);
	else
		d->ops->close(d, u.handle);
	return 0;
}

static int make_spare(struct store *s)
{
	struct unused u;
	struct disk *d = s->disk;
	char name[DISK_NAME_MAX];
	int err = make_new(s, &u);

	if (err != 0)
		return err;
	segment_format(name, SEGMENT_SPARE, store_take_number(s));
	err = segment_write_once(d, u.handle, s->p.segment_size);
	if (err == 0)
		err = d->ops->rename(d, u.name, name);
	if (err != 0) {
		d->ops->close(d, u.handle);
		(void)d->ops->remove(d, u.name);
		return err;
	}
	strcpy(u.name, name);
	push_spare(s, &u);
	return 0;
}

static int prepare_retired(struct store *s)
{
	struct unused u = {.handle = -1};

	pthread_mutex_lock(&s->lock);
	bool retired = s->retired.n > 0;
	bool keep = s->spares.n < 2 * (size_t)s->p.spares;
	if (retired)
		u = s->retired.item[0];
	pthread_mutex_unlock(&s->lock);
	if (!retired)
		return 0;
	int err = recycle(s, u, keep && u.good);
	return err == 0 ? 1 : err;
}

static int prepare_spare(struct store *s)
{
	uint64_t free_bytes, total;

	pthread_mutex_lock(&s->lock);
	bool few = s->retired.n == 0 && s->spares.n < s->p.spares;
	pthread_mutex_unlock(&s->lock);
	if (!few)
		return 0;
	if (s->disk->ops->space(s->disk, &free_bytes, &total) != 0)
		return GW_EIO;
	if (free_bytes < s->p.reserve + s->p.segment_size)
		return GW_ENOSPC;
	int err = make_spare(s);
	return err == 0 ? 1 : err;
}

int store_prepare(struct store *s)
{
	static int (*const work[])(struct store *) = {
	    prepare_retired, prepare_spare, store_write_index};
	int first = 0;

	gw_check_magic(s, (uint32_t)STORE_MAGIC);
	for (size_t i = 0; i < GW_ARRAY_LEN(work); i++) {
		int rc = work[i](s);

		if (rc > 0)
			return rc;
		if (first == 0)
			first = rc;
	}
	return first;
}
