/*
 * The listening sockets of the program, made and kept by master: one per address and worker
 * (SO_REUSEPORT), so that a worker that dies loses no connection that waits in its backlog.
 * What cannot be had is told to standard error with the place in the configuration.
 */
#ifndef GW_ROLE_LISTENERS_H
#define GW_ROLE_LISTENERS_H

#include "config/config.h"

struct listener {
	int fd;
	size_t conf;     /* in the configuration's listen list */
	unsigned worker; /* whose it is; Unix sockets belong to all */
	bool shared;
};

struct listeners {
	struct listener *list;
	size_t n;
};

/* All that the configuration names. gid: may use Unix sockets besides our uid. 0, or GW_EBUSY. */
int listeners_open(
    struct listeners *l, const struct config *c, unsigned workers, const unsigned *gid) gw_checked;
/* Closes them and removes the Unix sockets. */
void listeners_close(struct listeners *l, const struct config *c);

/* A listening Unix socket (0660, group gid if not NULL) in place of a dead one: a descriptor, or
 * GW_EBUSY: somebody answers there, or it cannot be made; standard error says so. */
int listen_unix(const char *path, const unsigned *gid, const char *what) gw_checked;

#endif
