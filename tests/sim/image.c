#include "sim/image.h"

#include "sim/disk_sim-private.h"

#include <stdlib.h>
#include <xxhash.h>

enum { FILES = 256, PLENTY = 1 << 30 };

struct image_file {
	struct file *of; /* of the simulated disk, while it is as it is there */
	const uint8_t *base;
	uint8_t *own; /* a copy, kept for the next image */
	size_t own_cap;
	uint64_t size;
	bool is_own, gone, differs; /* differs: from what is durable */
	char name[DISK_NAME_MAX];
};

struct image {
	struct disk base;
	struct image_file file[FILES];
	size_t n;
	struct dir names;
	const char *violation;
};

static struct image *self(struct disk *d)
{
	return (struct image *)d;
}

static const uint8_t *octets(const struct image_file *f)
{
	return f->is_own ? f->own : f->base;
}

/* A copy of `room` octets of the file. */
static void make_own(struct image_file *f, uint64_t room)
{
	if (f->is_own)
		return;
	if (room > f->own_cap) {
		free(f->own);
		f->own = gw_calloc(1, room);
		f->own_cap = room;
	}
	if (room > 0)
		memcpy(f->own, f->base, room);
	f->is_own = true;
	f->of = NULL;
}

/* ---- the disk ---------------------------------------------------------------------------------
 */

static struct image_file *find(struct image *im, const char *name)
{
	for (size_t i = 0; i < im->n; i++) {
		if (!im->file[i].gone && strcmp(im->file[i].name, name) == 0)
			return &im->file[i];
	}
	return NULL;
}

static int image_open(struct disk *d, const char *name, bool create)
{
	struct image *im = self(d);
	struct image_file *f = find(im, name);

	if (create)
		im->violation = "makes a file";
	return f && !create ? (int)(f - im->file) : GW_ENOENT;
}

static void image_close(struct disk *d, int h)
{
	(void)d;
	(void)h;
}

static int image_allocate(struct disk *d, int h, uint64_t size)
{
	(void)h;
	(void)size;
	self(d)->violation = "allocates space";
	return GW_ENOSPC;
}

static int64_t image_size(struct disk *d, int h)
{
	return (int64_t)self(d)->file[h].size;
}

static int image_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at)
{
	struct image_file *f = &self(d)->file[h];

	make_own(f, f->size);
	for (size_t i = 0; i < n; i++) {
		if (at + v[i].n > f->size) {
			self(d)->violation = "writes beyond the end of a file";
			return GW_ENOSPC;
		}
		if (v[i].n > 0)
			memcpy(f->own + at, v[i].p, v[i].n);
		at += v[i].n;
	}
	return 0;
}

static int64_t image_read(struct disk *d, int h, void *to, size_t n, uint64_t at)
{
	const struct image_file *f = &self(d)->file[h];

	if (at >= f->size)
		return 0;
	if (n > f->size - at)
		n = (size_t)(f->size - at);
	memcpy(to, octets(f) + at, n);
	return (int64_t)n;
}

static int image_sync(struct disk *d, int h)
{
	(void)d;
	(void)h;
	return 0;
}

static int image_rename(struct disk *d, const char *from, const char *to)
{
	(void)from;
	(void)to;
	self(d)->violation = "renames a file";
	return GW_EIO;
}

static int image_remove(struct disk *d, const char *name)
{
	struct image_file *f = find(self(d), name);

	if (!f)
		return GW_ENOENT;
	f->gone = true;
	return 0;
}

static int image_sync_dir(struct disk *d)
{
	(void)d;
	return 0;
}

static int image_list(struct disk *d, uint64_t *at, char name[DISK_NAME_MAX])
{
	struct image *im = self(d);

	while (*at < im->n) {
		const struct image_file *f = &im->file[(*at)++];

		if (f->gone)
			continue;
		memcpy(name, f->name, DISK_NAME_MAX);
		return 1;
	}
	return 0;
}

