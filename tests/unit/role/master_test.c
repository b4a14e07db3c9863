/*
 * Master with small roles of the test's own: what it gives them, what it does when they die, in
 * which order it ends them, and what it does when it cannot have what it needs. Each role writes
 * what happens to it as a line of one file.
 */
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

enum { PATH_LENGTH = 256, SECONDS = 8, TEXT = 1 << 20 };

static char top[PATH_LENGTH], notes[PATH_LENGTH + 16];
static uint16_t port;
static struct buf bundle;

/* ---- roles that take notes --------------------------------------------------------------------
 */

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

int role_smtpd(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

int role_queue(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

int role_sender(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

int role_mda(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

int role_control(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

int role_vault(struct loop *l, struct boot *b)
{
	return any_role(l, b);
}

/* ---- running it
 * ---------------------------------------------------------------------------------- */

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

/* ---- tests
 * ---------------------------------------------------------------------------------------- */

static void every_role_gets_its_own(void **state)
{
	pid_t pid = start_ready();
	char want[64];
	unsigned n = workers();

	(void)state;
	assert_int_equal(lines_with("queue 0 start"), 1);
	assert_int_equal(lines_with("mda 0 start 1 0"), 1);
	assert_int_equal(lines_with("control 0 start 1 0"), 1);
	assert_int_equal(lines_with("vault 0 start 2 0"), 1);
	assert_int_equal(lines_with("start"), 4 + 2 * n);
	/* One listener, and the queue and the vault as peers, by index. */
	for (unsigned i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "smtpd %u start 2 1", i);
		assert_int_equal(lines_with(want), 1);
		snprintf(want, sizeof(want), "sender %u start 1 0", i);
		assert_int_equal(lines_with(want), 1);
	}
	/* The queue was told of everybody, over living channels. */
	assert_true(comes("queue 0 peer", 3 + 2 * n));
	assert_int_equal(lines_with("dead-peer"), 0);
	assert_int_equal(lines_with("queue 0 holds 1"), 1);
	assert_int_equal(lines_with("control 0 holds 2"), 1);
	assert_int_equal(lines_with("mda 0 holds 0"), 1);
	snprintf(want, sizeof(want), "control 0 pages %u 1", 5 + 2 * n);
	assert_int_equal(lines_with(want), 1);
	assert_int_equal(lines_with("writable 1"), 0);
	assert_int_equal(lines_with("writable 0"), 5 + 2 * n);
	/* Each receiver and the vault have the ends of one socket, and the vault has its file. */
	for (unsigned i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "smtpd %u signers 1 %u", i, i);
		assert_int_equal(lines_with(want), 1);
		snprintf(want, sizeof(want), "vault 0 signer %u 0", i);
		assert_true(comes(want, 1));
	}
	assert_int_equal(lines_with("dead-signer"), 0);
	snprintf(want, sizeof(want), "vault 0 file %d 1", FILE_TICKET_KEY);
	assert_true(comes(want, 1));
	assert_int_equal(lines_with(" file "), 1);
	stop_master(pid);
}

/* Descriptors of others would be a way round every wall. The loop has one of its own. */
static void no_role_holds_more(void **state)
{
	pid_t pid = start_ready();

	(void)state;
	/* channel to master, to the queue, epoll, the pipe of signals */
	assert_int_equal(lines_with("mda 0 holds 0 5 "), 1);
	assert_int_equal(lines_with("sender 0 holds 0 5 "), 1);
	assert_int_equal(lines_with("smtpd 0 holds 0 8 "), 1);
	assert_int_equal(lines_with("control 0 holds 2 6 "), 1);
	assert_int_equal(lines_with("vault 0 holds 0 6 "), 1);
	assert_int_equal(lines_with("queue 0 holds 1 5 "), 1);
	stop_master(pid);
}

static void check_title(const char *role_line, const char *comm, const char *title)
{
	char path[64], is[256] = "";
	pid_t pid = pid_of(role_line);
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && read(fd, is, sizeof(is) - 1) > 0);
	close(fd);
	assert_memory_equal(is, comm, strlen(comm));
	memset(is, 0, sizeof(is));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && read(fd, is, sizeof(is) - 1) > 0);
	close(fd);
	assert_string_equal(is, title);
}

static void ps_shows_the_role(void **state)
{
	pid_t pid = start_ready();

	(void)state;
	check_title("queue 0 start", "gw-queue\n", "godwit: queue");
	check_title("smtpd 0 start", "gw-smtpd\n", "godwit: smtpd 0");
	stop_master(pid);
}

static void a_dead_role_comes_back(void **state)
{
	pid_t pid = start_ready(), victim = pid_of("sender 0 start");

	(void)state;
	assert_true(comes("control 0 roles", 2));
	kill(victim, SIGKILL);
	assert_true(comes("sender 0 start", 2));
	assert_int_not_equal(pid_of("sender 0 start"), victim);
	/* The queue gets a new end of the channel; nobody else is bothered. */
	assert_true(comes("queue 0 peer 3 0 ", 2));
	assert_int_equal(lines_with("smtpd 0 peer"), 0);
	/* Control is told of it. */
	assert_true(comes(" 1 pid", 1));
	stop_master(pid);
}

static void a_dead_queue_is_connected_to_all(void **state)
{
	pid_t pid = start_ready();
	unsigned n = workers();
	char want[64];

	(void)state;
	kill(pid_of("queue 0 start"), SIGKILL);
	assert_true(comes("queue 0 start", 2));
	snprintf(want, sizeof(want), "queue 0 start %u 0", 3 + 2 * n);
	assert_int_equal(lines_with(want), 1);
	assert_true(comes("smtpd 0 peer 2 0", 1));
	assert_true(comes("sender 0 peer 2 0", 1));
	assert_true(comes("mda 0 peer 2 0", 1));
	assert_true(comes("control 0 peer 2 0", 1));
	assert_true(comes("vault 0 peer 2 0", 1));
	stop_master(pid);
}

/* It comes back with sockets to all receivers, and they get their ends; and its file again. */
static void a_dead_vault_has_all_it_had(void **state)
{
	pid_t pid = start_ready();
	unsigned n = workers();
	char want[64];

	(void)state;
	kill(pid_of("vault 0 start"), SIGKILL);
	assert_true(comes("vault 0 start", 2));
	snprintf(want, sizeof(want), "vault 0 start %u 0", 2 + n);
	assert_int_equal(lines_with(want), 1);
	snprintf(want, sizeof(want), "vault 0 signers %u 0", n);
	assert_int_equal(lines_with(want), 1);
	for (unsigned i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "smtpd %u peer %d 0", i, ROLE_VAULT);
		assert_true(comes(want, 1));
		snprintf(want, sizeof(want), "smtpd %u signer 0 0", i);
		assert_true(comes(want, 1));
	}
	snprintf(want, sizeof(want), "control 0 peer %d 0", ROLE_VAULT);
	assert_true(comes(want, 2));
	snprintf(want, sizeof(want), "vault 0 file %d 1", FILE_TICKET_KEY);
	assert_true(comes(want, 2));
	assert_int_equal(lines_with("dead-signer"), 0);
	stop_master(pid);
}

