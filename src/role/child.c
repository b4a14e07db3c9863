#include "role/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void clean_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

	for (int sig = 1; sig < NSIG; sig++) {
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static pid_t parent;

void child_die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before the kernel was told. */
	if (getppid() != parent)
		_exit(1);
}

pid_t child_fork(void)
{
	pid_t self = getpid(), pid;
	sigset_t all, old;

	/* The parent's handlers write into the parent's loop: none may run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0) {
		parent = self;
		child_die_with_parent();
		clean_signals();
		sigemptyset(&old);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid < 0 ? GW_ENOMEM : pid;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void child_keep_fds(int *keep, size_t n)
{
	unsigned from = 3;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)from)
			continue;
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void exited(void *arg, bool readable, bool writable)
{
	struct child *c = arg;
	int status = 0;
	pid_t gone = waitpid(c->pid, &status, WNOHANG);

	(void)readable;
	(void)writable;
	if (gone == 0 || (gone < 0 && errno == EINTR))
		return;
	watch_stop(&c->watch);
	close(c->fd);
	c->fd = -1;
	c->ended(c->arg, c, status);
}

int child_watch(struct child *c, struct loop *l, pid_t pid,
    void (*ended)(void *, struct child *, int), void *arg)
{
	*c = (struct child){.pid = pid, .ended = ended, .arg = arg};
	c->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->fd < 0)
		return GW_ENOMEM;
	watch_start(&c->watch, l, c->fd, exited, c);
	watch_want(&c->watch, true, false);
	return 0;
}

void child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}
