/*
 * The process that starts programs, for pipe targets. The mda's own jail lets nothing be started,
 * by it or by what it forks; so it forks this one before it enters its jail, and only if the
 * configuration names a program. The mda asks with a frame and two descriptors; the launcher forks
 * a child per message (pipe_run.h) and tells the mda how that child ended.
 *
 * It has no network of its own, parses one kind of frame (as hostile: it starts what the
 * configuration names and nothing else) and reads no content. Started as root it keeps uid 0 with
 * the right to take another, as the mda does, so that no program can signal it. It and all it
 * starts can gain no privileges, and are refused the system calls that only administrators and
 * debuggers need (sandbox.h). It dies with the mda, and the mda with it.
 */
#ifndef GW_ROLE_LAUNCHER_H
#define GW_ROLE_LAUNCHER_H

#include "config/config.h"
#include "mail/msgid.h"
#include "net/loop.h"
#include "role/sandbox.h"

enum { LAUNCHER_FRAME_MAX = 8192, LAUNCHER_PIPES_MAX = 256 };

struct launcher {
	int fd; /* -1: no program is configured */
	struct watch watch;
	const struct pipe *pipe[LAUNCHER_PIPES_MAX];
	size_t n_pipe;
	/* The child of this job ended; status as from waitpid. */
	void (*ended)(void *arg, uint64_t job, int status);
	void *arg;
};

/* Before the jail. Forks if there is something to start; ended and arg are set. The configuration
 * is borrowed for good. uid: as in pipe_run.h. */
void launcher_start(struct launcher *l, struct loop *loop, const struct config *c, bool jail,
    unsigned uid, const struct sandbox_filters *filters);

struct launch {
	uint64_t job, size;
	struct msgid id;
	bool binary;
	char subaddress;
	struct span from, rcpt;
	const struct pipe *pipe;
	int content, report; /* lent */
};
/* 0, or GW_EBUSY: it cannot be asked now. */
int launcher_ask(struct launcher *l, const struct launch *x) gw_checked;

#endif