static int image_space(struct disk *d, uint64_t *free_bytes, uint64_t *total)
{
	(void)d;
	*free_bytes = *total = PLENTY;
	return 0;
}

static const struct disk_ops image_ops = {
    .open = image_open,
    .close = image_close,
    .allocate = image_allocate,
    .size = image_size,
    .write = image_write,
    .read = image_read,
    .sync = image_sync,
    .rename = image_rename,
    .remove = image_remove,
    .sync_dir = image_sync_dir,
    .list = image_list,
    .space = image_space,
};

/* ---- making them ------------------------------------------------------------------------------
 */

struct image *image_new(void)
{
	struct image *im = gw_calloc(1, sizeof(*im));

	im->base.ops = &image_ops;
	return im;
}

void image_free(struct image **pim)
{
	struct image *im = *pim;

	if (!im)
		return;
	for (size_t i = 0; i < FILES; i++)
		free(im->file[i].own);
	free(im->names.e);
	free(im);
	*pim = NULL;
}

struct disk *image_disk(struct image *im)
{
	return &im->base;
}

static struct image_file *add(struct image *im, const struct dir_entry *e)
{
	struct image_file *f = &im->file[im->n++];

	gw_assert(im->n <= FILES);
	f->of = e->file;
	f->is_own = f->gone = f->differs = false;
	memcpy(f->name, e->name, DISK_NAME_MAX);
	return f;
}

static void begin(struct image *im)
{
	im->n = 0;
	im->violation = NULL;
}

void image_cut(struct image *im, const struct disk_sim *s, uint64_t *rng)
{
	begin(im);
	dir_copy(&im->names, &s->durable);
	cut_names(s, rng, &im->names);
	for (size_t i = 0; i < im->names.n; i++) {
		struct image_file *f = add(im, &im->names.e[i]);
		const struct file *of = f->of;

		f->base = of->durable;
		f->size = of->durable_size;
		if (of->n_pending == 0 && of->durable_size == of->size)
			continue;
		make_own(f, of->size);
		cut_writes(s, of, rng, f->own);
		f->size = cut_size(s, of, rng, f->own);
	}
}

void image_kill(struct image *im, const struct disk_sim *s)
{
	begin(im);
	for (size_t i = 0; i < s->seen.n; i++) {
		struct image_file *f = add(im, &s->seen.e[i]);

		f->base = f->of->seen;
		f->size = f->of->size;
		/* A disk that lies makes others differ, too. */
		f->differs = f->of->n_pending > 0 || f->of->lost ||
			     f->of->durable_size != f->size || s->p.mutant != MUTANT_NONE;
	}
}

/* ---- telling them apart -----------------------------------------------------------------------
 */

static uint64_t file_sum(struct image_file *f)
{
	if (f->size == 0)
		return 1;
	if (f->of == NULL || f->differs)
		return XXH3_64bits(octets(f), (size_t)f->size) | 1;
	if (f->of->sum == 0)
		f->of->sum = XXH3_64bits(f->base, (size_t)f->size) | 1;
	return f->of->sum;
}

/* The content of files that are not in the log never counts. */
static bool counts(const struct image_file *f)
{
	return strncmp(f->name, "spare-", 6) != 0 && strncmp(f->name, "new-", 4) != 0;
}

uint64_t image_sum(struct image *im)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < im->n; i++) {
		struct image_file *f = &im->file[i];
		uint64_t content = counts(f) ? file_sum(f) : 1;

		sum += XXH3_64bits_withSeed(f->name, strlen(f->name), content ^ f->size << 1);
	}
	return sum;
}

const char *image_violation(const struct image *im)
{
	return im->violation;
}

bool image_choices(const struct disk_sim *s)
{
	if (s->n_change > 0)
		return true;
	for (const struct file *f = s->files; f; f = f->next) {
		if (f->n_pending > 0 || f->durable_size != f->size)
			return true;
	}
	return false;
}

uint64_t image_changes(const struct disk_sim *s)
{
	return s->changes;
}
