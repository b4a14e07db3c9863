/*
 * Every jailed role tries every door that is not its own, in its real jail, as root and as a plain
 * user: the try must fail or end the process. And what the role lives from must work there, so
 * that a jail which forbids everything does not pass.
 */
#include "unit/role/sandbox_doors.h"

#include "auth/passhash.h"
#include "role/history_db.h"
#include "role/vault_keys.h"
#include "role/vault_pair.h"

#include <openssl/pem.h>

enum { OPEN_DOOR = 77, REFUSED = 10, BROKEN = 99, NOBODY = 65534 };

/* ---- who may do which --------------------------------------------------------------------------
 */

enum {
	SENDER = 1 << ROLE_SENDER,
	MDA = 1 << ROLE_MDA,
	VAULT = 1 << ROLE_VAULT,
	RESOLVER = 1 << ROLE_RESOLVER,
};

static const struct door {
	const char *name;
	bool (*try)(void);
	unsigned allowed; /* roles that need it */
} doors[] = {
    {"read a file", try_read_file, 0},
    {"read /etc/passwd", try_read_passwd, 0},
    {"climb out with ..", try_climb_out, 0},
    {"write a file", try_write_file, 0},
    {"list a directory", try_list_root, 0},
    {"connect by TCP", try_connect_tcp, SENDER | RESOLVER},
    {"connect to a Unix socket", try_connect_unix, SENDER},
    {"datagram socket", try_datagram, RESOLVER},
    {"raw socket", try_raw_socket, 0},
    {"netlink socket", try_netlink, 0},
    {"socket with high bits", try_wide_family, 0},
    {"listen", try_listen, 0},
    {"fork", try_fork, MDA},
    {"clone", try_vfork, MDA},
    {"clone3", try_clone3, 0},
    {"start a thread", try_thread, 0},
    {"execute a program", try_exec, 0},
    {"execute a descriptor", try_exec_memory, 0},
    {"trace the parent", try_ptrace, 0},
    {"be traced", try_be_traced, 0},
    {"read the parent's memory", try_read_memory, 0},
    {"kill", try_kill, 0},
    {"tgkill", try_tgkill, 0},
    {"kill by pidfd", try_pidfd_kill, 0},
    {"mount", try_mount, 0},
    {"chroot", try_chroot, 0},
    {"new namespace", try_namespace, 0},
    {"clone into a namespace", try_clone_namespace, 0},
    {"become root", try_become_root, 0},
    {"change a limit", try_raise_limit, MDA},
    {"memory to run", try_run_memory, 0},
    {"make memory runnable", try_make_runnable, 0},
    {"memory file", try_memfd, VAULT},
    {"io_uring", try_io_uring, 0},
    {"bpf", try_bpf, 0},
    {"keys", try_keys, 0},
    {"socket filter", try_attach_filter, 0},
    {"terminal input", try_type_into_terminal, 0},
};

/* ---- the jails ----------------------------------------------------------------------------------
 */

/* As master makes them. */
static struct sandbox_filters *filters;
/* Likewise: what the library reads from files was read. */
static struct vault_keys *vault_keys;
static BIO *pem;
static struct span pair_pem; /* in pem */

static struct sandbox jail_of(enum role role)
{
	static const char *trees[] = {spool};
	struct sandbox s = {.role = role,
	    .enabled = true,
	    .user = "gw-no-such-user",
	    .root = "",
	    .filters = filters};

	if (role == ROLE_QUEUE || role == ROLE_HISTORY) {
		s.root = spool;
		s.writable = spool;
	}
	if (role == ROLE_MDA) {
		s.root = NULL;
		s.trees = trees;
		s.n_trees = 1;
	}
	/* A sender that delivers to a Unix socket keeps the real root: only the filter stands. */
	if (role == ROLE_SENDER)
		s.root = NULL;
	return s;
}

static void be_plain_user(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				  setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(BROKEN);
}

static void enter(enum role role, bool as_root)
{
	struct sandbox s = jail_of(role);

	/* A loop has these before the jail. */
	epoll_fd = epoll_create1(0);
	if (epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair_fd) < 0)
		_exit(BROKEN);
	if (!as_root)
		be_plain_user();
	sandbox_confine(&s);
	sandbox_seal(&s);
}

