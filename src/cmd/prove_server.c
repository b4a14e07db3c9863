/* The server of a campaign: starting it, finding its processes, ending them, asking it. */
#include "cmd/prove.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STAT_BYTES = 512, ANSWER_MAX = 1 << 20, ASK_MSEC = 500, DEATH_SIGNAL = SIGKILL };
static const int64_t greeting_patience = 30 * USEC_PER_SEC;
static const int64_t try_every = 5 * USEC_PER_MSEC;
static const int64_t end_patience = 30 * USEC_PER_SEC;
static const int64_t death_patience = 10 * USEC_PER_SEC;

/* ---- start -------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* 0: there is none. */
static unsigned free_port(void)
{
	struct sockaddr_in at = loopback(0);
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		    getsockname(fd, (struct sockaddr *)&at, &n) == 0;

	if (fd >= 0)
		close(fd);
	return good ? ntohs(at.sin_port) : 0;
}

int server_choose_port(struct prove *p)
{
	p->port = free_port();
	do
		p->tls_port = free_port();
	while (p->tls_port == p->port && p->port != 0);
	return p->port != 0 && p->tls_port != 0 ? 0 : GW_EIO;
}

_Noreturn static void in_server(const struct prove *p, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int err =
	    open(place_path(p, "server", ".err"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || err < 0)
		_exit(1);
	dup2(null, STDIN_FILENO);
	dup2(err, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	unsetenv(DISK_CUT_ENV);
	if (p->token[0] != '\0')
		setenv(DISK_CUT_ENV, p->token, 1);
	execl("/proc/self/exe", "godwit", "--config", place_path(p, "godwit", ".conf"), "serve",
	    (char *)NULL);
	_exit(127);
}

int server_start(struct prove *p)
{
	pid_t parent = getpid();

	/* What master leaves behind when it is killed is ours to wait for. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return GW_EIO;
	fflush(NULL);
	p->server = fork();
	if (p->server == 0)
		in_server(p, parent);
	if (p->server < 0) {
		p->server = 0;
		return GW_EIO;
	}
	setpgid(p->server, p->server);
	return 0;
}

/* ---- its processes ------------------------------------------------------------------------ */

/* Name and parent of a process: "PID (NAME) STATE PARENT ...". */
static bool read_stat(pid_t pid, char name[32], pid_t *parent)
{
	char path[32], text[STAT_BYTES];
	const char *open_at, *close_at;
	int fd, state;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	open_at = strchr(text, '(');
	close_at = strrchr(text, ')');
	if (open_at == NULL || close_at == NULL)
		return false;
	snprintf(name, 32, "%.*s", (int)(close_at - open_at - 1), open_at + 1);
	state = close_at[1] != '\0' ? close_at[2] : 0;
	return sscanf(close_at + 1, " %*c %d", parent) == 1 && state != 'Z' && state != 'X';
}

/* The role of a process of ours, or ROLE_COUNT. */
static enum role role_of(const struct prove *p, pid_t pid)
{
	char name[32];
	pid_t parent;

	if (!read_stat(pid, name, &parent) || parent != p->server || strncmp(name, "gw-", 3) != 0)
		return ROLE_COUNT;
	for (int r = 0; r < ROLE_COUNT; r++) {
		if (strcmp(name + 3, role_names[r]) == 0)
			return (enum role)r;
	}
	return ROLE_COUNT;
}

size_t server_roles(const struct prove *p, struct prove_role *list, size_t max)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	size_t n = 0;

	while (d != NULL && n < max && (e = readdir(d)) != NULL) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;
		enum role role = pid > 0 ? role_of(p, pid) : ROLE_COUNT;

		if (role != ROLE_COUNT)
			list[n++] = (struct prove_role){role, pid};
	}
	if (d != NULL)
		closedir(d);
	return n;
}

void server_kill_role(const struct prove *p, const struct prove_role *r)
{
	int fd = (int)syscall(SYS_pidfd_open, r->pid, 0);

	if (fd < 0)
		return;
	/* Asked after it was opened: the number cannot belong to anybody else now. */
	if (role_of(p, r->pid) == r->role)
		syscall(SYS_pidfd_send_signal, fd, DEATH_SIGNAL, NULL, 0);
	close(fd);
}

/* Until no process of the group is left; false: somebody survived master. */
static bool reap(struct prove *p, pid_t group)
{
	int64_t until = clock_now() + death_patience;

	for (;;) {
		pid_t pid = waitpid(-group, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid == 0 && clock_now() > until)
			return false;
		if (pid == 0)
			prove_wait(p, clock_now() + USEC_PER_MSEC);
	}
}

void server_kill_all(struct prove *p, bool master_only)
{
	pid_t group = p->server;

	if (group == 0)
		return;
	kill(master_only ? group : -group, DEATH_SIGNAL);
	if (!reap(p, group)) {
		prove_trouble(p, "processes went on after master was killed");
		kill(-group, DEATH_SIGNAL);
		(void)!reap(p, group);
	}
	p->server = 0;
}

/* ---- the greeting ------------------------------------------------------------------------- */

static int knock(const struct prove *p)
{
	struct sockaddr_in at = loopback(p->port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* 1: greeted; 0: nothing yet; -1: turned away. */
static int hear(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char text[4] = "";
	ssize_t n;

	if (poll(&pfd, 1, 0) == 0)
		return 0;
	n = recv(fd, text, 3, MSG_DONTWAIT);
	return n == 3 && strcmp(text, "220") == 0 ? 1 : -1;
}

static bool server_ended(struct prove *p)
{
	int status;

	if (p->server == 0 || waitpid(p->server, &status, WNOHANG) != p->server)
		return false;
	prove_trouble(p, "master ended by itself (%s %d)",
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	kill(-p->server, SIGKILL);
	(void)!reap(p, p->server);
	p->server = 0;
	return true;
}

int64_t server_greeting(struct prove *p)
{
	int64_t start = clock_now(), now = start;
	int fd = -1, heard = 0;

	while (heard <= 0 && now - start < greeting_patience && !prove_interrupted(p)) {
		if (fd < 0)
			fd = knock(p);
		heard = fd >= 0 ? hear(fd) : -1;
		if (heard < 0 && fd >= 0) {
			close(fd);
			fd = -1;
		}
		now = clock_now();
		if (heard <= 0)
			prove_wait(p, now + try_every);
		if (heard <= 0 && server_ended(p))
			break;
	}
	if (fd >= 0)
		close(fd);
	if (heard <= 0 && !prove_interrupted(p))
		prove_trouble(p, "no greeting within %lld seconds",
		    (long long)(greeting_patience / USEC_PER_SEC));
	p->up = heard > 0;
	return heard > 0 ? now - start : -1;
}

/* ---- the queue ---------------------------------------------------------------------------- */

static int connect_control(const struct prove *p)
{
	struct timeval patience = {.tv_usec = ASK_MSEC * 1000};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", place_path(p, "control", ""));
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void ask(int fd, struct buf *answer)
{
	static const char request[] = "GET /v1/queue HTTP/1.0\r\nHost: localhost\r\n\r\n";
	char in[4096];
	ssize_t n;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		return;
	while ((n = recv(fd, in, sizeof(in), 0)) > 0)
		buf_add(answer, in, (size_t)n);
	if (n < 0)
		buf_clear(answer);
}

/* Not with cmd/http: while we kill, silence is no news, and it would be told each time. */
int64_t server_queued(const struct prove *p)
{
	int fd = connect_control(p);
	struct buf answer;
	struct span s;
	const uint8_t *body;
	json_t *o = NULL, *n;
	int64_t queued = -1;

	if (fd < 0)
		return -1;
	buf_init(&answer, ANSWER_MAX);
	ask(fd, &answer);
	close(fd);
	s = buf_view(&answer);
	body = s.n > 0 ? memmem(s.p, s.n, "\r\n\r\n", 4) : NULL;
	if (body != NULL)
		o = json_loadb((const char *)body + 4, s.n - (size_t)(body + 4 - s.p), 0, NULL);
	n = json_object_get(o, "messages");
	if (json_is_integer(n))
		queued = json_integer_value(n);
	json_decref(o);
	buf_fini(&answer);
	return queued;
}

/* ---- the end ------------------------------------------------------------------------------ */

void server_stop(struct prove *p)
{
	int64_t until = clock_now() + end_patience;
	pid_t pid = 0;
	int status = 0;

	if (p->server == 0)
		return;
	kill(p->server, SIGTERM);
	while ((pid = waitpid(p->server, &status, WNOHANG)) == 0 && clock_now() < until)
		prove_wait(p, clock_now() + 10 * USEC_PER_MSEC);
	if (pid == 0)
		prove_trouble(p, "SIGTERM did not end it within %lld seconds",
		    (long long)(end_patience / USEC_PER_SEC));
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		prove_trouble(p, "it ended with %s %d", WIFEXITED(status) ? "status" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	kill(-p->server, SIGKILL);
	(void)!reap(p, p->server);
	p->server = 0;
}

static bool is_crash(const char *line)
{
	json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
	json_t *signal_of = json_object_get(o, "signal");
	bool crash = signal_of != NULL ? json_integer_value(signal_of) != DEATH_SIGNAL
				       : json_integer_value(json_object_get(o, "status")) != 0;

	json_decref(o);
	return crash;
}

uint64_t server_crashes(const struct prove *p)
{
	FILE *f = fopen(place_path(p, "godwit", ".log"), "r");
	char *line = NULL;
	size_t cap = 0;
	uint64_t n = 0;

	if (f == NULL)
		return 0;
	while (getline(&line, &cap, f) > 0) {
		if (strstr(line, "\"role.died\"") != NULL && is_crash(line))
			n++;
	}
	free(line);
	fclose(f);
	return n;
}
