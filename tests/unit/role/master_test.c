/*
 * Master with small roles of the test's own: what it gives them, what it does when they die, in
 * which order it ends them, and what it does when it cannot have what it needs.
 */
#include "role/master_files.h"
#include "unit/role/master_world.h"

static void every_role_gets_its_own(void **state)
{
	pid_t pid = start_ready();
	char want[64];
	unsigned n = workers();

	(void)state;
	assert_int_equal(lines_with("queue 0 start"), 1);
	assert_int_equal(lines_with("mda 0 start 1 0"), 1);
	assert_int_equal(lines_with("resolver 0 start 1 0"), 1);
	assert_int_equal(lines_with("history 0 start 1 0"), 1);
	assert_int_equal(lines_with("control 0 start 2 0"), 1);
	assert_int_equal(lines_with("vault 0 start 2 0"), 1);
	assert_int_equal(lines_with("start"), ONCE + 2 * n);
	/* One listener, and queue, vault, resolver and all senders as peers, by index. */
	for (unsigned i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "smtpd %u start %u 1", i, 3 + n);
		assert_int_equal(lines_with(want), 1);
		snprintf(want, sizeof(want), "sender %u start 2 0", i);
		assert_int_equal(lines_with(want), 1);
		snprintf(want, sizeof(want), "resolver 0 peer %d %u", ROLE_SENDER, i);
		assert_true(comes(want, 1));
		snprintf(want, sizeof(want), "resolver 0 peer %d %u", ROLE_SMTPD, i);
		assert_true(comes(want, 1));
		snprintf(want, sizeof(want), "sender 0 peer %d %u", ROLE_SMTPD, i);
		assert_true(comes(want, 1));
	}
	/* The queue was told of everybody, over living channels. */
	assert_true(comes("queue 0 peer", ONCE - 1 + 2 * n));
	assert_true(comes("resolver 0 peer", 2 * n));
	assert_true(comes("history 0 peer", 1));
	assert_int_equal(lines_with("dead-peer"), 0);
	assert_int_equal(lines_with("queue 0 holds 1"), 1);
	assert_int_equal(lines_with("control 0 holds 2"), 1);
	assert_int_equal(lines_with("mda 0 holds 0"), 1);
	snprintf(want, sizeof(want), "control 0 pages %u 1", ONCE + 1 + 2 * n);
	assert_int_equal(lines_with(want), 1);
	assert_int_equal(lines_with("writable 1"), 0);
	assert_int_equal(lines_with("writable 0"), ONCE + 1 + 2 * n);
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
	char want[64];

	(void)state;
	/* channel to master, to the queue, epoll, the pipe of signals */
	assert_int_equal(lines_with("mda 0 holds 0 5 "), 1);
	assert_int_equal(lines_with("resolver 0 holds 0 5 "), 1);
	assert_int_equal(lines_with("history 0 holds 0 5 "), 1);
	assert_int_equal(lines_with("sender 0 holds 0 6 "), 1);
	snprintf(want, sizeof(want), "smtpd 0 holds 0 %u ", 9 + workers());
	assert_int_equal(lines_with(want), 1);
	assert_int_equal(lines_with("control 0 holds 2 7 "), 1);
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
	char told[64];

	(void)state;
	/* Once, if it was the last one to be ready. */
	assert_true(comes("control 0 roles", 1));
	/* Who looks at his end of a channel when the other one is dead finds a dead one. */
	assert_true(comes("queue 0 peer 3 0 ", 1));
	assert_true(comes("resolver 0 peer 3 0 ", 1));
	kill(victim, SIGKILL);
	assert_true(comes("sender 0 start", 2));
	assert_int_not_equal(pid_of("sender 0 start"), victim);
	/* Who speaks with it gets a new end of the channel; nobody else is bothered. */
	assert_true(comes("queue 0 peer 3 0 ", 2));
	assert_true(comes("resolver 0 peer 3 0 ", 2));
	assert_true(comes("smtpd 0 peer 3 0 ", 1));
	assert_int_equal(lines_with("vault 0 peer 3"), 0);
	/* Control is told of it. */
	snprintf(told, sizeof(told), "control 0 roles %u 1 pid", ONCE + 2 * workers() + 1);
	assert_true(comes(told, 1));
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
	snprintf(want, sizeof(want), "queue 0 start %u 0", ONCE - 1 + 2 * n);
	assert_int_equal(lines_with(want), 1);
	assert_true(comes("smtpd 0 peer 2 0", 1));
	assert_true(comes("sender 0 peer 2 0", 1));
	assert_true(comes("mda 0 peer 2 0", 1));
	assert_true(comes("control 0 peer 2 0", 1));
	assert_true(comes("vault 0 peer 2 0", 1));
	assert_true(comes("resolver 0 peer 2 0", 1));
	assert_true(comes("history 0 peer 2 0", 1));
	stop_master(pid);
}

