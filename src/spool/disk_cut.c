#include "spool/disk_cut.h"

#include "spool/disk_cut_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUT_MAGIC = (int)GW_MAGIC('d', 'c', 'u', 't') };

struct disk_cut {
	struct disk base;
	uint32_t magic;
	struct disk *under;
	int dir;
	enum disk_cut_lie lie;

	pthread_mutex_t lock; /* guards the rest, and every change of a name */
	struct cut_journal journal;
	uint8_t *old; /* what lay where a write goes */
	size_t old_cap;
	uint64_t *synced; /* LIE_ONCE: these files had their flush */
	size_t n_synced;
};

static struct disk_cut *self(struct disk *d)
{
	struct disk_cut *c = (struct disk_cut *)d;

	gw_check_magic(c, (uint32_t)CUT_MAGIC);
	return c;
}

static struct disk *under(struct disk *d)
{
	return self(d)->under;
}

/* ---- entries; the lock is held -------------------------------------------------------------- */

static int put(struct disk_cut *c, struct cut_entry *e)
{
	return cut_journal_put(&c->journal, e, NULL);
}

static uint8_t *room_for_old(struct disk_cut *c, size_t n)
{
	if (n > c->old_cap) {
		c->old = gw_realloc(c->old, n);
		c->old_cap = n;
	}
	return c->old;
}

/* The octets that lie there now, as far as the file goes. */
static int read_old(struct disk_cut *c, int h, struct cut_entry *e)
{
	int64_t got;

	if (e->at >= e->old_size)
		return 0;
	e->old_n = e->n < e->old_size - e->at ? e->n : e->old_size - e->at;
	got = c->under->ops->read(c->under, h, room_for_old(c, e->old_n), e->old_n, e->at);
	return got == (int64_t)e->old_n ? 0 : GW_EIO;
}

static int put_write(struct disk_cut *c, int h, const struct stat *st, uint64_t at, uint64_t n)
{
	struct cut_entry e = {.kind = CUT_WRITE,
	    .file = st->st_ino,
	    .at = at,
	    .n = n,
	    .old_size = (uint64_t)st->st_size};
	int err = read_old(c, h, &e);

	return err < 0 ? err : cut_journal_put(&c->journal, &e, c->old);
}

static int note_write(struct disk_cut *c, int h, uint64_t at, uint64_t n)
{
	uint64_t first = 0;
	struct stat st;
	int err = 0;

	if (fstat(h, &st) < 0)
		return GW_EIO;
	if (st.st_nlink == 0) /* nobody will see it again */
		return 0;
	/* What lies about the first page only must know it from the rest. */
	if (c->lie == LIE_HEADER && at < CUT_FIRST_PAGE && n > CUT_FIRST_PAGE - at)
		first = CUT_FIRST_PAGE - at;
	if (first > 0)
		err = put_write(c, h, &st, at, first);
	return err < 0 ? err : put_write(c, h, &st, at + first, n - first);
}

/* ---- octets --------------------------------------------------------------------------------- */

static int cut_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at)
{
	struct disk_cut *c = self(d);
	uint64_t octets = 0;
	int err;

	for (size_t i = 0; i < n; i++)
		octets += v[i].n;
	pthread_mutex_lock(&c->lock);
	err = note_write(c, h, at, octets);
	pthread_mutex_unlock(&c->lock);
	return err < 0 ? err : c->under->ops->write(c->under, h, v, n, at);
}

static int cut_allocate(struct disk *d, int h, uint64_t size)
{
	struct disk_cut *c = self(d);
	struct cut_entry e = {.kind = CUT_SIZE};
	struct stat st;
	int err;

	if (fstat(h, &st) < 0)
		return GW_EIO;
	e.file = st.st_ino;
	e.old_size = (uint64_t)st.st_size;
	pthread_mutex_lock(&c->lock);
	err = put(c, &e);
	pthread_mutex_unlock(&c->lock);
	return err < 0 ? err : c->under->ops->allocate(c->under, h, size);
}

static bool synced_before(struct disk_cut *c, uint64_t file)
{
	for (size_t i = 0; i < c->n_synced; i++) {
		if (c->synced[i] == file)
			return true;
	}
	c->synced = gw_realloc(c->synced, (c->n_synced + 1) * sizeof(*c->synced));
	c->synced[c->n_synced++] = file;
	return false;
}

/* The number of the last write to the file, which LIE_LATE leaves out. */
static uint64_t last_write(const struct disk_cut *c, uint64_t file, uint64_t upto)
{
	for (size_t i = c->journal.n; i > 0; i--) {
		const struct cut_entry *e = &c->journal.live[i - 1];

		if (e->kind == CUT_WRITE && e->file == file && e->number <= upto)
			return e->number;
	}
	return upto + 1;
}