/* All at once, several times: in the end everybody has a living channel to everybody. */
static void all_die_together(void **state)
{
	static const char *const roles[] = {"queue 0 start", "mda 0 start", "sender 0 start",
	    "control 0 start", "vault 0 start", "smtpd 0 start"};
	pid_t pid = start_ready();

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < GW_ARRAY_LEN(roles); i++)
			kill(pid_of(roles[i]), SIGKILL);
		for (size_t i = 0; i < GW_ARRAY_LEN(roles); i++)
			assert_true(comes(roles[i], round + 2));
	}
	stop_master(pid);
	assert_int_equal(lines_with("queue 0 stop"), 1);
	assert_int_equal(lines_with("mda 0 stop"), 1);
}

static void restarts_are_damped(void **state)
{
	pid_t pid = start_ready();
	int64_t begin;

	(void)state;
	begin = clock_now();
	/* At once, 0.1, 0.2, 0.4 s. */
	for (unsigned i = 1; i <= 4; i++) {
		kill(pid_of("mda 0 start"), SIGKILL);
		assert_true(comes("mda 0 start", i + 1));
	}
	assert_true(clock_now() - begin >= 650 * USEC_PER_MSEC);
	assert_true(clock_now() - begin < 3 * USEC_PER_SEC);
	stop_master(pid);
}

