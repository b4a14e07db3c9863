/*
 * The n-th call of a kind in one role fails, or is the last thing the role does. Loaded with
 * LD_PRELOAD, so it works inside the jail, where strace's injected calls do not pass the seccomp
 * filter. A process learns its role from the name it gives itself with prctl().
 *
 * The page named by NTHCALL is read and counted in by all processes; nthcall.py has its other side.
 * Calls that the C library makes inside itself (opendir's open) are not seen.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* The names of both lists and their order: see nthcall.py. */
enum role { MASTER, NEW, SMTPD, QUEUE, SENDER, MDA, DELIVERY, CONTROL, ROLES };
static const char *const role_names[ROLES] = {
    "", "", "gw-smtpd", "gw-queue", "gw-sender", "gw-mda", "", "gw-control"};

/* clang-format off */
#define CALLS \
	X(malloc) X(mmap) X(read) X(write) X(pread64) X(pwritev) X(fdatasync) X(fsync) \
	X(fallocate) X(openat) X(renameat) X(renameat2) X(unlinkat) X(mkdirat) X(fstat) \
	X(newfstatat) X(fstatfs) X(getdents64) X(fcntl) X(socket) X(socketpair) X(connect) X(accept4) \
	X(getsockopt) X(setsockopt) X(sendto) X(sendmsg) X(recvfrom) X(recvmsg) X(shutdown) \
	X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(eventfd2) X(pipe2) X(clone) X(pidfd_open) \
	X(wait4)
/* clang-format on */

enum call {
#define X(name) CALL_##name,
	CALLS
#undef X
	    CALL_COUNT
};

struct page {
	int64_t role, call; /* where; role -1: in any */
	int64_t at;         /* calls until the one that fails; 0: none does */
	int64_t fault;      /* errno, or -1: the process is killed */
	int64_t hits;
	int64_t count[ROLES][CALL_COUNT];
};

static struct page idle;
static struct page *page = &idle;
static enum role role;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("NTHCALL");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *mem;

	if (fd < 0)
		return;
	mem = (void *)syscall(
	    SYS_mmap, NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (mem != MAP_FAILED)
		page = mem;
}

/* Where the jail does not let a process kill itself, it is killed for the attempt. */
static void end(void)
{
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	for (;;)
		continue;
}

/* errno of the call, or 0: it is to take place. One count over all processes of the role. */
static int fault(enum call call)
{
	__atomic_add_fetch(&page->count[role][call], 1, __ATOMIC_RELAXED);
	if (page->at <= 0 || page->call != (int64_t)call ||
	    (page->role >= 0 && page->role != (int64_t)role))
		return 0;
	if (__atomic_add_fetch(&page->at, -1, __ATOMIC_RELAXED) != 0)
		return 0;
	__atomic_add_fetch(&page->hits, 1, __ATOMIC_RELAXED);
	if (page->fault < 0)
		end();
	return (int)page->fault;
}

/* ---- who we are -------------------------------------------------------------------------- */

int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	for (int i = 0; i < ROLES && option == PR_SET_NAME; i++) {
		if (role_names[i][0] != '\0' && strcmp((const char *)a[0], role_names[i]) == 0)
			role = (enum role)i;
	}
	return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

pid_t fork(void)
{
	static pid_t (*real)(void);
	int err = fault(CALL_clone);
	pid_t pid;

	if (!real)
		real = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	if (err) {
		errno = err;
		return -1;
	}
	pid = real();
	if (pid == 0)
		role = role == MDA ? DELIVERY : NEW;
	return pid;
}

/* One receiver and one sender: then the n-th call of a role is the same in every run. */
int sched_getaffinity(pid_t pid, size_t n, cpu_set_t *set)
{
	(void)pid;
	memset(set, 0, n);
	CPU_SET(0, set);
	return 0;
}

/* ---- calls ------------------------------------------------------------------------------- */

