/* The way to a mailbox: from a path to its directory. */
#include "role/maildir-private.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what to say ------------------------------------------------------------------------ */

void maildir_failed(struct maildir_result *r, const char *what, const char *name)
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

void maildir_say(struct maildir_result *r, enum outcome outcome, uint16_t code,
    const uint8_t esc[3], const char *text)
{
	*r = (struct maildir_result){.outcome = outcome, .code = code};
	memcpy(r->esc, esc, sizeof(r->esc));
	snprintf(r->text, sizeof(r->text), "%s", text);
}

void maildir_looping(struct maildir_result *r)
{
	maildir_say(r, OUTCOME_FAILED, 554, (uint8_t[]){5, 4, 6},
	    "Mail loop: the message was delivered to this address before");
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
			maildir_failed(r, "use", name);
			return GW_EIO;
		}
		fd = openat(p->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		/* Root without its powers may not look further: the rest is the owner's to do. */
		if (fd < 0 && (errno == ENOENT || errno == EACCES))
			return 0;
		if (fd < 0) {
			maildir_failed(r, "enter", name);
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
		maildir_failed(r, "enter", top);
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

int maildir_flush(int fd)
{
	int rc;

	do
		rc = fsync(fd);
	while (rc < 0 && errno == EINTR);
	return rc;
}

int maildir_enter(int dir, const char *name, bool *made, struct maildir_result *r)
{
	int fd;

	*made = mkdirat(dir, name, 0700) == 0;
	if (!*made && errno != EEXIST) {
		maildir_failed(r, "make", name);
		return GW_EIO;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		maildir_failed(r, "open", name);
	return fd < 0 ? GW_EIO : fd;
}

bool maildir_is_finished(int box)
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
		if (above < 0 || maildir_flush(above) < 0) {
			maildir_failed(r, "flush the directory above", i == 0 ? "it" : "that");
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
		maildir_failed(r, "open the directory above", rest[0] != '\0' ? rest : "it");
	while (dir >= 0 && next_name(&rest, name, &n)) {
		int next = GW_EIO;
		bool made;

		errno = n > NAME_MAX ? ENAMETOOLONG : EINVAL;
		if (n > NAME_MAX || leads_astray(name))
			maildir_failed(r, "use", name);
		else
			next = maildir_enter(dir, name, &made, r);
		close(dir);
		dir = next;
		rest += n;
	}
	if (dir >= 0 && !maildir_is_finished(dir) && flush_above(dir, p->depth, r) < 0) {
		close(dir);
		dir = GW_EIO;
	}
	return dir;
}
