#include "role/sandbox_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARGS_MAX = 3 };
/* Stands in a filter for the process that will load it; greater than any pid. */
enum { SOME_PID = 0x7e57ab1e };

/* A call, allowed if all its conditions hold; a call may have several rows. */
struct call {
	unsigned set;
	int nr;
	unsigned n_arg;
	struct scmp_arg_cmp arg[ARGS_MAX];
};

/* clang-format off */
#define CALL(set, name) {CALLS_##set, SCMP_SYS(name), 0, {{0}}}
#define CALL_IF(set, name, ...) \
	{CALLS_##set, SCMP_SYS(name), \
	    sizeof((struct scmp_arg_cmp[]){__VA_ARGS__}) / sizeof(struct scmp_arg_cmp), {__VA_ARGS__}}
#define IS(at, value) {.arg = (at), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value)}
/* This value, and no other bits than these. */
#define ONLY(at, bits, value) \
	{.arg = (at), .op = SCMP_CMP_MASKED_EQ, .datum_a = ~(scmp_datum_t)(bits), .datum_b = (value)}
/* None of these bits. */
#define WITHOUT(at, bits) \
	{.arg = (at), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(bits), .datum_b = 0}
#define STREAM_SOCKET(family, protocol) \
	CALL_IF(CONNECT, socket, IS(0, family), \
	    ONLY(1, SOCK_CLOEXEC | SOCK_NONBLOCK, SOCK_STREAM), IS(2, protocol))
/* The sockets of the resolver: TCP and UDP, nothing local. */
#define NAME_SOCKET(family, type, protocol) \
	CALL_IF(NAMES, socket, IS(0, family), ONLY(1, SOCK_CLOEXEC | SOCK_NONBLOCK, type), \
	    IS(2, protocol))
#define LOCAL_PAIR(set) \
	CALL_IF(set, socketpair, IS(0, AF_UNIX), \
	    ONLY(1, SOCK_CLOEXEC | SOCK_NONBLOCK, SOCK_STREAM), IS(2, 0))
#define SOCKET_OPTION(set, option) CALL_IF(set, setsockopt, IS(1, SOL_SOCKET), IS(2, option))
/* clang-format on */