/* It comes back with sockets to all receivers, and they get their ends; and its file again. */
static void a_dead_vault_has_all_it_had(void **state)
{
	pid_t pid = start_ready();
	unsigned n = workers();
	char want[64];

	(void)state;
	snprintf(want, sizeof(want), "vault 0 file %d 1", FILE_TICKET_KEY);
	assert_true(comes(want, 1));
	snprintf(want, sizeof(want), "control 0 peer %d 0", ROLE_VAULT);
	assert_true(comes(want, 1));
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

/* Queue, receivers and senders are told of the new one, and it of them. */
static void a_dead_resolver_is_connected_to_who_asks(void **state)
{
	pid_t pid = start_ready();
	unsigned n = workers();
	char want[64];

	(void)state;
	snprintf(want, sizeof(want), "queue 0 peer %d 0", ROLE_RESOLVER);
	assert_true(comes(want, 1));
	kill(pid_of("resolver 0 start"), SIGKILL);
	assert_true(comes("resolver 0 start", 2));
	snprintf(want, sizeof(want), "resolver 0 start %u 0", 1 + 2 * n);
	assert_int_equal(lines_with(want), 1);
	for (unsigned i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "smtpd %u peer %d 0", i, ROLE_RESOLVER);
		assert_true(comes(want, 1));
		snprintf(want, sizeof(want), "sender %u peer %d 0", i, ROLE_RESOLVER);
		assert_true(comes(want, 1));
	}
	snprintf(want, sizeof(want), "queue 0 peer %d 0", ROLE_RESOLVER);
	assert_true(comes(want, 2));
	assert_int_equal(lines_with("dead-peer"), 0);
	stop_master(pid);
}

/* All at once, several times: in the end everybody has a living channel to everybody. */
static void all_die_together(void **state)
{
	static const char *const roles[] = {"queue 0 start", "mda 0 start", "sender 0 start",
	    "control 0 start", "vault 0 start", "smtpd 0 start", "resolver 0 start",
	    "history 0 start"};
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
	/* Not yet the longest, 4 s each. */
	assert_true(clock_now() - begin < 12 * USEC_PER_SEC);
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
	/* Its patience would be five. */
	assert_true(clock_now() - begin < 4 * USEC_PER_SEC);
}

/* kill -9 of master leaves no orphan that holds the port or the spool. */
static void nobody_survives_master(void **state)
{
	pid_t pid = start_ready();

	(void)state;
	/* One that does not look at its channels is no exception. */
	kill(pid_of("queue 0 start"), SIGSTOP);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(all_end());
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
	assert_int_equal(lines_with("start"), ONCE + 2 * workers());
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
	assert_true(all_end());
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

/* Whoever had the spool before swaps a file of his and one of somebody else, over and over. */
static void swap_for_ever(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (;;)
		renameat2(fd, "a", fd, "b", RENAME_EXCHANGE);
}

static void put_file(const char *dir, const char *name, unsigned owner)
{
	char path[PATH_LENGTH * 2];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchown(fd, owner, owner), 0);
	close(fd);
}

/* How often who was to have one has the file of root. */
static unsigned hand_over_many(const char *dir, unsigned from, unsigned to)
{
	enum { TIMES = 100000 };
	char path[PATH_LENGTH * 2];
	unsigned wrong = 0;
	struct stat st;

	for (int i = 0; i < TIMES && wrong == 0; i++) {
		unsigned uid = i % 2 == 0 ? to : from;
		int fd = master_spool(dir, &uid, &uid);

		assert_true(fd >= 0);
		close(fd);
		for (const char *name = "a"; name != NULL; name = *name == 'a' ? "b" : NULL) {
			snprintf(path, sizeof(path), "%s/%s", dir, name);
			wrong += stat(path, &st) == 0 && st.st_size == 1 && st.st_uid != 0;
		}
	}
	return wrong;
}

static void another_owner_gets_the_files_of_the_last_one(void **state)
{
	enum { FROM = 1234, TO = 5678 };
	char dir[PATH_LENGTH + 16], path[PATH_LENGTH * 2];
	unsigned wrong;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(dir, sizeof(dir), "%s/old", top);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chown(dir, FROM, FROM), 0);
	put_file(dir, "a", FROM);
	put_file(dir, "b", 0);
	snprintf(path, sizeof(path), "%s/b", dir);
	assert_int_equal(truncate(path, 1), 0); /* the one of root */
	pid = fork();
	if (pid == 0)
		swap_for_ever(dir);
	wrong = hand_over_many(dir, FROM, TO);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(wrong, 0);
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
	assert_int_equal(lines_with("start"), ONCE + 2);
	assert_true(comes("queue 0 peer", ONCE + 1));
	assert_true(comes("vault 0 signer 0 0", 1));
	stop_master(pid);
	assert_int_equal(lines_with("stop"), ONCE + 2);
	assert_null(strstr(strstr(read_notes(), "queue 0 stop"), "mda"));
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
	    IN_WORLD(a_dead_resolver_is_connected_to_who_asks),
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
	    IN_WORLD(another_owner_gets_the_files_of_the_last_one),
	    IN_WORLD(one_process_has_all_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
