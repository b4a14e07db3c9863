#include "cmd/user_file.h"

#include "base/clock.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_STEP = 64 << 10, NEW_MODE = 0600, LOCK_STEP = 50000, TEMP_MAX = NAME_MAX + 1 };

static int tell(const struct user_file *f, const char *what, int err)
{
	fprintf(stderr, "godwit %s: %s: %s: %s\n", f->verb, f->path, what, strerror(err));
	return err == EACCES || err == EPERM || err == EROFS ? CMD_DENIED : CMD_NO;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* Where the file is behind links: a link stays a link, and what it leads to is replaced. */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL), *dir, *copy;
	const char *slash = strrchr(path, '/');
	size_t n;

	if (real != NULL || errno != ENOENT)
		return real;
	copy = gw_calloc(1, strlen(path) + 3);
	memcpy(copy, slash != NULL ? path : "./", slash != NULL ? (size_t)(slash - path) + 1 : 2);
	dir = realpath(copy, NULL);
	free(copy);
	if (dir == NULL)
		return NULL;
	path = slash != NULL ? slash + 1 : path;
	n = strlen(dir);
	real = gw_calloc(1, n + strlen(path) + 2);
	memcpy(real, dir, n);
	real[n] = '/';
	memcpy(real + n + 1, path, strlen(path));
	free(dir);
	return real;
}

