/*
 * What a broken process would try, one function each: true if the door was open. The places and
 * descriptors they try with are made by sandbox_test.c.
 */
#ifndef GW_TESTS_UNIT_ROLE_SANDBOX_DOORS_H
#define GW_TESTS_UNIT_ROLE_SANDBOX_DOORS_H

#include "role/sandbox.h"
#include "role/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/gw-sandbox-XXXXXX";
static char spool[128], outside[128], readable[128];
static int listen_fd, unix_fd, pipe_fd[2], pair_fd[2], epoll_fd;
static struct sockaddr_in tcp_at;
static struct sockaddr_un unix_at;

/* ---- what is tried: true if the door was open ------------------------------------------------ */

static bool opened(int fd)
{
	return fd >= 0;
}

static bool try_read_file(void)
{
	return opened(open(readable, O_RDONLY));
}

static bool try_read_passwd(void)
{
	return opened(open("/etc/passwd", O_RDONLY));
}

static bool try_climb_out(void)
{
	return opened(open("../../../../../../etc/passwd", O_RDONLY));
}

static bool try_write_file(void)
{
	return opened(open(outside, O_WRONLY | O_CREAT, 0600));
}

static bool try_list_root(void)
{
	char names[4096];
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	return fd >= 0 && syscall(SYS_getdents64, fd, names, sizeof(names)) > 0;
}

static bool try_connect_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)) == 0;
}

static bool try_connect_unix(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&unix_at, sizeof(unix_at)) == 0;
}

static bool try_datagram(void)
{
	return opened(socket(AF_INET, SOCK_DGRAM, 0));
}

static bool try_raw_socket(void)
{
	return opened(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static bool try_netlink(void)
{
	return opened(socket(AF_NETLINK, SOCK_RAW, 0));
}

/* A family with bits above 32 that the kernel does not look at: a filter may be fooled. */
static bool try_wide_family(void)
{
	return syscall(SYS_socket, AF_INET | 1ul << 32, SOCK_DGRAM | 1ul << 32, 0ul) >= 0;
}

static bool try_listen(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 5) == 0;
}

static bool forked(pid_t pid)
{
	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool try_fork(void)
{
	return forked(fork());
}

static bool try_vfork(void)
{
	return forked((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static bool try_clone3(void)
{
	uint64_t args[11] = {[4] = SIGCHLD};

	return forked((pid_t)syscall(SYS_clone3, args, sizeof(args)));
}

static void *nothing(void *arg)
{
	return arg;
}

static bool try_thread(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, nothing, NULL) == 0;
}

static bool try_exec(void)
{
	static char program[] = "/bin/true";
	char *argv[] = {program, NULL}, *env[] = {NULL};

	/* Success would end with 0, which is not REFUSED either. */
	execve(program, argv, env);
	return false;
}

static bool try_exec_memory(void)
{
	static char name[] = "x";
	char *argv[] = {name, NULL}, *env[] = {NULL};

	syscall(SYS_execveat, listen_fd, "", argv, env, AT_EMPTY_PATH);
	return errno == EACCES || errno == ENOEXEC ? false : errno != EPERM && errno != ENOSYS;
}

static bool try_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), 0, 0) == 0;
}

static bool try_be_traced(void)
{
	return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0;
}

static bool try_read_memory(void)
{
	char mine[8], theirs[8];
	struct iovec to = {mine, 8}, from = {theirs, 8};

	return syscall(SYS_process_vm_readv, getppid(), &to, 1, &from, 1, 0) >= 0;
}

static bool try_kill(void)
{
	return kill(getppid(), 0) == 0;
}

static bool try_tgkill(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0;
}

static bool try_pidfd_kill(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);

	return fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;
}

static bool try_mount(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL) == 0;
}

static bool try_chroot(void)
{
	return chroot("/") == 0;
}

static bool try_namespace(void)
{
	return unshare(CLONE_NEWUSER) == 0;
}

static bool try_clone_namespace(void)
{
	return forked((pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static bool try_become_root(void)
{
	return setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0;
}

static bool try_raise_limit(void)
{
	struct rlimit r = {10, 10};

	return setrlimit(RLIMIT_NPROC, &r) == 0;
}

static bool try_run_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0) != MAP_FAILED;
}

static bool try_make_runnable(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool try_memfd(void)
{
	return opened(memfd_create("x", 0));
}

static bool try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno == EFAULT;
}

static bool try_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno == EFAULT || errno == E2BIG;
}

static bool try_keys(void)
{
	return syscall(SYS_add_key, "user", "gw", "x", 1, -3) >= 0;
}

static bool try_attach_filter(void)
{
	return setsockopt(listen_fd, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0) == 0 || errno == ENOENT;
}

static bool try_type_into_terminal(void)
{
	return syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x") == 0 || errno == ENOTTY;
}

#endif
