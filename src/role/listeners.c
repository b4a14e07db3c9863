#include "role/listeners.h"

#include "role/dirs.h"
#include "role/port_owner.h"
#include "role/unix_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, OWNER_TEXT = 128, WHERE_TEXT = 1024 };

/* ---- Unix sockets ------------------------------------------------------------------------ */

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

int listen_unix(const char *path, const unsigned *gid, const char *what, FILE *say)
{
	struct sockaddr_un sa;
	int fd;

	if (unix_socket_address(path, &sa) < 0) {
		fprintf(say, "godwit: %s: %s: the path is longer than %zu octets\n", what, path,
		    sizeof(sa.sun_path) - 1);
		return GW_EBUSY;
	}
	if (unix_socket_answers(&sa)) {
		fprintf(say, "godwit: %s: %s is in use: another godwit is running with it\n", what,
		    path);
		return GW_EBUSY;
	}
	if (dir_make_above(path, 0755) < 0 || (unlink(path) < 0 && errno != ENOENT)) {
		fprintf(say, "godwit: %s: %s: %s\n", what, path, strerror(errno));
		return GW_EBUSY;
	}
	fd = bind_unix(&sa, gid);
	if (fd < 0)
		fprintf(say, "godwit: %s: %s: %s\n", what, path, strerror(errno));
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

static void say_why(const struct listen *conf, FILE *say)
{
	int err = errno;
	const char *hint = "";
	char owner[OWNER_TEXT];

	if (err == EACCES)
		hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	if (err == EADDRNOTAVAIL)
		hint = " (this machine has no such address)";
	fprintf(say, "godwit: %s:%u:%u: cannot listen on %s port %u: %s%s",
	    conf->place.file ? conf->place.file : "-", conf->place.line, conf->place.column,
	    conf->at.host ? conf->at.host : "*", conf->at.port, strerror(err), hint);
	if (err == EADDRINUSE && port_owner(conf->at.port, owner, sizeof(owner)))
		fprintf(say, ": it belongs to %s", owner);
	fputc('\n', say);
}

static void add(struct listeners *l, struct listener x)
{
	l->list = gw_realloc(l->list, (l->n + 1) * sizeof(*l->list));
	x.number = ++l->last;
	l->list[l->n++] = x;
}

/* What the sockets of one statement are opened for. */
struct opening {
	const struct listen *conf;
	size_t index;
	unsigned workers;
	const unsigned *gid;
	bool ours; /* a socket of ours may be on that port: who else is cannot be seen */
	FILE *say;
};

static int open_address(struct listeners *l, const struct addrinfo *ai, const struct opening *o)
{
	if (!o->ours && try_alone(ai->ai_addr, ai->ai_addrlen) < 0)
		return GW_EBUSY;
	for (unsigned w = 0; w < o->workers; w++) {
		int fd = listen_tcp(ai->ai_addr, ai->ai_addrlen);

		if (fd < 0)
			return GW_EBUSY;
		add(l, (struct listener){.fd = fd, .conf = o->index, .worker = w});
	}
	return 0;
}

static int resolve(const struct listen *conf, struct addrinfo **list, FILE *say)
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
	fprintf(say, "godwit: %s:%u:%u: %s: %s\n", conf->place.file ? conf->place.file : "-",
	    conf->place.line, conf->place.column, conf->at.host, gai_strerror(err));
	return GW_EBUSY;
}

static int open_tcp(struct listeners *l, const struct opening *o)
{
	struct addrinfo *list;
	size_t before = l->n;
	int err = 0;

	if (resolve(o->conf, &list, o->say) < 0)
		return GW_EBUSY;
	for (const struct addrinfo *ai = list; ai != NULL && err == 0; ai = ai->ai_next) {
		err = open_address(l, ai, o);
		/* A name or "*" may stand for a family that this machine does not have. */
		if (err < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) &&
		    (ai->ai_next != NULL || l->n > before))
			err = 0;
	}
	if (err < 0)
		say_why(o->conf, o->say);
	freeaddrinfo(list);
	return err;
}

static int listen_at_path(const struct listen *conf, const unsigned *gid, FILE *say)
{
	struct unix_socket u = {conf->at.unix_path, conf->mode, conf->owner, conf->group, gid};

	const struct place *p = &conf->place;
	char where[WHERE_TEXT];

	snprintf(where, sizeof(where), "%s:%u:%u", p->file ? p->file : "-", p->line, p->column);
	return unix_socket_listen(&u, where, say);
}

