/*
 * A master in a process of its own, with small roles that write what happens to them as lines of
 * one file, and the folder in which all of it is.
 */
#ifndef GW_TESTS_UNIT_ROLE_MASTER_WORLD_H
#define GW_TESTS_UNIT_ROLE_MASTER_WORLD_H

#include "role/role.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "role/port_owner.h"
#include "role/proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 256, SECONDS = 30, TEXT = 1 << 20 };
/* Roles of which there is one: queue, resolver, history, mda, control, vault. */
enum { ONCE = 6 };

static char top[PATH_LENGTH], notes[PATH_LENGTH + 16];
static uint16_t port;
static struct buf bundle;

/* ---- roles that take notes ----------------------------------------------------------------- */

struct role_data {
	struct boot *boot;
	struct loop *loop;
	struct master_link link;
};

static void note(const struct boot *b, const char *what, unsigned a, unsigned c)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %u %s %u %u pid %d\n", role_names[b->role],
	    b->index, what, a, c, (int)getpid());
	int fd = open(notes, O_WRONLY | O_APPEND | O_CREAT, 0600);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(88);
	close(fd);
}

static void on_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct role_data *d = arg;
	char c;

	/* The other end lives: nothing to read, and no end. */
	note(d->boot, read(fd, &c, 1) < 0 && errno == EAGAIN ? "peer" : "dead-peer", role, index);
}

static void on_roles(void *arg, struct span payload)
{
	struct role_data *d = arg;
	struct cursor c = cursor_of(payload);
	struct proto_role row;
	unsigned n = 0, restarts = 0;

	while (proto_get_role(&c, &row) == 1) {
		n++;
		restarts += row.restarts;
	}
	note(d->boot, "roles", n, restarts);
}

static void on_signer(void *arg, unsigned index, int fd)
{
	struct role_data *d = arg;
	char c;

	note(d->boot,
	    recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN ? "signer" : "dead-signer", index,
	    0);
}

static void on_file(void *arg, const struct proto_file *f, int fd)
{
	struct role_data *d = arg;
	char c;

	note(d->boot, "file", f->kind, pread(fd, &c, 1, 0) == 1);
	close(fd);
}

