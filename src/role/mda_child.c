#include "role/mda_child.h"

#include "base/cursor.h"
#include "role/child.h"
#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECONDS_MAX = 300, ROOM_FOR_FIELDS = 64 << 10 };

/* ---- the report ------------------------------------------------------------------------ */

_Noreturn static void report(const struct mda_work *w, const struct maildir_result *r)
{
	struct buf b;
	struct span s;

	buf_init(&b, MDA_REPORT_MAX);
	put_u8(&b, (uint8_t)r->outcome);
	put_u16(&b, r->code);
	buf_add(&b, r->esc, sizeof(r->esc));
	put_span16(&b, span_str(r->text));
	s = buf_view(&b);
	_exit(write(w->report, s.p, s.n) == (ssize_t)s.n ? 0 : 1);
}

static bool credible(const struct maildir_result *r)
{
	switch (r->outcome) {
	case OUTCOME_NONE: return true;
	case OUTCOME_DELIVERED: return r->code / 100 == 2 && r->esc[0] == 2;
	case OUTCOME_DEFERRED: return r->code / 100 == 4 && r->esc[0] == 4;
	case OUTCOME_FAILED: return r->code / 100 == 5 && r->esc[0] == 5;
	default: return false;
	}
}

int mda_report_get(struct span in, struct maildir_result *r)
{
	struct cursor c = cursor_of(in);
	struct span esc, text;

	*r = (struct maildir_result){.outcome = (enum outcome)get_u8(&c)};
	r->code = get_u16(&c);
	esc = get_bytes(&c, sizeof(r->esc));
	text = get_span16(&c);
	if (!cursor_done(&c))
		return GW_EFORMAT;
	memcpy(r->esc, esc.p, sizeof(r->esc));
	span_to_cstr(text, r->text, sizeof(r->text));
	for (char *t = r->text; *t != '\0'; t++) {
		if ((uint8_t)*t < ' ' || (uint8_t)*t >= 0x7f)
			*t = '?';
	}
	return credible(r) ? 0 : GW_EFORMAT;
}

/* ---- the way there ---------------------------------------------------------------------- */

_Noreturn static void refuse(const struct mda_work *w, uint8_t detail, const char *text)
{
	struct maildir_result r = {.outcome = OUTCOME_FAILED, .code = 550, .esc = {5, 1, detail}};

	snprintf(r.text, sizeof(r.text), "%s", text);
	report(w, &r);
}

_Noreturn static void defer(const struct mda_work *w, const char *what)
{
	struct maildir_result r = {.outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 3, 0}};

	snprintf(r.text, sizeof(r.text), "%s: %s", what, strerror(errno));
	report(w, &r);
}

/* The owner of the place, but never root: that is somebody's only because nobody else owns it. */
static void become_owner(const struct mda_work *w, const struct maildir_place *p)
{
	unsigned uid = p->uid != 0 ? p->uid : w->owner_uid;
	unsigned gid = p->gid != 0 ? p->gid : w->owner_gid;

	if (!w->is_root)
		return;
	if (uid == 0 || gid == 0) {
		errno = EPERM;
		defer(w, "The mailbox would belong to root");
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		defer(w, "Cannot become the owner of the mailbox");
	/* The kernel forgot it with the uid. */
	child_die_with_parent();
}

static char *expand(const struct mda_work *w)
{
	static char path[MAILDIR_PATH_MAX];
	struct buf b;
	int err;

	buf_init(&b, sizeof(path) - 1);
	err = maildir_expand(w->template, w->message.rcpt, w->subaddress, &b);
	if (err == GW_EFORMAT)
		refuse(w, 1, "The address names no mailbox");
	if (err < 0)
		refuse(w, 3, "The path of the mailbox is too long");
	span_to_cstr(buf_view(&b), path, sizeof(path));
	buf_fini(&b);
	return path;
}

void mda_child(const struct mda_work *w)
{
	int keep[] = {w->message.content, w->report};
	struct maildir_result r = {0};
	struct maildir_place place;
	const char *path;
	int box;

	child_keep_fds(keep, GW_ARRAY_LEN(keep));
	umask(077);
	path = expand(w);
	if (maildir_find(path, maildir_fixed(w->template), &place, &r) < 0)
		report(w, &r);
	become_owner(w, &place);
	box = maildir_open(&place, &r);
	if (box < 0)
		report(w, &r);
	close(place.dir);
	sandbox_delivery_child(box, w->size + ROOM_FOR_FIELDS, SECONDS_MAX, w->jail, w->filters);
	maildir_deliver(box, &w->message, &r);
	report(w, &r);
}
