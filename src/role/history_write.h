/*
 * Records become rows. Idempotent: what is told again changes nothing. Within a transaction of the
 * caller.
 */
#ifndef GW_ROLE_HISTORY_WRITE_H
#define GW_ROLE_HISTORY_WRITE_H

#include "role/history_db.h"

/* 0 (also for what makes no sense, which is counted and passed over); GW_ENOSPC, GW_ECORRUPT. */
int history_write(struct history_db *db, enum story_type type, struct span meta) gw_checked;

/*
 * How the room that it may take on the disk is shared out: to what is kept; to pages that are
 * unused for the moment; and to SQLite's journal (WAL), which is emptied when it is so long, but
 * never before the transaction at hand is in it.
 */
struct history_room {
	uint64_t kept;           /* octets */
	int64_t unused, journal; /* pages */
};
struct history_room history_room(uint64_t size) gw_checked;
/* From now on the journal is to be as long as that. 0 or as above. */
int history_use_room(struct history_db *db, const struct history_room *r) gw_checked;

/*
 * Takes out the oldest messages, `most` at a time: those accepted before a time, and more as long
 * as more than `size` octets are in use. 1: there may be more to do; 0: done; else as above.
 */
int history_keep(struct history_db *db, int64_t before, uint64_t size, unsigned most) gw_checked;
/* Gives a few unused pages back to the file system if there are more than `most`. As above. */
int history_shrink(struct history_db *db, int64_t most) gw_checked;

#endif
