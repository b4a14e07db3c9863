/* What operators ask: the story of one message, out of its row and its events. */
#include "role/history.h"

#include "base/json.h"
#include "config/classify.h"
#include "mail/envelope.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- a message out of its row --------------------------------------------------------------- */

static int read_rcpts(struct story_row *m, struct span in, struct arena *a)
{
	struct cursor c = cursor_of(in);
	int more = 1;

	if (m->n_rcpt > ENVELOPE_RCPT_MAX)
		return GW_ECORRUPT;
	m->rcpt = arena_alloc(a, (m->n_rcpt + 1) * sizeof(*m->rcpt));
	m->last = arena_alloc(a, (m->n_rcpt + 1) * sizeof(*m->last));
	if (m->rcpt == NULL || m->last == NULL)
		return GW_ENOSPC;
	for (size_t i = 0; i < m->n_rcpt && more == 1; i++)
		more = row_get_rcpt(&c, &m->rcpt[i]);
	return more == 1 || m->n_rcpt == 0 ? 0 : GW_ECORRUPT;
}

int history_read_row(struct history_db *db, int64_t n, struct story_row *m, struct arena *a)
{
	sqlite3_stmt *st = history_db_use(db, HDB_ROW);
	struct span id;
	int rc;

	sqlite3_bind_int64(st, 1, n);
	rc = history_db_step(db, st);
	if (rc != 1)
		return rc;
	*m = (struct story_row){.n = n,
	    .accepted = sqlite3_column_int64(st, 1),
	    .size = sqlite3_column_int64(st, 2),
	    .class = sqlite3_column_int(st, 3),
	    .origin = sqlite3_column_int(st, 4),
	    .from = arena_dup(a, column_span(st, 5)),
	    .account = arena_dup(a, column_span(st, 6)),
	    .listener = arena_dup(a, column_span(st, 7)),
	    .ip = arena_dup(a, column_span(st, 8)),
	    .envid = arena_dup(a, column_span(st, 9)),
	    .n_rcpt = (size_t)sqlite3_column_int64(st, 10)};
	id = column_span(st, 0);
	if (id.n == sizeof(m->id.b))
		memcpy(m->id.b, id.p, id.n);
	rc = read_rcpts(m, arena_dup(a, column_span(st, 11)), a);
	sqlite3_reset(st);
	return rc == 0 ? 1 : rc;
}

int history_each_event(struct history_db *db, const struct story_row *m,
    bool (*fn)(void *arg, const struct row_event *e), void *arg)
{
	sqlite3_stmt *st = history_db_use(db, HDB_EVENTS);
	struct row_texts texts = history_db_texts(db, m->n);
	bool more = true;
	int rc;

	sqlite3_bind_int64(st, 1, m->n);
	while (more && (rc = history_db_step(db, st)) == 1) {
		struct row_event e;

		arena_clear(&db->decoded);
		rc = row_decode(&e, column_span(st, 0), m->accepted, &texts, &db->decoded);
		if (rc < 0)
			break;
		more = fn(arg, &e);
	}
	sqlite3_reset(st);
	return rc == GW_EFORMAT ? GW_ECORRUPT : rc == GW_EFULL ? GW_ENOSPC : rc < 0 ? rc : 0;
}

bool history_note_last(void *arg, const struct row_event *e)
{
	struct story_row *m = arg;

	for (size_t i = 0; i < e->change.n_rcpt; i++) {
		const struct change_rcpt *r = &e->change.rcpt[i];
		struct change_rcpt *last;

		if (r->index >= m->n_rcpt)
			continue;
		last = &m->last[r->index];
		if (!change_wins(last->outcome, last->number, r->outcome, r->number))
			continue;
		last->outcome = r->outcome;
		last->number = r->number;
		last->attempts = r->attempts;
	}
	return true;
}

/* ---- words ---------------------------------------------------------------------------------- */

