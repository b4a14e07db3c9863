#include "sim/disk_sim-private.h"

#include "sim/faults.h"

#include <stdio.h>
#include <stdlib.h>

/* Where the key of the first record stands in a segment. */
enum { FIRST_RECORD = 4096, RECORD_TYPE = 21, TRUNCATE = 12 };

uint64_t sim_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static uint64_t sim_below(struct disk_sim *s, uint64_t n)
{
	return n ? sim_random(&s->rng) % n : 0;
}

static struct disk_sim *self(struct disk *d)
{
	return (struct disk_sim *)d;
}

static struct dir_entry *dir_find(struct dir *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->e[i].name, name) == 0)
			return &d->e[i];
	}
	return NULL;
}

static void dir_set(struct dir *d, const char *name, struct file *f)
{
	struct dir_entry *e = dir_find(d, name);

	if (!e) {
		if (d->n == d->cap) {
			d->cap = d->cap ? 2 * d->cap : 16;
			d->e = gw_realloc(d->e, d->cap * sizeof(*d->e));
		}
		e = &d->e[d->n++];
		snprintf(e->name, sizeof(e->name), "%s", name);
	}
	e->file = f;
}

static void dir_unset(struct dir *d, const char *name, const struct file *f)
{
	struct dir_entry *e = dir_find(d, name);

	if (e && e->file == f)
		*e = d->e[--d->n];
}

void dir_apply(struct dir *d, const struct name_change *c)
{
	if (c->from[0])
		dir_unset(d, c->from, c->file);
	if (c->to[0])
		dir_set(d, c->to, c->file);
}

void dir_copy(struct dir *to, const struct dir *from)
{
	to->n = 0;
	if (to->cap < from->n) {
		to->cap = 2 * from->n;
		to->e = gw_realloc(to->e, to->cap * sizeof(*to->e));
	}
	to->n = from->n;
	if (from->n > 0)
		memcpy(to->e, from->e, from->n * sizeof(*from->e));
}

static void dir_change(struct disk_sim *s, const char *from, const char *to, struct file *f)
{
	if (s->n_change == s->cap_change) {
		s->cap_change = s->cap_change ? 2 * s->cap_change : 16;
		s->change = gw_realloc(s->change, s->cap_change * sizeof(*s->change));
	}
	struct name_change *c = &s->change[s->n_change++];
	c->file = f;
	snprintf(c->from, sizeof(c->from), "%s", from);
	snprintf(c->to, sizeof(c->to), "%s", to);
	dir_apply(&s->seen, c);
}

static bool dir_has(const struct dir *d, const struct file *f)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->e[i].file == f)
			return true;
	}
	return false;
}

static void file_resize(struct file *f, uint64_t size)
{
	if (size <= f->size)
		return;
	if (size > f->cap) {
		f->seen = gw_realloc(f->seen, (size_t)size);
		f->durable = gw_realloc(f->durable, (size_t)size);
		memset(f->seen + f->cap, 0, size - f->cap);
		memset(f->durable + f->cap, 0, size - f->cap);
		f->cap = size;
	}
	f->size = size;
}

static void forget_pending(struct file *f)
{
	for (size_t i = 0; i < f->n_pending; i++)
		free(f->pending[i].data);
	f->n_pending = 0;
}

static void file_free(struct disk_sim *s, struct file *f)
{
	if (f->size > 0) {
		free(s->grave);
		s->grave = f->durable;
		s->grave_n = f->size;
		f->durable = NULL;
	}
	forget_pending(f);
	free(f->pending);
	free(f->seen);
	free(f->durable);
	free(f);
}

static bool file_used(const struct disk_sim *s, const struct file *f)
{
	for (size_t i = 0; i < MAX_HANDLES; i++) {
		if (s->handle[i] == f)
			return true;
	}
	for (size_t i = 0; i < s->n_change; i++) {
		if (s->change[i].file == f)
			return true;
	}
	return dir_has(&s->seen, f) || dir_has(&s->durable, f);
}

static void collect_files(struct disk_sim *s)
{
	struct file **at = &s->files;

	while (*at) {
		struct file *f = *at;

		if (file_used(s, f)) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		file_free(s, f);
	}
}

static uint64_t used_octets(const struct disk_sim *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->seen.n; i++)
		n += s->seen.e[i].file->size;
	return n + s->others;
}