static void the_order_of_the_end(void **state)
{
	pid_t pid = start_ready();
	const char *at;

	(void)state;
	stop_master(pid);
	at = read_notes();
	at = strstr(at, "stop");
	assert_non_null(strstr(at, "queue 0 stop"));
	assert_null(strstr(strstr(at, "mda 0 stop"), "smtpd"));
	assert_null(strstr(strstr(at, "sender 0 stop"), "control"));
	assert_null(strstr(strstr(at, "queue 0 stop"), "mda"));
	assert_null(strstr(strstr(at, "queue 0 stop"), "sender"));
	/* Nothing was started again, and the control socket is gone. */
	assert_int_equal(lines_with("queue 0 start"), 1);
}

static void the_stubborn_are_killed(void **state)
{
	int64_t begin;
	pid_t pid, sender;

	(void)state;
	setenv("GW_TEST_STUBBORN", "1", 1);
	pid = start_ready();
	unsetenv("GW_TEST_STUBBORN");
	sender = pid_of("sender 0 start");
	begin = clock_now();
	stop_master(pid);
	assert_true(clock_now() - begin >= 4 * USEC_PER_SEC);
	assert_true(clock_now() - begin < 9 * USEC_PER_SEC);
	assert_int_equal(kill(sender, 0), -1);
	assert_int_equal(lines_with("queue 0 stop"), 1);
}

static void a_second_signal_ends_at_once(void **state)
{
	int64_t begin;
	pid_t pid;

	(void)state;
	setenv("GW_TEST_STUBBORN", "1", 1);
	pid = start_ready();
	unsetenv("GW_TEST_STUBBORN");
	kill(pid, SIGINT);
	assert_true(comes("sender 0 stop", 1));
	begin = clock_now();
	stop_master(pid);
	assert_true(clock_now() - begin < 2 * USEC_PER_SEC);
}

/* kill -9 of master leaves no orphan that holds the port or the spool. */
static void nobody_survives_master(void **state)
{
	pid_t pid = start_ready(), queue = pid_of("queue 0 start"), smtpd = pid_of("smtpd 0 start");

	(void)state;
	/* One that does not look at its channels is no exception. */
	kill(queue, SIGSTOP);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 200 && (kill(queue, 0) == 0 || kill(smtpd, 0) == 0); i++)
		usleep(10000);
	assert_int_equal(kill(queue, 0), -1);
	assert_int_equal(kill(smtpd, 0), -1);
	stop_master(start_ready());
}

static void reload_and_terminal_signals(void **state)
{
	pid_t pid = start_ready();

	(void)state;
	kill(pid, SIGHUP);
	/* ^C goes to the whole group, but only master acts on it. */
	kill(pid_of("queue 0 start"), SIGINT);
	kill(pid_of("smtpd 0 start"), SIGTERM);
	usleep(200000);
	assert_int_equal(lines_with("start"), 4 + 2 * workers());
	stop_master(pid);
}

