/*
 * The jail of each role, stated once (sandbox.c and sandbox_table.c hold the tables): root
 * directory, uid, rlimits, no-new-privs, Landlock, and the system calls it may make (seccomp;
 * anything else kills the process and master starts it again).
 *
 * A role calls sandbox_confine() when everything it needs from outside is open or loaded, then
 * starts its threads, then sandbox_seal(). Started as root, the process also loses its uid and
 * its root directory; started as a plain user it keeps the uid and gets everything else. The mda
 * keeps uid 0 with two capabilities, to give each delivery the uid of its mailbox.
 *
 * boot_sandbox() (role.h) fills the struct in.
 */
#ifndef GW_ROLE_SANDBOX_H
#define GW_ROLE_SANDBOX_H

#include "net/ipc.h"

/* The system calls of all jails, made once and inherited: see sandbox_table.h. */
struct sandbox_filters;
struct sandbox_filters *sandbox_filters_new(void) gw_checked;

struct sandbox {
	enum role role;
	bool enabled;     /* false: --one-process: only what is harmless is done */
	const char *user; /* run-as prefix: "godwit" -> uid of "godwit-smtpd", else "godwit" */
	const char *root; /* directory for chroot; "": an empty one without a name; NULL: none */
	const char *writable;     /* Landlock: the only directory tree the role may use, or NULL */
	const char *const *trees; /* mda: further trees, those of the mailboxes */
	size_t n_trees;
	const struct sandbox_filters *filters; /* not needed if not enabled */
};

/* Everything but seccomp. Dies when a wall cannot be raised. */
void sandbox_confine(const struct sandbox *s);
/* seccomp on all threads. */
void sandbox_seal(const struct sandbox *s);

/* The uid and gid a role gets when started as root: 0; 1 if there is no such user and they are
 * those of "nobody"; GW_ENOENT if that is missing too. */
int sandbox_ids(const char *user, enum role role, unsigned *uid, unsigned *gid) gw_checked;

/* Walls for the short-lived child of the mda that writes a Maildir: Landlock for the one tree this
 * descriptor names, no writes beyond max octets, an end after so many seconds, then seccomp without
 * sockets, exec or fork. Its uid was changed before. */
void sandbox_delivery_child(int tree_fd, uint64_t max_octets, unsigned seconds, bool enabled,
    const struct sandbox_filters *filters);

/* The same for the process that starts programs (launcher.h): no privileges to be gained, and of
 * the system calls all but those of administrators and debuggers, which programs inherit. As root
 * it keeps uid 0 with the right to change its uid. */
void sandbox_launcher(bool enabled, bool is_root, const struct sandbox_filters *filters);

/* False in sanitizer builds, whose run-time needs what the walls forbid. */
bool sandbox_possible(void);

#endif
