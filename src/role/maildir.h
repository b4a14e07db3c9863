/*
 * Maildir: where a recipient's mailbox is, and how a message gets into it exactly once. The
 * short-lived children of the mda call this; the path functions are pure.
 *
 * Where: the template of the configuration with %u (local part without quotes and subaddress) and
 * %d (domain).
 * Bytes of an address outside A-Z a-z 0-9 . _ + = - become %XX, and so does a leading dot, so an
 * address makes up no path: it cannot hold "/", be "." or "..", or hide. The directory before
 * the first component with a % is the fixed directory; below it no symbolic link is followed.
 *
 * Whose: started as root, a delivery runs with the uid and gid of the nearest directory of the
 * path that exists; what belongs to root is replaced by the ids of the run-as user ("virtual
 * owner"). Never root.
 *
 * How: lines end with LF as in every Maildir. Return-Path and Delivered-To are put in front.
 * tmp/NAME.PID is written and flushed, renamed to new/NAME (never over an existing file), new/
 * is flushed. NAME comes from the message id and the recipient's index (behind it ",S=" and ",W="
 * tell readers its sizes), so a repeat finds what an interrupted delivery left in new/, or what a
 * reader moved to cur/, and adds nothing. When these cannot be read, nobody knows, and the delivery
 * is deferred.
 *
 * A new mailbox: its directories are made, then flushed into those above them, and cur/ is made
 * last. Where cur/ is missing a delivery before this one may have been killed, so all is flushed
 * again.
 */
#ifndef GW_ROLE_MAILDIR_H
#define GW_ROLE_MAILDIR_H

#include "base/buf.h"
#include "mail/change.h"
#include "mail/msgid.h"
#include "role/maildir_quota.h"

enum { MAILDIR_NAME_MAX = 80, MAILDIR_PATH_MAX = 4096, MAILDIR_TEXT_MAX = 256 };

/* ---- names, pure ---- */

/* Appends the path of the mailbox: 0; GW_EFORMAT: the address names no mailbox; GW_EFULL. */
int maildir_expand(
    const char *template, struct span addr, char subaddress, struct buf *out) gw_checked;
/* Appends what stands behind the mark of the subaddress, as it is meant: nothing, if nothing does.
 */
void maildir_detail(struct span addr, char subaddress, struct buf *out);
/* Octets of the fixed directory at the front of the template, without a "/" at the end (but "/").
 */
size_t maildir_fixed(const char *template);
/* The file name of a message for a recipient. */
void maildir_name(const struct msgid *id, uint32_t index, char name[MAILDIR_NAME_MAX]);

/* ---- what became of it ---- */

struct maildir_result {
	enum outcome outcome; /* NONE: the content did not arrive whole; nothing is visible */
	uint16_t code;
	uint8_t esc[3];
	char text[MAILDIR_TEXT_MAX];
};

/* ---- steps, in this order ---- */

struct maildir_place {
	int dir;          /* the nearest directory that exists, O_PATH */
	const char *rest; /* components below it that do not exist yet, in the path given */
	unsigned depth;   /* all components behind the fixed directory */
	unsigned uid, gid;
};
/* Follows the path as far as it exists. GW_OK, or GW_EIO with *r filled. */
int maildir_find(
    const char *path, size_t fixed, struct maildir_place *p, struct maildir_result *r) gw_checked;
/* Makes what is missing (0700): the descriptor of the mailbox, or GW_EIO with *r filled. */
int maildir_open(const struct maildir_place *p, struct maildir_result *r) gw_checked;

struct maildir_message {
	struct msgid id;
	uint32_t index;
	struct span from, rcpt;
	bool kept;  /* who forwards it keeps this copy: that it was here is no loop */
	bool fresh; /* certainly the first delivery of it: nothing need be searched */
	struct quota quota;
	enum folder_wish folder;
	struct span detail; /* what stands behind the mark of a subaddress, if anything */
	bool binary;        /* it need not be lines, and has to become them */
	/* The content: chunks behind a length (u32, little-endian), a length of 0 at the end. */
	int content;
};
/* Delivers into the mailbox; always fills *r. */
void maildir_deliver(int box, const struct maildir_message *m, struct maildir_result *r);

#endif
