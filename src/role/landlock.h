/*
 * Landlock by system call: what the process may do below which directory, and whether it may
 * use TCP, abstract sockets and signals beyond itself. What the kernel's version does not
 * know is left out. Only sandbox.c calls these.
 */
#ifndef GW_ROLE_LANDLOCK_H
#define GW_ROLE_LANDLOCK_H

#include "base/base.h"

enum landlock_use {
	LANDLOCK_SPOOL,   /* read, write, make and remove plain files, list */
	LANDLOCK_MAILDIR, /* that, directories, and links from one to another */
};

/* A rule set that forbids everything: a descriptor; GW_ENOENT: this kernel has no Landlock that
 * can serve (maildir: links between directories need its second version). */
int landlock_new(bool may_connect, bool maildir) gw_checked;
/* Allow this use below a directory. Dies when refused. */
void landlock_allow(int ruleset, int tree_fd, enum landlock_use use);
/* Puts it in force for this thread and those it starts, for good, and closes the rule set. */
void landlock_enter(int ruleset);

#endif
