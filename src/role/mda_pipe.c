/*
 * Starting a program for one message, in the child that the launcher made for it: descriptors,
 * limits, user; then its end.
 */
#include "role/pipe_run.h"

#include "base/clock.h"
#include "mail/delivered.h"
#include "role/child.h"
#include "role/maildir-private.h"
#include "role/mda_child.h"
#include "role/mda_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	WORDS_MAX = 256 << 10,
	SAID_MAX = 1024,       /* octets of what it says that are kept */
	CONTENT_SECONDS = 300, /* for the content to come */
	PROCESSES = 128,       /* of its user */
	FILES = 1024,          /* descriptors */
	ORPHANS_MAX = 1 << 16, /* ended before we give up */
	FILE_OCTETS = 1 << 30, /* it may write, in one file */
};

/* One message on its way; the static part is large. */
struct run {
	const struct pipe_work *w;
	struct maildir_result r;
	struct delivered_scan loop;
	struct writer out;
	struct span said;
	uint8_t text[SAID_MAX];
};

_Noreturn static void end(const struct run *x)
{
	mda_report_send(x->w->report, &x->r, NULL);
}

_Noreturn static void end_failed(struct run *x, const char *what, const char *name)
{
	maildir_failed(&x->r, what, name);
	x->r.esc[1] = 3; /* of this system, not of a mailbox */
	end(x);
}

/* ---- whose uid --------------------------------------------------------------------------- */

/* The program must not stop who watches over it, and so keep its place for ever: our real and saved
 * uid, which say who may send signals, are another. */
static void become_user(struct run *x)
{
	const struct pipe_user *u = &x->w->user;
	unsigned uid = x->w->uid != 0 ? x->w->uid : u->uid;

	if (u->name == NULL) {
		maildir_say(&x->r, OUTCOME_DEFERRED, 451, (uint8_t[]){4, 3, 5},
		    "The configuration does not say as whom the program runs");
		end(x);
	}
	if (!x->w->is_root)
		return;
	errno = EPERM;
	if (u->uid == 0 || u->gid == 0 || setgroups(0, NULL) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(uid, u->uid, uid) < 0)
		end_failed(x, "become", u->name);
	/* The kernel forgot it with the uid. */
	child_die_with_parent();
	/* The program has this uid too. */
	prctl(PR_SET_DUMPABLE, 0);
}

/* ---- content ----------------------------------------------------------------------------- */

static int new_file(struct run *x)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = memfd_create("message", MFD_CLOEXEC);
	if (fd < 0)
		end_failed(x, "make", "a file for the message");
	return fd;
}

static int pass(void *arg, struct span octets)
{
	struct run *x = arg;

	delivered_scan_feed(&x->loop, octets);
	return x->loop.found ? GW_EPERM : writer_put(&x->out, octets);
}

static void write_content(struct run *x)
{
	const struct pipe_work *w = x->w;
	int err;

	writer_field(&x->out, "Return-Path: <", w->letter.from, ">\n");
	writer_field(&x->out, "Delivered-To: ", w->letter.rcpt, "\n");
	err = content_read_lines(w->content, w->binary, pass, x, &x->r);
	if (err == 0)
		err = writer_end(&x->out);
	if (err == GW_ECLOSED)
		maildir_say(&x->r, OUTCOME_NONE, 451, (uint8_t[]){4, 3, 0},
		    "The content did not arrive whole");
	else if (err == GW_EPERM)
		maildir_looping(&x->r);
	if (err == GW_ECLOSED || err == GW_EPERM || err == GW_EFORMAT)
		end(x);
	errno = x->out.err;
	if (err < 0)
		end_failed(x, "hold", "the message");
}

/* The whole message in a file that nobody else can see. */
static int take_content(struct run *x)
{
	int fd = new_file(x);

	alarm(CONTENT_SECONDS);
	writer_init(&x->out, fd);
	delivered_scan_init(&x->loop, x->w->letter.rcpt);
	write_content(x);
	if (lseek(fd, 0, SEEK_SET) < 0)
		end_failed(x, "read", "the message");
	close(x->w->content);
	alarm(0);
	return fd;
}

/* ---- the program ------------------------------------------------------------------------- */

static void most(int what, uint64_t n)
{
	struct rlimit l = {.rlim_cur = n, .rlim_max = n}, old;

	if (getrlimit((__rlimit_resource_t)what, &old) == 0 && old.rlim_max < n)
		l.rlim_cur = l.rlim_max = old.rlim_max;
	if (setrlimit((__rlimit_resource_t)what, &l) < 0)
		_exit(EX_OSERR);
}

static void set_limits(const struct pipe_work *w)
{
	uint64_t seconds = (uint64_t)(w->pipe->timeout / USEC_PER_SEC) + 1;

	most(RLIMIT_CORE, 0);
	most(RLIMIT_AS, w->pipe->memory);
	most(RLIMIT_CPU, seconds);
	most(RLIMIT_NOFILE, FILES);
	most(RLIMIT_FSIZE, FILE_OCTETS + 2 * content_lines_size(w->binary, w->size));
	/* Counted over everything its user runs: without a user of its own that is somebody's
	 * whole desktop. */
	if (w->is_root)
		most(RLIMIT_NPROC, PROCESSES);
}

