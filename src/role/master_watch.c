#include "role/master_watch.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Looks, and no inotify: that watches an inode, and what changes what a path means may happen to
 * any directory, symbolic link or mount on the way to it; certificates are commonly swapped by a
 * link two directories up.
 */
#define EVERY (2 * USEC_PER_SEC)
/* A change was seen: is it finished? And for some time after one, since another often follows, and
 * whoever makes them waits for it. */
#define SOON (USEC_PER_SEC / 2)
#define LIVELY (10 * USEC_PER_SEC)

enum { FILES_MAX = 100000, WHY_MAX = 400 };
#define OCTETS_MAX (UINT64_C(256) << 20)

/* ---- which files ---------------------------------------------------------------------------- */

enum {
	TO_VAULT = 1 << ROLE_VAULT,
	TO_RECEIVERS = 1 << ROLE_SMTPD,
	TO_SENDERS = 1 << ROLE_SENDER,
	/* Who gets mail: at RCPT; in the queue, reports and what users forward. */
	TO_TABLES = TO_RECEIVERS | 1 << ROLE_QUEUE
};

static struct watched_file *add(struct file_watch *w, size_t group)
{
	struct watched_file *f;

	gw_assert(w->n < FILES_MAX);
	w->file = gw_realloc(w->file, (w->n + 1) * sizeof(*w->file));
	f = &w->file[w->n++];
	*f = (struct watched_file){.fd = -1, .group = group};
	return f;
}

static void add_file(struct file_watch *w, size_t group, struct watched_file what)
{
	struct watched_file *f = add(w, group);

	what.fd = -1;
	what.group = group;
	*f = what;
}

static void plan_domain(struct file_watch *w, const struct domain *d, uint32_t index, size_t *group)
{
	if (d->recipients_file != NULL)
		add_file(w, ++*group,
		    (struct watched_file){.kind = FILE_RECIPIENTS,
			.index = index,
			.path = d->recipients_file,
			.place = &d->recipients_place,
			.roles = TO_TABLES});
	if (d->aliases != NULL)
		add_file(w, ++*group,
		    (struct watched_file){.kind = FILE_ALIASES,
			.index = index,
			.path = d->aliases,
			.place = &d->aliases_place,
			.roles = TO_TABLES});
}

/* What is of all domains. */
static void plan_common(struct file_watch *w, const struct config *c, size_t *group)
{
	if (c->aliases != NULL)
		add_file(w, ++*group,
		    (struct watched_file){.kind = FILE_ALIASES,
			.index = (uint32_t)c->n_domain,
			.path = c->aliases,
			.place = &c->aliases_place,
			.roles = TO_TABLES});
	if (c->srs.secret_path != NULL)
		add_file(w, ++*group,
		    (struct watched_file){.kind = FILE_SRS,
			.path = c->srs.secret_path,
			.place = &c->srs.secret_place,
			.roles = TO_TABLES,
			.secret = true});
}

/* A line here for each statement that names a file. */
static void plan(struct file_watch *w, const struct config *c)
{
	size_t group = 0;

	for (uint32_t i = 0; i < c->n_tls; i++) {
		const struct tls_pair *p = &c->tls[i];

		add_file(w, ++group,
		    (struct watched_file){.kind = FILE_CERTIFICATE,
			.index = i,
			.path = p->certificate,
			.place = &p->place,
			.roles = TO_VAULT});
		add_file(w, group,
		    (struct watched_file){.kind = FILE_KEY,
			.index = i,
			.path = p->key,
			.place = &p->place,
			.roles = TO_VAULT,
			.secret = true});
	}
	if (c->users != NULL)
		add_file(w, ++group,
		    (struct watched_file){.kind = FILE_USERS,
			.path = c->users,
			.place = &c->users_place,
			.roles = TO_VAULT,
			.secret = true});
	for (uint32_t i = 0; i < c->n_domain; i++)
		plan_domain(w, &c->domain[i], i, &group);
	plan_common(w, c, &group);
	for (uint32_t i = 0; i < c->n_secret; i++)
		add_file(w, ++group,
		    (struct watched_file){.kind = FILE_SECRET,
			.index = i,
			.path = c->secret[i],
			.place = &c->secret_place[i],
			.roles = TO_SENDERS,
			.secret = true});
}

/* ---- one file ------------------------------------------------------------------------------- */