static int run(enum role role, bool as_root, bool (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		enter(role, as_root);
		_exit(what() ? OPEN_DOOR : REFUSED);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool refused(int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS;
	return WEXITSTATUS(status) == REFUSED;
}

static bool is_open(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == OPEN_DOOR;
}

static void try_doors(enum role role, bool as_root)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < GW_ARRAY_LEN(doors); i++) {
		bool allowed = doors[i].allowed >> role & 1;
		int status = run(role, as_root, doors[i].try);

		if (allowed ? is_open(status) : refused(status))
			continue;
		/* As root the mda may become anybody: that is what it is for. */
		if (role == ROLE_MDA && as_root && doors[i].try == try_become_root)
			continue;
		print_error("%s as %s: %s: status %x\n", role_names[role],
		    as_root ? "root" : "user", doors[i].name, (unsigned)status);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void doors_are_shut(void **state)
{
	enum role role = (enum role)(uintptr_t)*state;

	if (!sandbox_possible())
		skip();
	try_doors(role, false);
	if (geteuid() == 0)
		try_doors(role, true);
}

/* The doors are real: without the jail, as this user, those that need no rights are open. */
static void doors_open_without_jail(void **state)
{
	static bool (*const open_to_all[])(void) = {try_read_file, try_read_passwd, try_write_file,
	    try_connect_tcp, try_connect_unix, try_datagram, try_listen, try_fork, try_vfork,
	    try_clone3, try_thread, try_kill, try_tgkill, try_pidfd_kill, try_be_traced,
	    try_run_memory, try_make_runnable, try_memfd};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(open_to_all); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(open_to_all[i]() ? OPEN_DOOR : REFUSED);
		waitpid(pid, &status, 0);
		if (!is_open(status))
			print_error("door %zu is shut without a jail\n", i);
		assert_true(is_open(status));
	}
}

/* ---- what they need
 * ------------------------------------------------------------------------------ */

static bool loop_works(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	char c = 'x';
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	time_t now = 1700000000;
	struct tm tm;
	char text[64];
	void *p;

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair_fd[0], &ev) < 0 ||
	    sendmsg(pair_fd[1], &msg, 0) != 1 || epoll_wait(epoll_fd, &ev, 1, 1000) != 1 ||
	    recvmsg(pair_fd[0], &msg, 0) != 1)
		return false;
	/* Local time is what a C library reads files for. */
	if (localtime_r(&now, &tm) == NULL || strftime(text, sizeof(text), "%c %Z", &tm) == 0)
		return false;
	p = malloc(1 << 20);
	if (p == NULL)
		return false;
	p = realloc(p, 4 << 20);
	free(p);
	return write(pipe_fd[1], "x", 1) == 1;
}

static bool takes_connections(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int unix_one = accept4(unix_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa), m = sizeof(struct ucred);
	struct ucred who;

	return loop_works() && fd >= 0 && unix_one >= 0 &&
	       setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on)) == 0 &&
	       getpeername(fd, (struct sockaddr *)&sa, &n) == 0 &&
	       getsockopt(unix_one, SOL_SOCKET, SO_PEERCRED, &who, &m) == 0 &&
	       send(fd, "220 x\r\n", 7, MSG_NOSIGNAL) == 7 && shutdown(fd, SHUT_WR) == 0;
}

static bool sends(void)
{
	struct sockaddr_in from = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;
	socklen_t n = sizeof(err);

	return loop_works() && fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	       (connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)) == 0 ||
		   errno == EINPROGRESS) &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && try_connect_unix();
}