static const char *state_word(enum outcome o)
{
	static const char *const words[] = {[OUTCOME_NONE] = "queued",
	    [OUTCOME_DELIVERED] = "delivered",
	    [OUTCOME_DEFERRED] = "deferred",
	    [OUTCOME_FAILED] = "bounced",
	    [OUTCOME_EXPIRED] = "expired",
	    [OUTCOME_DROPPED] = "dropped",
	    [OUTCOME_MAYBE] = "maybe",
	    [OUTCOME_HELD] = "held",
	    [OUTCOME_UNTOLD] = "untold",
	    [OUTCOME_EXPANDED] = "expanded"};

	return words[o];
}

static const char *event_word(enum row_kind kind, enum outcome o)
{
	if (kind == ROW_RELEASED)
		return "released";
	if (kind == ROW_PAST_DOT)
		return "past_dot";
	if (kind == ROW_COPY)
		return "carried";
	return o == OUTCOME_NONE ? "deferred" : state_word(o);
}

static const char *origin_word(int origin)
{
	static const char *const words[] = {[ORIGIN_SMTP] = "smtp",
	    [ORIGIN_LOCAL] = "local",
	    [ORIGIN_API] = "api",
	    [ORIGIN_SYSTEM] = "system"};

	return origin >= 0 && origin <= ORIGIN_SYSTEM ? words[origin] : "unknown";
}

void history_put_id(struct buf *out, const char *key, const struct msgid *id)
{
	char text[MSGID_TEXT + 1];

	msgid_format(id, text);
	json_str(out, key, text);
}

static void put_some(struct buf *out, const char *key, struct span value)
{
	if (value.n > 0)
		json_text(out, key, value);
}

/* ---- one message ---------------------------------------------------------------------------- */

void history_put_head(const struct story_row *m, struct buf *out)
{
	history_put_id(out, "id", &m->id);
	json_text(out, "from", m->from);
	json_number(out, "size", m->size);
	json_time(out, "accepted", m->accepted);
	json_str(out, "origin", origin_word(m->origin));
	if (m->class > 0 && m->class < PRIORITY_COUNT)
		json_str(out, "class", priority_word((enum priority)m->class));
	put_some(out, "account", m->account);
	put_some(out, "listener", m->listener);
	put_some(out, "client_ip", m->ip);
	put_some(out, "envid", m->envid);
}

static bool is_final(const struct story_row *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (!outcome_final(m->last[i].outcome))
			return false;
	}
	return true;
}

void history_put_rcpts(const struct story_row *m, size_t most, struct buf *out)
{
	size_t i;

	json_bool(out, "final", is_final(m));
	json_open(out, "recipients", '[');
	for (i = 0; i < m->n_rcpt && i < most &&
		    buf_space(out) > 2 * (HISTORY_EVENT_ROOM + 6 * m->rcpt[i].n);
	     i++) {
		json_open(out, NULL, '{');
		json_text(out, "to", m->rcpt[i]);
		json_str(out, "state", state_word(m->last[i].outcome));
		json_number(out, "attempts", m->last[i].attempts);
		json_close(out, '}');
	}
	json_close(out, ']');
	if (i < m->n_rcpt)
		json_number(out, "recipients_omitted", (int64_t)(m->n_rcpt - i));
}

/* The events of a message on their way into the answer. */
struct telling {
	const struct story_row *m;
	const struct config *config;
	struct buf *out;
	size_t omitted;
};

static void put_reply(const struct change_rcpt *r, struct buf *out)
{
	char esc[16];

	if (r->code > 0)
		json_number(out, "code", r->code);
	if (r->esc[0] > 0) {
		snprintf(esc, sizeof(esc), "%u.%u.%u", r->esc[0], r->esc[1], r->esc[2]);
		json_str(out, "esc", esc);
	}
	put_some(out, "vmta", r->vmta);
	put_some(out, "host", r->host);
	put_some(out, "tls", r->tls);
	put_some(out, "rule", r->rule);
	put_some(out, "reply", r->reply);
}

