#include "role/history_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
	SCRATCH = 8 << 20,
	RECENT = 8192,
};

/* How an older file becomes one of the next version; the first step makes a new one. Steps are
 * never changed: what they made lies on disks. */
static const char *const steps[HISTORY_VERSION] = {
    "CREATE TABLE place(one INTEGER PRIMARY KEY CHECK(one = 1), segment INTEGER NOT NULL,"
    " at INTEGER NOT NULL, mark INTEGER NOT NULL, seed INTEGER NOT NULL);"
    "CREATE TABLE message(n INTEGER PRIMARY KEY, id BLOB NOT NULL, accepted INTEGER NOT NULL,"
    " size INTEGER NOT NULL, class INTEGER NOT NULL, origin INTEGER NOT NULL,"
    " sender BLOB NOT NULL, account BLOB, listener BLOB, ip BLOB, envid BLOB,"
    " rcpts INTEGER NOT NULL, rcpt BLOB NOT NULL);"
    "CREATE UNIQUE INDEX message_id ON message(id);"
    "CREATE TABLE event(message INTEGER NOT NULL, rcpt INTEGER NOT NULL, number INTEGER NOT NULL,"
    " what BLOB NOT NULL, PRIMARY KEY(message, rcpt, number)) WITHOUT ROWID;"
    "CREATE TABLE address(block INTEGER NOT NULL, hash INTEGER NOT NULL, message INTEGER NOT NULL,"
    " PRIMARY KEY(block, hash, message)) WITHOUT ROWID;"
    "CREATE TABLE text(block INTEGER NOT NULL, number INTEGER NOT NULL, t BLOB NOT NULL,"
    " PRIMARY KEY(block, number)) WITHOUT ROWID;",
};

static const char *const statements[HDB_COUNT] = {
    [HDB_BEGIN] = "BEGIN IMMEDIATE",
    [HDB_COMMIT] = "COMMIT",
    [HDB_ROLLBACK] = "ROLLBACK",
    [HDB_PLACE] = "UPDATE place SET segment = ?, at = ?, mark = ? WHERE one = 1",
    [HDB_MESSAGE] = "INSERT OR IGNORE INTO message(id, accepted, size, class, origin, sender,"
		    " account, listener, ip, envid, rcpts, rcpt) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
    [HDB_FIND_ID] = "SELECT n, accepted FROM message WHERE id = ?",
    [HDB_EVENT] = "INSERT OR IGNORE INTO event(message, rcpt, number, what) VALUES(?,?,?,?)",
    [HDB_ADDRESS] = "INSERT OR IGNORE INTO address(block, hash, message) VALUES(?,?,?)",
    [HDB_TEXT_ADD] = "INSERT INTO text(block, number, t) VALUES(?,?,?)",
    [HDB_TEXT_GET] = "SELECT t FROM text WHERE block = ? AND number = ?",
    [HDB_TEXT_COUNT] = "SELECT count(*) FROM text WHERE block = ?",
    [HDB_RANGE] = "SELECT n FROM message WHERE id >= ? AND id <= ? ORDER BY id LIMIT 2",
    [HDB_ROW] = "SELECT id, accepted, size, class, origin, sender, account, listener, ip, envid,"
		" rcpts, rcpt FROM message WHERE n = ?",
    [HDB_NEWEST] = "SELECT n FROM message WHERE n < ? ORDER BY n DESC LIMIT 1",
    [HDB_EVENTS] = "SELECT what FROM event WHERE message = ? ORDER BY rcpt, number",
    [HDB_BY_ADDRESS] = "SELECT message FROM address WHERE block = ? AND hash = ? AND message < ?"
		       " ORDER BY message DESC LIMIT 1",
    [HDB_OLDEST] = "SELECT n, accepted FROM message ORDER BY n LIMIT ?",
    [HDB_DROP_EVENTS] = "DELETE FROM event WHERE message <= ?",
    [HDB_DROP_MESSAGES] = "DELETE FROM message WHERE n <= ?",
    [HDB_DROP_ADDRESSES] = "DELETE FROM address WHERE block <= ? AND message <= ?",
    [HDB_DROP_TEXTS] = "DELETE FROM text WHERE block < ?",
    [HDB_PAGES] = "PRAGMA page_count",
    [HDB_FREE] = "PRAGMA freelist_count",
    [HDB_VACUUM] = "PRAGMA incremental_vacuum(64)",
};

/* ---- errors --------------------------------------------------------------------------------- */

static int error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE: return 0;
	case SQLITE_ROW: return 1;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return GW_ECORRUPT;
	default: return GW_ENOSPC;
	}
}