static struct file_state state_of(const struct watched_file *f, const struct stat *st)
{
	return (struct file_state){
	    st->st_dev, st->st_ino, st->st_size, st->st_mtim, includes_state(&f->includes)};
}

static bool same(const struct file_state *a, const struct file_state *b)
{
	return a->includes == b->includes && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}

/* NULL: it can be used. */
static const char *judge(const struct watched_file *f, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "this is not a plain file";
	if ((uint64_t)st->st_size > OCTETS_MAX)
		return "the file is larger than 256 MiB";
	if (f->secret && (st->st_mode & (S_IROTH | S_IWOTH)) != 0)
		return "secret file readable by others: chmod o= it";
	return NULL;
}

/* A descriptor, or -1 and why. Not stopped by a pipe that stands there. */
static int open_file(const struct watched_file *f, struct stat *st, const char **why)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	*why = NULL;
	if (fd < 0 || fstat(fd, st) < 0)
		*why = strerror(errno);
	else
		*why = judge(f, st);
	if (*why == NULL)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/*
 * Aliases with what they include, in one piece, in place of the file itself. The paths that were
 * found are those to be watched, also where one of them cannot be read.
 */
static int add_includes(struct watched_file *f, int fd, char *why, size_t why_size)
{
	struct includes list;
	struct buf all;
	int err, piece = fd;

	buf_init_soft(&all, OCTETS_MAX);
	err = includes_gather(f->path, fd, &list, &all, why, why_size);
	if (err == 0 && buf_len(&all) > 0) {
		struct span s = buf_view(&all);

		piece = memfd_create("godwit-aliases", MFD_CLOEXEC);
		if (piece < 0 || write(piece, s.p, s.n) != (ssize_t)s.n) {
			snprintf(why, why_size, "%s: no memory for what it includes", f->path);
			err = GW_EIO;
		}
		close(fd);
	}
	buf_fini(&all);
	if (err == 0) {
		includes_free(&f->includes);
		f->includes = list;
		return piece;
	}
	if (piece >= 0)
		close(piece);
	return -1;
}

/* As it is passed on; -1 and why. */
static int take_file(struct watched_file *f, struct stat *st, char *why, size_t why_size)
{
	const char *reason;
	int fd = open_file(f, st, &reason);

	if (fd < 0)
		snprintf(why, why_size, "%s", reason);
	return fd < 0 || f->kind != FILE_ALIASES ? fd : add_includes(f, fd, why, why_size);
}

static void log_lost(const struct watched_file *f, const char *why)
{
	struct logline l;

	log_begin(&l, EV_FILE_LOST);
	log_str(&l, "file", f->path);
	log_str(&l, "reason", why);
	log_end(&l);
}

static void lose(struct watched_file *f, const char *why)
{
	if (!f->lost)
		log_lost(f, why);
	f->lost = true;
	/* When it is back it has to hold still again. */
	f->seen = f->told;
}

/* ---- looking --------------------------------------------------------------------------------- */

enum look { LOOK_SAME, LOOK_MOVING, LOOK_STILL };

static enum look look_at(struct watched_file *f)
{
	struct file_state now;
	const char *why;
	struct stat st;

	if (f->path == NULL)
		return LOOK_SAME;
	why = stat(f->path, &st) < 0 ? strerror(errno) : judge(f, &st);
	if (why != NULL) {
		lose(f, why);
		return LOOK_SAME;
	}
	f->lost = false;
	now = state_of(f, &st);
	if (same(&now, &f->told)) {
		f->seen = f->told;
		return LOOK_SAME;
	}
	if (same(&now, &f->seen))
		return LOOK_STILL;
	f->seen = now;
	return LOOK_MOVING;
}

/* The files [i, end) hold still: opens them, all or none. */
static bool take_group(struct file_watch *w, size_t i, size_t end)
{
	int fd[2];

	gw_assert(end - i <= GW_ARRAY_LEN(fd));
	for (size_t k = i; k < end; k++) {
		char why[WHY_MAX] = "";
		struct file_state now;
		struct stat st;

		fd[k - i] = take_file(&w->file[k], &st, why, sizeof(why));
		if (fd[k - i] >= 0)
			now = state_of(&w->file[k], &st);
		if (fd[k - i] >= 0 && same(&now, &w->file[k].seen))
			continue;
		/* It moved between the look and this, or includes others than before: these have
		   to hold still, too. */
		if (fd[k - i] < 0)
			lose(&w->file[k], why);
		else
			w->file[k].seen = now;
		for (size_t j = i; j <= k; j++) {
			if (fd[j - i] >= 0)
				close(fd[j - i]);
		}
		return false;
	}
	w->last_stamp++;
	for (size_t k = i; k < end; k++) {
		struct watched_file *f = &w->file[k];

		if (f->fd >= 0)
			close(f->fd);
		f->fd = fd[k - i];
		f->told = f->seen;
		f->stamp = w->last_stamp;
	}
	return true;
}

