#include "role/mda_forward.h"

#include "mail/address.h"
#include "mail/delivered.h"
#include "role/mda_content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file -------------------------------------------------------------------------------- */

static void ignore(struct mda_forward *f, const char *why)
{
	f->kind = MDA_FORWARD_IGNORED;
	snprintf(f->to.why, sizeof(f->to.why), "%.*s", FORWARD_WHY - 1, why);
}

/* NULL: only he and root may have written what is there. */
static const char *judge_owner(const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return "it belongs to somebody else";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "others may write to it: chmod go-w it";
	return NULL;
}

static const char *judge_file(const struct stat *dir, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is not a plain file";
	if (st->st_size > FORWARD_OCTETS)
		return "it is larger than 64 KiB";
	if (judge_owner(dir) != NULL)
		return "others may write to its directory: chmod go-w it";
	return judge_owner(st);
}

/* -1: there is none, or *why. */
static int open_file(int dir, const char *name, const char **why)
{
	struct stat st, above;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	*why = NULL;
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		*why = errno == ELOOP ? "it is a symbolic link" : strerror(errno);
	else if (fstat(fd, &st) < 0 || fstat(dir, &above) < 0)
		*why = strerror(errno);
	else
		*why = judge_file(&above, &st);
	if (*why == NULL)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* As far as it goes: the ceiling shows that it has grown meanwhile. */
static struct span read_text(int fd)
{
	static uint8_t text[FORWARD_OCTETS + 1];
	size_t n = 0;

	while (n < sizeof(text)) {
		ssize_t got = read(fd, text + n, sizeof(text) - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return span_of(text, n);
}

static void read_in(
    const char *directory, size_t fixed, const char *name, struct mda_forward *f, struct span *text)
{
	struct maildir_result r = {.outcome = OUTCOME_NONE};
	struct maildir_place place;
	const char *why = NULL;
	int fd = -1;

	if (maildir_find(directory, fixed, &place, &r) < 0) {
		ignore(f, r.text);
		return;
	}
	if (place.rest[0] == '\0') /* else there is no such directory */
		fd = open_file(place.dir, name, &why);
	close(place.dir);
	if (why != NULL)
		ignore(f, why);
	if (fd < 0)
		return;
	*text = read_text(fd);
	close(fd);
}

void mda_forward_read(const char *template, struct span rcpt, char subaddress,
    struct mda_forward *f, struct span *text)
{
	size_t fixed = maildir_fixed(template);
	char path[MAILDIR_PATH_MAX];
	struct buf b;
	char *name;

	f->kind = MDA_FORWARD_NONE;
	*text = SPAN_NONE;
	buf_init(&b, sizeof(path) - 1);
	if (maildir_expand(template, rcpt, subaddress, &b) == 0) {
		span_to_cstr(buf_view(&b), path, sizeof(path));
		name = strrchr(path, '/');
		*name++ = '\0';
		read_in(path, fixed, name, f, text);
	}
	buf_fini(&b);
}

/* ---- what it says ---------------------------------------------------------------------------- */

void mda_forward_judge(
    struct span text, struct span rcpt, char subaddress, struct mda_forward *f, struct arena *a)
{
	if (f->kind != MDA_FORWARD_NONE || text.n == 0)
		return;
	if (forward_parse(text, rcpt, subaddress, &f->to, a) < 0)
		f->kind = MDA_FORWARD_IGNORED;
	else if (f->to.n > 0) /* a copy for himself alone is what happens anyway */
		f->kind = MDA_FORWARD_GOES;
}

static int look_at(void *arg, struct span octets)
{
	struct delivered_scan *s = arg;

	delivered_scan_feed(s, octets);
	return s->found ? GW_EPERM : s->done ? GW_EFULL : 0;
}

int mda_forward_loops(int content, struct span rcpt)
{
	static struct delivered_scan scan;
	int err;

	delivered_scan_init(&scan, rcpt);
	err = content_read(content, look_at, &scan);
	return err == GW_EFULL ? 0 : err;
}

/* ---- told to the parent ---------------------------------------------------------------------- */

void mda_forward_put(struct buf *b, const struct mda_forward *f)
{
	put_u8(b, (uint8_t)f->kind);
	if (f->kind == MDA_FORWARD_IGNORED)
		put_span16(b, span_str(f->to.why));
	if (f->kind != MDA_FORWARD_GOES)
		return;
	put_u8(b, f->to.keep);
	put_u8(b, (uint8_t)f->to.n);
	for (size_t i = 0; i < f->to.n; i++)
		put_span16(b, f->to.to[i]);
}

static int get_addresses(struct cursor *c, struct forward *f, struct arena *a)
{
	uint8_t keep = get_u8(c), n = get_u8(c);
	struct address address;

	if (keep > 1 || n == 0 || n > FORWARD_MAX)
		return GW_EFORMAT;
	f->keep = keep != 0;
	for (f->n = 0; f->n < n; f->n++) {
		struct span s = get_span16(c);

		if (!cursor_ok(c) || address_parse(s, &address) < 0 ||
		    (address.kind != ADDRESS_DOMAIN && address.kind != ADDRESS_LITERAL))
			return GW_EFORMAT;
		f->to[f->n] = arena_dup(a, s);
		if (a->overflow)
			return GW_EFORMAT;
	}
	return 0;
}

int mda_forward_get(struct cursor *c, struct mda_forward *f, struct arena *a)
{
	uint8_t kind = get_u8(c);

	*f = (struct mda_forward){.kind = (enum mda_forward_kind)kind};
	if (kind > MDA_FORWARD_GOES)
		return GW_EFORMAT;
	if (kind == MDA_FORWARD_IGNORED)
		span_to_cstr(get_span16(c), f->to.why, sizeof(f->to.why));
	for (char *t = f->to.why; *t != '\0'; t++) {
		if ((uint8_t)*t < ' ' || (uint8_t)*t >= 0x7f)
			*t = '?';
	}
	return kind == MDA_FORWARD_GOES ? get_addresses(c, &f->to, a) : 0;
}
