/*
 * Holds a process at the moment when a frame of one type was read by it, or is about to be written.
 * Loaded with LD_PRELOAD, so it works inside the jail. A process learns its role from the name it
 * gives itself with prctl().
 *
 * The page named by FRAMESTOP is read by all processes; framestop.py has its other side. Only the
 * channels between processes are read with recvmsg() and written with sendmsg(): a stream of frames
 * with a head of 8 octets (length u32, type u16, descriptors u16).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD = 8, FDS = 1024, NAME = 16, IN = 0, OUT = 1 };

struct page {
	char role[NAME];   /* as it calls itself; "": none */
	int64_t direction; /* IN, OUT */
	int64_t type;
	int64_t at;  /* frames of that type until the one; 0: none */
	int64_t pid; /* that is held, until go is 1; 0: nobody yet */
	int64_t go;
};

static struct page idle;
static struct page *page = &idle;
static __thread int looks_again; /* at what it has looked at before */
static char role[NAME];
static pid_t pid; /* a jail may not let us ask */

/* What of the stream is known: octets of the head, or what is left of the payload. */
static struct stream {
	uint8_t head[HEAD];
	uint32_t have, left;
} streams[FDS][2];

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("FRAMESTOP");
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

int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NAME) {
		strncpy(role, (const char *)a[0], NAME - 1);
		pid = (pid_t)syscall(SYS_getpid);
		memset(streams, 0, sizeof(streams));
	}
	return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		memset(streams[fd], 0, sizeof(streams[fd]));
	return (int)syscall(SYS_close, fd);
}

static void meet(int direction, unsigned type)
{
	if (looks_again || page->type != (int64_t)type || page->direction != direction ||
	    page->at <= 0 || strcmp(page->role, role) != 0)
		return;
	if (__atomic_add_fetch(&page->at, -1, __ATOMIC_SEQ_CST) != 0)
		return;
	__atomic_store_n(&page->pid, pid, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&page->go, __ATOMIC_SEQ_CST) == 0) /* no call that a jail forbids */
		continue;
}

static void look(int fd, int direction, const uint8_t *p, size_t n)
{
	struct stream *s = fd >= 0 && fd < FDS ? &streams[fd][direction] : NULL;

	while (s != NULL && n > 0) {
		size_t step = s->left < n ? s->left : n;

		s->left -= (uint32_t)step;
		p += step;
		n -= step;
		while (n > 0 && s->left == 0 && s->have < HEAD) {
			s->head[s->have++] = *p++;
			n--;
		}
		if (s->have < HEAD)
			return;
		s->left =
		    s->head[0] | s->head[1] << 8 | s->head[2] << 16 | (uint32_t)s->head[3] << 24;
		s->have = 0;
		meet(direction, s->head[4] | s->head[5] << 8);
	}
}

static void look_all(int fd, int direction, const struct msghdr *m, size_t n)
{
	for (size_t i = 0; i < m->msg_iovlen && n > 0; i++) {
		size_t part = m->msg_iov[i].iov_len < n ? m->msg_iov[i].iov_len : n;

		look(fd, direction, m->msg_iov[i].iov_base, part);
		n -= part;
	}
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	if (n > 0)
		look_all(fd, IN, m, (size_t)n);
	return n;
}

/* Looked at before it goes: what is not taken is looked at once more, but for the head of a frame,
 * which is taken whole or not at all by a socket that is not full. */
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct stream before = fd >= 0 && fd < FDS ? streams[fd][OUT] : (struct stream){0};
	ssize_t n;

	look_all(fd, OUT, m, SIZE_MAX);
	n = syscall(SYS_sendmsg, fd, m, flags);
	if (fd >= 0 && fd < FDS) { /* the place of what was taken */
		streams[fd][OUT] = before;
		looks_again = 1;
		look_all(fd, OUT, m, n > 0 ? (size_t)n : 0);
		looks_again = 0;
	}
	return n;
}
