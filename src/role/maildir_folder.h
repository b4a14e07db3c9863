/*
 * The folder of a mailbox that a subaddress stands for: alice+lists is ".lists" as Maildir++ names
 * folders, alice+lists.dev its subfolder. Only short names of letters, digits, "-", "_", "=" and
 * "+" are folders, three levels of them at most, so whoever writes an address can neither leave the
 * mailbox nor make names that a reader takes for something else. Folders that a reader gives a
 * meaning of their own (Trash, Sent, Junk ...) are out of reach: mail that nobody looks for there
 * would be lost. Everything else is the inbox's.
 */
#ifndef GW_ROLE_MAILDIR_FOLDER_H
#define GW_ROLE_MAILDIR_FOLDER_H

#include "config/config.h"

enum { FOLDER_NAME_MAX = 80, FOLDER_LEVELS_MAX = 3, FOLDERS_MAX = 256 };

/* The directory for what stands behind the mark of a subaddress, lower case or as it is written.
 * False: no folder, the inbox takes it. */
bool folder_name(struct span detail, bool lower, char name[FOLDER_NAME_MAX]);
/*
 * The directory of the folder, made if wish says so and the mailbox has not too many: its
 * descriptor; GW_ENOENT: the inbox; GW_EIO: see errno.
 */
int folder_open(int box, enum folder_wish wish, struct span detail) gw_checked;

#endif
