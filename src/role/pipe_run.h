/*
 * One message given to one program: the life of a short-lived child of the launcher, which is the
 * program's parent and has its uid.
 *
 * The content is first held whole in a file without a name (lines end with LF, Return-Path and
 * Delivered-To in front): a program never sees a part of a message and its end. Then it is started
 * without a shell: standard input is that file; what it says on standard output and error is kept
 * up to a limit, for the reply; no other descriptor, a small fixed environment, its own session,
 * limits on memory, processor time, processes and file size, and no way to gain privileges. When it
 * has ended, or its time is over, what it left running is killed.
 *
 * 0 delivers; sysexits(3) say the rest: 65-70, 76, 77 and 100 refuse for good, every other status
 * and a signal is tried again. Ended by a signal, by its time or with us, nobody knows whether the
 * program did its work: it is run again, but not for at-most-once mail (OUTCOME_MAYBE).
 */
#ifndef GW_ROLE_PIPE_RUN_H
#define GW_ROLE_PIPE_RUN_H

#include "role/maildir.h"
#include "role/pipe_words.h"

struct pipe_work {
	const struct pipe *pipe;
	struct pipe_letter letter;
	struct pipe_user user;
	bool is_root; /* its uid must be taken */
	unsigned uid; /* who may signal us, which the program must not; 0: its user may */
	uint64_t size;
	bool binary;         /* as in maildir.h */
	int content, report; /* as in mda_child.h */
};

_Noreturn void pipe_run(const struct pipe_work *w);
/* What an exit status of the program means; said: what it said, in any octets. */
void pipe_judge(int status, const char *program, struct span said, struct maildir_result *r);

#endif
