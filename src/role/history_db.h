/*
 * The database of the history: one SQLite file in a directory of its own, of which this process is
 * the only writer and reader. Everything that is written lies in one transaction with the place in
 * the log up to which it was told, so that a crash loses nothing and repeats nothing: what was not
 * kept is told again. Therefore it need not be flushed at each commit (docs/history.md).
 *
 * Tables: "message" one row each; "event" one row for each record that changed recipients;
 * "address" finds messages by a hash of an address; "text" has words that come often. The last two
 * are cut into blocks of messages, so that what is written now lies close together, and goes
 * together.
 *
 * Codes: 0; GW_ENOSPC (no room, or the disk fails: later); GW_ECORRUPT (the file is damaged);
 * GW_EVERSION (a later program made it).
 */
#ifndef GW_ROLE_HISTORY_DB_H
#define GW_ROLE_HISTORY_DB_H

#include "base/map.h"
#include "role/history_row.h"
#include "role/proto_story.h"

#include <sqlite3.h>

enum { HISTORY_VERSION = 1, HISTORY_BLOCK_BITS = 14, HISTORY_COUNTS = 16 };

#define HISTORY_FILE "history.db"

enum history_statement {
	HDB_BEGIN,
	HDB_COMMIT,
	HDB_ROLLBACK,
	HDB_PLACE,
	HDB_MESSAGE,
	HDB_FIND_ID,
	HDB_EVENT,
	HDB_ADDRESS,
	HDB_TEXT_ADD,
	HDB_TEXT_GET,
	HDB_TEXT_COUNT,
	HDB_RANGE,
	HDB_ROW,
	HDB_NEWEST,
	HDB_EVENTS,
	HDB_BY_ADDRESS,
	HDB_OLDEST,
	HDB_DROP_EVENTS,
	HDB_DROP_MESSAGES,
	HDB_DROP_ADDRESSES,
	HDB_DROP_TEXTS,
	HDB_PAGES,
	HDB_FREE,
	HDB_VACUUM,
	HDB_COUNT
};

struct history_db {
	sqlite3 *sql;
	sqlite3_stmt *st[HDB_COUNT];
	uint64_t seed; /* of hashes in the database */
	bool in_transaction;
	struct story_place place; /* in the database and in the transaction */
	uint64_t page_size;
	const struct config *config; /* says what replies mean; borrowed; NULL: nobody does */

	struct map texts;          /* with a number, by block and text */
	struct text_count *counts; /* of HISTORY_COUNTS blocks */
	int64_t text_block;        /* of the message at hand */
	struct recent *recent;     /* messages that were written a moment ago */
	struct buf scratch, row;
	struct arena arena, decoded;
};

/* Makes the file and its tables if need be; checks what is there. why: for the log. */
int history_db_open(
    struct history_db **out, const char *path, char *why, size_t why_size) gw_checked;
void history_db_close(struct history_db **db);
/* Moves what lies there aside under a name with the time, into to. 0 or GW_EIO with errno. */
int history_db_aside(const char *path, int64_t now, char *to, size_t to_size) gw_checked;

/* The statement, ready for its parameters. */
sqlite3_stmt *history_db_use(struct history_db *db, enum history_statement which);
/* One step: SQLITE_ROW gives 1, SQLITE_DONE 0, else the code of the error. */
int history_db_step(struct history_db *db, sqlite3_stmt *st) gw_checked;
/* One statement that gives no rows. */
int history_db_run(struct history_db *db, sqlite3_stmt *st) gw_checked;
const char *history_db_why(const struct history_db *db);

/* Everything between these is written together or not at all. begin within: nothing. */
int history_db_begin(struct history_db *db) gw_checked;
int history_db_commit(struct history_db *db, const struct story_place *at) gw_checked;
void history_db_rollback(struct history_db *db);

/* Octets in use. */
uint64_t history_db_size(struct history_db *db) gw_checked;
/* The number under which an address is found; case makes no difference. */
int32_t history_db_hash(struct history_db *db, struct span address) gw_checked;
/* Forgets what it remembers of the tables: they were changed by other hands, or rolled back. */
void history_db_forget(struct history_db *db);

/* Most changes are of a message that has just come. */
struct recent {
	struct msgid id;
	int64_t n, accepted; /* n 0: nothing */
};
struct recent *history_db_recent(struct history_db *db, const struct msgid *id) gw_checked;

static inline int64_t history_block(int64_t message)
{
	return message >> HISTORY_BLOCK_BITS;
}

static inline int bind_span(sqlite3_stmt *st, int at, struct span s)
{
	return sqlite3_bind_blob64(st, at, s.n ? (const void *)s.p : "", s.n, SQLITE_STATIC);
}

static inline struct span column_span(sqlite3_stmt *st, int at)
{
	const void *p = sqlite3_column_blob(st, at);

	return p ? span_of(p, (size_t)sqlite3_column_bytes(st, at)) : SPAN_NONE;
}

/* ---- history_texts.c */

/* How many texts of a block have a number. */
struct text_count {
	int64_t block, n;
};

/* Texts of the messages of a block. */
struct row_texts history_db_texts(struct history_db *db, int64_t message);
/* What is remembered of them is read again. */
void history_db_forget_texts(struct history_db *db);

#endif
