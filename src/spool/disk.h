/*
 * The disk as the spool sees it: the only way from here to a file. disk_posix
 * is the real one (a directory descriptor); tests/sim has one that remembers
 * which writes were flushed and forgets the others. Names are flat file names
 * within the spool directory. Every call returns >= 0 or GW_EIO / GW_ENOSPC /
 * GW_ENOENT and leaves the detail in errno where there is one. Calls may come
 * from the loop's thread and the log thread at the same time, on different files
 * or for reading.
 */
#ifndef GW_SPOOL_DISK_H
#define GW_SPOOL_DISK_H

#include "base/span.h"

struct disk;

enum { DISK_NAME_MAX = 64 };

struct disk_ops {
	/* A handle >= 0. create: a new empty file, GW_EIO if the name exists. */
	int (*open)(struct disk *d, const char *name, bool create);
	void (*close)(struct disk *d, int h);
	/* Gives the file this size with its blocks allocated; GW_ENOSPC changes nothing. */
	int (*allocate)(struct disk *d, int h, uint64_t size);
	int64_t (*size)(struct disk *d, int h);
	/* Writes all n spans at the offset, or fails; what a failed write left is unknown. */
	int (*write)(struct disk *d, int h, const struct span *v, size_t n, uint64_t at);
	/* Returns the octets read; fewer than asked only at the end of the file. */
	int64_t (*read)(struct disk *d, int h, void *to, size_t n, uint64_t at);
	/* Data of this file is durable when 0 comes back (fdatasync). Never to be repeated after a
	 * failure: the kernel may have dropped the pages. */
	int (*sync)(struct disk *d, int h);
	int (*rename)(struct disk *d, const char *from, const char *to);
	int (*remove)(struct disk *d, const char *name);
	/* Names of the directory are durable when 0 comes back. */
	int (*sync_dir)(struct disk *d);
	/* Names one by one: *at starts as 0. 1: name filled; 0: no more. */
	int (*list)(struct disk *d, uint64_t *at, char name[DISK_NAME_MAX]);
	/* Octets that may still be written, and the size of the file system. */
	int (*space)(struct disk *d, uint64_t *free_bytes, uint64_t *total);
};

struct disk {
	const struct disk_ops *ops;
};

/*
 * The real disk below a directory descriptor, which it owns from now on. A process of root makes
 * files that belong to the owner of the directory: what a tool adds, the daemon must be able to
 * open.
 */
struct disk *disk_posix_new(int dir_fd) gw_checked;
/* The same for a tool that runs as root: new files belong to the owner of the directory. */
struct disk *disk_posix_new_for_owner(int dir_fd) gw_checked;
/* The same, but every call that would change something gives GW_EPERM. */
struct disk *disk_posix_new_readonly(int dir_fd) gw_checked;
void disk_posix_free(struct disk **d);

#endif
