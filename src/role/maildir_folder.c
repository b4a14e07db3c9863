#include "role/maildir_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* As Courier marks a folder: the quota is that of the mailbox above. */
#define MARK "maildirfolder"

/* ---- names ------------------------------------------------------------------------------ */

static bool is_special(struct span level)
{
	static const char *const names[] = {"inbox", "trash", "junk", "spam", "sent", "drafts",
	    "outbox", "templates", "archive", "archives", "deleted", "all", "flagged", "virtual"};

	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
		if (span_eq_case(level, span_str(names[i])))
			return true;
	}
	return false;
}

static bool level_good(struct span level)
{
	for (size_t i = 0; i < level.n; i++) {
		uint8_t c = level.p[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && (c == 0 || strchr("-_=+", c) == NULL))
			return false;
	}
	return level.n > 0;
}

static bool levels_good(struct span detail)
{
	unsigned n = 0;

	for (bool more = true; more; n++) {
		ptrdiff_t dot = span_find(detail, '.');
		struct span level = span_first(detail, dot < 0 ? detail.n : (size_t)dot);

		if (n == FOLDER_LEVELS_MAX || !level_good(level) || (n == 0 && is_special(level)))
			return false;
		more = dot >= 0;
		detail = span_skip(detail, level.n + more);
	}
	return true;
}

bool folder_name(struct span detail, bool lower, char name[FOLDER_NAME_MAX])
{
	if (detail.n + 2 > FOLDER_NAME_MAX || !levels_good(detail))
		return false;
	name[0] = '.';
	for (size_t i = 0; i < detail.n; i++)
		name[i + 1] = (char)(lower ? ascii_lower(detail.p[i]) : detail.p[i]);
	name[detail.n + 1] = '\0';
	return true;
}

/* ---- directories ------------------------------------------------------------------------- */

static int enter(int box, const char *name)
{
	return openat(box, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static DIR *names_of(int dir)
{
	int fd = enter(dir, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* Who can write addresses could make folders without end. */
static bool has_too_many(int box)
{
	DIR *d = names_of(box);
	struct dirent *e;
	unsigned n = 0;

	if (d == NULL)
		return true;
	while (n < FOLDERS_MAX && (e = readdir(d)) != NULL)
		n += e->d_name[0] == '.';
	closedir(d);
	return n >= FOLDERS_MAX;
}

/* What a mailbox has that is called like a folder and is none, like a .ssh where the mailbox is
 * somebody's home, gets no mail. */
static bool is_folder(int dir)
{
	struct stat st;

	return fstatat(dir, "cur", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	       fstatat(dir, MARK, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool mark(int dir)
{
	/* A pipe in its place must not hold us up. */
	int fd = openat(dir, MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_empty(int dir)
{
	DIR *d = names_of(dir);
	struct dirent *e;
	unsigned n = 0;

	if (d == NULL)
		return false;
	while (n <= 2 && (e = readdir(d)) != NULL)
		n++;
	closedir(d);
	return n <= 2;
}

/* Whoever was killed before he made the mark has left an empty directory. */
static bool make(int box, const char *name)
{
	bool good = false;
	int dir;

	if (mkdirat(box, name, 0700) < 0 && errno != EEXIST)
		return false;
	dir = enter(box, name);
	if (dir >= 0)
		good = (is_folder(dir) || is_empty(dir)) && mark(dir) && fsync(box) == 0;
	if (dir >= 0)
		close(dir);
	return good;
}

static bool is_missing(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ELOOP;
}

static int existing(int box, const char *name)
{
	int dir = enter(box, name);

	if (dir < 0)
		return is_missing(errno) ? GW_ENOENT : GW_EIO;
	if (is_folder(dir))
		return dir;
	close(dir);
	return GW_ENOENT;
}

int folder_open(int box, enum folder_wish wish, struct span detail)
{
	char as_is[FOLDER_NAME_MAX], lower[FOLDER_NAME_MAX];
	int dir;

	if (wish == FOLDER_OFF || !folder_name(detail, false, as_is) ||
	    !folder_name(detail, true, lower))
		return GW_ENOENT;
	dir = existing(box, as_is);
	if (dir == GW_ENOENT)
		dir = existing(box, lower);
	if (dir != GW_ENOENT || wish != FOLDER_MAKE || has_too_many(box))
		return dir;
	/* A link, a file or something else in its place: that is nobody's folder. */
	return make(box, lower) ? existing(box, lower) : dir;
}
