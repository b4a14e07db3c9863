/*
 * The file in which a user says where his mail goes on to (mail/forward.h), in the process that
 * delivers it: opened with his uid before the jail, read and judged inside of it. What comes out is
 * addresses, or a reason for the log; the parent takes both as hostile.
 *
 * It counts only if it is a plain file of his own or of root, no symbolic link, at most 64 KiB, and
 * nobody else may write to it or to its directory. Else whoever may would read his mail.
 */
#ifndef GW_ROLE_MDA_FORWARD_H
#define GW_ROLE_MDA_FORWARD_H

#include "base/cursor.h"
#include "mail/forward.h"
#include "role/maildir.h"

/* Of the report: kind, then a reason or the addresses. */
enum mda_forward_kind {
	MDA_FORWARD_NONE,    /* there is none, or it says nothing */
	MDA_FORWARD_IGNORED, /* why */
	MDA_FORWARD_GOES     /* to */
};
struct mda_forward {
	enum mda_forward_kind kind;
	struct forward to; /* its `why` is the reason */
};
enum { MDA_FORWARD_ROOM = 40 << 10 };

/* As the user. The text is kept in memory of the process; template: of the configuration. */
void mda_forward_read(const char *template, struct span rcpt, char subaddress,
    struct mda_forward *f, struct span *text);
/* In the jail: what the text says. */
void mda_forward_judge(
    struct span text, struct span rcpt, char subaddress, struct mda_forward *f, struct arena *a);
/* Has this message been in this mailbox? Reads the header of the content. 0; GW_EPERM: it has;
 * GW_ECLOSED: it did not come whole. */
int mda_forward_loops(int content, struct span rcpt) gw_checked;

void mda_forward_put(struct buf *b, const struct mda_forward *f);
/* The addresses live in the arena. 0, or GW_EFORMAT. */
int mda_forward_get(struct cursor *c, struct mda_forward *f, struct arena *a) gw_checked;

#endif
