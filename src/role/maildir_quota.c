#include "role/maildir_quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Both as Maildir++ has them. */
enum { FILE_MAX = 5120, OLD_SECONDS = 15 * 60 };

static const char file_name[] = "maildirsize";

struct usage {
	int64_t octets, messages;
	bool sure; /* counted just now */
};

static bool has_limit(const struct quota *q)
{
	return q->octets > 0 || q->messages > 0;
}

/* ---- the file --------------------------------------------------------------------------- */

/* One number of this line and what is behind it; a file of digits without end is a number too
 * large. */
static bool take_number(const char **at, int64_t *n)
{
	const char *begin = *at + strspn(*at, " ");
	char *end;

	if (strchr("\t\n\v\f\r", *begin) != NULL) /* or '\0' */
		return false;
	errno = 0;
	*n = strtoll(begin, &end, 10);
	if (end == begin || errno != 0)
		return false;
	*at = end;
	return true;
}

/* "NS,NC", in any order, either left out: is it what is configured? */
static bool limit_is_ours(const char **at, const struct quota *q)
{
	uint64_t octets = 0, messages = 0;
	int64_t n;

	while (**at != '\n') {
		if (!take_number(at, &n) || n < 0)
			return false;
		if (**at == 'S')
			octets = (uint64_t)n;
		else if (**at == 'C')
			messages = (uint64_t)n;
		else
			return false;
		(*at)++;
		if (**at == ',')
			(*at)++;
	}
	(*at)++;
	return octets == q->octets && messages == q->messages;
}

static bool add_lines(const char *at, struct usage *u)
{
	while (*at != '\0') {
		int64_t octets, messages;

		if (!take_number(&at, &octets) || *at != ' ' || !take_number(&at, &messages))
			return false;
		if (__builtin_add_overflow(u->octets, octets, &u->octets) ||
		    __builtin_add_overflow(u->messages, messages, &u->messages))
			return false;
		while (*at == ' ')
			at++;
		if (*at++ != '\n')
			return false;
	}
	return u->octets >= 0 && u->messages >= 0;
}

/* The text of the file; false: there is none that could be believed. */
static bool read_text(int box, char text[FILE_MAX + 1], struct stat *st)
{
	/* A pipe in its place must not hold us up. */
	int fd = openat(box, file_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = -1;

	if (fd < 0)
		return false;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size < FILE_MAX)
		n = read(fd, text, FILE_MAX);
	close(fd);
	if (n <= 0 || n == FILE_MAX)
		return false;
	text[n] = '\0';
	/* Nothing hides behind a zero octet. */
	return strlen(text) == (size_t)n && text[n - 1] == '\n';
}

static bool read_file(int box, const struct quota *q, struct usage *u)
{
	char text[FILE_MAX + 1];
	const char *at = text;
	struct stat st;

	*u = (struct usage){0};
	if (!read_text(box, text, &st) || !limit_is_ours(&at, q) || !add_lines(at, u))
		return false;
	/* Just counted, by whomever, and nothing added: counting again would say the same. */
	u->sure =
	    strchr(at, '\n') == strrchr(at, '\n') && time(NULL) - st.st_mtim.tv_sec < OLD_SECONDS;
	return true;
}

static int format_limit(const struct quota *q, char *to, size_t size)
{
	int n = 0;

	if (q->octets > 0)
		n = snprintf(to, size, "%" PRIu64 "S", q->octets);
	if (q->messages > 0)
		n += snprintf(
		    to + n, size - (size_t)n, "%s%" PRIu64 "C", n > 0 ? "," : "", q->messages);
	return n;
}

/* Without it the next delivery counts again, no more. */
static void write_file(int box, const struct quota *q, const struct usage *u)
{
	char text[160], name[64];
	int n = format_limit(q, text, sizeof(text)), fd;

	n += snprintf(text + n, sizeof(text) - (size_t)n, "\n%" PRId64 " %" PRId64 "\n", u->octets,
	    u->messages);
	snprintf(name, sizeof(name), "tmp/%s.%d", file_name, (int)getpid());
	fd = openat(box, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) != n || renameat2(box, name, box, file_name, 0) < 0)
		unlinkat(box, name, 0);
	close(fd);
}

void quota_add(int box, const struct quota *q, uint64_t octets)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%" PRIu64 " 1\n", octets), fd;
	struct stat st;

	if (!has_limit(q))
		return;
	fd = openat(box, file_name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < FILE_MAX)
		(void)!write(fd, text, (size_t)n);
	close(fd);
}

/* ---- counting --------------------------------------------------------------------------- */

/* 1234 of "NAME,S=1234,W=1300:2,S"; -1: it does not say. */
static int64_t size_in_name(const char *name)
{
	const char *at = strstr(name, ",S="), *colon = strchr(name, ':');
	int64_t n;

	if (at == NULL || (colon != NULL && at > colon))
		return -1;
	at += 3;
	return *at >= '0' && *at <= '9' && take_number(&at, &n) ? n : -1;
}

static void count_one(int dir, const char *name, struct usage *u)
{
	int64_t size = size_in_name(name);
	struct stat st;

	if (size < 0) {
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			return;
		size = st.st_size;
	}
	if (__builtin_add_overflow(u->octets, size, &u->octets))
		u->octets = INT64_MAX;
	u->messages++;
}

static DIR *open_list(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* What is not there, or is no directory, has no messages. */
static bool count_list(int dir, const char *name, struct usage *u)
{
	DIR *d = open_list(dir, name);
	struct dirent *e;
	bool whole;

	if (d == NULL)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
	while ((errno = 0, e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			count_one(dirfd(d), e->d_name, u);
	}
	whole = errno == 0;
	closedir(d);
	return whole;
}

static bool count_folder(int dir, struct usage *u)
{
	return count_list(dir, "new", u) && count_list(dir, "cur", u);
}

static bool count_named(int box, const char *name, struct usage *u)
{
	int fd = openat(box, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool whole;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
	whole = count_folder(fd, u);
	close(fd);
	return whole;
}

static bool is_folder(const char *name)
{
	return name[0] == '.' && name[1] != '\0' && strcmp(name, "..") != 0;
}

static bool count(int box, struct usage *u)
{
	DIR *d = open_list(box, ".");
	struct dirent *e;
	bool whole = true;

	*u = (struct usage){.sure = true};
	if (d == NULL)
		return false;
	while (whole && (errno = 0, e = readdir(d)) != NULL) {
		if (is_folder(e->d_name))
			whole = count_named(box, e->d_name, u);
	}
	whole = whole && errno == 0;
	closedir(d);
	return whole && count_folder(box, u);
}

/* ---- the answer -------------------------------------------------------------------------- */

static bool exceeds(uint64_t limit, int64_t used, uint64_t more)
{
	return limit > 0 && (more > limit || (uint64_t)used > limit - more);
}

static bool fits(const struct quota *q, const struct usage *u, uint64_t octets)
{
	return !exceeds(q->octets, u->octets, octets) && !exceeds(q->messages, u->messages, 1);
}

enum quota_answer quota_ask(int box, const struct quota *q, uint64_t octets)
{
	struct usage u;

	if (!has_limit(q))
		return QUOTA_FITS;
	if (q->octets > 0 && octets > q->octets)
		return QUOTA_NEVER;
	if (read_file(box, q, &u) && (fits(q, &u, octets) || u.sure))
		return fits(q, &u, octets) ? QUOTA_FITS : QUOTA_FULL;
	if (!count(box, &u))
		return QUOTA_UNKNOWN;
	write_file(box, q, &u);
	return fits(q, &u, octets) ? QUOTA_FITS : QUOTA_FULL;
}