/* Octets [at, at + n) reach the file that programs see. */
static void write_seen(struct file *f, const uint8_t *data, size_t n, uint64_t at)
{
	if (n == 0)
		return;
	file_resize(f, at + n);
	memcpy(f->seen + at, data, n);
	if (f->n_pending == f->cap_pending) {
		f->cap_pending = f->cap_pending ? 2 * f->cap_pending : 8;
		f->pending = gw_realloc(f->pending, f->cap_pending * sizeof(*f->pending));
	}
	struct pending *p = &f->pending[f->n_pending++];
	p->at = at;
	p->n = n;
	p->data = gw_calloc(1, n);
	memcpy(p->data, data, n);
}

static void keep_all(struct disk_sim *s, struct file *f)
{
	for (size_t i = 0; i < f->n_pending; i++) {
		const struct pending *p = &f->pending[i];

		for (size_t from = 0; from < p->n; from += SECTOR)
			keep_range(
			    s, f->durable, p, from, from + SECTOR < p->n ? from + SECTOR : p->n);
	}
	f->durable_size = f->size;
	f->sum = 0;
	forget_pending(f);
}

/* A random part of the un-flushed is durable, the rest is forgotten. */
static void keep_some(struct disk_sim *s, struct file *f)
{
	cut_writes(s, f, &s->rng, f->durable);
	f->sum = 0;
	forget_pending(f);
}

/* A flush that fails: programs still see what it lost. */
static void lose_pages(struct disk_sim *s, struct file *f)
{
	keep_some(s, f);
	if (memcmp(f->seen, f->durable, f->size) == 0)
		return;
	f->lost = true;
	fault_count(FAULT_CLEAN_PAGES);
}

static const char *name_of(const struct disk_sim *s, const struct file *f)
{
	for (size_t i = 0; i < s->seen.n; i++) {
		if (s->seen.e[i].file == f)
			return s->seen.e[i].name;
	}
	return "";
}

static void tell(struct disk_sim *s, struct disk_sim_event e)
{
	if (!s->watch || s->dead)
		return;
	e.crash = s->crash_at != 0 && s->ops + 1 >= s->crash_at;
	s->watch(s->watch_arg, &e);
}

static void tell_file(struct disk_sim *s, enum disk_sim_op op, int h, uint64_t at)
{
	tell(s, (struct disk_sim_event){.op = op, .name = name_of(s, s->handle[h]), .at = at});
}

enum begin { BEGIN_OK, BEGIN_CUT, BEGIN_FAIL };

static const enum fault eio[SIM_OPS] = {[SIM_OPEN] = FAULT_OPEN_EIO,
    [SIM_ALLOCATE] = FAULT_ALLOCATE_EIO,
    [SIM_WRITE] = FAULT_WRITE_EIO,
    [SIM_READ] = FAULT_READ_EIO,
    [SIM_SYNC] = FAULT_SYNC_EIO,
    [SIM_RENAME] = FAULT_RENAME_EIO,
    [SIM_REMOVE] = FAULT_REMOVE_EIO,
    [SIM_SYNC_DIR] = FAULT_SYNC_DIR_EIO};

static enum begin begin_op(struct disk_sim *s, enum disk_sim_op op, int *err)
{
	*err = GW_EIO;
	if (s->dead)
		return BEGIN_FAIL;
	s->ops++;
	s->changes += op != SIM_READ;
	if (s->crash_at != 0 && s->ops >= s->crash_at) {
		s->dead = true;
		return BEGIN_CUT;
	}
	if (s->script[op].countdown > 0 && --s->script[op].countdown == 0) {
		*err = s->script[op].err;
		return BEGIN_FAIL;
	}
	if (sim_below(s, 10000) < s->p.fail_per_10000[op]) {
		fault_count(eio[op]);
		return BEGIN_FAIL;
	}
	if ((op == SIM_WRITE || op == SIM_SYNC) && sim_below(s, 10000) < s->p.nospace_per_10000) {
		fault_count(op == SIM_WRITE ? FAULT_WRITE_ENOSPC : FAULT_SYNC_ENOSPC);
		*err = GW_ENOSPC;
		return BEGIN_FAIL;
	}
	return BEGIN_OK;
}

