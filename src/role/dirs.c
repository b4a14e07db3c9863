#include "role/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its name is to be on the disk before anything of value is in it. */
static int flush_above(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int fd, err;

	snprintf(dir, sizeof(dir), "%.*s",
	    slash == NULL   ? 1
	    : slash == path ? 1
			    : (int)(slash - path),
	    slash == NULL ? "." : path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) /* we may write there and not read: then it is the owner's to flush */
		return errno == EACCES ? 0 : GW_EIO;
	/* Some file systems have nothing to flush there, and say so. */
	err = fsync(fd) < 0 && errno != EINVAL ? GW_EIO : 0;
	close(fd);
	return err;
}

static int make_one(const char *path, mode_t mode, const struct dir_owner *owner)
{
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : GW_EIO;
	if (owner != NULL && owner->set && chown(path, owner->uid, owner->gid) < 0)
		return GW_EIO;
	/* The umask is not to decide who may look in. */
	if (chmod(path, mode) < 0)
		return GW_EIO;
	return flush_above(path);
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
