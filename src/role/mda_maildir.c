/* How a message gets into a mailbox that is open. */
#include "role/maildir.h"

#include "mail/delivered.h"
#include "role/maildir-private.h"
#include "role/maildir_folder.h"
#include "role/mda_lines.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what to say ------------------------------------------------------------------------ */

static void full(struct maildir_result *r, const struct quota *q, enum quota_answer answer)
{
	if (answer == QUOTA_NEVER)
		maildir_say(r, OUTCOME_FAILED, 552, (uint8_t[]){5, 2, 3},
		    "The message is larger than the whole mailbox may be");
	else if (answer == QUOTA_UNKNOWN)
		maildir_failed(r, "count", "the mailbox");
	else if (q->defer)
		maildir_say(r, OUTCOME_DEFERRED, 452, (uint8_t[]){4, 2, 2}, "The mailbox is full");
	else
		maildir_say(r, OUTCOME_FAILED, 552, (uint8_t[]){5, 2, 2}, "The mailbox is full");
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

/* ---- is it there already? ---------------------------------------------------------------- */

/* NAME, with its sizes, and with the flags a reader puts behind ":". */
static bool is_this(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 &&
	       (entry[n] == '\0' || entry[n] == ',' || entry[n] == ':');
}

/* What a killed child left: NAME.PID. */
static bool is_left_over(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '.';
}

/* Looks through new/ or cur/ for the message, or through tmp/ to remove what is left of it. 1: it
 * is there; GW_EIO: nobody knows. */
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

/* The three directories of a mailbox or a folder. */
struct box {
	int tmp, new, cur;
};

/* 1, 0, or GW_EIO: not known, and a second copy is worse than a second try. Readers move mail from
 * new/ to cur/: in this order it is not missed. */
static int was_delivered(const struct box *b, const char *name)
{
	int found = search(b->new, name, false);

	if (found == 0)
		found = search(b->cur, name, false);
	if (found == 0)
		(void)search(b->tmp, name, true);
	return found;
}

static int open_box(int dir, struct box *b, struct maildir_result *r)
{
	bool made_tmp, made_new = false, made_cur;

	*b = (struct box){.tmp = -1, .new = -1, .cur = -1};
	b->tmp = maildir_enter(dir, "tmp", &made_tmp, r);
	if (b->tmp >= 0)
		b->new = maildir_enter(dir, "new", &made_new, r);
	if (b->new >= 0 && (made_new || !maildir_is_finished(dir)) && maildir_flush(dir) < 0)
		maildir_failed(r, "flush", "the mailbox");
	else if (b->new >= 0)
		b->cur = maildir_enter(dir, "cur", &made_cur, r);
	return b->cur >= 0 ? 0 : GW_EIO;
}

static void close_box(const struct box *b)
{
	if (b->tmp >= 0)
		close(b->tmp);
	if (b->new >= 0)
		close(b->new);
	if (b->cur >= 0)
		close(b->cur);
}

/* ---- writing ---------------------------------------------------------------------------- */

/* The steps of the content: is it a loop, then the file. */
struct passage {
	struct delivered_scan loop;
	bool kept;
	struct writer w;
};

static int pass(void *arg, struct span octets)
{
	struct passage *p = arg;

	delivered_scan_feed(&p->loop, octets);
	return p->loop.found && !p->kept ? GW_EPERM : writer_put(&p->w, octets);
}

static int finish(struct passage *p)
{
	int err = writer_end(&p->w);

	if (err == 0 && maildir_flush(p->w.fd) < 0) {
		p->w.err = errno;
		err = GW_EIO;
	}
	return err;
}

static int write_message(
    struct passage *p, const struct maildir_message *m, struct maildir_result *r)
{
	int err;

	writer_field(&p->w, "Return-Path: <", m->from, ">\n");
	writer_field(&p->w, "Delivered-To: ", m->rcpt, "\n");
	delivered_scan_init(&p->loop, m->rcpt);
	p->kept = m->kept;
	err = content_read_lines(m->content, m->binary, pass, p, r);
	if (err == 0)
		err = finish(p);
	if (err == GW_ECLOSED)
		incomplete(r);
	else if (err == GW_EFORMAT)
		; /* and *r says why */
	else if (err == GW_EPERM)
		maildir_looping(r);
	else if (err < 0) {
		errno = p->w.err;
		maildir_failed(r, "write", "the message");
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

/* Where a message goes: the mailbox, which has the quota, and the mailbox or folder. */
struct way {
	int top;
	const struct box *into;
	const struct maildir_message *m;
	char name[MAILDIR_NAME_MAX];
};

static bool has_room(const struct way *y, uint64_t octets, struct maildir_result *r)
{
	enum quota_answer answer = quota_ask(y->top, &y->m->quota, octets);

	if (answer != QUOTA_FITS)
		full(r, &y->m->quota, answer);
	return answer == QUOTA_FITS;
}

/* The file is whole and flushed. Readers learn its sizes from its name: S as it is on the disk, W
 * with CRLF. */
static int show(
    const struct way *y, const struct passage *p, const char *tmp_name, struct maildir_result *r)
{
	char name[MAILDIR_NAME_MAX + 48];
	int err;

	if (!has_room(y, p->w.size, r))
		return GW_EFULL;
	snprintf(name, sizeof(name), "%s,S=%" PRIu64 ",W=%" PRIu64, y->name, p->w.size, p->w.wire);
	err = publish(y->into, tmp_name, name);
	if (err < 0)
		maildir_failed(r, "rename it to new", name);
	else
		saved(r, name, err == 1);
	if (err == 0)
		quota_add(y->top, &y->m->quota, p->w.size);
	return err;
}

static void save(const struct way *y, struct maildir_result *r)
{
	static struct passage p;
	char tmp_name[MAILDIR_NAME_MAX + 16];
	int tmp = y->into->tmp, fd, err;

	snprintf(tmp_name, sizeof(tmp_name), "%s.%d", y->name, (int)getpid());
	unlinkat(tmp, tmp_name, 0);
	fd = openat(tmp, tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		maildir_failed(r, "make", "a file in tmp");
		return;
	}
	writer_init(&p.w, fd);
	err = write_message(&p, y->m, r);
	if (close(fd) < 0 && err == 0) {
		maildir_failed(r, "close", "the message");
		err = GW_EIO;
	}
	if (err == 0)
		err = show(y, &p, tmp_name, r);
	if (err != 0)
		unlinkat(tmp, tmp_name, 0);
}

/* also: the inbox, where mail to a folder may be from before there was the folder; or NULL. */
static void deliver(const struct way *y, const struct box *also, struct maildir_result *r)
{
	int was = 0;

	if (!y->m->fresh)
		was = was_delivered(y->into, y->name);
	if (was == 0 && !y->m->fresh && also != NULL)
		was = was_delivered(also, y->name);
	if (was < 0)
		maildir_failed(r, "look into", "the mailbox");
	else if (was == 1)
		saved(r, y->name, true);
	else if (has_room(y, 1, r)) /* one that is full need not be written to */
		save(y, r);
	/* Also for what was there: its delivery may have been killed before this line. */
	if (r->outcome == OUTCOME_DELIVERED && maildir_flush(y->into->new) < 0)
		maildir_failed(r, "flush", "new");
	if (r->outcome == OUTCOME_DELIVERED && was == 1 && also != NULL &&
	    maildir_flush(also->new) < 0)
		maildir_failed(r, "flush", "new");
}

static void deliver_to_folder(
    struct way *y, int dir, const struct box *inbox, struct maildir_result *r)
{
	struct box folder;

	if (open_box(dir, &folder, r) == 0) {
		y->into = &folder;
		deliver(y, inbox, r);
	}
	close_box(&folder);
}

void maildir_deliver(int box, const struct maildir_message *m, struct maildir_result *r)
{
	struct way y = {.top = box, .m = m};
	struct box inbox;
	int folder = GW_ENOENT;

	maildir_name(&m->id, m->index, y.name);
	y.into = &inbox;
	if (open_box(box, &inbox, r) == 0) {
		folder = folder_open(box, m->folder, m->detail);
		if (folder >= 0)
			deliver_to_folder(&y, folder, &inbox, r);
		else if (folder == GW_ENOENT)
			deliver(&y, NULL, r);
		else
			maildir_failed(r, "open", "the folder");
	}
	if (folder >= 0)
		close(folder);
	close_box(&inbox);
}