enum {
	FORBIDDEN_CLONES = CLONE_VM | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
			   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

static const struct call calls[] = {
    CALL(BASE, read),
    CALL(BASE, readv),
    CALL(BASE, write),
    CALL(BASE, writev),
    CALL(BASE, recvmsg),
    CALL(BASE, recvfrom),
    CALL(BASE, sendmsg),
    CALL(BASE, sendto),
    CALL(BASE, shutdown),
    CALL(BASE, close),
    CALL(BASE, dup),
    CALL(BASE, fstat),
    CALL(BASE, lseek),
    CALL(BASE, pread64), /* of files that master opened: a configuration, and what it names */
    CALL_IF(BASE, fcntl, IS(1, F_GETFL)),
    CALL_IF(BASE, fcntl, IS(1, F_SETFL)),
    CALL_IF(BASE, fcntl, IS(1, F_GETFD)),
    CALL_IF(BASE, fcntl, IS(1, F_SETFD)),
    CALL_IF(BASE, fcntl, IS(1, F_DUPFD_CLOEXEC)),
    CALL_IF(BASE, ioctl, IS(1, FIONREAD)),
    CALL_IF(BASE, ioctl, IS(1, FIONBIO)),
    CALL(BASE, epoll_wait),
    CALL(BASE, epoll_pwait),
    CALL(BASE, epoll_pwait2),
    CALL(BASE, epoll_ctl),
    CALL(BASE, poll),
    CALL(BASE, ppoll),
    CALL(BASE, timerfd_settime),
    CALL(BASE, clock_gettime),
    CALL(BASE, clock_nanosleep),
    CALL(BASE, gettimeofday),
    CALL(BASE, time),
    CALL(BASE, getrandom),
    /* Memory that can be run as code is never needed after the start. */
    CALL_IF(BASE, mmap, WITHOUT(2, PROT_EXEC)),
    CALL_IF(BASE, mprotect, WITHOUT(2, PROT_EXEC)),
    CALL(BASE, munmap),
    CALL(BASE, mremap),
    CALL(BASE, brk),
    CALL(BASE, madvise),
    CALL(BASE, futex),
    CALL(BASE, rt_sigaction),
    CALL(BASE, rt_sigprocmask),
    CALL(BASE, rt_sigreturn),
    CALL(BASE, sigaltstack),
    CALL(BASE, restart_syscall),
    CALL(BASE, sched_yield),
    CALL(BASE, getpid),
    CALL(BASE, getppid),
    CALL(BASE, gettid),
    CALL(BASE, getuid),
    CALL(BASE, geteuid),
    CALL(BASE, getgid),
    CALL(BASE, getegid),
    CALL(BASE, sysinfo), /* qsort of the C library asks for the memory */
    CALL_IF(BASE, prctl, IS(0, PR_SET_NAME)),
    CALL(BASE, exit),
    CALL(BASE, exit_group),

    CALL(ACCEPT, accept),
    CALL(ACCEPT, accept4),
    CALL(ACCEPT, getsockopt),
    CALL(ACCEPT, getsockname),
    CALL(ACCEPT, getpeername),
    CALL_IF(ACCEPT, setsockopt, IS(1, IPPROTO_TCP)),
    SOCKET_OPTION(ACCEPT, SO_KEEPALIVE),
    SOCKET_OPTION(ACCEPT, SO_LINGER),
    SOCKET_OPTION(ACCEPT, SO_SNDBUF),
    SOCKET_OPTION(ACCEPT, SO_RCVBUF),
    LOCAL_PAIR(ACCEPT), /* a session that is turned round is carried over it */

    STREAM_SOCKET(AF_INET, 0),
    STREAM_SOCKET(AF_INET, IPPROTO_TCP),
    STREAM_SOCKET(AF_INET6, 0),
    STREAM_SOCKET(AF_INET6, IPPROTO_TCP),
    STREAM_SOCKET(AF_UNIX, 0),
    CALL(CONNECT, connect),
    CALL(CONNECT, bind), /* the source address; nobody can connect to it without listen */
    CALL(CONNECT, getsockopt),
    CALL(CONNECT, getsockname),
    CALL(CONNECT, getpeername),
    CALL_IF(CONNECT, setsockopt, IS(1, IPPROTO_TCP)),
    CALL_IF(CONNECT, setsockopt, IS(1, IPPROTO_IP), IS(2, IP_BIND_ADDRESS_NO_PORT)),
    SOCKET_OPTION(CONNECT, SO_KEEPALIVE),
    SOCKET_OPTION(CONNECT, SO_LINGER),
    SOCKET_OPTION(CONNECT, SO_REUSEADDR),
    SOCKET_OPTION(CONNECT, SO_SNDBUF),
    SOCKET_OPTION(CONNECT, SO_RCVBUF),
    LOCAL_PAIR(CONNECT),

    NAME_SOCKET(AF_INET, SOCK_DGRAM, 0),
    NAME_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    NAME_SOCKET(AF_INET, SOCK_STREAM, 0),
    NAME_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    NAME_SOCKET(AF_INET6, SOCK_DGRAM, 0),
    NAME_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    NAME_SOCKET(AF_INET6, SOCK_STREAM, 0),
    NAME_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    CALL(NAMES, connect),
    CALL(NAMES, bind), /* a port that nobody can guess */
    CALL(NAMES, getsockopt),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_IP), IS(2, IP_MTU_DISCOVER)),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_IP), IS(2, IP_BIND_ADDRESS_NO_PORT)),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_IPV6), IS(2, IPV6_V6ONLY)),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_IPV6), IS(2, IPV6_MTU)),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_IPV6), IS(2, IPV6_MTU_DISCOVER)),
    CALL_IF(NAMES, setsockopt, IS(1, IPPROTO_TCP)),
    SOCKET_OPTION(NAMES, SO_REUSEADDR),

    /* Which files: chroot and Landlock say so, a filter cannot look at paths. */
    CALL(LOG, openat),
    CALL(LOG, newfstatat),
    CALL(LOG, statx),
    CALL(LOG, fstatfs),
    CALL(LOG, getdents64),
    CALL(LOG, preadv),
    CALL(LOG, pwrite64),
    CALL(LOG, pwritev),
    CALL(LOG, fsync),
    CALL(LOG, fdatasync),
    CALL(LOG, fallocate),
    CALL(LOG, ftruncate),
    CALL(LOG, fadvise64),
    CALL(LOG, unlinkat),
    CALL(LOG, unlink),
    CALL(LOG, rename),
    CALL(LOG, renameat),
    CALL(LOG, renameat2),
    /* The threads were started before the filter; this is what they do first and last. */
    CALL(LOG, set_robust_list),
    CALL(LOG, rseq),
    CALL(LOG, sched_getaffinity),
    CALL(LOG, eventfd2),

    CALL(SECRETS, set_robust_list),
    CALL(SECRETS, rseq),
    CALL(SECRETS, sched_getaffinity),
    CALL(SECRETS, memfd_create),
    CALL(SECRETS, ftruncate),
    CALL(SECRETS, mlock),
    CALL(SECRETS, mlock2),
    CALL(SECRETS, munlock),
    CALL_IF(SECRETS, fcntl, IS(1, F_ADD_SEALS)),

    CALL(DATABASE, openat),
    CALL(DATABASE, newfstatat),
    CALL(DATABASE, statx),
    CALL(DATABASE, fstatfs),
    CALL(DATABASE, access),
    CALL(DATABASE, faccessat),
    CALL(DATABASE, faccessat2),
    CALL(DATABASE, readlink),
    CALL(DATABASE, readlinkat),
    CALL(DATABASE, getcwd),
    CALL(DATABASE, pwrite64),
    CALL(DATABASE, fsync),
    CALL(DATABASE, fdatasync),
    CALL(DATABASE, ftruncate),
    CALL(DATABASE, fallocate),
    CALL(DATABASE, unlink),
    CALL(DATABASE, unlinkat),
    CALL(DATABASE, rename),
    CALL(DATABASE, renameat),
    CALL(DATABASE, renameat2),
    CALL_IF(DATABASE, fcntl, IS(1, F_SETLK)),
    CALL_IF(DATABASE, fcntl, IS(1, F_GETLK)),

    CALL(MAILDIR, openat),
    CALL(MAILDIR, mkdirat),
    CALL(MAILDIR, newfstatat),
    CALL(MAILDIR, getdents64),
    CALL(MAILDIR, linkat),
    CALL(MAILDIR, unlinkat),
    CALL(MAILDIR, renameat), /* renameat2() without flags */
    CALL(MAILDIR, renameat2),
    CALL(MAILDIR, fsync),

    /* No threads, no namespaces, and no clone3, whose arguments a filter cannot see: see
       add_softly(). */
    CALL_IF(FORK, clone, WITHOUT(0, FORBIDDEN_CLONES)),
    CALL(FORK, set_robust_list),
    CALL(FORK, wait4),
    CALL(FORK, pipe2),
    CALL(FORK, pidfd_open),
    CALL(FORK, close_range),
    CALL(FORK, prlimit64),
    CALL(FORK, alarm),
    CALL(FORK, umask),
    CALL(FORK, setgroups),
    CALL(FORK, setresgid),
    CALL(FORK, setresuid),
    CALL_IF(FORK, prctl, IS(0, PR_SET_PDEATHSIG)),
    CALL_IF(FORK, prctl, IS(0, PR_GET_PDEATHSIG)),
    CALL_IF(FORK, prctl, IS(0, PR_SET_DUMPABLE)),
    CALL_IF(FORK, prctl, IS(0, PR_SET_NO_NEW_PRIVS)),
    CALL_IF(FORK, prctl, IS(0, PR_SET_SECCOMP)),
    CALL_IF(FORK, prctl, IS(0, PR_GET_SECCOMP)),
    CALL(FORK, seccomp),
    CALL(FORK, landlock_create_ruleset),
    CALL(FORK, landlock_add_rule),
    CALL(FORK, landlock_restrict_self),

    /* Less than BASE: it cannot put off the alarm that ends it. */
    CALL(DELIVERY, read),
    CALL(DELIVERY, write),
    CALL(DELIVERY, close),
    CALL(DELIVERY, fstat),
    CALL(DELIVERY, lseek),
    CALL_IF(DELIVERY, fcntl, IS(1, F_GETFL)), /* fdopendir */
    CALL_IF(DELIVERY, fcntl, IS(1, F_SETFD)),
    CALL_IF(DELIVERY, mmap, WITHOUT(2, PROT_EXEC)),
    CALL_IF(DELIVERY, mprotect, WITHOUT(2, PROT_EXEC)),
    CALL(DELIVERY, munmap),
    CALL(DELIVERY, mremap),
    CALL(DELIVERY, brk),
    CALL(DELIVERY, futex),
    CALL(DELIVERY, getpid),
    CALL(DELIVERY, clock_gettime),
    CALL(DELIVERY, rt_sigreturn),
    CALL(DELIVERY, exit_group),
};

