/*
 * The users file, changed by "godwit user": read under a lock, edited by lines (comments and order
 * stay), written beside itself and put in its place by one rename. Whatever ends this program, the
 * file is the old one or the new one. The lock is one on its directory, so that nothing is left
 * behind.
 */
#ifndef GW_CMD_USER_FILE_H
#define GW_CMD_USER_FILE_H

#include "auth/accounts.h"

#include <sys/types.h>

struct user_file {
	const char *verb; /* for messages */
	char *path;       /* resolved */
	const char *name; /* in its directory; points into path */
	int dir;          /* its directory, locked if it is to be changed; -1 */
	bool exists;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct buf text;
	struct accounts *accounts;
};

/* An exit code, CMD_OK when it is open; else it was told. A file that is not there is empty.
 * patience: microseconds to wait for whoever changes it now. */
int user_file_open(struct user_file *f, const char *verb, const char *path, bool change,
    int64_t patience) gw_checked;
void user_file_close(struct user_file *f);

/* Edits of the text: the line of that number (0: a new last one) becomes `line`, which ends with LF
 * or is empty: no line at all. What stood behind a '#' stays unless comment.p is set. */
void user_file_edit(struct user_file *f, unsigned number, struct span line, struct span comment);
struct span user_file_comment(const struct user_file *f, unsigned number);
/* Checks and writes. An exit code; told. */
int user_file_save(struct user_file *f) gw_checked;

#endif
