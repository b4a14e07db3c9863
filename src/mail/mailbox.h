/*
 * Addresses of the header, RFC 5322 section 3.4: mailbox lists and groups with comments, folds,
 * quoted strings and encoded words, as From, Sender, To and Cc have them. Forward only, nothing is
 * allocated, spans point into the input. Limits: nesting of comments, 100 000 octets.
 */
#ifndef GW_MAIL_MAILBOX_H
#define GW_MAIL_MAILBOX_H

#include "base/buf.h"

struct mailbox {
	struct span addr;   /* where local@domain stands in the value, blanks and comments inside
			       included */
	struct span local;  /* as written */
	struct span domain; /* as written; n == 0: a bare local part */
};

struct mailbox_walk {
	struct span rest;
	bool in_group;
};
/* value: of the header field, with its folds. */
struct mailbox_walk mailbox_walk_of(struct span value);
/* 1: the next mailbox; 0: the end; GW_EFORMAT: not a list of addresses (the walk ends). */
int mailbox_next(struct mailbox_walk *w, struct mailbox *m) gw_checked;

#endif