static int open_one(struct listeners *l, const struct opening *o)
{
	int fd;

	if (o->conf->at.unix_path == NULL)
		return open_tcp(l, o);
	fd = listen_at_path(o->conf, o->gid, o->say);
	if (fd < 0)
		return GW_EBUSY;
	add(l, (struct listener){.fd = fd, .conf = o->index, .shared = true});
	return 0;
}

int listeners_open(
    struct listeners *l, const struct config *c, unsigned workers, const unsigned *gid, FILE *say)
{
	*l = (struct listeners){0};
	for (size_t i = 0; i < c->n_listen; i++) {
		struct opening o = {&c->listen[i], i, workers, gid, false, say};

		if (open_one(l, &o) < 0)
			return GW_EBUSY;
	}
	return 0;
}

static void close_one(const struct listener *x, const struct config *c)
{
	close(x->fd);
	if (x->shared)
		unlink(c->listen[x->conf].at.unix_path);
}

void listeners_close(struct listeners *l, const struct config *c)
{
	for (size_t i = 0; i < l->n; i++)
		close_one(&l->list[i], c);
	free(l->list);
	*l = (struct listeners){0};
}

size_t listeners_of_worker(const struct listeners *l, unsigned worker)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->list[i].shared || l->list[i].worker == worker;
	return n;
}

/* ---- reload ------------------------------------------------------------------------------- */

static bool same_place(const struct endpoint *a, const struct endpoint *b)
{
	if (a->unix_path != NULL || b->unix_path != NULL)
		return a->unix_path != NULL && b->unix_path != NULL &&
		       strcmp(a->unix_path, b->unix_path) == 0;
	return a->port == b->port && strcmp(a->host ? a->host : "*", b->host ? b->host : "*") == 0;
}

/* The sockets that are open at this address already; how many. */
static size_t keep(
    const struct listeners_change *x, const struct opening *o, struct listeners *next)
{
	size_t n = 0;

	for (size_t i = 0; i < x->old->n; i++) {
		struct listener kept = x->old->list[i];

		if (!same_place(&x->old_config->listen[kept.conf].at, &o->conf->at))
			continue;
		kept.conf = o->index;
		next->list = gw_realloc(next->list, (next->n + 1) * sizeof(*next->list));
		next->list[next->n++] = kept;
		n++;
	}
	return n;
}

/* From 127.0.0.1:25 to *:25, both are open until the switch. */
static bool port_is_ours(const struct listeners_change *x, const struct endpoint *e)
{
	for (size_t i = 0; i < x->old->n && e->unix_path == NULL; i++) {
		const struct endpoint *at = &x->old_config->listen[x->old->list[i].conf].at;

		if (at->unix_path == NULL && at->port == e->port)
			return true;
	}
	return false;
}

int listeners_prepare(const struct listeners_change *x, unsigned workers, const unsigned *gid,
    FILE *say, struct listeners *next)
{
	const struct config *c = x->next_config;

	*next = (struct listeners){.last = x->old->last};
	for (size_t i = 0; i < c->n_listen; i++) {
		struct opening o = {
		    &c->listen[i], i, workers, gid, port_is_ours(x, &c->listen[i].at), say};

		if (keep(x, &o, next) > 0)
			continue;
		if (open_one(next, &o) < 0) {
			listeners_abandon(next, c, x->old);
			return GW_EBUSY;
		}
	}
	return 0;
}

static bool has(const struct listeners *l, uint32_t number)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->list[i].number == number)
			return true;
	}
	return false;
}

/* Those of `l` that `other` does not have. */
static void close_missing(
    struct listeners *l, const struct config *c, const struct listeners *other)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!has(other, l->list[i].number))
			close_one(&l->list[i], c);
	}
	free(l->list);
	*l = (struct listeners){.last = l->last};
}

void listeners_commit(
    struct listeners *old, const struct config *old_config, const struct listeners *next)
{
	close_missing(old, old_config, next);
}

void listeners_abandon(
    struct listeners *next, const struct config *next_config, const struct listeners *old)
{
	close_missing(next, next_config, old);
}
