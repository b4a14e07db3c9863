/* The power cut: what was not flushed is undone, and by chance done again. */
#include "spool/disk_cut.h"

#include "spool/disk_cut_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512 };
#define CUT_MOVED ".cut-moved-"

enum mood { ALL_LOST, BY_CHANCE, ALL_KEPT };
enum fate { LOST, TORN, KEPT };

struct power {
	int dir;
	struct cut_journal journal;
	struct cut_names names; /* as they are */
	uint64_t random;
	enum mood mood;
	struct disk_cut_tally *tally;
};

static uint64_t next_random(struct power *p)
{
	uint64_t z = (p->random += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static uint64_t below(struct power *p, uint64_t n)
{
	return next_random(p) % n;
}

static bool survives(struct power *p)
{
	return p->mood == ALL_KEPT || (p->mood == BY_CHANCE && below(p, 2) == 0);
}

/* ---- the content of one file ------------------------------------------------------------------
 */

struct redo {
	const struct cut_entry *e;
	uint8_t *octets; /* CUT_WRITE: what it had written */
	size_t n;
	uint64_t size; /* after it */
};

struct file {
	int fd;
	struct redo *redo;
	size_t n;
	uint64_t base_size, full_size;
};

static int64_t read_at(int fd, void *to, size_t n, uint64_t at)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = pread(fd, (uint8_t *)to + have, n - have, (off_t)(at + have));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return GW_EIO;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (int64_t)have;
}

static int write_at(int fd, const uint8_t *from, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t wrote = pwrite(fd, from, n, (off_t)at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return GW_EIO;
		from += wrote;
		at += (uint64_t)wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

static int put_back(const struct power *p, const struct file *f, const struct cut_entry *e)
{
	uint8_t *old = gw_calloc(1, e->old_n + 1);
	int64_t got = read_at(p->journal.fd, old, e->old_n, e->old_at);
	int err = got == (int64_t)e->old_n ? write_at(f->fd, old, e->old_n, e->at) : GW_EIO;

	free(old);
	return err;
}

/* Undoes one entry and remembers what it had done. */
static int undo(const struct power *p, struct file *f, struct redo *r)
{
	const struct cut_entry *e = r->e;
	struct stat st;
	int64_t got;
	int err = 0;

	if (fstat(f->fd, &st) < 0)
		return GW_EIO;
	r->size = (uint64_t)st.st_size;
	if (e->kind == CUT_WRITE) {
		r->octets = gw_calloc(1, e->n + 1);
		got = read_at(f->fd, r->octets, e->n, e->at);
		if (got < 0)
			return GW_EIO;
		r->n = (size_t)got;
		err = put_back(p, f, e);
	}
	if (err == 0 && e->old_size < r->size && ftruncate(f->fd, (off_t)e->old_size) < 0)
		err = GW_EIO;
	return err;
}

/* A part of what the write had written, none of it behind limit. */
static int redo_part(
    const struct file *f, const struct redo *r, size_t from, size_t to, uint64_t limit)
{
	uint64_t at = r->e->at + from;

	if (at >= limit || to <= from)
		return 0;
	if (to - from > limit - at)
		to = from + (size_t)(limit - at);
	return write_at(f->fd, r->octets + from, to - from, at);
}

/* Each sector for itself; now and then one of them only up to some octet. */
static int redo_torn(struct power *p, const struct file *f, const struct redo *r, uint64_t limit)
{
	size_t n, step, keep;
	int err = 0;

	for (n = 0; n < r->n && err == 0; n += step) {
		step = SECTOR - (size_t)((r->e->at + n) % SECTOR);
		if (step > r->n - n)
			step = r->n - n;
		keep = below(p, 2) == 0 ? step : 0;
		if (below(p, 64) == 0)
			keep = (size_t)below(p, step + 1);
		err = redo_part(f, r, n, n + keep, limit);
	}
	return err;
}

static int redo(struct power *p, const struct file *f, const struct redo *r, uint64_t limit)
{
	enum fate fate = p->mood == ALL_LOST   ? LOST
			 : p->mood == ALL_KEPT ? KEPT
					       : (enum fate)below(p, 3);

	switch (fate) {
	case LOST: p->tally->writes_lost++; return 0;
	case KEPT: p->tally->writes_kept++; return redo_part(f, r, 0, r->n, limit);
	default: p->tally->writes_torn++; return redo_torn(p, f, r, limit);
	}
}

static int redo_all(struct power *p, const struct file *f)
{
	bool grown = f->full_size > f->base_size && survives(p);
	uint64_t limit = grown ? UINT64_MAX : f->base_size;
	int err = 0;

	for (size_t i = 0; i < f->n && err == 0; i++) {
		if (f->redo[i].e->kind == CUT_WRITE)
			err = redo(p, f, &f->redo[i], limit);
	}
	if (err == 0 && grown && ftruncate(f->fd, (off_t)f->full_size) < 0)
		err = GW_EIO;
	return err;
}

static int cut_open_file(struct power *p, struct file *f)
{
	int err = 0;

	f->base_size = f->redo[0].e->old_size;
	for (size_t i = f->n; i > 0 && err == 0; i--) {
		err = undo(p, f, &f->redo[i - 1]);
		if (f->redo[i - 1].size > f->full_size)
			f->full_size = f->redo[i - 1].size;
	}
	return err < 0 ? err : redo_all(p, f);
}

static void collect(struct power *p, uint64_t file, struct file *f)
{
	f->redo = gw_calloc(p->journal.n, sizeof(*f->redo));
	for (size_t i = 0; i < p->journal.n; i++) {
		const struct cut_entry *e = &p->journal.live[i];

		if (!cut_is_name(e) && e->file == file)
			f->redo[f->n++].e = e;
	}
}

static int cut_file(struct power *p, uint64_t file)
{
	const struct cut_name *name = cut_names_of(&p->names, file);
	struct file f = {0};
	int err;

	if (name == NULL) /* it is gone for good */
		return 0;
	f.fd = openat(p->dir, name->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (f.fd < 0)
		return GW_EIO;
	collect(p, file, &f);
	err = cut_open_file(p, &f);
	for (size_t i = 0; i < f.n; i++)
		free(f.redo[i].octets);
	free(f.redo);
	close(f.fd);
	return err;
}

static bool seen_before(const struct power *p, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		const struct cut_entry *e = &p->journal.live[i];

		if (!cut_is_name(e) && e->file == p->journal.live[at].file)
			return true;
	}
	return false;
}

static int cut_files(struct power *p)
{
	int err = 0;

	for (size_t i = 0; i < p->journal.n && err == 0; i++) {
		if (!cut_is_name(&p->journal.live[i]) && !seen_before(p, i))
			err = cut_file(p, p->journal.live[i].file);
	}
	return err;
}

/* ---- names ------------------------------------------------------------------------------------
 */

static uint64_t aside_file(const struct power *p, const struct cut_entry *e)
{
	char name[DISK_NAME_MAX];
	const struct cut_name *found;

	cut_aside_name(name, e->aside);
	found = cut_names_find(&p->names, name);
	return found != NULL ? found->file : 0;
}

static void undo_name(const struct power *p, struct cut_names *l, struct cut_entry *e)
{
	uint64_t aside = e->aside != 0 ? aside_file(p, e) : 0;
	const struct cut_name *made;

	switch (e->kind) {
	case CUT_CREATE:
		made = cut_names_find(l, e->to);
		e->file = made != NULL ? made->file : 0;
		cut_names_unset(l, e->to, e->file);
		break;
	case CUT_RENAME:
		cut_names_unset(l, e->to, e->file);
		cut_names_set(l, e->from, e->file);
		if (aside != 0)
			cut_names_set(l, e->to, aside);
		break;
	default:
		if (aside != 0)
			cut_names_set(l, e->from, aside);
		break;
	}
}

static void redo_name(struct cut_names *l, const struct cut_entry *e)
{
	struct cut_name *other;

	if (e->kind != CUT_CREATE)
		cut_names_unset(l, e->from, e->file);
	if (e->kind == CUT_REMOVE || e->file == 0)
		return;
	/* No file has two names here, also where the rename before this one is lost. */
	while ((other = cut_names_of(l, e->file)) != NULL)
		*other = l->e[--l->n];
	cut_names_set(l, e->to, e->file);
}

static bool shares_name(const struct cut_entry *a, const struct cut_entry *b)
{
	const char *const of_a[] = {a->from, a->to}, *const of_b[] = {b->from, b->to};

	for (int i = 0; i < 4; i++) {
		if (of_a[i / 2][0] != '\0' && strcmp(of_a[i / 2], of_b[i % 2]) == 0)
			return true;
	}
	return false;
}

/* A change that stands on a lost one is lost too: no kernel gives a name to a second file and
 * forgets that the first one had left it. */
static bool stands_on_lost(const struct power *p, const bool *lost, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (lost[i] && shares_name(&p->journal.live[i], &p->journal.live[at]))
			return true;
	}
	return false;
}

static size_t count_names(const struct power *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->journal.n; i++)
		n += cut_is_name(&p->journal.live[i]);
	return n;
}

/* Un-flushed changes survive up to one of them, or each for itself. */
static void redo_names(struct power *p, struct cut_names *l)
{
	bool prefix = below(p, 2) == 0, *lost = gw_calloc(p->journal.n + 1, sizeof(*lost));
	size_t left = p->mood == BY_CHANCE ? (size_t)below(p, count_names(p) + 1) : 0;

	for (size_t i = 0; i < p->journal.n; i++) {
		if (!cut_is_name(&p->journal.live[i]))
			continue;
		lost[i] = prefix && p->mood == BY_CHANCE ? left == 0 : !survives(p);
		lost[i] = lost[i] || stands_on_lost(p, lost, i);
		left -= left > 0;
		if (lost[i]) {
			p->tally->names_lost++;
		} else {
			p->tally->names_kept++;
			redo_name(l, &p->journal.live[i]);
		}
	}
	free(lost);
}

/* The names that survive: what is durable, and some of what is not. */
static void choose_names(struct power *p, struct cut_names *l)
{
	for (size_t i = 0; i < p->names.n; i++) {
		if (!cut_name_is_aside(p->names.e[i].name))
			cut_names_set(l, p->names.e[i].name, p->names.e[i].file);
	}
	for (size_t i = p->journal.n; i > 0; i--) {
		if (cut_is_name(&p->journal.live[i - 1]))
			undo_name(p, l, &p->journal.live[i - 1]);
	}
	redo_names(p, l);
}

static void moved_name(char name[DISK_NAME_MAX], size_t i)
{
	snprintf(name, DISK_NAME_MAX, CUT_MOVED "%zu", i);
}

/* Out of the way first: two files may have changed names with each other. */
static int move_out(struct power *p, const struct cut_names *l, size_t i)
{
	const struct cut_name *is = &p->names.e[i], *wanted = cut_names_of(l, is->file);
	char name[DISK_NAME_MAX];

	if (wanted == NULL)
		return unlinkat(p->dir, is->name, 0) < 0 ? GW_EIO : 0;
	if (strcmp(wanted->name, is->name) == 0)
		return 0;
	moved_name(name, i);
	return renameat(p->dir, is->name, p->dir, name) < 0 ? GW_EIO : 0;
}

static int move_in(struct power *p, const struct cut_names *l, size_t i)
{
	const struct cut_name *is = &p->names.e[i], *wanted = cut_names_of(l, is->file);
	char name[DISK_NAME_MAX];

	if (wanted == NULL || strcmp(wanted->name, is->name) == 0)
		return 0;
	moved_name(name, i);
	return renameat(p->dir, name, p->dir, wanted->name) < 0 ? GW_EIO : 0;
}

static int cut_directory(struct power *p)
{
	struct cut_names wanted = {0};
	int err = 0;

	choose_names(p, &wanted);
	for (size_t i = 0; i < p->names.n && err == 0; i++)
		err = move_out(p, &wanted, i);
	for (size_t i = 0; i < p->names.n && err == 0; i++)
		err = move_in(p, &wanted, i);
	cut_names_fini(&wanted);
	return err;
}

/* ---- both -------------------------------------------------------------------------------------
 */

static enum mood choose_mood(struct power *p)
{
	switch (below(p, 8)) {
	case 0:
	case 1: return ALL_LOST;
	case 2: return ALL_KEPT;
	default: return BY_CHANCE;
	}
}

int disk_cut_power_cut(int dir_fd, uint64_t seed, struct disk_cut_tally *tally)
{
	struct power p = {.dir = dir_fd, .random = seed, .tally = tally};
	int err = cut_journal_open(&p.journal, dir_fd);

	if (err < 0)
		return err;
	err = cut_names_read(&p.names, dir_fd);
	if (err == 0) {
		p.mood = choose_mood(&p);
		err = cut_files(&p);
	}
	if (err == 0)
		err = cut_directory(&p);
	if (err == 0)
		err = cut_journal_reset(&p.journal);
	cut_names_fini(&p.names);
	cut_journal_close(&p.journal);
	return err;
}
