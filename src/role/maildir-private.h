/* What the files of the Maildir share. */
#ifndef GW_ROLE_MAILDIR_PRIVATE_H
#define GW_ROLE_MAILDIR_PRIVATE_H

#include "role/maildir.h"

/* ---- what to say ---- */

/* "Cannot WHAT NAME: errno", for now or for good, as errno says. */
void maildir_failed(struct maildir_result *r, const char *what, const char *name);
void maildir_say(struct maildir_result *r, enum outcome outcome, uint16_t code,
    const uint8_t esc[3], const char *text);

/* It was in this mailbox before. */
void maildir_looping(struct maildir_result *r);

/* ---- directories ---- */

/* fsync(); where one was interrupted nothing is known to be lost. */
int maildir_flush(int fd) gw_checked;
/* Opens a directory below dir, made if missing: its descriptor, or GW_EIO with *r filled. */
int maildir_enter(int dir, const char *name, bool *made, struct maildir_result *r) gw_checked;
/* Its cur/ is made when all else is durable: without one, what is there may be of a delivery that
 * was killed, or whose flush failed. */
bool maildir_is_finished(int box);

#endif
