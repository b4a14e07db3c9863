/* Which spools may run on a disk of which the power can be cut. */
#include "spool/disk_cut.h"

#include "spool/disk_cut_journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MARK_MAX = 128 };

const char *const disk_cut_lies[LIES] = {
    [LIE_NONE] = "none",
    [LIE_FLUSH] = "flush",
    [LIE_DIR_SYNC] = "dir-sync",
    [LIE_HEADER] = "header",
    [LIE_LATE] = "late",
    [LIE_ONCE] = "once",
};

static const char mark_text[] = "scratch spool of godwit prove";

int disk_cut_mark(int dir_fd, const char *token, enum disk_cut_lie lie)
{
	char text[MARK_MAX];
	int n = snprintf(text, sizeof(text), "%s %s %s\n", mark_text, token, disk_cut_lies[lie]);
	int fd = openat(dir_fd, CUT_MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool good;

	gw_assert(n < MARK_MAX);
	if (fd < 0)
		return GW_EIO;
	good = write(fd, text, (size_t)n) == n;
	close(fd);
	return good ? 0 : GW_EIO;
}

/* The lie of a mark with this token, or -1. */
static int read_mark(int dir_fd, const char *token)
{
	char text[MARK_MAX], want[MARK_MAX];
	int fd = openat(dir_fd, CUT_MARK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	for (int lie = 0; lie < LIES; lie++) {
		snprintf(want, sizeof(want), "%s %s %s\n", mark_text, token, disk_cut_lies[lie]);
		if (strcmp(text, want) == 0)
			return lie;
	}
	return -1;
}

struct disk *disk_choose(int dir_fd)
{
	const char *token = secure_getenv(DISK_CUT_ENV);
	int lie;

	if (token == NULL)
		return disk_posix_new(dir_fd);
	lie = strlen(token) < DISK_CUT_TOKEN_MAX ? read_mark(dir_fd, token) : -1;
	return lie < 0 ? NULL : disk_cut_new(dir_fd, (enum disk_cut_lie)lie);
}