/* It is not stored: what replies mean is judged by today's rules. */
static void put_class(const struct config *c, const struct change_rcpt *r, struct buf *out)
{
	if (c == NULL || r->outcome == OUTCOME_DELIVERED || (r->code == 0 && r->reply.n == 0))
		return;
	json_str(out, "class", reply_classes[classify_reply(c, r->code, r->esc, r->reply)].word);
}

static void put_event(struct telling *t, const struct row_event *e, const struct change_rcpt *r)
{
	struct buf *out = t->out;

	if (buf_space(out) < 2 * HISTORY_EVENT_ROOM +
				 6 * (r->host.n + r->reply.n + r->tls.n + r->vmta.n + r->rule.n)) {
		t->omitted++;
		return;
	}
	json_open(out, NULL, '{');
	json_time(out, "time", e->when);
	json_str(out, "event", event_word(e->kind, r->outcome));
	json_number(out, "rcpt", r->index);
	json_number(out, "attempt", r->attempts);
	put_reply(r, out);
	if (e->kind == ROW_CHANGE && r->outcome != OUTCOME_DROPPED)
		put_class(t->config, r, out);
	if (r->outcome == OUTCOME_DEFERRED && r->due > 0)
		json_time(out, "due", r->due);
	if (e->reported)
		history_put_id(out, "report", &e->report);
	json_close(out, '}');
}

static bool tell_event(void *arg, const struct row_event *e)
{
	struct telling *t = arg;

	for (size_t i = 0; i < e->change.n_rcpt; i++)
		put_event(t, e, &e->change.rcpt[i]);
	return true;
}

static int put_events(struct history_db *db, const struct story_row *m, struct buf *out)
{
	struct telling t = {.m = m, .config = db->config, .out = out};
	int rc;

	json_open(out, "events", '[');
	rc = history_each_event(db, m, tell_event, &t);
	json_close(out, ']');
	if (t.omitted > 0)
		json_number(out, "events_omitted", (int64_t)t.omitted);
	return rc;
}

static int problem(
    struct buf *out, int status, const char *title, const char *detail, const char *hint)
{
	json_open(out, NULL, '{');
	json_str(out, "type", "urn:godwit:problem:history");
	json_str(out, "title", title);
	json_number(out, "status", status);
	json_str(out, "detail", detail);
	json_str(out, "hint", hint);
	json_close(out, '}');
	return status;
}

static int tell_message(struct history_db *db, int64_t n, struct buf *out)
{
	struct story_row m;
	int rc = history_read_row(db, n, &m, &db->arena);

	if (rc == 1)
		rc = history_each_event(db, &m, history_note_last, &m);
	if (rc < 0)
		return rc;
	json_open(out, NULL, '{');
	history_put_head(&m, out);
	history_put_rcpts(&m, SIZE_MAX, out);
	rc = put_events(db, &m, out);
	json_close(out, '}');
	return rc < 0 ? rc : 200;
}

static int by_id(struct history_db *db, const struct proto_trace *t, struct buf *out)
{
	sqlite3_stmt *st = history_db_use(db, HDB_RANGE);
	int64_t n[2] = {0};
	size_t found = 0;
	int rc;

	bind_span(st, 1, msgid_span(&t->low));
	bind_span(st, 2, msgid_span(&t->high));
	while ((rc = history_db_step(db, st)) == 1)
		n[found++] = sqlite3_column_int64(st, 0);
	if (rc < 0)
		return rc;
	if (found == 1)
		return tell_message(db, n[0], out);
	if (found > 1)
		return problem(out, 409, "Not one message",
		    "more than one message starts with this", "give more of the id");
	return problem(out, 404, "No such message", "the history has no message with this id",
	    "godwit trace --to ADDRESS or --from ADDRESS finds ids");
}

int history_answer(struct history_db *db, const struct proto_trace *t, struct buf *out)
{
	arena_clear(&db->arena);
	return t->op == TRACE_ID ? by_id(db, t, out) : history_find(db, t, out);
}