static int sim_open(struct disk *d, const char *name, bool create)
{
	struct disk_sim *s = self(d);
	int err, h = 0;

	tell(s, (struct disk_sim_event){.op = SIM_OPEN, .name = name, .create = create});
	enum begin b = begin_op(s, SIM_OPEN, &err);
	struct dir_entry *e = dir_find(&s->seen, name);

	if (b == BEGIN_FAIL || (b == BEGIN_CUT && sim_below(s, 2)))
		return err;
	if (create ? e != NULL : e == NULL)
		return create ? GW_EIO : GW_ENOENT;
	struct file *f = e ? e->file : NULL;
	if (create) {
		f = gw_calloc(1, sizeof(*f));
		f->bad_page = NO_PAGE;
		f->next = s->files;
		s->files = f;
		dir_change(s, "", name, f);
	}
	if (b == BEGIN_CUT)
		return err;
	while (h < MAX_HANDLES && s->handle[h])
		h++;
	gw_assert(h < MAX_HANDLES);
	s->handle[h] = f;
	return h;
}

static void sim_close(struct disk *d, int h)
{
	struct disk_sim *s = self(d);

	s->handle[h] = NULL;
	if (!s->dead)
		collect_files(s);
}

static int sim_allocate(struct disk *d, int h, uint64_t size)
{
	struct disk_sim *s = self(d);
	struct file *f = s->handle[h];
	int err;

	tell_file(s, SIM_ALLOCATE, h, size);
	enum begin b = begin_op(s, SIM_ALLOCATE, &err);

	if (b == BEGIN_FAIL || (b == BEGIN_CUT && sim_below(s, 2)))
		return err;
	if (used_octets(s) + size > s->p.capacity) {
		fault_count(FAULT_FULL);
		return GW_ENOSPC;
	}
	file_resize(f, size);
	return b == BEGIN_OK ? 0 : err;
}

static int64_t sim_size(struct disk *d, int h)
{
	return self(d)->dead ? GW_EIO : (int64_t)self(d)->handle[h]->size;
}

static int sim_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at)
{
	struct disk_sim *s = self(d);
	struct file *f = s->handle[h];
	int err;

	tell(s, (struct disk_sim_event){
		    .op = SIM_WRITE, .name = name_of(s, f), .data = v, .n_data = n, .at = at});
	enum begin b = begin_op(s, SIM_WRITE, &err);
	size_t total = 0, some;

	if (b == BEGIN_FAIL && s->dead)
		return err;
	if (b == BEGIN_FAIL)
		tell(s, (struct disk_sim_event){
			    .op = SIM_WRITE, .name = name_of(s, f), .failed = true});
	for (size_t i = 0; i < n; i++)
		total += v[i].n;
	if (s->p.mutant == MUTANT_DEAF)
		return 0;
	if (f->sync_failed)
		s->violation = "wrote to a file whose sync had failed";
	some = b == BEGIN_OK ? total : (size_t)sim_below(s, total + 1);
	if (b != BEGIN_OK && some > 0 && some < total)
		fault_count(b == BEGIN_CUT ? FAULT_HALF_WRITE : FAULT_SHORT_WRITE);
	uint8_t *flat = gw_calloc(1, total + 1), *p = flat;
	for (size_t i = 0; i < n; p += v[i++].n)
		memcpy(p, v[i].n ? v[i].p : flat, v[i].n);
	f->told_end = at == FIRST_RECORD && total > RECORD_TYPE && flat[RECORD_TYPE] == TRUNCATE;
	write_seen(f, flat, some, at);
	free(flat);
	return b == BEGIN_OK ? 0 : err;
}

static int64_t sim_read(struct disk *d, int h, void *to, size_t n, uint64_t at)
{
	struct disk_sim *s = self(d);
	struct file *f = s->handle[h];
	int err;

	tell_file(s, SIM_READ, h, at);
	if (begin_op(s, SIM_READ, &err) != BEGIN_OK)
		return err;
	if (at >= f->size)
		return 0;
	if (n > f->size - at)
		n = (size_t)(f->size - at);
	if (f->bad_page != NO_PAGE && (int64_t)at < f->bad_page + 4096 &&
	    (int64_t)(at + n) > f->bad_page)
		return GW_EIO;
	memcpy(to, f->seen + at, n);
	return (int64_t)n;
}

static bool in_use(const struct disk_sim *s, const struct file *f)
{
	const char *name = name_of(s, f);

	return strncmp(name, "seg-", 4) == 0 || strncmp(name, "idx-", 4) == 0;
}

