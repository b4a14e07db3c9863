/*
 * What the files of the history role share. history.c: start, channels, transactions and time;
 * history_db.c: the database; history_texts.c: its texts with numbers; history_write.c: from
 * records to rows, and what is kept; history_row.c: the form of rows; history_read.c: the answers
 * to operators; history_find.c: which messages they mean, if they do not say it by id.
 *
 * The role follows the queue's log and answers questions about what happened. It has a directory
 * of its own and nothing else. Mail never waits for it.
 */
#ifndef GW_ROLE_HISTORY_H
#define GW_ROLE_HISTORY_H

#include "role/history_db.h"
#include "role/proto.h"

/* The answer to a question: JSON into out; returns the HTTP status, or GW_ENOSPC, GW_ECORRUPT. What
 * is not committed yet is told too. */
int history_answer(struct history_db *db, const struct proto_trace *t, struct buf *out) gw_checked;

/* ---- history_read.c: a message as it is told */

enum { HISTORY_EVENT_ROOM = 1024 }; /* octets of JSON beside the texts */

/* Out of its row. */
struct story_row {
	int64_t n;
	struct msgid id;
	int64_t accepted, size;
	int class, origin;
	struct span from, account, listener, ip, envid;
	size_t n_rcpt;
	struct span *rcpt;
	struct change_rcpt *last; /* of each recipient: what it came to */
};

/* 1; 0: there is none with this number; else an error. Texts are copied into the arena. */
int history_read_row(
    struct history_db *db, int64_t n, struct story_row *m, struct arena *a) gw_checked;
/* Calls fn for each event, as long as it says true. */
int history_each_event(struct history_db *db, const struct story_row *m,
    bool (*fn)(void *arg, const struct row_event *e), void *arg) gw_checked;
/* For that: notes what the recipients of the message, which is arg, came to by this event. True. */
bool history_note_last(void *arg, const struct row_event *e);
void history_put_id(struct buf *out, const char *key, const struct msgid *id);
void history_put_head(const struct story_row *m, struct buf *out);
/* So many of its recipients, and how many are left out. */
void history_put_rcpts(const struct story_row *m, size_t most, struct buf *out);

/* ---- history_find.c */
/* The same as history_answer(). Pages: the cursor is the last message that was told. */
int history_find(struct history_db *db, const struct proto_trace *t, struct buf *out) gw_checked;

#endif