/* From a port of its own to a server, over both families and by UDP and TCP. */
static bool asks_over(int family, struct sockaddr *from, socklen_t n)
{
	int udp = socket(family, SOCK_DGRAM, 0), how = IP_PMTUDISC_OMIT, on = 1;
	int tcp = socket(family, SOCK_STREAM, IPPROTO_TCP);

	if (udp < 0 || tcp < 0 || fcntl(udp, F_SETFL, O_NONBLOCK) < 0)
		return false;
	if (family == AF_INET6 && setsockopt(udp, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return false;
	if (family == AF_INET &&
	    setsockopt(udp, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof(how)) < 0)
		return false;
	return bind(udp, from, n) == 0 && setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, 4) == 0;
}

static bool asks(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return loop_works() && asks_over(AF_INET, (struct sockaddr *)&v4, sizeof(v4)) &&
	       asks_over(AF_INET6, (struct sockaddr *)&v6, sizeof(v6)) && fd >= 0 &&
	       connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)) == 0 &&
	       send(fd, "x", 1, MSG_NOSIGNAL) == 1 && try_connect_tcp();
}

static int spool_fd;

static bool keeps_a_log(void)
{
	int dir = spool_fd;
	int fd = openat(dir, "segment", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char names[1024], c;
	struct stat st;

	return loop_works() && fd >= 0 && fallocate(fd, 0, 0, 65536) == 0 &&
	       pwrite(fd, "x", 1, 100) == 1 && pread(fd, &c, 1, 100) == 1 && fdatasync(fd) == 0 &&
	       fstat(fd, &st) == 0 && ftruncate(fd, 10) == 0 &&
	       renameat(dir, "segment", dir, "other") == 0 && fsync(dir) == 0 &&
	       lseek(dir, 0, SEEK_SET) == 0 &&
	       syscall(SYS_getdents64, dir, names, sizeof(names)) > 0 &&
	       unlinkat(dir, "other", 0) == 0;
}

static bool delivers(void)
{
	pid_t pid = fork();
	int status, p[2];

	if (pid == 0) {
		int fd, box = open(spool, O_RDONLY | O_DIRECTORY);

		if (geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(1);
		sandbox_delivery_child(box, 1 << 20, 60, true, filters);
		fd = openat(box, "mail", O_WRONLY | O_CREAT, 0600);
		if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) < 0 ||
		    mkdirat(box, "new", 0700) < 0 ||
		    renameat2(box, "mail", box, "new/mail", RENAME_NOREPLACE) < 0 ||
		    unlinkat(box, "new/mail", 0) < 0 || unlinkat(box, "new", AT_REMOVEDIR) == 0)
			_exit(2);
		_exit(0);
	}
	return loop_works() && pipe2(p, O_CLOEXEC) == 0 && pid > 0 &&
	       waitpid(pid, &status, 0) == pid && status == 0;
}

/* A handshake's signature, a password, and the accounts for others. */
static bool signs(void)
{
	struct signer_request r = {
	    .scheme = SIGNER_ECDSA, .digest = SIGNER_SHA256, .octets = 32, .value = {1}};
	uint8_t out[SIGNER_SIGNATURE_MAX];
	struct pair p;

	pair_self_signed("mx.test", 1700000000, &p);
	r.key = vault_keys_add(vault_keys, p.key);
	p.key = NULL;
	pair_free(&p);
	return vault_keys_sign(vault_keys, &r, out) > 0;
}

static bool loads_a_pair(void)
{
	char reason[PAIR_REASON];
	struct pair p;

	return pair_load(pair_pem, pair_pem, &p, reason) == 0;
}

static bool keeps_secrets(void)
{
	static const char sha512[] =
	    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFN"
	    "jnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char made[PASSHASH_MAX];

	return loop_works() && signs() && loads_a_pair() && fd >= 0 && write(fd, "x", 1) == 1 &&
	       fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE) == 0 &&
	       passhash_make(SPAN("a"), made) == 0 && passhash_verify(span_str(made), SPAN("a")) &&
	       passhash_verify(span_str(sha512), SPAN("Hello world!"));
}

