/* Which messages there are: those from or to an address, or all, the newest first, page by page. */
#include "role/history.h"

#include "base/json.h"

enum {
	LOOKED_AT_MAX = 20000, /* messages, for one page: the log is not to wait */
	FOUND_RCPTS = 5,       /* told of each that was found */
};

struct search {
	struct history_db *db;
	const struct proto_trace *t;
	struct buf *out;
	size_t looked_at, found;
	int64_t last;        /* the message that was looked at last, if it needs no page more */
	int64_t first_block; /* of the oldest one */
	bool full;
};

static bool is_to(const struct story_row *m, struct span address)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (span_eq_case(m->rcpt[i], address))
			return true;
	}
	return false;
}

static bool matches(const struct proto_trace *t, const struct story_row *m)
{
	return m->accepted >= t->since && (t->from.n == 0 || span_eq_case(m->from, t->from)) &&
	       (t->to.n == 0 || is_to(m, t->to));
}

static int put_found(struct search *s, struct story_row *m)
{
	int rc = history_each_event(s->db, m, history_note_last, m);

	if (rc < 0)
		return rc;
	if (buf_space(s->out) < (FOUND_RCPTS + 2) * 4 * HISTORY_EVENT_ROOM) {
		s->full = true;
		return 0;
	}
	json_open(s->out, NULL, '{');
	history_put_head(m, s->out);
	history_put_rcpts(m, FOUND_RCPTS, s->out);
	json_close(s->out, '}');
	s->found++;
	return 0;
}

/* 1: go on; 0: it was accepted before the time that counts, and so were those before it. */
static int look_at(struct search *s, int64_t n)
{
	struct story_row m;
	int rc;

	arena_clear(&s->db->arena);
	rc = history_read_row(s->db, n, &m, &s->db->arena);
	if (rc != 1)
		return rc < 0 ? rc : 1;
	s->looked_at++;
	if (matches(s->t, &m))
		rc = put_found(s, &m);
	if (rc < 0)
		return rc;
	if (!s->full)
		s->last = n;
	return m.accepted >= s->t->since - INT64_C(3600) * 1000000;
}

/* The newest message before n that may be one of those; 0: there is none. */
static int64_t candidate(struct search *s, int64_t n)
{
	struct span address = s->t->to.n > 0 ? s->t->to : s->t->from;
	sqlite3_stmt *st;
	int64_t x = 0;

	if (address.n == 0) {
		st = history_db_use(s->db, HDB_NEWEST);
		sqlite3_bind_int64(st, 1, n);
		x = history_db_step(s->db, st) == 1 ? sqlite3_column_int64(st, 0) : 0;
		sqlite3_reset(st);
		return x;
	}
	for (int64_t block = history_block(n - 1); block >= s->first_block && x == 0; block--) {
		st = history_db_use(s->db, HDB_BY_ADDRESS);
		sqlite3_bind_int64(st, 1, block);
		sqlite3_bind_int64(st, 2, history_db_hash(s->db, address));
		sqlite3_bind_int64(st, 3, n);
		x = history_db_step(s->db, st) == 1 ? sqlite3_column_int64(st, 0) : 0;
		sqlite3_reset(st);
	}
	return x;
}

/* From which number on down: behind the newest, or the message of the cursor. When that is gone, so
 * are all that are older. */
static int start_of(struct search *s, int64_t *from)
{
	sqlite3_stmt *st = history_db_use(s->db, HDB_NEWEST);
	int rc;

	sqlite3_bind_int64(st, 1, INT64_MAX);
	rc = history_db_step(s->db, st);
	*from = rc == 1 ? sqlite3_column_int64(st, 0) + 1 : 0;
	sqlite3_reset(st);
	st = history_db_use(s->db, HDB_OLDEST);
	sqlite3_bind_int64(st, 1, 1);
	if (rc >= 0)
		rc = history_db_step(s->db, st);
	s->first_block = rc == 1 ? history_block(sqlite3_column_int64(st, 0)) : 0;
	sqlite3_reset(st);
	if (rc < 0 || msgid_eq(&s->t->high, &(struct msgid){{0}}))
		return rc < 0 ? rc : 0;
	st = history_db_use(s->db, HDB_FIND_ID);
	bind_span(st, 1, msgid_span(&s->t->high));
	rc = history_db_step(s->db, st);
	*from = rc == 1 ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return rc < 0 ? rc : 0;
}

static int search(struct search *s)
{
	int64_t n = 0;
	int rc = start_of(s, &n);

	while (rc >= 0 && !s->full && s->found < s->t->limit && s->looked_at < LOOKED_AT_MAX) {
		n = candidate(s, n);
		if (n == 0)
			return 0;
		rc = look_at(s, n);
		if (rc == 0)
			return 0;
	}
	return rc < 0 ? rc : 1;
}

int history_find(struct history_db *db, const struct proto_trace *t, struct buf *out)
{
	struct search s = {.db = db, .t = t, .out = out};
	struct story_row m;
	int more;

	json_open(out, NULL, '{');
	json_open(out, "data", '[');
	more = search(&s);
	json_close(out, ']');
	if (more > 0 && s.last > 0 && history_read_row(db, s.last, &m, &db->arena) == 1)
		history_put_id(out, "next", &m.id);
	else
		json_none(out, "next");
	json_close(out, '}');
	return more < 0 ? more : 200;
}
