/*
 * godwit dev: the server with a built-in configuration, on loopback, for developers. The server
 * runs in a child process of its own group; this process reads its log from a pipe and shows it.
 */
#include "cmd/flags.h"

#include "base/json.h"
#include "cmd/config_load.h"
#include "cmd/dev_setup.h"
#include "cmd/dev_show.h"
#include "cmd/http.h"
#include "cmd/send_session.h"
#include "cmd/terminal.h"
#include "config/config.h"
#include "role/role.h"
#include "role/version.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 32 << 10,
	OUT_MAX = 4 << 20,
	ASK_PATIENCE = 1000000, /* microseconds for a question to the queue */
	GATHER = 5,             /* milliseconds */
	PIPE_SIZE = 1 << 20,
};

struct dev {
	struct cmd_globals g;
	struct dev_setup setup;
	struct dev_show show;
	pid_t child;
	int log_fd, ready_fd, signal_fd;
	sigset_t before; /* signal mask to give back to the child */
	struct buf line, out;
	bool skipping; /* the rest of a line that is too long */
	bool ready, stopping;
	int64_t found, queued; /* messages in the queue at start and end; -1: not known */
	int status;
};

/* ---- the server ---------------------------------------------------------------------------------
 */

static bool make_bundle(struct dev *d, struct buf *bundle)
{
	struct config_diags diags;
	struct config *c = NULL;
	struct buf text;
	bool good;

	config_diags_init(&diags);
	buf_init(&text, 1 << 20);
	buf_init(bundle, CONFIG_BUNDLE_MAX);
	dev_config(&d->setup, &text);
	if (config_bundle_text("godwit dev", buf_view(&text), bundle) == 0)
		c = config_parse(buf_view(bundle), 1, &diags);
	good = c != NULL;
	if (!good)
		cmd_config_print(&diags);
	config_free(&c);
	buf_fini(&text);
	config_diags_fini(&diags);
	return good;
}

_Noreturn static void in_child(struct dev *d, struct span bundle, int log_fd, int ready_fd)
{
	struct master_options o = {.jail = true, .ready_fd = ready_fd};

	/* ^C on the terminal is for the parent, which tells us. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigprocmask(SIG_SETMASK, &d->before, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(log_fd, STDERR_FILENO);
	close(log_fd);
	close(d->log_fd);
	close(d->ready_fd);
	close(d->signal_fd);
	exit(master_run(bundle, &o));
}

static bool start_server(struct dev *d, struct span bundle)
{
	int log_pipe[2], ready_pipe[2];

	if (pipe2(log_pipe, O_CLOEXEC) < 0 || pipe2(ready_pipe, O_CLOEXEC) < 0)
		return false;
	d->log_fd = log_pipe[0];
	d->ready_fd = ready_pipe[0];
	fcntl(d->log_fd, F_SETFL, O_NONBLOCK);
	/* Room for what is logged while we draw; without it lines would be lost earlier. */
	(void)fcntl(d->log_fd, F_SETPIPE_SZ, PIPE_SIZE);
	d->child = fork();
	if (d->child == 0)
		in_child(d, bundle, log_pipe[1], ready_pipe[1]);
	close(log_pipe[1]);
	close(ready_pipe[1]);
	return d->child > 0;
}

static bool catch_signals(struct dev *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &d->before);
	/* A reader that is gone (godwit dev | head) is an end like any other. */
	signal(SIGPIPE, SIG_IGN);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd >= 0;
}

/* ---- what is shown
 * ------------------------------------------------------------------------------- */

static void put_listeners(const struct dev *d, struct buf *out)
{
	for (size_t i = 0; i < d->setup.n_listen; i++)
		buf_addf(out, "%s%s", i > 0 ? "  " : "", d->setup.listen[i]);
}

/* As it can be typed again: after make dev it is in no directory of $PATH. */
static const char *program(void)
{
	return strchr(program_invocation_name, '/') != NULL ? program_invocation_name : "godwit";
}

static void put_places(const struct dev *d, struct buf *out)
{
	const struct dev_setup *s = &d->setup;

	buf_add_str(out, "  SMTP      ");
	put_listeners(d, out);
	buf_add_str(out, s->open ? "     TLS optional (self-signed)"
				 : "     any login is accepted, TLS optional (self-signed)");
	if (s->forward != NULL)
		buf_addf(out, "\n  Forward   %s", s->forward);
	else
		buf_addf(out, "\n  Mail      %s/Maildir/new", s->dir);
	if (s->temporary)
		buf_add_str(out, "\n  Data      temporary, removed at exit     "
				 "keep it: godwit dev --data ./mail");
	else
		buf_addf(out, "\n  Data      %s", s->dir);
	if (d->found > 0)
		buf_addf(out, "     going on with %lld queued message%s", (long long)d->found,
		    d->found == 1 ? "" : "s");
	buf_addf(out, "\n  Control   GODWIT_CONTROL=%s/control %s queue\n\n", s->dir, program());
}

