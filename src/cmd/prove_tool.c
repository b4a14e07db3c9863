/* One tool of a campaign: a child process whose lines of JSON are read. */
#include "cmd/prove.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 16 << 10, TOOLS_MAX = 2 * LANES };

static void in_child(int out, const char *errors, pid_t parent)
{
	int err = open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	/* ^C on the terminal is for the parent, which tells us. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(out, STDOUT_FILENO);
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	optind = 0;
}

bool tool_fork(struct tool *t, const char *name, const char *errors)
{
	pid_t parent = getpid();
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		die("no pipe: %s", strerror(errno));
	fflush(NULL);
	*t = (struct tool){.name = name, .out = fd[0]};
	t->pid = fork();
	if (t->pid < 0)
		die("no process: %s", strerror(errno));
	if (t->pid == 0) {
		in_child(fd[1], errors, parent);
		return true;
	}
	close(fd[1]);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	buf_init(&t->line, LINE_BYTES);
	return false;
}

static void take_line(struct tool *t, struct span line)
{
	json_t *o = json_loadb((const char *)line.p, line.n, 0, NULL);
	const char *event = json_string_value(json_object_get(o, "event"));

	if (event != NULL && strcmp(event, "listening") == 0)
		t->port = (unsigned)json_integer_value(json_object_get(o, "port"));
	if (event != NULL && strcmp(event, "result") == 0) {
		json_decref(t->result);
		t->result = json_incref(o);
	}
	json_decref(o);
}

static void take(struct tool *t, struct span in)
{
	ptrdiff_t lf;

	while ((lf = span_find(in, '\n')) >= 0) {
		buf_add(&t->line, in.p, (size_t)lf);
		take_line(t, buf_view(&t->line));
		buf_clear(&t->line);
		in = span_skip(in, (size_t)lf + 1);
	}
	buf_add_span(&t->line, in);
}

static void read_tool(struct tool *t)
{
	uint8_t in[4096];
	ssize_t n;

	while ((n = read(t->out, in, sizeof(in))) > 0)
		take(t, span_of(in, (size_t)n));
	if (n == 0) {
		close(t->out);
		t->out = -1;
	}
}

void tools_read(struct tool **list, size_t n, int msec)
{
	struct pollfd p[TOOLS_MAX];
	struct tool *of[TOOLS_MAX];
	nfds_t k = 0;

	gw_assert(n <= TOOLS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (list[i]->pid == 0 || list[i]->out < 0)
			continue;
		of[k] = list[i];
		p[k++] = (struct pollfd){.fd = list[i]->out, .events = POLLIN};
	}
	if (poll(p, k, msec) <= 0)
		return;
	for (nfds_t i = 0; i < k; i++) {
		if (p[i].revents)
			read_tool(of[i]);
	}
}

void tool_signal(struct tool *t, int sig)
{
	if (t->pid != 0)
		kill(t->pid, sig);
}

void tool_pause(struct tool *t, bool pause)
{
	if (t->pid == 0 || t->stopped == pause)
		return;
	t->stopped = pause;
	kill(t->pid, pause ? SIGSTOP : SIGCONT);
}

bool tool_over(struct tool *t)
{
	if (t->pid == 0)
		return true;
	if (waitpid(t->pid, &t->status, WNOHANG) != t->pid)
		return false;
	t->pid = 0;
	if (t->out >= 0)
		read_tool(t);
	return true;
}

void tool_fini(struct tool *t)
{
	if (t->pid != 0) {
		kill(t->pid, SIGKILL);
		waitpid(t->pid, &t->status, 0);
		t->pid = 0;
	}
	if (t->name != NULL && t->out >= 0)
		close(t->out);
	buf_fini(&t->line);
	json_decref(t->result);
	*t = (struct tool){.out = -1};
}
