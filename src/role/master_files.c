#include "role/master_files.h"

#include "role/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, LOCK_TRIES = 20, LOCK_WAIT = 100 * 1000 };
_Static_assert(sizeof(struct metric_page) <= PAGE, "the counters of a process fill one page");

/* ---- configuration ----------------------------------------------------------------------- */

struct span master_seal(struct span bundle, int *fd)
{
	void *view;

	*fd = memfd_create("godwit-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || write(*fd, bundle.p, bundle.n) != (ssize_t)bundle.n)
		die("the configuration cannot be held in memory: %s", strerror(errno));
	if (fcntl(*fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		die("the configuration cannot be sealed: %s", strerror(errno));
	view = mmap(NULL, bundle.n, PROT_READ, MAP_PRIVATE, *fd, 0);
	if (view == MAP_FAILED)
		die("the configuration cannot be mapped: %s", strerror(errno));
	return span_of(view, bundle.n);
}

/* ---- spool ------------------------------------------------------------------------------- */

static int complain(const char *path, const char *what)
{
	fprintf(stderr, "godwit: spool %s: %s\n", path, what);
	return GW_EBUSY;
}

/* The processes of one that was just killed may hold the lock a moment longer. */
static bool lock(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		usleep(LOCK_WAIT);
	}
	return false;
}

/* Plain files with one name only: what else its previous owner put there is none of ours. */
static void hand_over_files(int dir, unsigned from, unsigned uid, unsigned gid)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	struct stat st;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (st.st_nlink == 1 && st.st_uid == from)
			(void)!fchownat(dir, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW);
	}
	if (d != NULL)
		closedir(d);
}

static int hand_over(int fd, unsigned uid, unsigned gid)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return GW_EIO;
	if (st.st_uid == uid)
		return 0;
	hand_over_files(fd, st.st_uid, uid, gid);
	return fchown(fd, uid, gid) < 0 ? GW_EIO : 0;
}

int master_spool(const char *path, const unsigned *uid, const unsigned *gid)
{
	int fd;

	if (dir_make(path, 0700, NULL) < 0)
		return complain(path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return complain(path, strerror(errno));
	if (!lock(fd)) {
		close(fd);
		return complain(path, "it is in use: another godwit is running with it");
	}
	if (uid != NULL && hand_over(fd, *uid, *gid) < 0) {
		close(fd);
		return complain(path, strerror(errno));
	}
	return fd;
}

/* ---- key of the tickets --------------------------------------------------------------------- */

static const char ticket_name[] = "ticket.key", ticket_new[] = "ticket.key.new";
enum { TICKET_OCTETS = 32 };

/* Whole or not at all: it is only renamed when it is on the disk. */
static int make_ticket_key(int dir)
{
	uint8_t key[TICKET_OCTETS];
	int fd;

	(void)unlinkat(dir, ticket_new, 0);
	fd = openat(dir, ticket_new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key) ||
	    write(fd, key, sizeof(key)) != (ssize_t)sizeof(key) || fsync(fd) < 0) {
		close(fd);
		return -1;
	}
	explicit_bzero(key, sizeof(key));
	close(fd);
	return renameat(dir, ticket_new, dir, ticket_name) < 0 || fsync(dir) < 0 ? -1 : 0;
}

static int open_ticket_key(int dir)
{
	return openat(dir, ticket_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
}

static int ticket_complaint(const char *spool, int fd, const char *what)
{
	fprintf(stderr, "godwit: %s/%s: %s\n", spool, ticket_name, what);
	if (fd >= 0)
		close(fd);
	return GW_EIO;
}

int master_ticket_key(int dir, const char *spool)
{
	int fd = open_ticket_key(dir);
	struct stat st;

	if (fd < 0 && errno == ENOENT && make_ticket_key(dir) == 0)
		fd = open_ticket_key(dir);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ticket_complaint(spool, fd, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size != TICKET_OCTETS)
		return ticket_complaint(
		    spool, fd, "this is no key of 32 octets; without it the next start makes one");
	/* The directory is the queue's: a file of the queue's own, put here by it, is none of ours.
	 */
	if (st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return ticket_complaint(spool, fd,
		    "this is not ours alone to read; without it the next start makes one");
	return fd;
}

/* ---- counters ---------------------------------------------------------------------------- */

static void *map_pages(int fd, size_t first, size_t n, int protection)
{
	void *p = mmap(NULL, n * PAGE, protection, MAP_SHARED, fd, (off_t)(first * PAGE));

	if (p == MAP_FAILED)
		die("the counters cannot be mapped: %s", strerror(errno));
	return p;
}

void metric_pages_make(struct metric_pages *p, size_t n)
{
	char path[64];

	*p = (struct metric_pages){.n = n};
	p->write_fd = memfd_create("godwit-metrics", MFD_CLOEXEC);
	if (p->write_fd < 0 || ftruncate(p->write_fd, (off_t)(n * PAGE)) < 0)
		die("no memory for the counters: %s", strerror(errno));
	/* A second description that only reads: what is mapped through it can never be written. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->write_fd);
	p->read_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->read_fd < 0)
		die("%s: %s", path, strerror(errno));
	p->all = map_pages(p->write_fd, 0, n, PROT_READ | PROT_WRITE);
}

struct metric_page *metric_pages_at(const struct metric_pages *p, size_t i)
{
	gw_assert(i < p->n);
	return (struct metric_page *)(void *)((char *)p->all + i * PAGE);
}

struct metric_page *metric_pages_take(
    struct metric_pages *p, size_t own, const struct metric_page **all_out)
{
	struct metric_page *page = map_pages(p->write_fd, own, 1, PROT_READ | PROT_WRITE);
	const char *all;

	munmap(p->all, p->n * PAGE);
	p->all = NULL;
	if (all_out == NULL)
		return page;
	all = map_pages(p->read_fd, 0, p->n, PROT_READ);
	for (size_t i = 0; i < p->n; i++)
		all_out[i] = (const struct metric_page *)(const void *)(all + i * PAGE);
	return page;
}
