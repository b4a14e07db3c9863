#include "spool/disk_cut_journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ENTRY_MAGIC UINT64_C(0x6375742d6a6f7572)

/* ---- names ---------------------------------------------------------------------------------- */

void cut_aside_name(char name[DISK_NAME_MAX], uint64_t number)
{
	snprintf(name, DISK_NAME_MAX, CUT_ASIDE "%" PRIu64, number);
}

bool cut_name_is_aside(const char *name)
{
	return strncmp(name, CUT_ASIDE, sizeof(CUT_ASIDE) - 1) == 0;
}

uint64_t cut_file_of(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return st.st_ino;
}

struct cut_name *cut_names_find(const struct cut_names *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->e[i].name, name) == 0)
			return &l->e[i];
	}
	return NULL;
}

struct cut_name *cut_names_of(const struct cut_names *l, uint64_t file)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->e[i].file == file)
			return &l->e[i];
	}
	return NULL;
}

void cut_names_set(struct cut_names *l, const char *name, uint64_t file)
{
	struct cut_name *e = cut_names_find(l, name);

	if (e == NULL) {
		if (l->n == l->cap) {
			l->cap = l->cap ? 2 * l->cap : 32;
			l->e = gw_realloc(l->e, l->cap * sizeof(*l->e));
		}
		e = &l->e[l->n++];
		snprintf(e->name, sizeof(e->name), "%s", name);
	}
	e->file = file;
}

void cut_names_unset(struct cut_names *l, const char *name, uint64_t file)
{
	struct cut_name *e = cut_names_find(l, name);

	if (e != NULL && e->file == file)
		*e = l->e[--l->n];
}

static bool is_ours(const char *name)
{
	return strcmp(name, CUT_JOURNAL) == 0 || strcmp(name, CUT_MARK) == 0;
}

int cut_names_read(struct cut_names *l, int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	*l = (struct cut_names){0};
	if (d == NULL)
		return GW_EIO;
	while ((e = readdir(d)) != NULL) {
		uint64_t file;

		if (is_ours(e->d_name) || strlen(e->d_name) >= DISK_NAME_MAX)
			continue;
		file = cut_file_of(dir_fd, e->d_name);
		if (file != 0)
			cut_names_set(l, e->d_name, file);
	}
	closedir(d);
	return 0;
}

void cut_names_fini(struct cut_names *l)
{
	free(l->e);
	*l = (struct cut_names){0};
}

/* ---- what counts ---------------------------------------------------------------------------- */

static bool takes_out(const struct cut_entry *by, const struct cut_entry *e)
{
	bool of_file = !cut_is_name(e) && e->file == by->file;

	switch (by->kind) {
	case CUT_SYNC:
		return of_file && e->number <= by->upto &&
		       !(by->not_first && e->kind == CUT_WRITE && e->at < CUT_FIRST_PAGE);
	case CUT_SYNC_DIR: return cut_is_name(e) && e->number <= by->upto;
	case CUT_CANCEL: return e->number == by->upto;
	case CUT_GONE: return of_file;
	default: return false;
	}
}

bool cut_journal_matters(const struct cut_journal *j, const struct cut_entry *e)
{
	for (size_t i = 0; i < j->n; i++) {
		if (takes_out(e, &j->live[i]))
			return true;
	}
	return false;
}

static void take_out(struct cut_journal *j, const struct cut_entry *by)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->n; i++) {
		if (!takes_out(by, &j->live[i]))
			j->live[kept++] = j->live[i];
	}
	j->n = kept;
}