static size_t group_end(const struct file_watch *w, size_t i)
{
	size_t end = i;

	while (end < w->n && w->file[end].group == w->file[i].group)
		end++;
	return end;
}

/* True if it is moving. */
static bool look_at_group(struct file_watch *w, size_t i, size_t end)
{
	bool moving = false, still = false;

	for (size_t k = i; k < end; k++) {
		enum look l = look_at(&w->file[k]);

		moving = moving || l == LOOK_MOVING;
		still = still || l == LOOK_STILL;
		/* Half of a pair would be refused, and the whole one comes. */
		if (w->file[k].lost)
			return false;
	}
	if (moving || !still)
		return moving;
	if (!take_group(w, i, end))
		return true;
	for (size_t k = i; k < end; k++)
		w->changed(w->arg, &w->file[k]);
	return false;
}

bool file_watch_look(struct file_watch *w)
{
	bool moving = false;
	size_t end;

	for (size_t i = 0; i < w->n; i = end) {
		end = group_end(w, i);
		moving = look_at_group(w, i, end) || moving;
	}
	return moving;
}

static void on_timer(void *arg)
{
	struct file_watch *w = arg;
	int64_t now = loop_now(w->loop);
	uint64_t stamp = w->last_stamp;
	bool moving = file_watch_look(w);

	if (moving || w->last_stamp != stamp)
		w->lively_until = now + LIVELY;
	timer_set(&w->timer, now + (now < w->lively_until ? SOON : EVERY));
}

/* ---- the outside ----------------------------------------------------------------------------- */

static int complain(const struct watched_file *f, const char *why, FILE *say)
{
	const struct place *at = f->place;

	fprintf(say, "%s:%u:%u: error: %s: %s\n", at->file != NULL ? at->file : "godwit", at->line,
	    at->column, f->path, why);
	return GW_EIO;
}

int file_watch_open(struct file_watch *w, const struct config *c, FILE *say)
{
	int err = 0;

	*w = (struct file_watch){.generation = c->generation};
	plan(w, c);
	for (size_t i = 0; i < w->n; i++) {
		struct watched_file *f = &w->file[i];
		char why[WHY_MAX] = "";
		struct stat st;

		f->fd = take_file(f, &st, why, sizeof(why));
		if (f->fd < 0) {
			err = complain(f, why, say);
			continue;
		}
		f->told = f->seen = state_of(f, &st);
		f->stamp = 1;
	}
	w->last_stamp = 1;
	return err;
}

void file_watch_start(struct file_watch *w, struct loop *l,
    void (*changed)(void *arg, const struct watched_file *f), void *arg)
{
	w->loop = l;
	w->changed = changed;
	w->arg = arg;
	timer_start(&w->timer, l, on_timer, w);
	timer_set(&w->timer, loop_now(l) + EVERY);
}

void file_watch_add(struct file_watch *w, enum file_kind kind, unsigned roles, int fd)
{
	struct watched_file *f = add(w, SIZE_MAX - w->n);

	f->kind = kind;
	f->roles = roles;
	f->fd = fd;
	f->stamp = 1;
}

void file_watch_rest(struct file_watch *w, bool rest)
{
	timer_set(&w->timer, rest ? INT64_MAX : loop_now(w->loop) + EVERY);
}

void file_watch_hand_over(struct file_watch *from, struct file_watch *to)
{
	for (size_t i = 0; i < from->n; i++) {
		struct watched_file *f = &from->file[i];

		if (f->path != NULL || f->fd < 0)
			continue;
		file_watch_add(to, f->kind, f->roles, f->fd);
		f->fd = -1;
	}
}

void file_watch_close(struct file_watch *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->file[i].fd >= 0)
			close(w->file[i].fd);
		includes_free(&w->file[i].includes);
	}
	if (w->loop != NULL)
		timer_stop(&w->timer);
	free(w->file);
	*w = (struct file_watch){0};
}