/* The planted bugs of a flush. */
static bool sync_forgotten(const struct disk_sim *s, struct file *f)
{
	bool told_end = f->told_end;

	f->told_end = false;
	switch (s->p.mutant) {
	case MUTANT_NO_SYNC: return true;
	case MUTANT_SYNC_ONCE: return f->syncs > 1;
	case MUTANT_TRUNCATE: return told_end;
	case MUTANT_RENAME_FIRST: return !in_use(s, f);
	case MUTANT_LOG: return in_use(s, f);
	default: return false;
	}
}

static int sim_sync(struct disk *d, int h)
{
	struct disk_sim *s = self(d);
	struct file *f = s->handle[h];
	int err;

	tell_file(s, SIM_SYNC, h, 0);
	enum begin b = begin_op(s, SIM_SYNC, &err);

	if (b == BEGIN_CUT || (b == BEGIN_FAIL && s->dead))
		return err;
	if (f->sync_failed)
		s->violation = "synced a file whose sync had failed";
	if (b == BEGIN_FAIL) {
		tell(s,
		    (struct disk_sim_event){.op = SIM_SYNC, .name = name_of(s, f), .failed = true});
		lose_pages(s, f);
		f->sync_failed = s->p.mutant != MUTANT_HIDE_ERROR;
		return s->p.mutant == MUTANT_HIDE_ERROR ? 0 : err;
	}
	f->syncs++;
	if (!sync_forgotten(s, f))
		keep_all(s, f);
	return 0;
}

static int sim_rename(struct disk *d, const char *from, const char *to)
{
	struct disk_sim *s = self(d);
	struct dir_entry *e = dir_find(&s->seen, from);
	int err;

	tell(s, (struct disk_sim_event){.op = SIM_RENAME, .name = from, .to = to});
	enum begin b = begin_op(s, SIM_RENAME, &err);

	if (b == BEGIN_FAIL || (b == BEGIN_CUT && sim_below(s, 2)))
		return err;
	if (!e)
		return GW_ENOENT;
	if (strncmp(to, "seg-", 4) == 0 && e->file->size > FIRST_RECORD + 4 &&
	    memcmp(e->file->seen + FIRST_RECORD, "\0\0\0", 4) != 0)
		fault_count(FAULT_STALE_SEGMENT);
	dir_change(s, from, to, e->file);
	return b == BEGIN_OK ? 0 : err;
}

static int sim_remove(struct disk *d, const char *name)
{
	struct disk_sim *s = self(d);
	struct dir_entry *e = dir_find(&s->seen, name);
	int err;

	tell(s, (struct disk_sim_event){.op = SIM_REMOVE, .name = name});
	enum begin b = begin_op(s, SIM_REMOVE, &err);

	if (b == BEGIN_FAIL || (b == BEGIN_CUT && sim_below(s, 2)))
		return err;
	if (!e)
		return GW_ENOENT;
	dir_change(s, name, "", e->file);
	return b == BEGIN_OK ? 0 : err;
}

static int sim_sync_dir(struct disk *d)
{
	struct disk_sim *s = self(d);
	int err;
	size_t n = s->n_change;

	tell(s, (struct disk_sim_event){.op = SIM_SYNC_DIR, .name = ""});
	if (begin_op(s, SIM_SYNC_DIR, &err) != BEGIN_OK)
		return err;
	if (s->p.mutant == MUTANT_NO_SYNC_DIR)
		return 0;
	if (s->p.mutant == MUTANT_LATE_RENAME && n > 0)
		n--;
	for (size_t i = 0; i < n; i++)
		dir_apply(&s->durable, &s->change[i]);
	s->n_change -= n;
	if (n > 0)
		memmove(s->change, s->change + n, s->n_change * sizeof(*s->change));
	for (struct file *f = s->files; f && s->p.mutant == MUTANT_RENAME_FIRST; f = f->next) {
		if (in_use(s, f))
			keep_all(s, f);
	}
	collect_files(s);
	return 0;
}

static int sim_list(struct disk *d, uint64_t *at, char name[DISK_NAME_MAX])
{
	struct disk_sim *s = self(d);

	if (s->dead)
		return GW_EIO;
	if (*at >= s->seen.n)
		return 0;
	memcpy(name, s->seen.e[(*at)++].name, DISK_NAME_MAX);
	return 1;
}

static int sim_space(struct disk *d, uint64_t *free_bytes, uint64_t *total)
{
	struct disk_sim *s = self(d);
	uint64_t used = used_octets(s);

	if (s->dead)
		return GW_EIO;
	*total = s->p.capacity;
	*free_bytes = used < s->p.capacity ? s->p.capacity - used : 0;
	return 0;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .allocate = sim_allocate,
    .size = sim_size,
    .write = sim_write,
    .read = sim_read,
    .sync = sim_sync,
    .rename = sim_rename,
    .remove = sim_remove,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .space = sim_space,
};

