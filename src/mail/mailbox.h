/*
 * Addresses of the header, RFC 5322 section 3.4: mailboxes and groups with comments, folds, quoted
 * strings and encoded words, as From, Sender, Reply-To, To and Cc have them; in addresses UTF-8 too
 * (RFC 6532). Forward only and linear; nothing is allocated, spans point into the input.
 *
 * Beyond the grammar of today it reads what is obsolete (section 4.4: routes, empty elements,
 * blanks and comments around dots) and what is merely usual: octets of any charset and brackets in
 * display names, dots anywhere in a local part, ";" between mailboxes, a group without its end, and
 * a display name that is the address itself, unquoted. Two readers must never see two different
 * authors, so whatever else could be read in more than one way is no list of addresses at all:
 * another address as a display name, a control octet, a bare word that begins with "=?" or is not
 * of ASCII.
 */
#ifndef GW_MAIL_MAILBOX_H
#define GW_MAIL_MAILBOX_H

#include "base/buf.h"
#include "mail/address.h"

enum { MAILBOX_COMMENT_DEPTH = 50 };

struct mailbox {
	struct span addr;   /* from the first octet of local to the last of domain, with the blanks
			       and comments between them */
	struct span local;  /* as written, with its quotes; may hold blanks around its dots */
	struct span domain; /* as written, a literal with its brackets; n == 0: a bare local part */
};

struct mailbox_walk {
	struct span rest;
	bool in_group;
};
/* value: of the header field, with its folds. */
struct mailbox_walk mailbox_walk_of(struct span value);
/* 1: the next mailbox; 0: the end; GW_EFORMAT: not a list of addresses (the walk ends). A field may
 * well have none: count them. */
int mailbox_next(struct mailbox_walk *w, struct mailbox *m) gw_checked;

/*
 * The same as an address of the envelope, to be judged like one: blanks, comments and folds are
 * gone. room is cleared and holds what *a points to; its ceiling should be 512. GW_EFORMAT: no
 * envelope could name it (a bare local part other than postmaster, an underscore in the domain, too
 * long).
 */
int mailbox_address(const struct mailbox *m, struct buf *room, struct address *a) gw_checked;

#endif