/* The result of a failed call is -1, or what is said. */
#define UNLESS(call, failure, real) \
	do { \
		int err_ = fault(CALL_##call); \
		if (err_ == 0) \
			return real; \
		errno = err_; \
		return failure; \
	} while (0)
#define CALL(call, ...) UNLESS(call, -1, syscall(SYS_##call, __VA_ARGS__))

ssize_t read(int fd, void *p, size_t n)
{
	CALL(read, fd, p, n);
}

ssize_t write(int fd, const void *p, size_t n)
{
	CALL(write, fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	CALL(pread64, fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	CALL(pwritev, fd, v, n, at, 0);
}

int fdatasync(int fd)
{
	CALL(fdatasync, fd);
}

int fsync(int fd)
{
	CALL(fsync, fd);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	CALL(fallocate, fd, mode, at, n);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	CALL(openat, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	CALL(openat, dir, path, flags, mode);
}

int renameat(int a, const char *from, int b, const char *to)
{
	CALL(renameat, a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	CALL(renameat2, a, from, b, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
	CALL(unlinkat, dir, path, flags);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	CALL(mkdirat, dir, path, mode);
}

int fstat(int fd, struct stat *st)
{
	CALL(fstat, fd, st);
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	CALL(newfstatat, dir, path, st, flags);
}

int fcntl(int fd, int command, ...)
{
	va_list ap;
	va_start(ap, command);
	long arg = va_arg(ap, long);
	va_end(ap);
	CALL(fcntl, fd, command, arg);
}

int socket(int family, int type, int protocol)
{
	CALL(socket, family, type, protocol);
}

int socketpair(int family, int type, int protocol, int fd[2])
{
	CALL(socketpair, family, type, protocol, fd);
}

int connect(int fd, const struct sockaddr *sa, socklen_t n)
{
	CALL(connect, fd, sa, n);
}

int accept4(int fd, struct sockaddr *sa, socklen_t *n, int flags)
{
	CALL(accept4, fd, sa, n, flags);
}

int getsockopt(int fd, int level, int name, void *p, socklen_t *n)
{
	CALL(getsockopt, fd, level, name, p, n);
}

int setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	CALL(setsockopt, fd, level, name, p, n);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	CALL(sendto, fd, p, n, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	CALL(sendmsg, fd, m, flags);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	CALL(recvfrom, fd, p, n, flags, NULL, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	CALL(recvmsg, fd, m, flags);
}

int shutdown(int fd, int how)
{
	CALL(shutdown, fd, how);
}

int epoll_create1(int flags)
{
	CALL(epoll_create1, flags);
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
	CALL(epoll_ctl, ep, op, fd, e);
}

int epoll_wait(int ep, struct epoll_event *e, int n, int timeout)
{
	CALL(epoll_wait, ep, e, n, timeout);
}

int eventfd(unsigned n, int flags)
{
	CALL(eventfd2, n, flags);
}

int pipe2(int fd[2], int flags)
{
	CALL(pipe2, fd, flags);
}

pid_t waitpid(pid_t pid, int *status, int flags)
{
	CALL(wait4, pid, status, flags, NULL);
}

void *mmap(void *p, size_t n, int protection, int flags, int fd, off_t at)
{
	UNLESS(mmap, MAP_FAILED, (void *)syscall(SYS_mmap, p, n, protection, flags, fd, at));
}

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list ap;
	int err = number == SYS_pidfd_open ? fault(CALL_pidfd_open) : 0;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (err) {
		errno = err;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int fstatvfs(int fd, struct statvfs *st)
{
	static int (*real)(int, struct statvfs *);

	if (!real)
		real = (int (*)(int, struct statvfs *))dlsym(RTLD_NEXT, "fstatvfs");
	UNLESS(fstatfs, -1, real(fd, st));
}

struct dirent *readdir(DIR *d)
{
	static struct dirent *(*real)(DIR *);

	if (!real)
		real = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
	UNLESS(getdents64, NULL, real(d));
}

/* ---- memory ------------------------------------------------------------------------------ */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t n)
{
	UNLESS(malloc, NULL, __libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	UNLESS(malloc, NULL, __libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	UNLESS(malloc, NULL, __libc_realloc(p, n));
}