static void put_hints(const struct dev *d, struct buf *out)
{
	bool usual = strcmp(d->setup.listen[0], "127.0.0.1:2525") == 0;

	if (d->setup.open)
		buf_add_str(out, "WARNING: it listens beyond this machine: whoever reaches it can "
				 "put mail into it.\n");
	buf_addf(out, "Try it:   %s send you@example.com", program());
	if (!usual)
		buf_addf(out, " --server %s", d->setup.listen[0]);
	buf_add_str(out, "          (in another terminal)\n"
			 "Faults:   send to 451@any.test, 550@any.test, slow@any.test, "
			 "defer@any.test, bounce@any.test\n");
	buf_add_str(out, d->setup.temporary ? "^C stops and forgets.\n\n" : "^C stops.\n\n");
}

static void print_banner(struct dev *d)
{
	struct buf out;

	if (d->g.quiet)
		return;
	buf_init(&out, 32 << 10);
	buf_add_str(&out, "Godwit " GW_VERSION " - development mode: ");
	if (d->setup.forward != NULL)
		buf_addf(&out, "every message goes on to %s\n\n", d->setup.forward);
	else
		buf_add_str(&out, "every message is caught, nothing leaves this machine\n\n");
	put_places(d, &out);
	put_hints(d, &out);
	terminal_print(&out);
	buf_fini(&out);
}

static void print_banner_json(const struct dev *d)
{
	struct buf out;

	buf_init(&out, 32 << 10);
	json_open(&out, NULL, '{');
	json_str(&out, "ev", "dev.ready");
	json_str(&out, "version", GW_VERSION);
	json_open(&out, "smtp", '[');
	for (size_t i = 0; i < d->setup.n_listen; i++)
		json_str(&out, NULL, d->setup.listen[i]);
	json_close(&out, ']');
	json_str(&out, "directory", d->setup.dir);
	json_bool(&out, "temporary", d->setup.temporary);
	json_close(&out, '}');
	buf_add_byte(&out, '\n');
	terminal_print(&out);
	buf_fini(&out);
}

/* ---- the log
 * -------------------------------------------------------------------------------------- */

static void print_shown(struct dev *d)
{
	dev_show_rest(&d->show, &d->out);
	if (d->g.quiet)
		buf_clear(&d->out);
	terminal_print(&d->out);
}

static void take_line(struct dev *d, struct span line)
{
	bool of_log = line.n > 0 && line.p[0] == '{';

	if (d->g.json && of_log) {
		buf_add_span(&d->out, line);
		buf_add_byte(&d->out, '\n');
		return;
	}
	if (of_log) {
		dev_show_line(&d->show, line, &d->out);
		return;
	}
	/* Not of the log: why it cannot start, the last words of a process. */
	print_shown(d);
	dev_show_line(&d->show, line, &d->out);
	fprintf(stderr, "%.*s", SPAN_ARG(buf_view(&d->out)));
	buf_clear(&d->out);
}

static void end_line(struct dev *d)
{
	if (d->skipping)
		d->show.n.unread++;
	else
		take_line(d, buf_view(&d->line));
	d->skipping = false;
	buf_clear(&d->line);
}

static void take_log(struct dev *d, struct span in)
{
	while (in.n > 0) {
		ptrdiff_t end = span_find(in, '\n');
		struct span part = end < 0 ? in : span_first(in, (size_t)end);

		if (!d->skipping && buf_add_span(&d->line, part) < 0)
			d->skipping = true;
		if (end >= 0)
			end_line(d);
		in = span_skip(in, part.n + 1);
		if (buf_len(&d->out) > OUT_MAX / 2)
			print_shown(d);
	}
}