const char *history_db_why(const struct history_db *db)
{
	return sqlite3_errmsg(db->sql);
}

sqlite3_stmt *history_db_use(struct history_db *db, enum history_statement which)
{
	sqlite3_reset(db->st[which]);
	return db->st[which];
}

int history_db_step(struct history_db *db, sqlite3_stmt *st)
{
	int rc = error_of(sqlite3_step(st));

	(void)db;
	if (rc <= 0)
		sqlite3_reset(st);
	return rc;
}

int history_db_run(struct history_db *db, sqlite3_stmt *st)
{
	int rc;

	do
		rc = history_db_step(db, st);
	while (rc == 1);
	return rc;
}

/* One number. */
static int ask(struct history_db *db, enum history_statement which, int64_t *n)
{
	sqlite3_stmt *st = history_db_use(db, which);
	int rc = history_db_step(db, st);

	*n = rc == 1 ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return rc < 0 ? rc : 0;
}

uint64_t history_db_size(struct history_db *db)
{
	int64_t pages, unused;

	if (ask(db, HDB_PAGES, &pages) < 0 || ask(db, HDB_FREE, &unused) < 0)
		return 0;
	return (uint64_t)(pages - unused) * db->page_size;
}

/* ---- transactions --------------------------------------------------------------------------- */

int history_db_begin(struct history_db *db)
{
	int rc;

	if (db->in_transaction)
		return 0;
	rc = history_db_run(db, history_db_use(db, HDB_BEGIN));
	db->in_transaction = rc == 0;
	return rc;
}

int history_db_commit(struct history_db *db, const struct story_place *at)
{
	sqlite3_stmt *st = history_db_use(db, HDB_PLACE);
	int rc;

	sqlite3_bind_int64(st, 1, (int64_t)at->segment);
	sqlite3_bind_int64(st, 2, (int64_t)at->offset);
	sqlite3_bind_int64(st, 3, (int64_t)at->mark);
	rc = history_db_begin(db);
	if (rc == 0)
		rc = history_db_run(db, st);
	if (rc == 0)
		rc = history_db_run(db, history_db_use(db, HDB_COMMIT));
	if (rc != 0)
		return rc;
	db->in_transaction = false;
	db->place = *at;
	return 0;
}

void history_db_rollback(struct history_db *db)
{
	for (int i = 0; i < HDB_COUNT; i++)
		sqlite3_reset(db->st[i]);
	if (db->in_transaction && !sqlite3_get_autocommit(db->sql))
		(void)!history_db_run(db, history_db_use(db, HDB_ROLLBACK));
	db->in_transaction = false;
	history_db_forget(db);
}

/* ---- memory --------------------------------------------------------------------------------- */

void history_db_forget(struct history_db *db)
{
	history_db_forget_texts(db);
	memset(db->recent, 0, RECENT * sizeof(*db->recent));
}

/* The last octets of an id are random. */
struct recent *history_db_recent(struct history_db *db, const struct msgid *id)
{
	return &db->recent[(id->b[14] << 8 | id->b[15]) % RECENT];
}

int32_t history_db_hash(struct history_db *db, struct span address)
{
	uint8_t lower[512];
	size_t n = address.n < sizeof(lower) ? address.n : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(address.p[i]);
	return (int32_t)map_hash(span_of(lower, n), db->seed);
}

/* ---- open and close ------------------------------------------------------------------------- */

static int exec(struct history_db *db, const char *sql)
{
	return error_of(sqlite3_exec(db->sql, sql, NULL, NULL, NULL));
}

