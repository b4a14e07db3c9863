/*
 * Directories that master and mda make at their start, before any jail.
 */
#ifndef GW_ROLE_DIRS_H
#define GW_ROLE_DIRS_H

#include "base/base.h"

#include <sys/types.h>

struct dir_owner {
	unsigned uid, gid;
	bool set; /* false: leave what is made to the caller */
};

/* Makes the directory if it is missing, with what is missing above it (0755, the caller's). The
 * last one gets mode and owner, if it was made here. 0, or GW_EIO with errno. */
int dir_make(const char *path, mode_t mode, const struct dir_owner *owner) gw_checked;
/* The same for the directory a file is in. */
int dir_make_above(const char *file, mode_t mode) gw_checked;

#endif
