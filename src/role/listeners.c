#include "role/listeners.h"

#include "role/dirs.h"
#include "role/port_owner.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, OWNER_TEXT = 128 };

/* ---- Unix sockets ------------------------------------------------------------------------ */

static int unix_address(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa->sun_path))
		return GW_EFULL;
	strcpy(sa->sun_path, path);
	return 0;
}

static bool somebody_answers(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers;

	if (fd < 0)
		return false;
	/* EAGAIN: its backlog is full, so it is alive. */
	answers = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN;
	close(fd);
	return answers;
}

static int bind_unix(const struct sockaddr_un *sa, const unsigned *gid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0117);
	int err = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)sa, sizeof(*sa));

	umask(mask);
	if (err == 0 && gid != NULL)
		err = chown(sa->sun_path, (uid_t)-1, *gid);
	if (err == 0)
		err = listen(fd, BACKLOG);
	if (err == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return GW_EBUSY;
}

int listen_unix(const char *path, const unsigned *gid, const char *what)
{
	struct sockaddr_un sa;
	int fd;

	if (unix_address(path, &sa) < 0) {
		fprintf(stderr, "godwit: %s: %s: the path is longer than %zu octets\n", what, path,
		    sizeof(sa.sun_path) - 1);
		return GW_EBUSY;
	}
	if (somebody_answers(&sa)) {
		fprintf(stderr, "godwit: %s: %s is in use: another godwit is running with it\n",
		    what, path);
		return GW_EBUSY;
	}
	if (dir_make_above(path, 0755) < 0 || (unlink(path) < 0 && errno != ENOENT)) {
		fprintf(stderr, "godwit: %s: %s: %s\n", what, path, strerror(errno));
		return GW_EBUSY;
	}
	fd = bind_unix(&sa, gid);
	if (fd < 0)
		fprintf(stderr, "godwit: %s: %s: %s\n", what, path, strerror(errno));
	return fd;
}

/* ---- TCP --------------------------------------------------------------------------------- */

static int new_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return GW_EIO;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)) {
		close(fd);
		return GW_EIO;
	}
	return fd;
}

/* SO_REUSEPORT would let a second program of the same user share the port unnoticed: the first
 * try is without it. The port of "0" is chosen here, for all workers. */
static int try_alone(struct sockaddr *sa, socklen_t n)
{
	int fd = new_socket(sa->sa_family), err;

	if (fd < 0)
		return GW_EIO;
	err = bind(fd, sa, n);
	if (err == 0)
		err = listen(fd, 1);
	if (err == 0)
		err = getsockname(fd, sa, &n);
	close(fd);
	return err < 0 ? GW_EBUSY : 0;
}

static int listen_tcp(const struct sockaddr *sa, socklen_t n)
{
	int fd = new_socket(sa->sa_family), on = 1;

	if (fd < 0)
		return GW_EIO;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 || bind(fd, sa, n) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		close(fd);
		return GW_EBUSY;
	}
	return fd;
}

static void say_why(const struct listen *conf)
{
	int err = errno;
	const char *hint = "";
	char owner[OWNER_TEXT];

	if (err == EACCES)
		hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	if (err == EADDRNOTAVAIL)
		hint = " (this machine has no such address)";
	fprintf(stderr, "godwit: %s:%u:%u: cannot listen on %s port %u: %s%s",
	    conf->place.file ? conf->place.file : "-", conf->place.line, conf->place.column,
	    conf->at.host ? conf->at.host : "*", conf->at.port, strerror(err), hint);
	if (err == EADDRINUSE && port_owner(conf->at.port, owner, sizeof(owner)))
		fprintf(stderr, ": it belongs to %s", owner);
	fputc('\n', stderr);
}

static void add(struct listeners *l, struct listener x)
{
	l->list = gw_realloc(l->list, (l->n + 1) * sizeof(*l->list));
	l->list[l->n++] = x;
}

static int open_address(
    struct listeners *l, const struct addrinfo *ai, size_t conf, unsigned workers)
{
	if (try_alone(ai->ai_addr, ai->ai_addrlen) < 0)
		return GW_EBUSY;
	for (unsigned w = 0; w < workers; w++) {
		int fd = listen_tcp(ai->ai_addr, ai->ai_addrlen);

		if (fd < 0)
			return GW_EBUSY;
		add(l, (struct listener){.fd = fd, .conf = conf, .worker = w});
	}
	return 0;
}

static int resolve(const struct listen *conf, struct addrinfo **list)
{
	struct addrinfo hint = {
	    .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char *host = conf->at.host;
	char port[8];
	int err;

	if (host != NULL && strcmp(host, "*") == 0)
		host = NULL;
	snprintf(port, sizeof(port), "%u", conf->at.port);
	err = getaddrinfo(host, port, &hint, list);
	if (err == 0)
		return 0;
	fprintf(stderr, "godwit: %s:%u:%u: %s: %s\n", conf->place.file ? conf->place.file : "-",
	    conf->place.line, conf->place.column, conf->at.host, gai_strerror(err));
	return GW_EBUSY;
}

static int open_tcp(struct listeners *l, const struct listen *conf, size_t index, unsigned workers)
{
	struct addrinfo *list;
	size_t before = l->n;
	int err = 0;

	if (resolve(conf, &list) < 0)
		return GW_EBUSY;
	for (const struct addrinfo *ai = list; ai != NULL && err == 0; ai = ai->ai_next) {
		err = open_address(l, ai, index, workers);
		/* A name or "*" may stand for a family that this machine does not have. */
		if (err < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) &&
		    (ai->ai_next != NULL || l->n > before))
			err = 0;
	}
	if (err < 0)
		say_why(conf);
	freeaddrinfo(list);
	return err;
}

int listeners_open(
    struct listeners *l, const struct config *c, unsigned workers, const unsigned *gid)
{
	*l = (struct listeners){0};
	for (size_t i = 0; i < c->n_listen; i++) {
		const struct listen *conf = &c->listen[i];
		int fd;

		if (conf->at.unix_path == NULL) {
			if (open_tcp(l, conf, i, workers) < 0)
				return GW_EBUSY;
			continue;
		}
		fd = listen_unix(conf->at.unix_path, gid, "listen");
		if (fd < 0)
			return GW_EBUSY;
		add(l, (struct listener){.fd = fd, .conf = i, .shared = true});
	}
	return 0;
}

void listeners_close(struct listeners *l, const struct config *c)
{
	for (size_t i = 0; i < l->n; i++) {
		close(l->list[i].fd);
		if (l->list[i].shared)
			unlink(c->listen[l->list[i].conf].at.unix_path);
	}
	free(l->list);
	*l = (struct listeners){0};
}
