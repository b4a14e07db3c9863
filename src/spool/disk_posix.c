/* The disk as the kernel has it. A disk that only reads refuses the rest. */
#include "spool/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

struct disk_posix {
	struct disk base;
	uint32_t magic;
	int dir;
	DIR *listing;
	bool readonly, give_away; /* new files go to the owner of the directory */
	uid_t uid;
	gid_t gid;
};

enum { DISK_MAGIC = (int)GW_MAGIC('d', 'i', 's', 'k'), SPANS_AT_ONCE = 1024 };

static struct disk_posix *self(struct disk *d)
{
	struct disk_posix *p = (struct disk_posix *)d;

	gw_check_magic(p, (uint32_t)DISK_MAGIC);
	return p;
}

static int from_errno(void)
{
	switch (errno) {
	case ENOSPC:
	case EDQUOT: return GW_ENOSPC;
	case ENOENT: return GW_ENOENT;
	default: return GW_EIO;
	}
}

static int posix_open(struct disk *d, const char *name, bool create)
{
	const struct disk_posix *p = self(d);
	int flags = O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0);

	if (p->readonly && create)
		return GW_EPERM;
	int fd = openat(p->dir, name, flags | (p->readonly ? O_RDONLY : O_RDWR), 0600);
	if (fd < 0)
		return from_errno();
	if (create && p->give_away && fchown(fd, p->uid, p->gid) != 0) {
		close(fd);
		(void)unlinkat(p->dir, name, 0);
		return GW_EIO;
	}
	return fd;
}

static void posix_close(struct disk *d, int h)
{
	(void)self(d);
	close(h);
}

static int posix_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at);

/* File systems without fallocate: write the blocks. */
static int allocate_by_writing(struct disk *d, int h, uint64_t size)
{
	static const uint8_t zeros[1 << 16];
	int err = 0;

	for (uint64_t at = 0; err == 0 && at < size; at += sizeof(zeros)) {
		uint64_t left = size - at;
		struct span v = span_of(zeros, left < sizeof(zeros) ? (size_t)left : sizeof(zeros));

		err = posix_write(d, h, &v, 1, at);
	}
	return err;
}

