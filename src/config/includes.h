/*
 * ":include:/path" in aliases: which files a text names, and all of them in one piece, so that
 * whoever makes a table of aliases needs no file system.
 *
 * The piece begins with a NUL, which no text of aliases has, and then has name and text of each
 * file, the aliases file first. A text without includes is handed on as it is.
 *
 * Files are opened with the rights of master. The paths are the administrator's, the files need not
 * be: one that not everybody may read is taken only where the aliases file itself names it, no
 * symbolic link leads to it and it has one name. Else who may write to a list could make us tell
 * him what is in a file that he may not read.
 */
#ifndef GW_CONFIG_INCLUDES_H
#define GW_CONFIG_INCLUDES_H

#include "base/buf.h"

#include <stdint.h>

enum {
	INCLUDES_MAX = 100,        /* files of one aliases file, itself counted */
	INCLUDE_DEPTH_MAX = 5,     /* files that include files */
	INCLUDES_OCTETS = 48 << 20 /* all of them together */
};

/* The next path behind ":include:" in the text, as it is written; moves *text behind it. False:
 * there is none. */
bool includes_next(struct span *text, struct span *path) gw_checked;

/* The paths that were read, but the first. Owned. */
struct includes {
	char *path[INCLUDES_MAX];
	size_t n;
};
void includes_free(struct includes *list);
/*
 * Reads the aliases file (fd, at any offset) and what it includes into out. Without includes out
 * stays empty. 0; GW_EIO or GW_EFULL with a sentence in why, which begins with the path.
 */
int includes_gather(const char *path, int fd, struct includes *list, struct buf *out, char *why,
    size_t why_size) gw_checked;
/* What tells a state of these files from another; 0: there are none. */
uint64_t includes_state(const struct includes *list) gw_checked;

/* ---- the piece. A walk over it: at first *at is 0. */
bool includes_is_bundle(struct span text) gw_checked;
/* name ends with a NUL behind it. False: the end, or nonsense. */
bool includes_file(struct span bundle, size_t *at, const char **name, struct span *text) gw_checked;

#endif
