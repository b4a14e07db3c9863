/*
 * The short-lived process that delivers one message to one mailbox: finds the mailbox, takes its
 * owner's uid, enters its jail, and only then reads the content. It tells what became of it in a
 * few octets, which the parent treats as hostile.
 */
#ifndef GW_ROLE_MDA_CHILD_H
#define GW_ROLE_MDA_CHILD_H

#include "role/maildir.h"
#include "role/mda_forward.h"

enum { MDA_REPORT_MAX = 512 + MDA_FORWARD_ROOM };

struct mda_work {
	const char *template;
	const char *forward; /* template of the users' own files, or NULL */
	char subaddress; /* parts the name of the mailbox from the rest of a local part; 0: nothing
			  */
	uint64_t size;   /* of the content, as announced */
	struct maildir_message message;
	unsigned owner_uid, owner_gid; /* for mailboxes below directories of root */
	bool is_root, jail;
	const struct sandbox_filters *filters;
	int report; /* pipe */
};

/* The whole life of the child. */
_Noreturn void mda_child(const struct mda_work *w);
/* Tells the parent, and ends; f: NULL, there is nothing to say of it. */
_Noreturn void mda_report_send(int fd, const struct maildir_result *r, const struct mda_forward *f);
/* What a child reported: 0, or GW_EFORMAT. Addresses live in the arena. */
int mda_report_get(
    struct span in, struct maildir_result *r, struct mda_forward *f, struct arena *a) gw_checked;

#endif
