#include "role/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, OUT_MAX = CHUNK + 4096 };

/* ---- what to say ------------------------------------------------------------------------ */

static void failed(struct maildir_result *r, const char *what, const char *name)
{
	int err = errno;

	*r = (struct maildir_result){.outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 2, 0}};
	if (err == ENAMETOOLONG) {
		r->outcome = OUTCOME_FAILED;
		r->code = 550;
		memcpy(r->esc, (uint8_t[3]){5, 1, 3}, 3);
	} else if (err == EDQUOT) {
		r->code = 452;
		memcpy(r->esc, (uint8_t[3]){4, 2, 2}, 3);
	} else if (err == ENOSPC) {
		r->code = 452;
		memcpy(r->esc, (uint8_t[3]){4, 3, 1}, 3);
	}
	snprintf(r->text, sizeof(r->text), "Cannot %s %.160s: %s", what, name, strerror(err));
}

static void saved(struct maildir_result *r, const char *name, bool before)
{
	*r = (struct maildir_result){.outcome = OUTCOME_DELIVERED, .code = 250, .esc = {2, 0, 0}};
	snprintf(r->text, sizeof(r->text), "%s as %s", before ? "Was saved" : "Saved", name);
}

static void incomplete(struct maildir_result *r)
{
	*r = (struct maildir_result){.outcome = OUTCOME_NONE, .code = 451, .esc = {4, 3, 0}};
	snprintf(r->text, sizeof(r->text), "The content did not arrive whole");
}

/* ---- the way to the mailbox -------------------------------------------------------------- */

/* The next component of a path, copied; false at the end. */
static bool next_name(const char **path, char name[NAME_MAX + 1], size_t *length)
{
	while (**path == '/')
		(*path)++;
	*length = strcspn(*path, "/");
	snprintf(name, NAME_MAX + 1, "%.*s", (int)*length, *path);
	return *length > 0;
}

static unsigned depth_of(const char *path)
{
	char name[NAME_MAX + 1];
	unsigned depth = 0;
	size_t n;

	for (; next_name(&path, name, &n); path += n)
		depth++;
	return depth;
}