static void usual_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++) {
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* fd[0] and [1] may be among them already. */
static void set_descriptors(int in, int out, int failure)
{
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || dup2(failure, 3) < 0)
		_exit(EX_OSERR);
	close_range(4, ~0u, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
}

_Noreturn static void be_program(
    const struct pipe_work *w, char **argv, char **env, int in, int out, int failure)
{
	int err;

	usual_signals();
	setsid();
	umask(077);
	if (chdir(w->user.home) < 0 && chdir("/") < 0)
		_exit(EX_OSERR);
	set_descriptors(in, out, failure);
	/* Before the limit on processes, which this would be judged by. */
	if (w->is_root && setresuid(w->user.uid, w->user.uid, w->user.uid) < 0)
		_exit(EX_OSERR);
	set_limits(w);
	execve(argv[0], argv, env);
	err = errno;
	(void)!write(3, &err, sizeof(err));
	_exit(EX_OSERR);
}

/* ---- its end ----------------------------------------------------------------------------- */

static void hear(struct run *x, int fd)
{
	uint8_t more[4096];
	ssize_t n = read(fd, more, sizeof(more));
	size_t room = sizeof(x->text) - x->said.n, keep;

	if (n <= 0)
		return;
	keep = (size_t)n < room ? (size_t)n : room;
	memcpy(x->text + x->said.n, more, keep);
	x->said = span_of(x->text, x->said.n + keep);
}

/* True: it has ended in time. */
static bool await(struct run *x, int pid_fd, int said_fd)
{
	int64_t until = clock_now() + x->w->pipe->timeout;

	for (;;) {
		struct pollfd p[] = {{pid_fd, POLLIN, 0}, {said_fd, POLLIN, 0}};
		int64_t left = until - clock_now();

		if (left <= 0)
			return false;
		if (poll(p, 2, (int)(left / USEC_PER_MSEC) + 1) < 0 && errno != EINTR)
			return false;
		/* What it leaves running may go on for ever. */
		if ((p[1].revents & POLLIN) && (p[0].revents == 0 || x->said.n < SAID_MAX))
			hear(x, said_fd);
		else if (p[0].revents != 0)
			return true;
		else if (p[1].revents != 0) {
			/* It has closed its output and goes on. */
			close(said_fd);
			said_fd = -1;
		}
	}
}

/* Whatever it started is ours when its parent is gone: nothing of it stays. */
static void end_rest(pid_t pid)
{
	char path[64], text[4096];

	kill(-pid, SIGKILL);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	for (int i = 0; i < ORPHANS_MAX; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		if (n <= 0)
			break;
		text[n] = '\0';
		kill((pid_t)strtol(text, NULL, 10), SIGKILL);
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
}

static void judge(struct run *x, bool in_time, int status)
{
	const char *program = x->w->pipe->arg[0];

	if (!in_time) {
		maildir_say(&x->r, OUTCOME_DEFERRED, 451, (uint8_t[]){4, 3, 0}, "");
		snprintf(x->r.text, sizeof(x->r.text), "%.180s did not end in time", program);
	} else {
		pipe_judge(status, program, x->said, &x->r);
	}
	/* It has not said itself how it ended: what it had done by then nobody knows. */
	if (!in_time || WIFSIGNALED(status))
		x->r.outcome = OUTCOME_MAYBE;
}

static void watch(struct run *x, pid_t pid, int said_fd)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	bool in_time = fd >= 0 && await(x, fd, said_fd);

	if (!in_time)
		kill(-pid, SIGKILL);
	if (!in_time)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	end_rest(pid);
	judge(x, in_time, status);
}

/* ---- all of it --------------------------------------------------------------------------- */

static void make_pipe(struct run *x, int fd[2])
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		end_failed(x, "make", "a pipe");
}

static void refuse_value(struct run *x)
{
	maildir_say(&x->r, OUTCOME_FAILED, 550, (uint8_t[]){5, 1, 3},
	    "The address cannot be given to a program: it looks like an option");
	end(x);
}

static void start(struct run *x, char **argv, char **env)
{
	int in = take_content(x), said[2], failure[2], err = 0;
	pid_t pid;

	make_pipe(x, said);
	make_pipe(x, failure);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = child_fork();
	if (pid == 0)
		be_program(x->w, argv, env, in, said[1], failure[1]);
	close(in);
	close(said[1]);
	close(failure[1]);
	if (pid < 0)
		end_failed(x, "start", argv[0]);
	/* Nothing comes, and the end, when the program has taken the process over. */
	if (read(failure[0], &err, sizeof(err)) == (ssize_t)sizeof(err)) {
		errno = err;
		end_failed(x, "start", argv[0]);
	}
	close(failure[0]);
	watch(x, pid, said[0]);
}

void pipe_run(const struct pipe_work *w)
{
	static struct run x;
	int keep[] = {w->content, w->report};
	struct arena words;
	char **argv, **env;

	x.w = w;
	child_keep_fds(keep, GW_ARRAY_LEN(keep));
	umask(077);
	become_user(&x);
	arena_init(&words, WORDS_MAX);
	argv = pipe_args(w->pipe, &w->letter, &words);
	env = pipe_environment(&w->user, &w->letter, &words);
	if (argv == NULL || env == NULL)
		refuse_value(&x);
	start(&x, argv, env);
	arena_reset(&words);
	end(&x);
}