/* A database where it may be, made, written, left and made again, and nowhere else. */
static bool keeps_a_database(void)
{
	const char *where = access(spool, F_OK) == 0 ? spool : "";
	struct story_place at = {1, 4096, 7};
	struct history_db *db = NULL;
	char path[300], aside[400], why[100];

	snprintf(path, sizeof(path), "%s/history.db", where);
	for (int i = 0; i < 2; i++) {
		if (history_db_open(&db, path, why, sizeof(why)) != 0 ||
		    history_db_commit(db, &at) != 0 || db->place.offset != 4096)
			return false;
		history_db_close(&db);
		if (history_db_aside(path, i, aside, sizeof(aside)) != 0 || unlink(aside) != 0)
			return false;
	}
	return loop_works() && history_db_open(&db, "/tmp/history.db", why, sizeof(why)) != 0;
}

static bool (*const needs[ROLE_COUNT])(void) = {
    [ROLE_SMTPD] = takes_connections,
    [ROLE_QUEUE] = keeps_a_log,
    [ROLE_SENDER] = sends,
    [ROLE_MDA] = delivers,
    [ROLE_CONTROL] = takes_connections,
    [ROLE_VAULT] = keeps_secrets,
    [ROLE_RESOLVER] = asks,
    [ROLE_HISTORY] = keeps_a_database,
};

/* Those who came through doors of earlier tests are gone. */
static void forget_clients(int fd)
{
	int one;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((one = accept(fd, NULL, NULL)) >= 0)
		close(one);
	fcntl(fd, F_SETFL, 0);
}

static void make_clients(int fd[2])
{
	forget_clients(listen_fd);
	forget_clients(unix_fd);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	fd[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&tcp_at, sizeof(tcp_at)), 0);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&unix_at, sizeof(unix_at)), 0);
}

static void its_work_goes_on(void **state)
{
	enum role role = (enum role)(uintptr_t)*state;

	if (!sandbox_possible())
		skip();
	for (int as_root = 0; as_root <= (geteuid() == 0); as_root++) {
		int client[2], status;
		char path[160];

		make_clients(client);
		status = run(role, as_root, needs[role]);
		if (!is_open(status))
			print_error("%s as %s: status %x\n", role_names[role],
			    as_root ? "root" : "user", (unsigned)status);
		assert_true(is_open(status));
		close(client[0]);
		close(client[1]);
		snprintf(path, sizeof(path), "%s/new", spool);
		rmdir(path);
	}
}

/* ---- single walls
 * --------------------------------------------------------------------------------- */

static int run_confined(enum role role, bool as_root, bool (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct sandbox s = jail_of(role);

		if (!as_root)
			be_plain_user();
		sandbox_confine(&s);
		_exit(what() ? OPEN_DOOR : REFUSED);
	}
	waitpid(pid, &status, 0);
	return status;
}

/* Before the filter stands, Landlock alone keeps a plain user from files and from TCP. */
static void landlock_alone(void **state)
{
	int ruleset = landlock_new(false, true);

	(void)state;
	if (!sandbox_possible() || ruleset < 0)
		skip();
	close(ruleset);
	for (int role = ROLE_SMTPD; role < ROLE_COUNT; role++) {
		assert_true(refused(run_confined(role, false, try_read_file)));
		assert_true(refused(run_confined(role, false, try_write_file)));
		if (role != ROLE_SENDER && role != ROLE_RESOLVER)
			assert_true(refused(run_confined(role, false, try_connect_tcp)));
		assert_true(refused(run_confined(role, false, try_kill)));
	}
	assert_true(is_open(run_confined(ROLE_SENDER, false, try_connect_tcp)));
	assert_true(is_open(run_confined(ROLE_RESOLVER, false, try_connect_tcp)));
}