/* Names of the template's own that would lead out of the fixed directory. */
static bool leads_astray(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int follow(struct maildir_place *p, struct maildir_result *r)
{
	char name[NAME_MAX + 1];
	size_t n;

	while (next_name(&p->rest, name, &n)) {
		int fd;

		errno = n > NAME_MAX ? ENAMETOOLONG : EINVAL;
		if (n > NAME_MAX || leads_astray(name)) {
			failed(r, "use", name);
			return GW_EIO;
		}
		fd = openat(p->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		/* Root without its powers may not look further: the rest is the owner's to do. */
		if (fd < 0 && (errno == ENOENT || errno == EACCES))
			return 0;
		if (fd < 0) {
			failed(r, "enter", name);
			return GW_EIO;
		}
		close(p->dir);
		p->dir = fd;
		p->rest += n;
	}
	return 0;
}

int maildir_find(const char *path, size_t fixed, struct maildir_place *p, struct maildir_result *r)
{
	char top[MAILDIR_PATH_MAX];
	struct stat st;

	snprintf(top, sizeof(top), "%.*s", (int)fixed, path);
	*p = (struct maildir_place){.rest = path + fixed, .depth = depth_of(path + fixed)};
	p->dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0) {
		failed(r, "enter", top);
		return GW_EIO;
	}
	if (follow(p, r) < 0 || fstat(p->dir, &st) < 0) {
		close(p->dir);
		return GW_EIO;
	}
	p->uid = st.st_uid;
	p->gid = st.st_gid;
	return 0;
}

/* Where a flush was interrupted nothing is known to be lost. */
static int flush(int fd)
{
	int rc;

	do
		rc = fsync(fd);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/* Opens a directory below dir, made if missing. */
static int enter_or_make(int dir, const char *name, bool *made, struct maildir_result *r)
{
	int fd;

	*made = mkdirat(dir, name, 0700) == 0;
	if (!*made && errno != EEXIST) {
		failed(r, "make", name);
		return GW_EIO;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		failed(r, "open", name);
	return fd < 0 ? GW_EIO : fd;
}

/* Its cur/ is made when all else is durable: without one, what is there may be of a delivery that
 * was killed, or whose flush failed. */
static bool is_finished(int box)
{
	struct stat st;

	return fstatat(box, "cur", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Flushes the directories above, as many as are not fixed. One that we may not open is none that we
 * made. */
static int flush_above(int box, unsigned depth, struct maildir_result *r)
{
	int dir = box, err = 0;

	for (unsigned i = 0; i < depth && err == 0; i++) {
		int above = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (above < 0 && errno == EACCES)
			break;
		if (above < 0 || flush(above) < 0) {
			failed(r, "flush the directory above", i == 0 ? "it" : "that");
			err = GW_EIO;
		}
		if (dir != box)
			close(dir);
		dir = above;
	}
	if (dir != box && dir >= 0)
		close(dir);
	return err;
}

int maildir_open(const struct maildir_place *p, struct maildir_result *r)
{
	const char *rest = p->rest;
	char name[NAME_MAX + 1];
	size_t n;
	int dir = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		failed(r, "open the directory above", rest[0] != '\0' ? rest : "it");
	while (dir >= 0 && next_name(&rest, name, &n)) {
		int next = GW_EIO;
		bool made;

		errno = n > NAME_MAX ? ENAMETOOLONG : EINVAL;
		if (n > NAME_MAX || leads_astray(name))
			failed(r, "use", name);
		else
			next = enter_or_make(dir, name, &made, r);
		close(dir);
		dir = next;
		rest += n;
	}
	if (dir >= 0 && !is_finished(dir) && flush_above(dir, p->depth, r) < 0) {
		close(dir);
		dir = GW_EIO;
	}
	return dir;
}

/* ---- is it there already? ---------------------------------------------------------------- */

/* NAME, or NAME with the flags a reader puts behind ":". */
static bool is_this(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && (entry[n] == '\0' || entry[n] == ':');
}

/* What a killed child left: NAME.PID. */
static bool is_left_over(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '.';
}

/* Looks through cur/ for the message, or through tmp/ to remove what is left of it. 1: it is there;
 * GW_EIO: nobody knows. */
static int search(int dir, const char *name, bool remove_left)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (d == NULL) {
		if (copy >= 0)
			close(copy);
		return GW_EIO;
	}
	while (found == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (remove_left && is_left_over(e->d_name, name))
			unlinkat(dir, e->d_name, 0);
		else if (!remove_left)
			found = is_this(e->d_name, name);
	}
	if (e == NULL && errno != 0)
		found = GW_EIO;
	closedir(d);
	return found;
}

struct box {
	int tmp, new, cur;
};

/* 1, 0, or GW_EIO: not known, and a second copy is worse than a second try. */
static int was_delivered(const struct box *b, const char *name, bool fresh)
{
	struct stat st;
	int found;

	if (fstatat(b->new, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	if (fresh)
		return 0;
	found = search(b->cur, name, false);
	if (found == 0)
		(void)search(b->tmp, name, true);
	return found;
}

/* ---- writing ---------------------------------------------------------------------------- */

struct writer {
	int fd;
	bool cr; /* the last octet was a CR that is not written yet */
	int err; /* errno of the first failure */
	size_t n;
	uint8_t out[OUT_MAX];
};

static void write_out(struct writer *w)
{
	size_t done = 0;

	while (done < w->n && w->err == 0) {
		ssize_t n = write(w->fd, w->out + done, w->n - done);

		if (n < 0 && errno != EINTR)
			w->err = errno;
		else if (n > 0)
			done += (size_t)n;
	}
	w->n = 0;
}

static void put(struct writer *w, uint8_t c)
{
	if (w->n == sizeof(w->out))
		write_out(w);
	w->out[w->n++] = c;
}

/* CRLF becomes LF; a CR alone stays. */
static void put_content(struct writer *w, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (w->cr && s.p[i] != '\n')
			put(w, '\r');
		w->cr = s.p[i] == '\r';
		if (!w->cr)
			put(w, s.p[i]);
	}
}

/* A field of ours; what is no printable octet cannot end its line. */
static void put_field(struct writer *w, const char *before, struct span value, const char *after)
{
	put_content(w, span_str(before));
	for (size_t i = 0; i < value.n; i++)
		put(w, value.p[i] < ' ' || value.p[i] == 0x7f ? '?' : value.p[i]);
	put_content(w, span_str(after));
}

static bool read_all(int fd, void *to, size_t n)
{
	uint8_t *p = to;

	while (n > 0) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static int put_chunk(struct writer *w, int fd, uint32_t n)
{
	static uint8_t chunk[CHUNK];

	while (n > 0) {
		uint32_t part = n < sizeof(chunk) ? n : (uint32_t)sizeof(chunk);

		if (!read_all(fd, chunk, part))
			return GW_ECLOSED;
		put_content(w, span_of(chunk, part));
		n -= part;
	}
	return 0;
}

/* 0, GW_ECLOSED: the end of the content did not come, GW_EIO: see w->err. */
static int copy_content(struct writer *w, int fd)
{
	for (;;) {
		uint8_t head[4];
		uint32_t n;

		if (!read_all(fd, head, sizeof(head)))
			return GW_ECLOSED;
		n = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
		    (uint32_t)head[3] << 24;
		if (n == 0)
			break;
		if (put_chunk(w, fd, n) < 0)
			return GW_ECLOSED;
		if (w->err != 0)
			return GW_EIO;
	}
	if (w->cr)
		put(w, '\r');
	write_out(w);
	if (w->err == 0 && flush(w->fd) < 0)
		w->err = errno;
	return w->err == 0 ? 0 : GW_EIO;
}

static int write_message(int fd, const struct maildir_message *m, struct maildir_result *r)
{
	static struct writer w;
	int err;

	w = (struct writer){.fd = fd};
	put_field(&w, "Return-Path: <", m->from, ">\n");
	put_field(&w, "Delivered-To: ", m->rcpt, "\n");
	err = copy_content(&w, m->content);
	if (err == GW_ECLOSED)
		incomplete(r);
	if (err == GW_EIO) {
		errno = w.err;
		failed(r, "write", "the message");
	}
	return err;
}

/* Moves it to where readers look. 1: it was there already. */
static int publish(const struct box *b, const char *tmp_name, const char *name)
{
	int err = renameat2(b->tmp, tmp_name, b->new, name, RENAME_NOREPLACE);

	/* A file system without that: a link does not replace either. */
	if (err < 0 && errno == EINVAL) {
		err = linkat(b->tmp, tmp_name, b->new, name, 0);
		if (err == 0)
			unlinkat(b->tmp, tmp_name, 0);
	}
	if (err < 0)
		return errno == EEXIST ? 1 : GW_EIO;
	return 0;
}

static void save(const struct box *b, const struct maildir_message *m, const char *name,
    struct maildir_result *r)
{
	char tmp_name[MAILDIR_NAME_MAX + 16];
	int fd, err;

	snprintf(tmp_name, sizeof(tmp_name), "%s.%d", name, (int)getpid());
	unlinkat(b->tmp, tmp_name, 0);
	fd = openat(b->tmp, tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		failed(r, "make", "a file in tmp");
		return;
	}
	err = write_message(fd, m, r);
	if (close(fd) < 0 && err == 0) {
		failed(r, "close", "the message");
		err = GW_EIO;
	}
	if (err == 0) {
		err = publish(b, tmp_name, name);
		if (err < 0)
			failed(r, "rename it to new", name);
		else
			saved(r, name, err == 1);
	}
	if (err != 0)
		unlinkat(b->tmp, tmp_name, 0);
}

static void deliver(const struct box *b, const struct maildir_message *m, struct maildir_result *r)
{
	char name[MAILDIR_NAME_MAX];
	int was;

	maildir_name(&m->id, m->index, name);
	was = was_delivered(b, name, m->fresh);
	if (was < 0)
		failed(r, "look into", "cur");
	else if (was == 1)
		saved(r, name, true);
	else
		save(b, m, name, r);
	/* Also for what was there: its delivery may have been killed before this line. */
	if (r->outcome == OUTCOME_DELIVERED && flush(b->new) < 0)
		failed(r, "flush", "new");
}

void maildir_deliver(int box, const struct maildir_message *m, struct maildir_result *r)
{
	struct box b = {.tmp = -1, .new = -1, .cur = -1};
	bool made_tmp, made_new = false, made_cur;

	b.tmp = enter_or_make(box, "tmp", &made_tmp, r);
	if (b.tmp >= 0)
		b.new = enter_or_make(box, "new", &made_new, r);
	if (b.new >= 0 && (made_new || !is_finished(box)) && flush(box) < 0)
		failed(r, "flush", "the mailbox");
	else if (b.new >= 0)
		b.cur = enter_or_make(box, "cur", &made_cur, r);
	if (b.cur >= 0)
		deliver(&b, m, r);
	if (b.tmp >= 0)
		close(b.tmp);
	if (b.new >= 0)
		close(b.new);
	if (b.cur >= 0)
		close(b.cur);
}
