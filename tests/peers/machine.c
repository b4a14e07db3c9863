/*
 * A machine whose limits can be moved, loaded with LD_PRELOAD: the page named by MACHINE says how
 * far its clock is off, whether its file system takes writes, and which allocation fails. It works
 * inside the jail, where strace's injected calls do not pass the seccomp filter.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct page {
	int64_t clock;     /* seconds the wall clock is off */
	int64_t read_only; /* errno of every call that would change a plain file, or 0 */
	int64_t fail_at;   /* the allocation that fails, counted from now; 0: none */
	int64_t fail_n;    /* how many fail */
	int64_t allocated; /* allocations so far */
	int64_t refused;   /* calls that were failed */
};

static struct page idle;
static struct page *page = &idle;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("MACHINE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (mem != MAP_FAILED)
		page = mem;
}

static int refuse(int err)
{
	__atomic_add_fetch(&page->refused, 1, __ATOMIC_RELAXED);
	errno = err;
	return -1;
}

/* ---- the wall clock ---------------------------------------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int err = real(id, ts);
	if (err == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += page->clock;
	return err;
}

int gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	*tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}

/* ---- a file system that is read-only ----------------------------------------------------- */

static int is_plain(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

#define UNLESS_READ_ONLY(...) \
	do { \
		if (page->read_only) \
			return refuse((int)page->read_only); \
		return syscall(__VA_ARGS__); \
	} while (0)

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (page->read_only && (flags & (O_ACCMODE | O_CREAT)) != O_RDONLY)
		return refuse((int)page->read_only);
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	if (page->read_only && is_plain(fd))
		return refuse((int)page->read_only);
	return syscall(SYS_pwritev, fd, v, n, at, 0);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwritev(fd, &(struct iovec){(void *)p, n}, 1, at);
}

int fdatasync(int fd)
{
	UNLESS_READ_ONLY(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	UNLESS_READ_ONLY(SYS_fsync, fd);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	UNLESS_READ_ONLY(SYS_fallocate, fd, mode, at, n);
}

int ftruncate(int fd, off_t n)
{
	UNLESS_READ_ONLY(SYS_ftruncate, fd, n);
}

int renameat(int a, const char *from, int b, const char *to)
{
	UNLESS_READ_ONLY(SYS_renameat, a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	UNLESS_READ_ONLY(SYS_renameat2, a, from, b, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
	UNLESS_READ_ONLY(SYS_unlinkat, dir, path, flags);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	UNLESS_READ_ONLY(SYS_mkdirat, dir, path, mode);
}

/* ---- memory ------------------------------------------------------------------------------ */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static int is_denied(void)
{
	int64_t n = __atomic_add_fetch(&page->allocated, 1, __ATOMIC_RELAXED);
	int64_t at = page->fail_at;
	if (at == 0 || n < at || n >= at + page->fail_n)
		return 0;
	refuse(ENOMEM);
	return 1;
}

void *malloc(size_t n)
{
	return is_denied() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return is_denied() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return is_denied() ? NULL : __libc_realloc(p, n);
}
