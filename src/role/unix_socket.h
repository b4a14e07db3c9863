/*
 * A listening Unix socket for clients that are not ours, made by master: it has its owner, group
 * and mode before anybody can see it, and takes the place of a dead one in one step. It is made in
 * a folder that is ours alone and moved from there, so that whoever owns the folder around it
 * (often that of another mail server) cannot have rights given to something else. What is there and
 * is no socket stays.
 */
#ifndef GW_ROLE_UNIX_SOCKET_H
#define GW_ROLE_UNIX_SOCKET_H

#include "base/base.h"

#include <stdio.h>
#include <sys/un.h>

struct unix_socket {
	const char *path;
	unsigned mode;             /* 0: 0660 */
	const char *owner, *group; /* NULL: ours */
	const unsigned *gid;       /* in place of ours, where no group is named; or NULL */
};

/* A descriptor, or GW_EBUSY: somebody answers there, or it cannot be made; `say` is told so, and
 * where it is written. */
int unix_socket_listen(const struct unix_socket *u, const char *where, FILE *say) gw_checked;

/* GW_EFULL: the path is too long for one. */
int unix_socket_address(const char *path, struct sockaddr_un *sa) gw_checked;
/* Is somebody there? Who does not take connections now is, too. */
bool unix_socket_answers(const struct sockaddr_un *sa) gw_checked;

#endif