static bool has_changed_uid(void)
{
	uid_t r, e, s;
	gid_t groups[4];

	return getresuid(&r, &e, &s) == 0 && r != 0 && e != 0 && s != 0 && getgid() != 0 &&
	       getgroups(4, groups) == 0 && prctl(PR_GET_DUMPABLE) == 0 &&
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool sees_root(void)
{
	struct stat st;

	return stat("/etc", &st) == 0 || stat("/tmp", &st) == 0 || mkdir("/x", 0700) == 0;
}

static bool can_only_change_uid(void)
{
	/* Powers of root besides that: gone. */
	return chown(outside, 1, 1) < 0 && mount("none", "/tmp", "tmpfs", 0, NULL) < 0 &&
	       kill(1, 0) < 0 && getgroups(0, NULL) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static void root_is_lost(void **state)
{
	static const enum role roles[] = {ROLE_SMTPD, ROLE_QUEUE, ROLE_SENDER, ROLE_CONTROL,
	    ROLE_VAULT, ROLE_RESOLVER, ROLE_HISTORY};

	(void)state;
	if (geteuid() != 0 || !sandbox_possible())
		skip();
	for (size_t i = 0; i < GW_ARRAY_LEN(roles); i++) {
		assert_true(is_open(run_confined(roles[i], true, has_changed_uid)));
		assert_true(refused(run_confined(roles[i], true, try_become_root)));
		if (roles[i] != ROLE_SENDER)
			assert_true(refused(run_confined(roles[i], true, sees_root)));
	}
	assert_true(is_open(run_confined(ROLE_MDA, true, can_only_change_uid)));
}

/* ---- threads of the queue
 * -------------------------------------------------------------------------- */

static int go_fd[2];

static void *thread_breaks_out(void *arg)
{
	char c;

	if (read(go_fd[0], &c, 1) == 1 && try_datagram())
		_exit(OPEN_DOOR);
	return arg;
}

/* A thread that was started between the two steps is sealed with the others. */
static void threads_are_sealed(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct sandbox s = jail_of(ROLE_QUEUE);
		pthread_t t;

		if (pipe(go_fd) < 0)
			_exit(BROKEN);
		sandbox_confine(&s);
		if (pthread_create(&t, NULL, thread_breaks_out, NULL) != 0)
			_exit(BROKEN);
		sandbox_seal(&s);
		if (write(go_fd[1], "x", 1) == 1)
			pthread_join(t, NULL);
		_exit(REFUSED);
	}
	waitpid(pid, &status, 0);
	if (sandbox_possible())
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---- the child that delivers
 * ------------------------------------------------------------------------ */

static int run_delivery(bool (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int box = open(spool, O_RDONLY | O_DIRECTORY);

		be_plain_user();
		sandbox_delivery_child(box, 1000, 1, true, filters);
		_exit(what() ? OPEN_DOOR : REFUSED);
	}
	waitpid(pid, &status, 0);
	return status;
}

static bool try_long_file(void)
{
	static char much[2000];
	int fd = open(spool, O_RDONLY | O_DIRECTORY),
	    out = openat(fd, "long", O_WRONLY | O_CREAT, 0600);

	if (out < 0)
		return true;
	unlinkat(fd, "long", 0);
	return write(out, much, sizeof(much)) == (ssize_t)sizeof(much);
}

static bool try_put_off_alarm(void)
{
	alarm(0);
	return true;
}

static bool try_ignore_alarm(void)
{
	signal(SIGALRM, SIG_IGN);
	return true;
}

static bool hang(void)
{
	char c;

	return read(pipe_fd[0], &c, 1) == 1 && read(go_fd[0], &c, 1) == 1;
}

static void delivery_child_is_jailed(void **state)
{
	int status;

	(void)state;
	if (!sandbox_possible())
		skip();
	for (size_t i = 0; i < GW_ARRAY_LEN(doors); i++) {
		status = run_delivery(doors[i].try);
		if (!refused(status))
			print_error("delivery: %s: status %x\n", doors[i].name, (unsigned)status);
		assert_true(refused(status));
	}
	assert_true(refused(run_delivery(try_long_file)));
	assert_true(refused(run_delivery(try_put_off_alarm)));
	assert_true(refused(run_delivery(try_ignore_alarm)));
	assert_int_equal(pipe(go_fd), 0);
	while (read(pipe_fd[0], &status, 1) > 0 && fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK) == 0)
		;
	fcntl(pipe_fd[0], F_SETFL, 0);
	status = run_delivery(hang);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

static void users_are_found(void **state)
{
	unsigned uid = 0, gid = 0;

	(void)state;
	assert_int_equal(sandbox_ids("gw-no-such-user", ROLE_SMTPD, &uid, &gid), 1);
	assert_int_not_equal(uid, 0);
	assert_int_equal(sandbox_ids("daemon", ROLE_SMTPD, &uid, &gid), 0);
	assert_int_equal(uid, 1);
	/* root is no answer, whatever the configuration says. */
	assert_int_equal(sandbox_ids("root", ROLE_SMTPD, &uid, &gid), 1);
	assert_int_not_equal(uid, 0);
}

/* ---- set-up
 * ------------------------------------------------------------------------------------------ */

/* Certificate and key in one text, kept in out. */
static struct span make_pem(BIO *out)
{
	const uint8_t *at;
	struct pair p;
	char *text;
	X509 *x;
	long n;

	pair_self_signed("mx.test", 1700000000, &p);
	at = p.chain[0].p;
	x = d2i_X509(NULL, &at, (long)p.chain[0].n);
	PEM_write_bio_X509(out, x);
	PEM_write_bio_PrivateKey(out, p.key, NULL, NULL, 0, NULL, NULL);
	X509_free(x);
	pair_free(&p);
	n = BIO_get_mem_data(out, &text);
	return span_of(text, (size_t)n);
}

static int make_world(void **state)
{
	vault_keys = vault_keys_new();
	pem = BIO_new(BIO_s_mem());
	pair_pem = make_pem(pem);
	filters = sandbox_filters_new();
	socklen_t n = sizeof(tcp_at);
	int fd;

	(void)state;
	assert_non_null(mkdtemp(top));
	chmod(top, 0777);
	snprintf(spool, sizeof(spool), "%s/spool", top);
	snprintf(outside, sizeof(outside), "%s/outside", top);
	snprintf(readable, sizeof(readable), "%s/readable", top);
	mkdir(spool, 0777);
	chmod(spool, 0777);
	fd = open(readable, O_WRONLY | O_CREAT, 0644);
	fchmod(fd, 0666);
	close(fd);
	tcp_at =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), 0);
	assert_int_equal(listen(listen_fd, 100), 0);
	getsockname(listen_fd, (struct sockaddr *)&tcp_at, &n);
	unix_at.sun_family = AF_UNIX;
	snprintf(unix_at.sun_path, sizeof(unix_at.sun_path), "%s/socket", top);
	unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(unix_fd, (struct sockaddr *)&unix_at, sizeof(unix_at)), 0);
	chmod(unix_at.sun_path, 0666);
	assert_int_equal(listen(unix_fd, 100), 0);
	assert_int_equal(pipe(pipe_fd), 0);
	spool_fd = open(spool, O_RDONLY | O_DIRECTORY);
	return 0;
}