static void take_effect(struct cut_journal *j, const struct cut_entry *e)
{
	if (e->number >= j->next)
		j->next = e->number + 1;
	if (e->kind >= CUT_SYNC) {
		take_out(j, e);
		return;
	}
	if (j->n == j->cap) {
		j->cap = j->cap ? 2 * j->cap : 64;
		j->live = gw_realloc(j->live, j->cap * sizeof(*j->live));
	}
	j->live[j->n++] = *e;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* The next entry of the file; false: no whole one is left. */
static bool read_entry(const struct cut_journal *j, uint64_t size, struct cut_entry *e)
{
	if (size - j->end < sizeof(*e) ||
	    pread(j->fd, e, sizeof(*e), (off_t)j->end) != (ssize_t)sizeof(*e))
		return false;
	if (e->magic != ENTRY_MAGIC || e->kind < CUT_WRITE || e->kind > CUT_GONE)
		return false;
	e->from[DISK_NAME_MAX - 1] = e->to[DISK_NAME_MAX - 1] = '\0';
	e->old_at = j->end + sizeof(*e);
	return e->old_n <= size - e->old_at;
}

static void read_all(struct cut_journal *j, uint64_t size)
{
	struct cut_entry e;

	while (read_entry(j, size, &e)) {
		take_effect(j, &e);
		j->end = e.old_at + e.old_n;
	}
}

int cut_journal_open(struct cut_journal *j, int dir_fd)
{
	struct stat st;

	*j = (struct cut_journal){.next = 1};
	j->fd = openat(dir_fd, CUT_JOURNAL, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return GW_EIO;
	if (fstat(j->fd, &st) < 0) {
		close(j->fd);
		return GW_EIO;
	}
	read_all(j, (uint64_t)st.st_size);
	/* The rest is of an entry that was torn. */
	if (j->end < (uint64_t)st.st_size && ftruncate(j->fd, (off_t)j->end) < 0) {
		cut_journal_close(j);
		return GW_EIO;
	}
	return 0;
}

void cut_journal_close(struct cut_journal *j)
{
	close(j->fd);
	free(j->live);
	*j = (struct cut_journal){.fd = -1};
}

int cut_journal_reset(struct cut_journal *j)
{
	j->n = 0;
	j->end = 0;
	return ftruncate(j->fd, 0) == 0 ? 0 : GW_EIO;
}

/* What stays behind if it cannot be cut off says the same, only longer. */
void cut_journal_trim(struct cut_journal *j)
{
	if (j->n == 0 && j->end > 0 && ftruncate(j->fd, 0) == 0)
		j->end = 0;
}

static int write_whole(int fd, struct iovec *iov, int n, uint64_t at)
{
	while (n > 0) {
		ssize_t wrote = pwritev(fd, iov, n, (off_t)at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return errno == ENOSPC || errno == EDQUOT ? GW_ENOSPC : GW_EIO;
		at += (uint64_t)wrote;
		while (n > 0 && (size_t)wrote >= iov->iov_len) {
			wrote -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + wrote;
			iov->iov_len -= (size_t)wrote;
		}
	}
	return 0;
}

int cut_journal_put(struct cut_journal *j, struct cut_entry *e, const void *old)
{
	struct iovec iov[2] = {{e, sizeof(*e)}, {(void *)(uintptr_t)old, e->old_n}};
	int err;

	e->magic = ENTRY_MAGIC;
	e->number = j->next;
	e->old_at = j->end + sizeof(*e);
	err = write_whole(j->fd, iov, e->old_n > 0 ? 2 : 1, j->end);
	if (err < 0) {
		(void)!ftruncate(j->fd, (off_t)j->end);
		return err;
	}
	j->end = e->old_at + e->old_n;
	take_effect(j, e);
	return 0;
}

void cut_journal_cancel(struct cut_journal *j, uint64_t number)
{
	struct cut_entry e = {.kind = CUT_CANCEL, .upto = number};
	int saved = errno;

	(void)!cut_journal_put(j, &e, NULL);
	cut_journal_trim(j);
	errno = saved;
}

/* ---- after a kill ---------------------------------------------------------------------------- */

/* The process was killed between putting one file aside and giving its name to another: the
 * rename has not happened. */
static void mend_rename(struct cut_journal *j, int dir_fd)
{
	const struct cut_entry *last = NULL;
	char aside[DISK_NAME_MAX];

	for (size_t i = 0; i < j->n; i++) {
		if (cut_is_name(&j->live[i]))
			last = &j->live[i];
	}
	if (last == NULL || last->kind != CUT_RENAME || last->aside == 0 ||
	    cut_file_of(dir_fd, last->to) != 0)
		return;
	cut_aside_name(aside, last->aside);
	if (renameat(dir_fd, aside, dir_fd, last->to) == 0)
		cut_journal_cancel(j, last->number);
}

static bool is_needed(const struct cut_journal *j, const char *name)
{
	char aside[DISK_NAME_MAX];

	for (size_t i = 0; i < j->n; i++) {
		cut_aside_name(aside, j->live[i].aside);
		if (strcmp(aside, name) == 0)
			return true;
	}
	return false;
}

/* Killed after the removal was durable and before the file was gone. */
static int bury_rest(struct cut_journal *j, int dir_fd)
{
	struct cut_names names;
	int err = cut_names_read(&names, dir_fd);

	for (size_t i = 0; err == 0 && i < names.n; i++) {
		struct cut_entry gone = {.kind = CUT_GONE, .file = names.e[i].file};

		if (!cut_name_is_aside(names.e[i].name) || is_needed(j, names.e[i].name))
			continue;
		if (cut_journal_matters(j, &gone))
			err = cut_journal_put(j, &gone, NULL);
		(void)!unlinkat(dir_fd, names.e[i].name, 0);
	}
	cut_names_fini(&names);
	return err;
}

int cut_journal_mend(struct cut_journal *j, int dir_fd)
{
	mend_rename(j, dir_fd);
	return bury_rest(j, dir_fd);
}