/* False: all writers are gone. */
static bool read_log(struct dev *d)
{
	uint8_t in[16384];
	ssize_t n;

	do {
		n = read(d->log_fd, in, sizeof(in));
		if (n > 0)
			take_log(d, span_of(in, (size_t)n));
	} while (n == (ssize_t)sizeof(in));
	print_shown(d);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ---- the end
 * -------------------------------------------------------------------------------------- */

/* How much a queue that outlives us holds. */
static int64_t ask_queued(const struct dev *d)
{
	char socket[PATH_MAX + 16];
	int64_t n = -1;
	struct http *h;
	json_t *j;

	if (d->setup.temporary || !d->ready)
		return -1;
	snprintf(socket, sizeof(socket), "%s/control", d->setup.dir);
	h = http_new("dev", socket, ASK_PATIENCE);
	if (http_get(h, "/v1/queue", &j) == CMD_OK) {
		n = json_integer_value(json_object_get(j, "messages"));
		json_decref(j);
	}
	http_free(&h);
	return n;
}

/* A second ^C ends it at once: master does so at its second signal. */
static void stop(struct dev *d)
{
	if (!d->stopping)
		d->queued = ask_queued(d);
	d->stopping = true;
	kill(d->child, SIGTERM);
}

static void print_end(const struct dev *d)
{
	struct buf out;

	if (d->g.quiet || d->g.json || (!d->ready && !d->stopping))
		return;
	buf_init(&out, 8192);
	buf_add_byte(&out, '\n');
	dev_show_total(&d->show, &out);
	if (d->setup.temporary)
		buf_add_str(&out, "; temporary data is removed");
	else
		buf_addf(&out, "; kept in %s", d->setup.dir);
	if (d->queued > 0)
		buf_addf(&out, ", %lld message%s still queued: the next start goes on with %s",
		    (long long)d->queued, d->queued == 1 ? "" : "s",
		    d->queued == 1 ? "it" : "them");
	buf_add_byte(&out, '\n');
	terminal_print(&out);
	buf_fini(&out);
}

/* ---- the loop
 * ------------------------------------------------------------------------------------- */

static void become_ready(struct dev *d)
{
	char c;

	d->ready = read(d->ready_fd, &c, 1) == 1;
	close(d->ready_fd);
	d->ready_fd = -1;
	if (!d->ready)
		return;
	d->found = ask_queued(d);
	if (d->g.json)
		print_banner_json(d);
	else
		print_banner(d);
}

static void take_signal(struct dev *d)
{
	struct signalfd_siginfo si;

	while (read(d->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		stop(d);
}

/* Until the pipe of the log has no writer any more: then all processes are gone. */
static void watch(struct dev *d)
{
	struct pollfd p[3];
	bool more = true;

	while (more) {
		p[0] = (struct pollfd){.fd = d->ready_fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = d->log_fd, .events = POLLIN};
		p[2] = (struct pollfd){.fd = d->signal_fd, .events = POLLIN};
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		if (p[0].revents)
			become_ready(d);
		if (p[1].revents) {
			/* The processes write each for itself: what belongs together comes close
			   together. */
			poll(NULL, 0, GATHER);
			more = read_log(d);
		}
		if (p[2].revents)
			take_signal(d);
		if (ferror(stdout) && !d->stopping)
			stop(d);
	}
}

static void wait_child(struct dev *d)
{
	int status = 0;

	while (waitpid(d->child, &status, 0) < 0 && errno == EINTR)
		continue;
	d->status = WIFEXITED(status) ? WEXITSTATUS(status) : CMD_NO;
}

static int run(struct dev *d)
{
	struct buf bundle;

	if (!make_bundle(d, &bundle) || !catch_signals(d) || !start_server(d, buf_view(&bundle)))
		return CMD_NO;
	buf_fini(&bundle);
	buf_init(&d->line, LINE_MAX_BYTES);
	buf_init(&d->out, OUT_MAX);
	watch(d);
	wait_child(d);
	print_end(d);
	buf_fini(&d->line);
	buf_fini(&d->out);
	return (d->ready || d->stopping) && d->status == 0 ? CMD_OK : CMD_NO;
}

static int check_forward(const char *forward)
{
	char host[256];
	uint16_t port;

	if (forward == NULL)
		return CMD_OK;
	if (send_server_parse(forward, host, sizeof(host), &port) < 0 || port == 0)
		return flags_usage("dev", "--forward '%s' is not HOST:PORT", forward);
	return CMD_OK;
}

int cmd_dev(const struct cmd_globals *g, int argc, char **argv)
{
	static struct dev d;
	struct dev_setup *s = &d.setup;
	const struct flag rows[] = {{"--data", FLAG_TEXT, &s->data},
	    {"--listen", FLAG_LIST, &s->listen_flags}, {"--forward", FLAG_TEXT, &s->forward}};
	struct flags f = {"dev", rows, GW_ARRAY_LEN(rows), &d.g, false};
	int code;

	d.g = *g;
	d.found = d.queued = -1;
	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 1)
		return flags_usage("dev", "'%s' is one word too many", argv[1]);
	code = check_forward(s->forward);
	if (code == CMD_OK)
		code = dev_choose_listeners(s);
	if (code == CMD_OK)
		code = dev_make_dirs(s);
	dev_show_init(&d.show, s->forward != NULL);
	if (code == CMD_OK)
		code = run(&d);
	dev_show_fini(&d.show);
	dev_remove_dirs(s);
	return code;
}