static void must(int err, const char *what)
{
	if (err < 0)
		die("seccomp: %s: %s", what, strerror(-err));
}

static void add_calls(scmp_filter_ctx ctx, unsigned sets)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(calls); i++) {
		const struct call *c = &calls[i];

		if (c->set & sets)
			must(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, c->nr, c->n_arg, c->arg),
			    "a rule");
	}
}

/* Calls that are refused with an error because the C library then takes another way. */
static void add_softly(scmp_filter_ctx ctx, unsigned sets)
{
	/* fork() and threads: without clone3 it uses clone, which the filter can judge. */
	must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
	/* fstat() of this C library is newfstatat; roles without files get an error for it. */
	if (!(sets & (CALLS_LOG | CALLS_MAILDIR | CALLS_DATABASE)))
		must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 0),
		    "newfstatat");
}

/* abort() of this process, and signals to nobody else. Who that is, is known when it is loaded. */
static void add_own_signals(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp own = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = SOME_PID};

	must(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own), "tgkill");
}

static void read_code(int fd, struct sandbox_filter *f)
{
	off_t size = lseek(fd, 0, SEEK_END);

	if (size <= 0 || (size_t)size > BPF_MAXINSNS * sizeof(*f->code))
		die("seccomp: a filter of %lld octets", (long long)size);
	f->code = gw_calloc(1, (size_t)size);
	if (pread(fd, f->code, (size_t)size, 0) != size)
		die("seccomp: the filter cannot be read");
	f->n = (unsigned short)((size_t)size / sizeof(*f->code));
}