static uint64_t number_now(struct disk_cut *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t n = c->journal.next - 1;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* What was written before the flush began is durable; the lock is held. */
static int note_flushed(struct disk_cut *c, uint64_t file, uint64_t upto)
{
	struct cut_entry e = {.kind = CUT_SYNC, .file = file, .upto = upto};

	if (c->lie == LIE_FLUSH || (c->lie == LIE_ONCE && synced_before(c, file)))
		return 0;
	e.not_first = c->lie == LIE_HEADER;
	if (c->lie == LIE_LATE)
		e.upto = last_write(c, file, upto) - 1;
	if (!cut_journal_matters(&c->journal, &e))
		return 0;
	int err = put(c, &e);
	cut_journal_trim(&c->journal);
	return err;
}

/*
 * Killed between the flush and the entry, nobody has heard of the flush: it may as well not have
 * been. If the entry cannot be written, the flush has failed.
 */
static int cut_sync(struct disk *d, int h)
{
	struct disk_cut *c = self(d);
	uint64_t upto = number_now(c);
	struct stat st;
	int err = c->lie == LIE_FLUSH ? 0 : c->under->ops->sync(c->under, h);

	if (err < 0)
		return err;
	if (fstat(h, &st) < 0)
		return GW_EIO;
	pthread_mutex_lock(&c->lock);
	err = note_flushed(c, st.st_ino, upto);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* ---- names; the lock is held throughout ----------------------------------------------------- */

static int open_new(struct disk_cut *c, const char *name)
{
	struct cut_entry e = {.kind = CUT_CREATE};
	int h, err;

	snprintf(e.to, sizeof(e.to), "%s", name);
	err = put(c, &e);
	if (err < 0)
		return err;
	h = c->under->ops->open(c->under, name, true);
	if (h < 0)
		cut_journal_cancel(&c->journal, e.number);
	return h;
}

static int cut_open(struct disk *d, const char *name, bool create)
{
	struct disk_cut *c = self(d);
	int h;

	if (!create)
		return c->under->ops->open(c->under, name, false);
	pthread_mutex_lock(&c->lock);
	h = open_new(c, name);
	pthread_mutex_unlock(&c->lock);
	return h;
}

static int put_aside(struct disk_cut *c, const char *name, uint64_t number)
{
	char aside[DISK_NAME_MAX];

	cut_aside_name(aside, number);
	return c->under->ops->rename(c->under, name, aside);
}

static int take_back(struct disk_cut *c, const char *name, uint64_t number)
{
	char aside[DISK_NAME_MAX];

	cut_aside_name(aside, number);
	return c->under->ops->rename(c->under, aside, name);
}

static int rename_noted(struct disk_cut *c, struct cut_entry *e)
{
	int err = e->aside != 0 ? put_aside(c, e->to, e->aside) : 0;

	if (err < 0)
		return err;
	err = c->under->ops->rename(c->under, e->from, e->to);
	if (err < 0 && e->aside != 0)
		(void)!take_back(c, e->to, e->aside);
	return err;
}

static int rename_locked(struct disk_cut *c, const char *from, const char *to)
{
	struct cut_entry e = {.kind = CUT_RENAME, .file = cut_file_of(c->dir, from)};
	int err;

	if (e.file == 0)
		return c->under->ops->rename(c->under, from, to);
	snprintf(e.from, sizeof(e.from), "%s", from);
	snprintf(e.to, sizeof(e.to), "%s", to);
	if (cut_file_of(c->dir, to) != 0)
		e.aside = c->journal.next;
	err = put(c, &e);
	if (err < 0)
		return err;
	err = rename_noted(c, &e);
	if (err < 0)
		cut_journal_cancel(&c->journal, e.number);
	return err;
}

static int cut_rename(struct disk *d, const char *from, const char *to)
{
	struct disk_cut *c = self(d);

	pthread_mutex_lock(&c->lock);
	int err = rename_locked(c, from, to);
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int remove_locked(struct disk_cut *c, const char *name)
{
	struct cut_entry e = {.kind = CUT_REMOVE, .file = cut_file_of(c->dir, name)};
	int err;

	if (e.file == 0)
		return c->under->ops->remove(c->under, name);
	snprintf(e.from, sizeof(e.from), "%s", name);
	e.aside = c->journal.next;
	err = put(c, &e);
	if (err < 0)
		return err;
	err = put_aside(c, name, e.aside);
	if (err < 0)
		cut_journal_cancel(&c->journal, e.number);
	return err;
}

static int cut_remove(struct disk *d, const char *name)
{
	struct disk_cut *c = self(d);

	pthread_mutex_lock(&c->lock);
	int err = remove_locked(c, name);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* Files put aside whose removal is durable now: [0, n) of *numbers, the caller's. */
static size_t buried(const struct disk_cut *c, uint64_t upto, uint64_t **numbers)
{
	size_t n = 0;

	*numbers = gw_calloc(c->journal.n + 1, sizeof(**numbers));
	for (size_t i = 0; i < c->journal.n; i++) {
		const struct cut_entry *e = &c->journal.live[i];

		if (cut_is_name(e) && e->number <= upto && e->aside != 0)
			(*numbers)[n++] = e->aside;
	}
	return n;
}

static void bury(struct disk_cut *c, uint64_t number)
{
	struct cut_entry gone = {.kind = CUT_GONE};
	char name[DISK_NAME_MAX];

	cut_aside_name(name, number);
	gone.file = cut_file_of(c->dir, name);
	/* Before the number of the inode is free for another file. */
	if (gone.file != 0 && cut_journal_matters(&c->journal, &gone))
		(void)!put(c, &gone);
	(void)!unlinkat(c->dir, name, 0);
}

static int names_flushed(struct disk_cut *c, uint64_t upto)
{
	struct cut_entry e = {.kind = CUT_SYNC_DIR, .upto = upto};
	uint64_t *numbers;
	int err = 0;

	if (!cut_journal_matters(&c->journal, &e))
		return 0;
	size_t n = buried(c, upto, &numbers);
	err = put(c, &e);
	for (size_t i = 0; i < n && err == 0; i++)
		bury(c, numbers[i]);
	free(numbers);
	cut_journal_trim(&c->journal);
	return err;
}

static int cut_sync_dir(struct disk *d)
{
	struct disk_cut *c = self(d);
	uint64_t upto = number_now(c);
	int err = c->under->ops->sync_dir(c->under);

	if (err < 0 || c->lie == LIE_DIR_SYNC)
		return err;
	pthread_mutex_lock(&c->lock);
	err = names_flushed(c, upto);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* ---- what needs no journal ------------------------------------------------------------------ */

static void cut_close(struct disk *d, int h)
{
	under(d)->ops->close(under(d), h);
}

static int64_t cut_size(struct disk *d, int h)
{
	return under(d)->ops->size(under(d), h);
}

static int64_t cut_read(struct disk *d, int h, void *to, size_t n, uint64_t at)
{
	return under(d)->ops->read(under(d), h, to, n, at);
}

static int cut_list(struct disk *d, uint64_t *at, char name[DISK_NAME_MAX])
{
	return under(d)->ops->list(under(d), at, name);
}

static int cut_space(struct disk *d, uint64_t *free_bytes, uint64_t *total)
{
	return under(d)->ops->space(under(d), free_bytes, total);
}

static const struct disk_ops cut_ops = {
    .open = cut_open,
    .close = cut_close,
    .allocate = cut_allocate,
    .size = cut_size,
    .write = cut_write,
    .read = cut_read,
    .sync = cut_sync,
    .rename = cut_rename,
    .remove = cut_remove,
    .sync_dir = cut_sync_dir,
    .list = cut_list,
    .space = cut_space,
};

/* ---- made and freed -------------------------------------------------------------------------- */

static int open_journal(struct disk_cut *c)
{
	int err = cut_journal_open(&c->journal, c->dir);

	return err < 0 ? err : cut_journal_mend(&c->journal, c->dir);
}

struct disk *disk_cut_new(int dir_fd, enum disk_cut_lie lie)
{
	struct disk_cut *c = gw_calloc(1, sizeof(*c));
	struct disk *d = &c->base;

	c->base.ops = &cut_ops;
	c->magic = (uint32_t)CUT_MAGIC;
	c->lie = lie;
	c->journal.fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	c->under = disk_posix_new(dir_fd);
	c->dir = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	if (c->dir < 0 || open_journal(c) < 0)
		disk_cut_free(&d);
	return d;
}

void disk_cut_free(struct disk **d)
{
	if (!*d)
		return;
	struct disk_cut *c = self(*d);

	if (c->journal.fd >= 0)
		cut_journal_close(&c->journal);
	if (c->dir >= 0)
		close(c->dir);
	disk_posix_free(&c->under);
	pthread_mutex_destroy(&c->lock);
	free(c->old);
	free(c->synced);
	c->magic = 0;
	free(c);
	*d = NULL;
}
