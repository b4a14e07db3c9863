/*
 * A switch in front of fsync and fdatasync, loaded with LD_PRELOAD: the first word of the file
 *named by FLUSHFAULT says what they do. It works inside the jail, where strace's injected calls do
 *not pass the seccomp filter.
 *
 *	0       flush
 *	-1      return 0 without flushing (a build whose flush is removed)
 *	errno   fail with it
 * The second word counts the calls that were not passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int *control;

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("FLUSHFAULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		control = page;
}

static int flush(long call, int fd)
{
	int mode = control ? control[0] : 0;
	if (mode == 0)
		return (int)syscall(call, fd);
	__atomic_add_fetch(&control[1], 1, __ATOMIC_RELAXED);
	if (mode < 0)
		return 0;
	errno = mode;
	return -1;
}

int fsync(int fd)
{
	return flush(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return flush(SYS_fdatasync, fd);
}
