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

enum { LOCK_TRIES = 20, LOCK_WAIT = 100 * 1000 };

/* ---- configuration ----------------------------------------------------------------------- */

int master_seal(struct span bundle, struct bundle_file *out)
{
	int fd = memfd_create("godwit-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *view = MAP_FAILED;

	*out = (struct bundle_file){.fd = -1};
	if (fd >= 0 && write(fd, bundle.p, bundle.n) == (ssize_t)bundle.n &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		view = mmap(NULL, bundle.n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (view == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return GW_EIO;
	}
	*out = (struct bundle_file){span_of(view, bundle.n), fd};
	return 0;
}

void master_unseal(struct bundle_file *b)
{
	if (b->fd < 0)
		return;
	munmap((void *)(uintptr_t)b->text.p, b->text.n);
	close(b->fd);
	*b = (struct bundle_file){.fd = -1};
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

/* A plain file with one name only: what else its previous owner put there is none of ours. He can
 * swap names meanwhile, and has nothing from that: what was looked at is what is given away. */
static void hand_over_file(int dir, const char *name, unsigned from, unsigned uid, unsigned gid)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == from)
		(void)!fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
	close(fd);
}

static void hand_over_files(int dir, unsigned from, unsigned uid, unsigned gid)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		hand_over_file(dir, e->d_name, from, uid, gid);
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

int master_history(const char *path, const unsigned *uid, const unsigned *gid)
{
	struct dir_owner owner = {.set = uid != NULL};
	int fd, err;

	if (uid != NULL) {
		owner.uid = *uid;
		owner.gid = *gid;
	}
	fd = dir_make(path, 0700, &owner) < 0
		 ? -1
		 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	err = fd < 0 ? GW_EIO : uid != NULL ? hand_over(fd, *uid, *gid) : 0;
	if (err < 0)
		fprintf(stderr, "godwit: the history directory %s cannot be made: %s\n", path,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

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

struct metric_page *metric_pages_take(
    struct pages *p, size_t own, const struct metric_page **all_out)
{
	const void *all = NULL;
	struct metric_page *page = pages_take(p, own, all_out == NULL ? NULL : &all);

	for (size_t i = 0; i < p->n && all_out != NULL; i++)
		all_out[i] = (const void *)((const char *)all + i * p->size);
	return page;
}
