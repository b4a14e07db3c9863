/*
 * How full a mailbox may be, kept in its file maildirsize as Maildir++ has it, so that Dovecot and
 * Courier read what is written here and the other way round: the first line is the limit
 * ("1073741824S,1000C"), each line behind it what was added or taken away, octets and messages.
 *
 * The file is believed as long as it is small and says our limit; else everything below the
 * mailbox is counted (",S=" in a name, else the size of the file) and the file is made anew. A
 * mailbox that seems full is counted again if that is worth it. The file is of the mailbox's owner:
 * nothing of it is trusted beyond his own quota, no link is followed. It is not flushed: what a
 * power cut takes away the next count brings back. Two deliveries at the same moment may both find
 * room for the last message.
 */
#ifndef GW_ROLE_MAILDIR_QUOTA_H
#define GW_ROLE_MAILDIR_QUOTA_H

#include "config/config.h"

enum quota_answer {
	QUOTA_FITS,
	QUOTA_FULL,   /* there is no room now */
	QUOTA_NEVER,  /* larger than all the room there could be */
	QUOTA_UNKNOWN /* the mailbox could not be counted, see errno */
};

/* Is there room for one message of so many octets? box: the mailbox; its tmp/ exists. */
enum quota_answer quota_ask(int box, const struct quota *q, uint64_t octets);
/* One more message of so many octets is there. */
void quota_add(int box, const struct quota *q, uint64_t octets);

#endif