static void a_second_instance_is_refused(void **state)
{
	pid_t first = start_ready(), second;
	int ready, status;
	char c;

	(void)state;
	second = start_master(false, &ready);
	assert_int_equal(read(ready, &c, 1), 0);
	close(ready);
	status = wait_for(second);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	/* The first one is untouched: its socket still answers. */
	assert_int_equal(lines_with("queue 0 start"), 1);
	stop_master(first);
}

static int busy_socket(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	/* A neighbour that would share the port: it must not be shared unnoticed. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void a_busy_port_is_named(void **state)
{
	int fd = busy_socket(), ready, status;
	char owner[128], want[64];
	pid_t pid;

	(void)state;
	assert_true(port_owner(port, owner, sizeof(owner)));
	snprintf(want, sizeof(want), "(pid %d)", (int)getpid());
	assert_non_null(strstr(owner, want));
	pid = start_master(false, &ready);
	status = wait_for(pid);
	close(ready);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_int_equal(lines_with("start"), 0);
	close(fd);
	assert_false(port_owner(1, owner, sizeof(owner)));
}

static void a_role_that_cannot_start_ends_it(void **state)
{
	int ready, status;
	pid_t pid;
	char c;

	(void)state;
	setenv("GW_TEST_BAD", "mda", 1);
	pid = start_master(false, &ready);
	unsetenv("GW_TEST_BAD");
	assert_int_equal(read(ready, &c, 1), 0);
	close(ready);
	status = wait_for(pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void the_control_socket(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;
	pid_t pid;

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.60s/run/control", top);
	/* What a killed instance left is no obstacle. */
	pid = start_ready();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(stat(sa.sun_path, &st), 0);
	usleep(100000);
	pid = start_ready();
	assert_int_equal(stat(sa.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	stop_master(pid);
	assert_int_equal(stat(sa.sun_path, &st), -1);
}

static void the_spool_is_private(void **state)
{
	char path[PATH_LENGTH + 16];
	struct stat st;

	(void)state;
	stop_master(start_ready());
	snprintf(path, sizeof(path), "%s/spool", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	if (geteuid() == 0)
		assert_int_not_equal(st.st_uid, 0);
}

static void one_process_has_all_roles(void **state)
{
	int ready;
	pid_t pid = start_master(true, &ready);
	char c;

	(void)state;
	assert_int_equal(read(ready, &c, 1), 1);
	close(ready);
	assert_int_equal(pid_of("queue 0 start"), pid);
	assert_int_equal(pid_of("smtpd 0 start"), pid);
	assert_int_equal(lines_with("start"), 6);
	assert_true(comes("queue 0 peer", 5));
	assert_true(comes("vault 0 signer 0 0", 1));
	stop_master(pid);
	assert_int_equal(lines_with("stop"), 6);
	assert_null(strstr(strstr(read_notes(), "queue 0 stop"), "mda"));
}

/* ---- set-up
 * ------------------------------------------------------------------------------------------ */

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

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, remove_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_WORLD(every_role_gets_its_own),
	    IN_WORLD(no_role_holds_more),
	    IN_WORLD(ps_shows_the_role),
	    IN_WORLD(a_dead_role_comes_back),
	    IN_WORLD(a_dead_queue_is_connected_to_all),
	    IN_WORLD(a_dead_vault_has_all_it_had),
	    IN_WORLD(all_die_together),
	    IN_WORLD(restarts_are_damped),
	    IN_WORLD(the_order_of_the_end),
	    IN_WORLD(the_stubborn_are_killed),
	    IN_WORLD(a_second_signal_ends_at_once),
	    IN_WORLD(nobody_survives_master),
	    IN_WORLD(reload_and_terminal_signals),
	    IN_WORLD(a_second_instance_is_refused),
	    IN_WORLD(a_busy_port_is_named),
	    IN_WORLD(a_role_that_cannot_start_ends_it),
	    IN_WORLD(the_control_socket),
	    IN_WORLD(the_spool_is_private),
	    IN_WORLD(one_process_has_all_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