static int lock(struct user_file *f, int64_t patience)
{
	int64_t until = clock_now() + patience;

	while (flock(f->dir, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return tell(f, "its directory cannot be locked", errno);
		if (clock_now() >= until) {
			fprintf(stderr,
			    "godwit %s: %s is being changed by somebody else; try again\n", f->verb,
			    f->path);
			return CMD_LATER;
		}
		usleep(LOCK_STEP);
	}
	return CMD_OK;
}

static int open_dir(struct user_file *f, bool change, int64_t patience)
{
	char *slash = strrchr(f->path, '/');

	*slash = '\0';
	f->dir = open(slash == f->path ? "/" : f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	f->name = slash + 1;
	if (f->dir < 0)
		return tell(f, "its directory cannot be opened", errno);
	return change ? lock(f, patience) : CMD_OK;
}

static int read_all(struct user_file *f, int fd)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return tell(f, "cannot be read", errno);
	f->exists = true;
	f->mode = st.st_mode & 07777;
	f->uid = st.st_uid;
	f->gid = st.st_gid;
	if (!S_ISREG(st.st_mode))
		return tell(f, "is no plain file", EINVAL);
	do {
		uint8_t *to = buf_room(&f->text, READ_STEP);

		if (to == NULL)
			return tell(f, "is too large", EFBIG);
		n = read(fd, to, READ_STEP);
		if (n > 0)
			buf_commit(&f->text, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? tell(f, "cannot be read", errno) : CMD_OK;
}

static int parse(struct user_file *f)
{
	struct accounts_error e;

	accounts_free(&f->accounts);
	f->accounts = accounts_parse(buf_view(&f->text), &e);
	if (f->accounts != NULL)
		return CMD_OK;
	fprintf(stderr, "godwit %s: %s:%u: %s\n", f->verb, f->path, e.line, e.text);
	return CMD_NO;
}

static int read_file(struct user_file *f)
{
	int fd = openat(f->dir, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), code;

	if (fd < 0 && errno == ENOENT)
		return parse(f);
	if (fd < 0)
		return tell(f, "cannot be opened", errno);
	code = read_all(f, fd);
	close(fd);
	return code == CMD_OK ? parse(f) : code;
}

int user_file_open(
    struct user_file *f, const char *verb, const char *path, bool change, int64_t patience)
{
	int code;

	*f = (struct user_file){.verb = verb, .dir = -1, .mode = NEW_MODE};
	buf_init(&f->text, ACCOUNTS_TEXT_MAX);
	f->path = resolve(path);
	if (f->path == NULL) {
		int err = errno;

		fprintf(stderr, "godwit %s: %s: %s\n", verb, path, strerror(err));
		return err == EACCES ? CMD_DENIED : CMD_NO;
	}
	code = open_dir(f, change, patience);
	return code == CMD_OK ? read_file(f) : code;
}

void user_file_close(struct user_file *f)
{
	accounts_free(&f->accounts);
	buf_wipe(&f->text);
	free(f->path);
	if (f->dir >= 0)
		close(f->dir); /* and with it the lock */
	f->dir = -1;
}

/* ---- editing ----------------------------------------------------------------------------------
 */

static struct span line_at(struct span text, unsigned number, size_t *at)
{
	struct span rest = text;

	for (unsigned i = 1; i < number; i++) {
		ptrdiff_t end = span_find(rest, '\n');

		rest = end < 0 ? span_skip(rest, rest.n) : span_skip(rest, (size_t)end + 1);
	}
	*at = text.n - rest.n;
	return span_first(
	    rest, span_find(rest, '\n') < 0 ? rest.n : (size_t)span_find(rest, '\n') + 1);
}

static void put_line(struct buf *to, struct span line, struct span comment)
{
	if (line.n == 0 || comment.n == 0) {
		buf_add_span(to, line);
		return;
	}
	buf_add_span(to, span_first(line, line.n - 1));
	buf_add_byte(to, ' ');
	buf_add_span(to, comment);
	buf_add_byte(to, '\n');
}

static struct span without_end(struct span line)
{
	return line.n > 0 && line.p[line.n - 1] == '\n' ? span_first(line, line.n - 1) : line;
}

struct span user_file_comment(const struct user_file *f, unsigned number)
{
	size_t at;

	return account_comment(without_end(line_at(buf_view(&f->text), number, &at)));
}

void user_file_edit(struct user_file *f, unsigned number, struct span line, struct span comment)
{
	struct span text = buf_view(&f->text), old;
	struct buf made;
	size_t at;

	buf_init(&made, ACCOUNTS_TEXT_MAX);
	if (buf_room(&made, text.n + line.n + comment.n + 4) == NULL)
		die("the users file grows too large");
	if (number == 0) {
		buf_add_span(&made, text);
		if (text.n > 0 && text.p[text.n - 1] != '\n')
			buf_add_byte(&made, '\n');
		put_line(&made, line, comment);
	} else {
		old = line_at(text, number, &at);
		buf_add_span(&made, span_first(text, at));
		put_line(
		    &made, line, comment.p != NULL ? comment : account_comment(without_end(old)));
		buf_add_span(&made, span_skip(text, at + old.n));
	}
	buf_wipe(&f->text);
	f->text = made;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static int write_all(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			return -1;
		s = span_skip(s, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

/* The new file has the owner and the mode of the old one before it has a word of its content. */
static int fill(const struct user_file *f, int fd)
{
	if (f->exists && fchown(fd, f->uid, f->gid) < 0)
		return -1;
	if (fchmod(fd, f->mode) < 0 || write_all(fd, buf_view(&f->text)) < 0)
		return -1;
	return fsync(fd);
}

static int replace(struct user_file *f, const char *temp)
{
	int fd =
	    openat(f->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, NEW_MODE);
	int err;

	if (fd < 0)
		return tell(f, "cannot be written", errno);
	err = fill(f, fd) < 0 ? errno : 0;
	if (close(fd) < 0 && err == 0)
		err = errno;
	if (err == 0 && renameat(f->dir, temp, f->dir, f->name) < 0)
		err = errno;
	if (err != 0) {
		unlinkat(f->dir, temp, 0);
		return tell(f, "cannot be written", err);
	}
	return fsync(f->dir) < 0 ? tell(f, "may not survive a crash now", errno) : CMD_OK;
}

int user_file_save(struct user_file *f)
{
	char temp[TEMP_MAX];
	int code = parse(f);

	if (code != CMD_OK)
		return code;
	if ((size_t)snprintf(temp, sizeof(temp), ".%s.new", f->name) >= sizeof(temp))
		return tell(f, "cannot be written", ENAMETOOLONG);
	unlinkat(f->dir, temp, 0); /* of one that was killed: we have the lock */
	return replace(f, temp);
}
