#include "role/history_write.h"

#include "base/metric.h"
#include "mail/envelope.h"

#include <stdio.h>

enum { PAGE = 4096, UNUSED_MOST = 1024 /* pages */, JOURNAL_MOST = 4000 /* pages */ };
/* Of the room, for all but what is kept: a quarter of a small one. */
#define ROOM_ASIDE_MOST (UINT64_C(48) << 20)

static int strange(void)
{
	metric_add(METRIC_HISTORY_STRANGE, 1);
	return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static int by_number(struct history_db *db, const struct msgid *id, int64_t *n, int64_t *accepted)
{
	const struct recent *r = history_db_recent(db, id);
	sqlite3_stmt *st;
	int rc;

	if (r->n > 0 && msgid_eq(&r->id, id)) {
		*n = r->n;
		*accepted = r->accepted;
		return 1;
	}
	st = history_db_use(db, HDB_FIND_ID);
	bind_span(st, 1, msgid_span(id));
	rc = history_db_step(db, st);
	if (rc == 1) {
		*n = sqlite3_column_int64(st, 0);
		*accepted = sqlite3_column_int64(st, 1);
		sqlite3_reset(st);
	}
	return rc;
}

/* The first recipient and the number of its change tell one event of a message from all others. */
static int write_event(
    struct history_db *db, int64_t message, int64_t accepted, const struct row_event *e)
{
	struct row_texts texts = history_db_texts(db, message);
	sqlite3_stmt *st;

	buf_clear(&db->row);
	row_encode(e, accepted, &texts, &db->row);
	if (buf_failed(&db->row))
		return strange();
	st = history_db_use(db, HDB_EVENT);
	sqlite3_bind_int64(st, 1, message);
	sqlite3_bind_int64(st, 2, e->change.rcpt[0].index);
	sqlite3_bind_int64(st, 3, e->change.rcpt[0].number);
	bind_span(st, 4, buf_view(&db->row));
	metric_add(METRIC_HISTORY_EVENTS, 1);
	return history_db_run(db, st);
}

/* A change of a message that is found by its id. */
static int write_change(
    struct history_db *db, enum row_kind kind, struct span meta, const struct msgid *report)
{
	struct row_event e = {.kind = kind, .reported = report != NULL};
	int64_t message = 0, accepted = 0;
	int rc;

	if (change_decode(&e.change, meta, &db->arena) < 0 || e.change.n_rcpt == 0)
		return strange();
	rc = by_number(db, &e.change.id, &message, &accepted);
	if (rc <= 0)
		return rc < 0 ? rc : strange();
	e.when = e.change.when;
	if (report != NULL)
		e.report = *report;
	return write_event(db, message, accepted, &e);
}

/* ---- messages ------------------------------------------------------------------------------- */

static int write_address(struct history_db *db, int64_t message, struct span address)
{
	sqlite3_stmt *st = history_db_use(db, HDB_ADDRESS);

	sqlite3_bind_int64(st, 1, history_block(message));
	sqlite3_bind_int64(st, 2, history_db_hash(db, address));
	sqlite3_bind_int64(st, 3, message);
	return history_db_run(db, st);
}

static int write_addresses(struct history_db *db, int64_t message, const struct envelope *e)
{
	int rc = e->from.n > 0 ? write_address(db, message, e->from) : 0;

	for (size_t i = 0; rc == 0 && i < e->n_rcpt; i++)
		rc = write_address(db, message, e->rcpt[i].addr);
	return rc;
}

static void bind_optional(sqlite3_stmt *st, int at, struct span s)
{
	if (s.n > 0)
		bind_span(st, at, s);
	else
		sqlite3_bind_null(st, at);
}

/* 1: *message is its number, it was not known; 0: it was; else an error. */
static int write_row(struct history_db *db, const struct envelope *e, int64_t *message)
{
	sqlite3_stmt *st = history_db_use(db, HDB_MESSAGE);
	int rc;

	buf_clear(&db->row);
	for (size_t i = 0; i < e->n_rcpt; i++)
		row_put_rcpt(&db->row, e->rcpt[i].addr);
	if (buf_failed(&db->row))
		return strange();
	bind_span(st, 1, msgid_span(&e->id));
	sqlite3_bind_int64(st, 2, e->accepted);
	sqlite3_bind_int64(st, 3, (int64_t)e->facts.size);
	sqlite3_bind_int(st, 4, e->priority);
	sqlite3_bind_int(st, 5, (int)e->origin);
	bind_span(st, 6, e->from);
	bind_optional(st, 7, e->account);
	bind_optional(st, 8, e->listener);
	bind_optional(st, 9, e->client_ip);
	bind_optional(st, 10, e->envid);
	sqlite3_bind_int64(st, 11, (int64_t)e->n_rcpt);
	bind_span(st, 12, buf_view(&db->row));
	rc = history_db_run(db, st);
	if (rc != 0)
		return rc;
	if (sqlite3_changes(db->sql) == 0)
		return 0;
	*message = sqlite3_last_insert_rowid(db->sql);
	*history_db_recent(db, &e->id) = (struct recent){e->id, *message, e->accepted};
	return 1;
}

/* What the envelope says of its own recipients: held from the start, or the state of a copy. */
static int write_own(
    struct history_db *db, enum row_kind kind, int64_t message, const struct envelope *e)
{
	struct span what = kind == ROW_COPY ? e->state : e->held;
	struct row_event x = {.kind = kind};

	if (what.n == 0)
		return 0;
	if (change_decode(&x.change, what, &db->arena) < 0)
		return strange();
	x.when = x.change.when;
	return x.change.n_rcpt > 0 ? write_event(db, message, e->accepted, &x) : 0;
}

/* A copy of a message that is known is no news; of another one it is all that is left. */
static int write_message(struct history_db *db, struct span meta)
{
	struct envelope e;
	int64_t message = 0;
	int rc;

	if (envelope_decode(&e, meta, &db->arena) < 0 || e.accepted < 0)
		return strange();
	rc = write_row(db, &e, &message);
	if (rc == 1) {
		metric_add(METRIC_HISTORY_MESSAGES, 1);
		rc = write_addresses(db, message, &e);
		if (rc == 0)
			rc = write_own(db, ROW_HELD, message, &e);
		if (rc == 0)
			rc = write_own(db, ROW_COPY, message, &e);
	}
	if (rc == 0 && e.ends.n > 0)
		rc = write_change(db, ROW_CHANGE, e.ends, &e.id);
	return rc;
}

int history_write(struct history_db *db, enum story_type type, struct span meta)
{
	arena_clear(&db->arena);
	switch (type) {
	case STORY_MESSAGE: return write_message(db, meta);
	case STORY_RELEASED: return write_change(db, ROW_RELEASED, meta, NULL);
	case STORY_PAST_DOT: return write_change(db, ROW_PAST_DOT, meta, NULL);
	case STORY_CHANGE: return write_change(db, ROW_CHANGE, meta, NULL);
	case STORY_NOTHING: break;
	}
	return strange();
}

/* ---- what is kept --------------------------------------------------------------------------- */

/* The number of the last of the oldest messages that are to go; 0: none. */
static int find_last(
    struct history_db *db, int64_t before, bool too_large, unsigned most, int64_t *last)
{
	sqlite3_stmt *st = history_db_use(db, HDB_OLDEST);
	int rc;

	*last = 0;
	sqlite3_bind_int64(st, 1, most);
	while ((rc = history_db_step(db, st)) == 1) {
		if (!too_large && sqlite3_column_int64(st, 1) >= before)
			break;
		*last = sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	return rc < 0 ? rc : 0;
}

static int drop(struct history_db *db, enum history_statement which, int64_t a, int64_t b)
{
	sqlite3_stmt *st = history_db_use(db, which);

	sqlite3_bind_int64(st, 1, a);
	if (which == HDB_DROP_ADDRESSES)
		sqlite3_bind_int64(st, 2, b);
	return history_db_run(db, st);
}

static int64_t least(uint64_t a, int64_t b)
{
	return (int64_t)a < b ? (int64_t)a : b;
}

/* Aside: an eighth of it unused, a third the journal; the rest is for the transaction that makes it
 * too long, whose pages are in no ceiling of their own but its number of records. */
struct history_room history_room(uint64_t size)
{
	uint64_t aside = size / 4 < ROOM_ASIDE_MOST ? size / 4 : ROOM_ASIDE_MOST;

	return (struct history_room){.kept = size - aside,
	    .unused = least(aside / 8 / PAGE, UNUSED_MOST),
	    .journal = least(aside / 3 / PAGE, JOURNAL_MOST)};
}

int history_use_room(struct history_db *db, const struct history_room *r)
{
	char sql[128];

	snprintf(sql, sizeof(sql),
	    "PRAGMA wal_autocheckpoint = %lld; PRAGMA journal_size_limit = %lld",
	    (long long)r->journal, (long long)r->journal * PAGE);
	return sqlite3_exec(db->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : GW_ENOSPC;
}

int history_keep(struct history_db *db, int64_t before, uint64_t size, unsigned most)
{
	bool too_large = history_db_size(db) > size;
	int64_t last;
	int rc = find_last(db, before, too_large, most, &last);

	if (rc != 0 || last == 0)
		return rc;
	rc = history_db_begin(db);
	if (rc == 0)
		rc = drop(db, HDB_DROP_EVENTS, last, 0);
	if (rc == 0)
		rc = drop(db, HDB_DROP_MESSAGES, last, 0);
	if (rc == 0)
		rc = drop(db, HDB_DROP_ADDRESSES, history_block(last), last);
	if (rc == 0)
		rc = drop(db, HDB_DROP_TEXTS, history_block(last + 1), 0);
	history_db_forget(db);
	return rc == 0 ? 1 : rc;
}

int history_shrink(struct history_db *db, int64_t most)
{
	sqlite3_stmt *st = history_db_use(db, HDB_FREE);
	int64_t pages = history_db_step(db, st) == 1 ? sqlite3_column_int64(st, 0) : 0;
	int rc;

	sqlite3_reset(st);
	if (pages <= most)
		return 0;
	rc = history_db_run(db, history_db_use(db, HDB_VACUUM));
	return rc == 0 ? 1 : rc;
}
