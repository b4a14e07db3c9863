#include "role/dirs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_one(const char *path, mode_t mode, const struct dir_owner *owner)
{
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : GW_EIO;
	if (owner != NULL && owner->set && chown(path, owner->uid, owner->gid) < 0)
		return GW_EIO;
	/* The umask is not to decide who may look in. */
	return chmod(path, mode) < 0 ? GW_EIO : 0;
}

int dir_make(const char *path, mode_t mode, const struct dir_owner *owner)
{
	char part[PATH_MAX];

	for (size_t n = 1; path[n - 1] != '\0' && path[n] != '\0'; n++) {
		if (path[n] != '/' || path[n - 1] == '/' || path[n + 1] == '\0')
			continue;
		if (snprintf(part, sizeof(part), "%.*s", (int)n, path) >= (int)sizeof(part)) {
			errno = ENAMETOOLONG;
			return GW_EIO;
		}
		if (make_one(part, 0755, NULL) < 0)
			return GW_EIO;
	}
	return make_one(path, mode, owner);
}

int dir_make_above(const char *file, mode_t mode)
{
	const char *slash = strrchr(file, '/');
	char dir[PATH_MAX];

	if (slash == NULL || slash == file)
		return 0;
	if (snprintf(dir, sizeof(dir), "%.*s", (int)(slash - file), file) >= (int)sizeof(dir)) {
		errno = ENAMETOOLONG;
		return GW_EIO;
	}
	return dir_make(dir, mode, NULL);
}