static int posix_allocate(struct disk *d, int h, uint64_t size)
{
	int rc, err;

	do
		rc = fallocate(h, 0, 0, (off_t)size);
	while (rc != 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	err =
	    errno == EOPNOTSUPP || errno == ENOSYS ? allocate_by_writing(d, h, size) : from_errno();
	if (err != 0 && ftruncate(h, 0) != 0)
		return GW_EIO;
	return err;
}

static int64_t posix_size(struct disk *d, int h)
{
	struct stat st;

	(void)self(d);
	return fstat(h, &st) == 0 ? (int64_t)st.st_size : from_errno();
}

/* The spans from number *i, of which the first `skip` octets are written, as one pwritev. */
static int fill_iov(struct iovec *iov, const struct span *v, size_t n, size_t i, size_t skip)
{
	int k = 0;

	for (; i < n && k < SPANS_AT_ONCE; i++, skip = 0) {
		if (v[i].n == skip)
			continue;
		iov[k].iov_base = (void *)(uintptr_t)(v[i].p + skip);
		iov[k++].iov_len = v[i].n - skip;
	}
	return k;
}

static int posix_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at)
{
	struct iovec iov[SPANS_AT_ONCE];
	size_t i = 0, skip = 0;
	int k;

	(void)self(d);
	while ((k = fill_iov(iov, v, n, i, skip)) > 0) {
		ssize_t wrote = pwritev(h, iov, k, (off_t)at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return from_errno();
		if (wrote == 0)
			return GW_EIO;
		at += (uint64_t)wrote;
		for (skip += (size_t)wrote; i < n && skip >= v[i].n; i++)
			skip -= v[i].n;
	}
	return 0;
}

static int64_t posix_read(struct disk *d, int h, void *to, size_t n, uint64_t at)
{
	size_t have = 0;

	(void)self(d);
	while (have < n) {
		ssize_t got = pread(h, (uint8_t *)to + have, n - have, (off_t)(at + have));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return from_errno();
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (int64_t)have;
}

static int posix_sync(struct disk *d, int h)
{
	int rc;

	(void)self(d);
	/* EINTR reports no lost page: only every other error is final for the file. */
	do
		rc = fdatasync(h);
	while (rc != 0 && errno == EINTR);
	return rc == 0 ? 0 : from_errno();
}

static int posix_rename(struct disk *d, const char *from, const char *to)
{
	int dir = self(d)->dir;

	return renameat(dir, from, dir, to) == 0 ? 0 : from_errno();
}

static int posix_remove(struct disk *d, const char *name)
{
	return unlinkat(self(d)->dir, name, 0) == 0 ? 0 : from_errno();
}

static int posix_sync_dir(struct disk *d)
{
	int rc;

	do
		rc = fsync(self(d)->dir);
	while (rc != 0 && errno == EINTR);
	return rc == 0 ? 0 : from_errno();
}

static void end_listing(struct disk_posix *p)
{
	if (p->listing)
		closedir(p->listing);
	p->listing = NULL;
}

static int begin_listing(struct disk_posix *p)
{
	end_listing(p);
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return from_errno();
	p->listing = fdopendir(fd);
	if (!p->listing) {
		close(fd);
		return GW_EIO;
	}
	return 0;
}

static int posix_list(struct disk *d, uint64_t *at, char name[DISK_NAME_MAX])
{
	struct disk_posix *p = self(d);
	struct dirent *e;
	int err = *at == 0 ? begin_listing(p) : 0;

	if (err != 0)
		return err;
	++*at;
	while (p->listing && (errno = 0, e = readdir(p->listing)) != NULL) {
		/* Names that long are not ours. */
		if (e->d_name[0] == '.' || strlen(e->d_name) >= DISK_NAME_MAX)
			continue;
		strcpy(name, e->d_name);
		return 1;
	}
	err = p->listing && errno != 0 ? from_errno() : 0;
	end_listing(p);
	return err;
}

static int posix_space(struct disk *d, uint64_t *free_bytes, uint64_t *total)
{
	struct statvfs st;

	if (fstatvfs(self(d)->dir, &st) != 0)
		return from_errno();
	*free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	*total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .allocate = posix_allocate,
    .size = posix_size,
    .write = posix_write,
    .read = posix_read,
    .sync = posix_sync,
    .rename = posix_rename,
    .remove = posix_remove,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .space = posix_space,
};

static int no_allocate(struct disk *d, int h, uint64_t size)
{
	(void)self(d);
	(void)h;
	(void)size;
	return GW_EPERM;
}

static int no_write(struct disk *d, int h, const struct span *v, size_t n, uint64_t at)
{
	(void)v;
	(void)n;
	return no_allocate(d, h, at);
}

static int no_sync(struct disk *d, int h)
{
	return no_allocate(d, h, 0);
}

static int no_rename(struct disk *d, const char *from, const char *to)
{
	(void)from;
	(void)to;
	return no_allocate(d, -1, 0);
}

static int no_remove(struct disk *d, const char *name)
{
	return no_rename(d, name, name);
}

static int no_sync_dir(struct disk *d)
{
	return no_allocate(d, -1, 0);
}

static const struct disk_ops readonly_ops = {
    .open = posix_open,
    .close = posix_close,
    .allocate = no_allocate,
    .size = posix_size,
    .write = no_write,
    .read = posix_read,
    .sync = no_sync,
    .rename = no_rename,
    .remove = no_remove,
    .sync_dir = no_sync_dir,
    .list = posix_list,
    .space = posix_space,
};

static struct disk_posix *new_disk(int dir_fd, const struct disk_ops *ops)
{
	struct disk_posix *p = gw_calloc(1, sizeof(*p));

	p->base.ops = ops;
	p->magic = (uint32_t)DISK_MAGIC;
	p->dir = dir_fd;
	return p;
}

struct disk *disk_posix_new_for_owner(int dir_fd)
{
	struct disk_posix *p = new_disk(dir_fd, &posix_ops);
	struct stat st;

	if (geteuid() == 0 && fstat(dir_fd, &st) == 0 && st.st_uid != 0) {
		p->give_away = true;
		p->uid = st.st_uid;
		p->gid = st.st_gid;
	}
	return &p->base;
}

struct disk *disk_posix_new(int dir_fd)
{
	return &new_disk(dir_fd, &posix_ops)->base;
}

struct disk *disk_posix_new_readonly(int dir_fd)
{
	struct disk_posix *p = new_disk(dir_fd, &readonly_ops);

	p->readonly = true;
	return &p->base;
}

void disk_posix_free(struct disk **d)
{
	if (!*d)
		return;
	struct disk_posix *p = self(*d);

	end_listing(p);
	close(p->dir);
	p->magic = 0;
	free(p);
	*d = NULL;
}
