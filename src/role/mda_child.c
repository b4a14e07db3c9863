#include "role/mda_child.h"

#include "base/cursor.h"
#include "role/child.h"
#include "role/maildir-private.h"
#include "role/mda_lines.h"
#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECONDS_MAX = 300, ROOM_FOR_FIELDS = 64 << 10, DETAIL_MAX = 1024 };

/* ---- the report ------------------------------------------------------------------------ */

void mda_report_send(int fd, const struct maildir_result *r, const struct mda_forward *f)
{
	static const struct mda_forward none = {.kind = MDA_FORWARD_NONE};
	struct buf b;
	struct span s;

	buf_init(&b, MDA_REPORT_MAX);
	put_u8(&b, (uint8_t)r->outcome);
	put_u16(&b, r->code);
	buf_add(&b, r->esc, sizeof(r->esc));
	put_span16(&b, span_str(r->text));
	mda_forward_put(&b, f != NULL ? f : &none);
	s = buf_view(&b);
	_exit(write(fd, s.p, s.n) == (ssize_t)s.n ? 0 : 1);
}

static bool credible(const struct maildir_result *r, const struct mda_forward *f)
{
	if ((r->outcome == OUTCOME_EXPANDED) != (f->kind == MDA_FORWARD_GOES))
		return false;
	switch (r->outcome) {
	case OUTCOME_NONE: return true;
	case OUTCOME_EXPANDED:
	case OUTCOME_DELIVERED: return r->code / 100 == 2 && r->esc[0] == 2;
	case OUTCOME_MAYBE:
	case OUTCOME_DEFERRED: return r->code / 100 == 4 && r->esc[0] == 4;
	case OUTCOME_FAILED: return r->code / 100 == 5 && r->esc[0] == 5;
	default: return false;
	}
}

int mda_report_get(struct span in, struct maildir_result *r, struct mda_forward *f, struct arena *a)
{
	struct cursor c = cursor_of(in);
	struct span esc, text;

	*r = (struct maildir_result){.outcome = (enum outcome)get_u8(&c)};
	r->code = get_u16(&c);
	esc = get_bytes(&c, sizeof(r->esc));
	text = get_span16(&c);
	if (mda_forward_get(&c, f, a) < 0 || !cursor_done(&c))
		return GW_EFORMAT;
	memcpy(r->esc, esc.p, sizeof(r->esc));
	span_to_cstr(text, r->text, sizeof(r->text));
	for (char *t = r->text; *t != '\0'; t++) {
		if ((uint8_t)*t < ' ' || (uint8_t)*t >= 0x7f)
			*t = '?';
	}
	return credible(r, f) ? 0 : GW_EFORMAT;
}

/* ---- the way there ---------------------------------------------------------------------- */

_Noreturn static void refuse(const struct mda_work *w, uint8_t detail, const char *text)
{
	struct maildir_result r = {.outcome = OUTCOME_FAILED, .code = 550, .esc = {5, 1, detail}};

	snprintf(r.text, sizeof(r.text), "%s", text);
	mda_report_send(w->report, &r, NULL);
}

_Noreturn static void defer(const struct mda_work *w, const char *what)
{
	struct maildir_result r = {.outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 3, 0}};

	snprintf(r.text, sizeof(r.text), "%s: %s", what, strerror(errno));
	mda_report_send(w->report, &r, NULL);
}

/* The owner of the place, but never root: that is somebody's only because nobody else owns it. His
 * files go by the effective uid, his signals by the other two: he must not stop us, who would keep
 * our place and what time we have for ever. */
static void become_owner(const struct mda_work *w, const struct maildir_place *p)
{
	unsigned uid = p->uid != 0 ? p->uid : w->owner_uid;
	unsigned gid = p->gid != 0 ? p->gid : w->owner_gid;

	if (!w->is_root)
		return;
	if (uid == 0 || gid == 0 || w->owner_uid == 0) {
		errno = EPERM;
		defer(w, "The mailbox would belong to root");
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(w->owner_uid, uid, w->owner_uid) < 0)
		defer(w, "Cannot become the owner of the mailbox");
	/* The kernel forgot it with the uid. */
	child_die_with_parent();
}

/* What the address is made into; too long is for good. */
static void check_name(const struct mda_work *w, int err)
{
	if (err == GW_EFORMAT)
		refuse(w, 1, "The address names no mailbox");
	if (err < 0)
		refuse(w, 3, "The path of the mailbox is too long");
}

static char *expand(const struct mda_work *w)
{
	static char path[MAILDIR_PATH_MAX];
	struct buf b;

	buf_init(&b, sizeof(path) - 1);
	check_name(w, maildir_expand(w->template, w->message.rcpt, w->subaddress, &b));
	span_to_cstr(buf_view(&b), path, sizeof(path));
	buf_fini(&b);
	return path;
}

/* What stands behind the mark, for the folder; it lives as long as we do. */
static struct span find_detail(const struct mda_work *w)
{
	static struct buf b;

	buf_init(&b, DETAIL_MAX);
	maildir_detail(w->message.rcpt, w->subaddress, &b);
	return buf_view(&b);
}

/* The mailbox, with its owner's uid. Nothing of the content was read yet. */
static int enter_mailbox(const struct mda_work *w)
{
	struct maildir_result r = {0};
	struct maildir_place place;
	int box;

	if (maildir_find(expand(w), maildir_fixed(w->template), &place, &r) < 0)
		mda_report_send(w->report, &r, NULL);
	become_owner(w, &place);
	box = maildir_open(&place, &r);
	if (box < 0)
		mda_report_send(w->report, &r, NULL);
	close(place.dir);
	return box;
}

/* It goes on to others, unless it was here already. */
_Noreturn static void send_on(const struct mda_work *w, const struct mda_forward *f)
{
	struct maildir_result r = {.outcome = OUTCOME_EXPANDED, .code = 250, .esc = {2, 1, 5}};
	int err = mda_forward_loops(w->message.content, w->message.rcpt);

	snprintf(r.text, sizeof(r.text), "Sent on, as the recipient says, to %zu %s%s", f->to.n,
	    f->to.n == 1 ? "address" : "addresses", f->to.keep ? ", and kept" : "");
	if (err == GW_EPERM)
		maildir_looping(&r);
	else if (err < 0)
		r = (struct maildir_result){.outcome = OUTCOME_NONE};
	mda_report_send(w->report, &r, err == 0 ? f : NULL);
}

void mda_child(const struct mda_work *w)
{
	static struct mda_forward forward;
	int keep[] = {w->message.content, w->report};
	struct maildir_message message = w->message;
	struct maildir_result r = {0};
	struct span text = SPAN_NONE;
	struct arena mem;
	int box;

	child_keep_fds(keep, GW_ARRAY_LEN(keep));
	umask(077);
	/* What the mailbox lies on may hang on the way to it, too. */
	if (w->jail)
		alarm(SECONDS_MAX);
	arena_init(&mem, MDA_REPORT_MAX);
	message.detail = find_detail(w);
	box = enter_mailbox(w);
	if (w->forward != NULL)
		mda_forward_read(w->forward, message.rcpt, w->subaddress, &forward, &text);
	sandbox_delivery_child(box, content_lines_size(message.binary, w->size) + ROOM_FOR_FIELDS,
	    SECONDS_MAX, w->jail, w->filters);
	mda_forward_judge(text, message.rcpt, w->subaddress, &forward, &mem);
	if (forward.kind == MDA_FORWARD_GOES)
		send_on(w, &forward);
	maildir_deliver(box, &message, &r);
	mda_report_send(w->report, &r, &forward);
}
