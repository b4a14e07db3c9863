/*
 * The listening sockets of the program, made and kept by master: one per address and worker
 * (SO_REUSEPORT), so that a worker that dies loses no connection that waits in its backlog.
 * What cannot be had is told with the place in the configuration.
 */
#ifndef GW_ROLE_LISTENERS_H
#define GW_ROLE_LISTENERS_H

#include "config/config.h"

#include <stdio.h>

struct listener {
	int fd;
	size_t conf;     /* in the configuration's listen list */
	unsigned worker; /* whose it is; Unix sockets belong to all */
	bool shared;
	uint32_t number; /* its own as long as it is open, over reloads */
};

struct listeners {
	struct listener *list;
	size_t n;
	uint32_t last; /* number that was given */
};

/* All that the configuration names. gid: may use Unix sockets besides our uid. say: where it is
 * told what cannot be had. 0, or GW_EBUSY. */
int listeners_open(struct listeners *l, const struct config *c, unsigned workers,
    const unsigned *gid, FILE *say) gw_checked;
/*
 * Reload: those of a configuration that is to come. What is at the same address keeps its socket,
 * the rest is opened. 0; GW_EBUSY: nothing was opened. Then one of two: listeners_commit() closes
 * what only `old` has and frees it; listeners_abandon() closes what only `next` has.
 */
struct listeners_change {
	const struct listeners *old;
	const struct config *old_config, *next_config;
};
int listeners_prepare(const struct listeners_change *x, unsigned workers, const unsigned *gid,
    FILE *say, struct listeners *next) gw_checked;
void listeners_commit(
    struct listeners *old, const struct config *old_config, const struct listeners *next);
void listeners_abandon(
    struct listeners *next, const struct config *next_config, const struct listeners *old);
/* How many sockets one receiver is given. */
size_t listeners_of_worker(const struct listeners *l, unsigned worker) gw_checked;
/* Closes them and removes the Unix sockets. */
void listeners_close(struct listeners *l, const struct config *c);

/* A listening Unix socket (0660, group gid if not NULL) in place of a dead one: a descriptor, or
 * GW_EBUSY: somebody answers there, or it cannot be made; that is told. */
int listen_unix(const char *path, const unsigned *gid, const char *what, FILE *say) gw_checked;

#endif