static int remove_world(void **state)
{
	(void)state;
	BIO_free(pem);
	unlink(outside);
	unlink(readable);
	unlink(unix_at.sun_path);
	rmdir(spool);
	return rmdir(top);
}

#define FOR(test, role) \
	{ \
#test " " #role, test, NULL, NULL, (void *)(uintptr_t)ROLE_##role \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(doors_open_without_jail),
	    FOR(doors_are_shut, SMTPD),
	    FOR(doors_are_shut, QUEUE),
	    FOR(doors_are_shut, SENDER),
	    FOR(doors_are_shut, MDA),
	    FOR(doors_are_shut, CONTROL),
	    FOR(doors_are_shut, VAULT),
	    FOR(doors_are_shut, RESOLVER),
	    FOR(doors_are_shut, HISTORY),
	    FOR(its_work_goes_on, SMTPD),
	    FOR(its_work_goes_on, QUEUE),
	    FOR(its_work_goes_on, SENDER),
	    FOR(its_work_goes_on, MDA),
	    FOR(its_work_goes_on, CONTROL),
	    FOR(its_work_goes_on, VAULT),
	    FOR(its_work_goes_on, RESOLVER),
	    FOR(its_work_goes_on, HISTORY),
	    cmocka_unit_test(landlock_alone),
	    cmocka_unit_test(root_is_lost),
	    cmocka_unit_test(threads_are_sealed),
	    cmocka_unit_test(delivery_child_is_jailed),
	    cmocka_unit_test(users_are_found),
	};

	return cmocka_run_group_tests(tests, make_world, remove_world);
}
