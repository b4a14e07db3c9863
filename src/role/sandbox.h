/*
 * The jail of each role, stated once (sandbox.c holds the table): root directory, uid, rlimits,
 * no-new-privs, Landlock, and the system calls it may make (seccomp; anything
 * else kills the process and master starts it again).
 *
 * A role calls sandbox_confine() when everything it needs from outside is open
 * or loaded, then starts its threads, then sandbox_seal(). Started as root, the
 * process also loses its uid and its root directory; started as a plain user it
 * keeps the uid and gets everything else.
 */
#ifndef GW_ROLE_SANDBOX_H
#define GW_ROLE_SANDBOX_H

#include "net/ipc.h"

struct sandbox {
	enum role role;
	bool enabled;         /* false: --one-process and sanitizer builds: nothing is done */
	const char *user;     /* run-as prefix: "godwit" -> uid of "godwit-smtpd", else "godwit" */
	const char *root;     /* directory for chroot: an empty one, or the spool; NULL: none */
	const char *writable; /* Landlock: the only directory tree the role may use, or NULL */
};

/* Everything but seccomp. Dies when a wall cannot be raised. */
void sandbox_confine(const struct sandbox *s);
/* seccomp on all threads. */
void sandbox_seal(const struct sandbox *s);

/* The uid and gid a role gets when started as root: 0 or GW_ENOENT. */
int sandbox_ids(const char *user, enum role role, unsigned *uid, unsigned *gid) gw_checked;

/* Walls for the short-lived child of the mda that writes a Maildir: Landlock for that one tree,
 * then seccomp without sockets, exec or fork. */
void sandbox_delivery_child(const char *maildir_parent);

#endif