static void take_code(scmp_filter_ctx ctx, struct sandbox_filter *f)
{
	int fd = memfd_create("godwit-filter", MFD_CLOEXEC);

	if (fd < 0)
		die("seccomp: out of memory");
	must(seccomp_export_bpf(ctx, fd), "export");
	seccomp_release(ctx);
	read_code(fd, f);
	close(fd);
}

void sandbox_filter_make(unsigned sets, struct sandbox_filter *f)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (ctx == NULL)
		die("seccomp: out of memory");
	must(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "architecture");
	/* A binary tree instead of a chain: the filter runs at every call. */
	must(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimise");
	add_calls(ctx, sets);
	add_softly(ctx, sets);
	add_own_signals(ctx);
	take_code(ctx, f);
	f->open = false;
}

/* ---- what no program that mail is given to needs ------------------------------------------- */

static const int refused[] = {SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(mount),
    SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(move_mount),
    SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(fsconfig), SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
    SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(personality), SCMP_SYS(modify_ldt), SCMP_SYS(vhangup),
    SCMP_SYS(syslog), SCMP_SYS(lookup_dcookie)};

void sandbox_filter_refuse(struct sandbox_filter *f)
{
	struct scmp_arg_cmp user = {
	    .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_NEWUSER, .datum_b = CLONE_NEWUSER};
	struct scmp_arg_cmp type = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = TIOCSTI};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (ctx == NULL)
		die("seccomp: out of memory");
	/* Another architecture has other numbers for the same calls. */
	must(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "architecture");
	must(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimise");
	for (size_t i = 0; i < GW_ARRAY_LEN(refused); i++)
		must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0), "a rule");
	must(
	    seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &user), "clone");
	must(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
	must(
	    seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, &type), "ioctl");
	take_code(ctx, f);
	f->open = true;
}

void sandbox_filter_load(const struct sandbox_filter *f)
{
	struct sock_filter code[BPF_MAXINSNS];
	struct sock_fprog program = {.len = f->n, .filter = code};
	unsigned found = 0;

	gw_assert(f->n > 0 && f->n <= BPF_MAXINSNS);
	memcpy(code, f->code, f->n * sizeof(*code));
	for (unsigned i = 0; i < f->n; i++) {
		if (code[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && code[i].k == SOME_PID) {
			code[i].k = (uint32_t)getpid();
			found++;
		}
	}
	gw_assert(found == 1 || f->open);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		die("seccomp: load: %s", strerror(errno));
}
