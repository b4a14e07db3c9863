/*
 * A configuration that is to come in force while the role runs, as the role sees it. master_link
 * (role.h) owns this and speaks with master: CONFIG is parsed here, FILE and LISTEN of its
 * generation are kept, PREPARE asks the role (check), SWITCH puts it in force (change), ABANDON
 * forgets all of it.
 *
 * At SWITCH the link sets the role's config, calls change(), gives the files that were kept to
 * file(), as if they came now, and drops its reference to the configuration before. What goes on
 * with that one (a session, a job) has taken a reference of its own (config_ref).
 */
#ifndef GW_ROLE_RELOAD_H
#define GW_ROLE_RELOAD_H

#include "config/config.h"
#include "role/proto_reload.h"
#include "role/proto_secret.h"

struct master_link;
struct ipc_frame;

enum {
	RELOAD_FILES_MAX = 4096,
	RELOAD_WHY = PROTO_REFUSED_TEXT,
};

struct reload_file {
	struct proto_file file;
	int fd;
};

struct reload_socket {
	struct proto_listen listen;
	int fd; /* -1: the role took it over */
};

struct reload {
	uint64_t generation; /* 0: none is being prepared */
	struct config *config;
	struct reload_file *file;
	size_t n_file;
	struct reload_socket socket[CONFIG_LISTEN_MAX];
	size_t n_socket;
	char why[RELOAD_WHY]; /* why it was refused before PREPARE; "" */
};

/* A frame of master's that concerns a reload; false: it does not. */
bool reload_frame(struct master_link *m, struct ipc_frame *f) gw_checked;
/* FILE: true if it is kept for later. */
bool reload_keeps_file(struct master_link *m, const struct proto_file *f, int fd) gw_checked;
void reload_forget(struct reload *r);

#endif