static int ask_now(struct history_db *db, const char *sql, int64_t *n)
{
	sqlite3_stmt *st;
	int rc = error_of(sqlite3_prepare_v2(db->sql, sql, -1, &st, NULL));

	if (rc != 0)
		return rc;
	rc = history_db_step(db, st);
	*n = rc == 1 ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/*
 * One process has it: no shared memory, and the lock is taken once. What a power failure takes
 * back is told again from the log, so a flush is made only where the file would be damaged
 * otherwise (WAL, NORMAL).
 */
static int settle(struct history_db *db)
{
	return exec(db,
	    "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;"
	    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
	    "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
	    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;");
}

static int make_new(struct history_db *db)
{
	uint64_t seed;
	char sql[160];

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return GW_ENOSPC;
	snprintf(sql, sizeof(sql), "INSERT INTO place VALUES(1, 0, 0, 0, %lld)", (long long)seed);
	return exec(db, sql);
}

static int upgrade(struct history_db *db)
{
	int64_t version = 0;
	int rc = ask_now(db, "PRAGMA user_version", &version);

	if (rc == 0 && (version < 0 || version > HISTORY_VERSION))
		return GW_EVERSION;
	for (; rc == 0 && version < HISTORY_VERSION; version++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "PRAGMA user_version = %d; COMMIT", (int)version + 1);
		rc = exec(db, "BEGIN IMMEDIATE");
		if (rc == 0)
			rc = exec(db, steps[version]);
		if (rc == 0 && version == 0)
			rc = make_new(db);
		if (rc == 0)
			rc = exec(db, sql);
	}
	return rc;
}

static int read_place(struct history_db *db)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(
		db->sql, "SELECT segment, at, mark, seed FROM place", -1, &st, NULL) != SQLITE_OK)
		return GW_ECORRUPT;
	rc = history_db_step(db, st);
	if (rc == 1) {
		db->place.segment = (uint64_t)sqlite3_column_int64(st, 0);
		db->place.offset = (uint64_t)sqlite3_column_int64(st, 1);
		db->place.mark = (uint64_t)sqlite3_column_int64(st, 2);
		db->seed = (uint64_t)sqlite3_column_int64(st, 3);
	}
	sqlite3_finalize(st);
	return rc == 1 ? 0 : rc < 0 ? rc : GW_ECORRUPT;
}

/* Tables that are not ours make a file as good as a damaged one. */
static int prepare(struct history_db *db)
{
	for (int i = 0; i < HDB_COUNT; i++) {
		int rc = sqlite3_prepare_v3(
		    db->sql, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &db->st[i], NULL);

		if (rc != SQLITE_OK)
			return rc == SQLITE_ERROR ? GW_ECORRUPT : error_of(rc);
	}
	return 0;
}

static int set_up(struct history_db *db)
{
	int64_t size = 0;
	int rc = settle(db);

	if (rc == 0)
		rc = upgrade(db);
	if (rc == 0)
		rc = read_place(db);
	if (rc == 0)
		rc = prepare(db);
	if (rc == 0)
		rc = ask_now(db, "PRAGMA page_size", &size);
	db->page_size = (uint64_t)size;
	return rc;
}

int history_db_open(struct history_db **out, const char *path, char *why, size_t why_size)
{
	struct history_db *db = gw_calloc(1, sizeof(*db));
	int rc = sqlite3_open_v2(
	    path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	db->counts = gw_calloc(HISTORY_COUNTS, sizeof(*db->counts));
	db->recent = gw_calloc(RECENT, sizeof(*db->recent));
	buf_init(&db->scratch, SCRATCH);
	buf_init(&db->row, SCRATCH);
	arena_init(&db->arena, 2 * SCRATCH);
	arena_init(&db->decoded, 4 * SCRATCH);
	rc = rc == SQLITE_OK ? set_up(db) : error_of(rc);
	if (rc != 0) {
		snprintf(why, why_size, "%s",
		    rc == GW_EVERSION ? "made by a later version" : sqlite3_errmsg(db->sql));
		history_db_close(&db);
		return rc;
	}
	history_db_forget(db);
	*out = db;
	return 0;
}

void history_db_close(struct history_db **pdb)
{
	struct history_db *db = *pdb;

	if (db == NULL)
		return;
	for (int i = 0; i < HDB_COUNT; i++)
		sqlite3_finalize(db->st[i]);
	sqlite3_close(db->sql);
	history_db_forget_texts(db);
	map_fini(&db->texts);
	free(db->counts);
	free(db->recent);
	buf_fini(&db->scratch);
	buf_fini(&db->row);
	arena_reset(&db->arena);
	arena_reset(&db->decoded);
	free(db);
	*pdb = NULL;
}

int history_db_aside(const char *path, int64_t now, char *to, size_t to_size)
{
	static const char *const tails[] = {"-wal", "-shm", "-journal"};
	time_t seconds = (time_t)(now / 1000000);
	char from[4096], stamp[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(to, to_size, "%s.%s", path, stamp);
	if (rename(path, to) < 0 && errno != ENOENT)
		return GW_EIO;
	/* Of the old file; the new one must not find them. */
	for (size_t i = 0; i < GW_ARRAY_LEN(tails); i++) {
		char with[4096];

		snprintf(from, sizeof(from), "%s%s", path, tails[i]);
		snprintf(with, sizeof(with), "%s%s", to, tails[i]);
		if (rename(from, with) < 0 && errno != ENOENT)
			return GW_EIO;
	}
	return 0;
}
