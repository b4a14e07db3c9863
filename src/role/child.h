/*
 * Child processes of master and mda: fork without inherited signal handling, and their end
 * reported by the loop through a pidfd (no SIGCHLD, so that both can live in one process).
 */
#ifndef GW_ROLE_CHILD_H
#define GW_ROLE_CHILD_H

#include "net/loop.h"

#include <sys/types.h>

/*
 * fork(). In the child: SIGINT, SIGTERM, SIGHUP and SIGPIPE are ignored (master says when it is
 * time to end), all others have their default; it is killed when its parent dies. The pid, 0 in
 * the child, or GW_ENOMEM.
 */
pid_t child_fork(void) gw_checked;
/* Asks for that again: the kernel forgets it when the uid changes. */
void child_die_with_parent(void);
/* Closes every descriptor above 2 that is not in keep (which is sorted here). */
void child_keep_fds(int *keep, size_t n);

struct child {
	pid_t pid;
	int fd;
	struct watch watch;
	/* status as from waitpid. */
	void (*ended)(void *arg, struct child *c, int status);
	void *arg;
};
/* Calls ended() once, from the loop; c may be freed there or watch another one. 0, or GW_ENOMEM:
 * the child runs and nobody watches it. */
int child_watch(struct child *c, struct loop *l, pid_t pid,
    void (*ended)(void *, struct child *, int), void *arg) gw_checked;
/* Kills a child that is not watched, and waits for its end. */
void child_kill(pid_t pid);

#endif
