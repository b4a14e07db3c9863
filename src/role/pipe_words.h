/*
 * What a program is started with: its words and its environment. Pure.
 *
 * A value (%u, %d, %to, %from, %id) is one word, never a part of one. %u and %d are encoded like
 * the names of a Maildir path (maildir.h) and never begin with "-", so they are neither paths nor
 * options. %to and %from are addresses as they are: one that begins with "-" is given only behind a
 * word "--", else the message is refused rather than taken for an option.
 */
#ifndef GW_ROLE_PIPE_WORDS_H
#define GW_ROLE_PIPE_WORDS_H

#include "base/arena.h"
#include "config/config.h"
#include "mail/msgid.h"

/* Of one message to one recipient. */
struct pipe_letter {
	struct msgid id;
	struct span from, rcpt;
	char subaddress; /* as in mda_child.h */
};

/* A user a program runs as. */
struct pipe_user {
	unsigned uid, gid;
	const char *name, *home; /* NULL: nobody that it may run as */
};

/* The words, NULL behind them. NULL: a value must not be given to it, or there is no room. */
char **pipe_args(const struct pipe *p, const struct pipe_letter *l, struct arena *a) gw_checked;
/* The same for the environment: PATH HOME USER LOGNAME SHELL LANG SENDER RECIPIENT MESSAGE_ID,
 * nothing else. */
char **pipe_environment(
    const struct pipe_user *u, const struct pipe_letter *l, struct arena *a) gw_checked;

#endif