static void on_stop(void *arg)
{
	struct role_data *d = arg;

	note(d->boot, "stop", 0, 0);
	if (getenv("GW_TEST_STUBBORN") == NULL || d->boot->role != ROLE_SENDER)
		master_link_done(&d->link);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void look_at_metrics(struct boot *b)
{
	int64_t sum = 0;

	metric_add(METRIC_CONNECTIONS_TOTAL, 1);
	for (size_t i = 0; i < b->n_metrics; i++)
		sum += metric_get(b->all_metrics[i], METRIC_CONNECTIONS_TOTAL);
	if (b->role != ROLE_CONTROL)
		return;
	note(b, "pages", (unsigned)b->n_metrics, (unsigned)(sum > 0));
	/* What others count cannot be written, not even after asking for it. */
	for (size_t i = 0; i < b->n_metrics && !b->one_process; i++)
		note(b, "writable",
		    mprotect((void *)(uintptr_t)b->all_metrics[i], 4096, PROT_READ | PROT_WRITE) ==
			0,
		    0);
}

static int any_role(struct loop *l, struct boot *b)
{
	struct role_data *d = gw_calloc(1, sizeof(*d));
	struct config *c = boot_config(b);
	const char *bad = getenv("GW_TEST_BAD");

	if (bad != NULL && strcmp(bad, role_names[b->role]) == 0)
		_exit(3);
	gw_assert(c->generation == b->generation);
	d->boot = b;
	d->loop = l;
	d->link = (struct master_link){.peer = on_peer,
	    .stop = on_stop,
	    .roles = on_roles,
	    .signer = on_signer,
	    .file = on_file,
	    .arg = d};
	look_at_metrics(b);
	note(b, "start", (unsigned)b->n_peer, (unsigned)b->n_listen);
	if (b->n_signer > 0)
		note(b, "signers", (unsigned)b->n_signer, b->signer[0].index);
	note(b, "holds", (b->spool_dir >= 0) | (b->control_fd >= 0) << 1,
	    b->one_process ? 0 : count_fds());
	for (size_t i = 0; i < b->n_listen; i++)
		gw_assert(b->listen[i].conf == &c->listen[b->listen[i].conf_index]);
	master_link_start(&d->link, l, b);
	return 0;
}

#define ROLE(name) \
	int role_##name(struct loop *l, struct boot *b) \
	{ \
		return any_role(l, b); \
	}
ROLE(smtpd)
ROLE(queue)
ROLE(sender)
ROLE(mda)
ROLE(control)
ROLE(vault)
ROLE(resolver)
ROLE(history)

/* ---- running it ----------------------------------------------------------------------------- */

static char text[TEXT];

static const char *read_notes(void)
{
	int fd = open(notes, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned lines_with(const char *what)
{
	unsigned n = 0;

	for (const char *at = read_notes(); (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static bool comes(const char *what, unsigned n)
{
	int64_t end = clock_now() + SECONDS * USEC_PER_SEC;

	while (lines_with(what) < n && clock_now() < end)
		usleep(10000);
	return lines_with(what) >= n;
}

/* The pid in the last line that begins so. */
static pid_t pid_of(const char *begin)
{
	const char *at = read_notes(), *last = NULL;

	while ((at = strstr(at, begin)) != NULL)
		last = at++;
	return last == NULL ? 0 : (pid_t)atoi(strstr(last, "pid ") + 4);
}

/* All that ever said that they start: their master was killed, and nobody waits for them. */
static bool all_end(void)
{
	int64_t end = clock_now() + SECONDS * USEC_PER_SEC;

	for (const char *at = read_notes(); (at = strstr(at, " start ")) != NULL; at++) {
		while (kill((pid_t)atoi(strstr(at, "pid ") + 4), 0) == 0) {
			if (clock_now() > end)
				return false;
			usleep(10000);
		}
	}
	return true;
}

static pid_t start_master(bool one_process, int *ready)
{
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		struct master_options o = {
		    .one_process = one_process, .jail = true, .ready_fd = fd[1]};
		int err = open("/dev/null", O_WRONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getenv("GW_TEST_SHOW") == NULL)
			dup2(err, 2);
		close(fd[0]);
		_exit(master_run(buf_view(&bundle), &o));
	}
	close(fd[1]);
	*ready = fd[0];
	return pid;
}

static pid_t start_ready(void)
{
	int ready;
	char c;
	pid_t pid = start_master(false, &ready);

	assert_int_equal(read(ready, &c, 1), 1);
	close(ready);
	return pid;
}

static int wait_for(pid_t pid)
{
	int64_t end = clock_now() + 30 * USEC_PER_SEC;
	int status = -1;

	while (waitpid(pid, &status, WNOHANG) == 0 && clock_now() < end)
		usleep(10000);
	return status;
}

static void stop_master(pid_t pid)
{
	kill(pid, SIGTERM);
	assert_int_equal(wait_for(pid), 0);
}

static unsigned workers(void)
{
	return lines_with("smtpd ") ? (unsigned)sysconf(_SC_NPROCESSORS_ONLN) : 0;
}

/* ---- set-up --------------------------------------------------------------------------------- */

static uint16_t free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	close(fd);
	return ntohs(sa.sin_port);
}

static int make_world(void **state)
{
	char conf[2048];

	(void)state;
	snprintf(top, sizeof(top), "/tmp/gw-master-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(notes, sizeof(notes), "%s/notes", top);
	port = free_port();
	snprintf(conf, sizeof(conf),
	    "hostname mx.example.org\nlisten mx 127.0.0.1:%u\nspool %s/spool\n"
	    "control %s/run/control\nrun-as gw-no-such-user\n"
	    "domain example.org { deliver maildir %s/mail/%%u }\n",
	    port, top, top, top);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	return config_bundle_text("test", span_str(conf), &bundle);
}

static int remove_world(void **state)
{
	char command[PATH_LENGTH * 2];

	(void)state;
	buf_fini(&bundle);
	snprintf(command, sizeof(command), "rm -r '%s'", top);
	return system(command);
}

#endif
