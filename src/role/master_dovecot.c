/* Sockets of Dovecot's, which the vault cannot connect itself: it has no network and no files. */
#include "role/master.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Never waits: a service whose backlog is full is asked again. */
static int connect_path(struct span path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	if (path.n >= sizeof(un.sun_path))
		return -1;
	memcpy(un.sun_path, path.p, path.n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void wires_dovecot(struct slot *s, struct span wanted)
{
	bool login = wanted.p[0] != 0;
	struct span path = span_skip(wanted, 1);
	int fd;

	/* The vault may be anybody's by now: it gets what the configuration names, and no more. */
	if (!config_asks_dovecot(s->master->config, login, path))
		return;
	fd = connect_path(path);
	if (fd < 0)
		return;
	ipc_send(s->ipc, IPC_DOVECOT, &wanted, 1, fd);
	close(fd);
}