struct disk_sim *disk_sim_new(uint64_t seed, const struct disk_sim_params *p)
{
	struct disk_sim *s = gw_calloc(1, sizeof(*s));

	s->base.ops = &sim_ops;
	s->p = *p;
	s->rng = seed ^ UINT64_C(0x5EEDD15C);
	return s;
}

void disk_sim_free(struct disk_sim **sp)
{
	struct disk_sim *s = *sp;

	if (!s)
		return;
	while (s->files) {
		struct file *f = s->files;

		s->files = f->next;
		file_free(s, f);
	}
	free(s->seen.e);
	free(s->durable.e);
	free(s->change);
	free(s->grave);
	free(s);
	*sp = NULL;
}

void disk_sim_reseed(struct disk_sim *s, uint64_t seed)
{
	s->rng = seed;
}

struct disk *disk_sim_disk(struct disk_sim *s)
{
	return &s->base;
}

struct disk_sim_params *disk_sim_params(struct disk_sim *s)
{
	return &s->p;
}

uint64_t disk_sim_ops(const struct disk_sim *s)
{
	return s->ops;
}

void disk_sim_crash_after(struct disk_sim *s, uint64_t n)
{
	s->crash_at = n ? s->ops + n : 0;
}

void disk_sim_die(struct disk_sim *s)
{
	s->dead = true;
}

bool disk_sim_dead(const struct disk_sim *s)
{
	return s->dead;
}

void disk_sim_power_cut(struct disk_sim *s)
{
	fault_count(FAULT_POWER_CUT);
	disk_sim_restart(s);
	cut_names(s, &s->rng, &s->durable);
	s->n_change = 0;
	dir_copy(&s->seen, &s->durable);
	for (struct file *f = s->files; f; f = f->next) {
		uint64_t size;

		keep_some(s, f);
		size = cut_size(s, f, &s->rng, f->durable);
		if (size < f->size)
			memset(f->durable + size, 0, f->size - size);
		if (f->size > 0)
			memcpy(f->seen, f->durable, f->size);
		f->size = f->durable_size = size;
		f->lost = false;
	}
	collect_files(s);
}

void disk_sim_restart(struct disk_sim *s)
{
	s->dead = false;
	s->crash_at = 0;
	memset(s->handle, 0, sizeof(s->handle));
	memset(s->script, 0, sizeof(s->script));
	for (struct file *f = s->files; f; f = f->next)
		f->sync_failed = false;
	collect_files(s);
}

void disk_sim_fail(struct disk_sim *s, enum disk_sim_op op, unsigned n, int err)
{
	s->script[op].countdown = n;
	s->script[op].err = err;
}

void disk_sim_others(struct disk_sim *s, uint64_t octets)
{
	s->others = octets;
}

int disk_sim_flip(struct disk_sim *s, const char *name, uint64_t at)
{
	struct dir_entry *e = dir_find(&s->seen, name);

	if (!e || at >= e->file->size)
		return GW_ENOENT;
	e->file->seen[at] ^= 0x40;
	e->file->durable[at] ^= 0x40;
	e->file->sum = 0;
	return 0;
}

int disk_sim_bad_page(struct disk_sim *s, const char *name, uint64_t at)
{
	struct dir_entry *e = dir_find(&s->seen, name);

	if (!e)
		return GW_ENOENT;
	e->file->bad_page = (int64_t)(at - at % 4096);
	return 0;
}

struct span disk_sim_peek(const struct disk_sim *s, const char *name)
{
	struct dir_entry *e = dir_find((struct dir *)(uintptr_t)&s->seen, name);

	return e ? span_of(e->file->seen, (size_t)e->file->size) : SPAN_NONE;
}

int disk_sim_name(const struct disk_sim *s, size_t i, char name[DISK_NAME_MAX])
{
	if (i >= s->seen.n)
		return 0;
	memcpy(name, s->seen.e[i].name, DISK_NAME_MAX);
	return 1;
}

void disk_sim_watch(
    struct disk_sim *s, void (*fn)(void *arg, const struct disk_sim_event *e), void *arg)
{
	s->watch = fn;
	s->watch_arg = arg;
}

const char *disk_sim_violation(const struct disk_sim *s)
{
	return s->violation;
}
