#include "role/sender_try.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- names ---------------------------------------------------------------------------------- */

void peer_name(struct peer *p, const struct host *h, const struct host_address *a, struct span path)
{
	bool v6 = a != NULL && a->family == AF_INET6;

	*p = (struct peer){.family = a != NULL ? a->family : AF_UNIX};
	if (a == NULL) {
		snprintf(p->text, sizeof(p->text), "unix:%.*s", SPAN_ARG(span_first(path, 256)));
		return;
	}
	p->secure = h->secure;
	p->vouched = h->vouched;
	p->port = a->port;
	span_to_cstr(h->name, p->name, sizeof(p->name));
	inet_ntop(a->family, a->bytes, p->address, sizeof(p->address));
	if (strcmp(p->name, p->address) != 0)
		snprintf(p->text, sizeof(p->text), "%s [%s]:%u", p->name, p->address, a->port);
	else
		snprintf(p->text, sizeof(p->text), v6 ? "[%s]:%u" : "%s:%u", p->address, a->port);
}

/* ---- sockets -------------------------------------------------------------------------------- */

static socklen_t unix_address(struct span path, struct sockaddr_storage *sa)
{
	struct sockaddr_un *un = (struct sockaddr_un *)sa;

	un->sun_family = AF_UNIX;
	span_to_cstr(path, un->sun_path, sizeof(un->sun_path));
	return path.n < sizeof(un->sun_path) ? sizeof(*un) : 0;
}

static socklen_t ip_address(
    sa_family_t family, const uint8_t *bytes, uint16_t port, struct sockaddr_storage *sa)
{
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)sa;

	sa->ss_family = family;
	if (family == AF_INET) {
		memcpy(&in->sin_addr, bytes, 4);
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	memcpy(&six->sin6_addr, bytes, 16);
	six->sin6_port = htons(port);
	return sizeof(*six);
}

/* The port is chosen at connect(), so that each host has all of them (RFC 6056 section 1). */
static int bind_source(int fd, sa_family_t family, struct span source)
{
	struct sockaddr_storage sa = {0};
	socklen_t len;
	int on = 1;

	if (source.n == 0)
		return 0;
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	len = ip_address(family, source.p, 0, &sa);
	return bind(fd, (struct sockaddr *)&sa, len) == 0 ? 0 : errno;
}

static int prepare(int fd, sa_family_t family, const struct proto_target *target)
{
	int on = 1;

	if (family == AF_UNIX)
		return 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return bind_source(fd, family, family == AF_INET ? target->v4 : target->v6);
}

static int connect_to(int fd, const struct proto_target *target, const struct host_address *a)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = a != NULL ? ip_address(a->family, a->bytes, a->port, &sa)
				  : unix_address(target->path, &sa);
	int err;

	if (len == 0)
		return ENAMETOOLONG;
	err = prepare(fd, sa.ss_family, target);
	if (err != 0)
		return err;
	if (connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS)
		return 0;
	return errno;
}

int attempt_start(struct attempt *t, struct loop *l, const struct proto_target *target,
    const struct host_address *a, void (*fn)(void *, bool, bool))
{
	int family = a != NULL ? a->family : AF_UNIX, err;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	err = connect_to(fd, target, a);
	if (err != 0) {
		close(fd);
		return err;
	}
	t->fd = fd;
	t->started = loop_now(l);
	watch_start(&t->watch, l, fd, fn, t);
	watch_want(&t->watch, false, true);
	return 0;
}

int attempt_result(const struct attempt *t)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? errno : err;
}

int attempt_take(struct attempt *t)
{
	int fd = t->fd;

	watch_stop(&t->watch);
	t->fd = -1;
	return fd;
}

void attempt_end(struct attempt *t)
{
	if (t->fd >= 0)
		close(attempt_take(t));
}
