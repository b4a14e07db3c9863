/* The history's database: rows from records, once each, what is kept, what is damaged, answers. */
#include "role/history.h"
#include "role/history_write.h"

#include "base/clock.h"
#include "base/metric.h"
#include "mail/envelope.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOON (INT64_C(1795345200) * 1000000)

struct place {
	char dir[64], path[96];
	struct history_db *db;
};

static int open_again(struct place *p)
{
	char why[256];

	history_db_close(&p->db);
	return history_db_open(&p->db, p->path, why, sizeof(why));
}

static int set_up(void **state)
{
	struct place *p = gw_calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/godwit-history-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/history.db", p->dir);
	*state = p;
	return open_again(p);
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[128];

	history_db_close(&p->db);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* ---- records ------------------------------------------------------------------------------- */

static struct msgid id_of(unsigned n)
{
	uint8_t random[MSGID_RANDOM] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	return msgid_make(NOON + (int64_t)n * 1000, random);
}

static struct envelope envelope_of(unsigned n, const struct rcpt *rcpt, size_t n_rcpt)
{
	return (struct envelope){.id = id_of(n),
	    .accepted = NOON + (int64_t)n * 1000,
	    .from = SPAN("a@sender.test"),
	    .client_ip = SPAN("192.0.2.1"),
	    .listener = SPAN("mx"),
	    .account = SPAN("acme"),
	    .rcpt = rcpt,
	    .n_rcpt = n_rcpt,
	    .facts = {.size = 1234}};
}

static int write_envelope(struct history_db *db, const struct envelope *e)
{
	struct buf b;
	int rc;

	buf_init(&b, 1 << 20);
	envelope_encode(e, &b);
	assert_false(buf_failed(&b));
	rc = history_write(db, STORY_MESSAGE, buf_view(&b));
	buf_fini(&b);
	return rc;
}

static void write_plain(struct history_db *db, unsigned n, const char *to)
{
	struct rcpt rcpt = {.addr = span_str(to)};
	struct envelope e = envelope_of(n, &rcpt, 1);

	assert_int_equal(history_db_begin(db), 0);
	assert_int_equal(write_envelope(db, &e), 0);
}

static void change_into(struct buf *b, unsigned n, struct change_rcpt r, int64_t after)
{
	struct change c = {
	    .id = id_of(n), .when = NOON + (int64_t)n * 1000 + after, .rcpt = &r, .n_rcpt = 1};

	change_encode(&c, b);
	assert_false(buf_failed(b));
}

static void write_change(
    struct history_db *db, enum story_type type, unsigned n, struct change_rcpt r, int64_t after)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	change_into(&b, n, r, after);
	assert_int_equal(history_db_begin(db), 0);
	assert_int_equal(history_write(db, type, buf_view(&b)), 0);
	buf_fini(&b);
}

static const struct change_rcpt deferred = {.number = 1,
    .attempts = 1,
    .outcome = OUTCOME_DEFERRED,
    .due = NOON + 300 * INT64_C(1000000),
    .code = 451,
    .esc = {4, 7, 1},
    .host = {(const uint8_t *)"mx.remote.test [198.51.100.4]", 29},
    .reply = {(const uint8_t *)"come back later", 15},
    .tls = {(const uint8_t *)"TLS 1.3", 7},
    .rule = {(const uint8_t *)"godwit.conf:52", 14}};
static const struct change_rcpt delivered = {.number = 2,
    .attempts = 2,
    .outcome = OUTCOME_DELIVERED,
    .code = 250,
    .esc = {2, 0, 0},
    .host = {(const uint8_t *)"mx.remote.test [198.51.100.4]", 29},
    .reply = {(const uint8_t *)"Ok queued as 17", 15}};

static int64_t count(struct history_db *db, const char *table)
{
	sqlite3_stmt *st;
	char sql[64];
	int64_t n;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	assert_int_equal(sqlite3_prepare_v2(db->sql, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void commit(struct history_db *db, uint64_t offset)
{
	struct story_place at = {3, offset, UINT64_MAX - 5};

	assert_int_equal(history_db_commit(db, &at), 0);
}

/* The answer, which is the caller's. */
static json_t *ask(struct history_db *db, struct proto_trace t, int want)
{
	struct buf out;
	json_t *j;

	buf_init(&out, 1 << 20);
	assert_int_equal(history_answer(db, &t, &out), want);
	j = json_loadb((const char *)buf_view(&out).p, buf_len(&out), 0, NULL);
	assert_non_null(j);
	buf_fini(&out);
	return j;
}

static json_t *story(struct history_db *db, unsigned n)
{
	struct msgid id = id_of(n);

	return ask(
	    db, (struct proto_trace){.op = TRACE_ID, .low = id, .high = id, .limit = 1}, 200);
}

static const char *text_at(json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

/* ---- rows ----------------------------------------------------------------------------------- */

static bool no_number(void *arg, struct span text, uint32_t *number)
{
	(void)arg;
	(void)text;
	(void)number;
	return false;
}

static struct span no_text(void *arg, uint32_t number)
{
	(void)arg;
	(void)number;
	return SPAN_NONE;
}

static const struct row_texts plain = {.number = no_number, .text = no_text};

static void rows_come_back(void **state)
{
	struct change_rcpt r[3] = {deferred, deferred, delivered};
	struct row_event e = {.kind = ROW_CHANGE,
	    .when = NOON + 1234567,
	    .reported = true,
	    .report = id_of(9),
	    .change = {.rcpt = r, .n_rcpt = 3}};
	struct row_event back;
	struct arena a;
	struct buf b;

	(void)state;
	r[1].index = 7;
	r[2].index = 49999;
	buf_init(&b, 4096);
	arena_init(&a, 1 << 20);
	row_encode(&e, NOON, &plain, &b);
	assert_int_equal(row_decode(&back, buf_view(&b), NOON, &plain, &a), 0);
	assert_int_equal(back.when, NOON + 1234000);
	assert_true(back.reported && msgid_eq(&back.report, &e.report));
	assert_int_equal(back.change.n_rcpt, 3);
	assert_int_equal(back.change.rcpt[1].index, 7);
	assert_int_equal(back.change.rcpt[1].due, deferred.due);
	assert_true(span_eq(back.change.rcpt[1].rule, deferred.rule));
	assert_int_equal(back.change.rcpt[2].index, 49999);
	assert_true(span_eq(back.change.rcpt[2].reply, delivered.reply));
	/* Cut anywhere it is no row. */
	for (size_t n = 0; n < buf_len(&b); n++) {
		arena_clear(&a);
		assert_int_equal(
		    row_decode(&back, span_first(buf_view(&b), n), NOON, &plain, &a), GW_EFORMAT);
	}
	arena_reset(&a);
	buf_fini(&b);
}

/* A hundred recipients that went the same way cost three octets each. */
static void the_same_is_short(void **state)
{
	struct change_rcpt r[100];
	struct row_event e = {.when = NOON, .change = {.rcpt = r, .n_rcpt = 100}};
	struct buf b;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		r[i] = delivered;
		r[i].index = i;
	}
	buf_init(&b, 4096);
	row_encode(&e, NOON, &plain, &b);
	assert_true(!buf_failed(&b) && buf_len(&b) < 400);
	buf_fini(&b);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void a_story(void **state)
{
	struct place *p = *state;
	json_t *j, *e;

	write_plain(p->db, 1, "Bob@remote.test");
	write_change(p->db, STORY_CHANGE, 1, deferred, 212000);
	write_change(p->db, STORY_CHANGE, 1, delivered, 301000000);
	commit(p->db, 4096);
	assert_int_equal(open_again(p), 0);
	assert_int_equal(p->db->place.segment, 3);
	assert_int_equal(p->db->place.offset, 4096);
	assert_true(p->db->place.mark == UINT64_MAX - 5);
	j = story(p->db, 1);
	assert_string_equal(text_at(j, "from"), "a@sender.test");
	assert_string_equal(text_at(j, "account"), "acme");
	assert_string_equal(text_at(j, "client_ip"), "192.0.2.1");
	assert_true(json_is_true(json_object_get(j, "final")));
	assert_int_equal(json_array_size(json_object_get(j, "events")), 2);
	e = json_array_get(json_object_get(j, "events"), 0);
	assert_string_equal(text_at(e, "event"), "deferred");
	assert_string_equal(text_at(e, "host"), "mx.remote.test [198.51.100.4]");
	assert_string_equal(text_at(e, "rule"), "godwit.conf:52");
	assert_string_equal(text_at(e, "tls"), "TLS 1.3");
	json_decref(j);
	/* Words that come again stand once. */
	assert_int_equal(count(p->db, "text"), 4);
}

static void told_again_changes_nothing(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < 3; i++) {
		write_plain(p->db, 1, "bob@remote.test");
		write_change(p->db, STORY_CHANGE, 1, deferred, 212000);
		write_change(p->db, STORY_CHANGE, 1, delivered, 301000000);
		commit(p->db, 4096);
		if (i == 1)
			assert_int_equal(open_again(p), 0);
	}
	assert_int_equal(count(p->db, "message"), 1);
	assert_int_equal(count(p->db, "event"), 2);
	assert_int_equal(count(p->db, "address"), 2);
}

/* What was rolled back is told once more, and nothing that is remembered stands in its way. */
static void rolled_back_and_told_again(void **state)
{
	struct place *p = *state;

	write_plain(p->db, 1, "bob@remote.test");
	write_change(p->db, STORY_CHANGE, 1, deferred, 212000);
	history_db_rollback(p->db);
	assert_int_equal(count(p->db, "message") + count(p->db, "text"), 0);
	write_plain(p->db, 2, "carol@remote.test");
	write_plain(p->db, 1, "bob@remote.test");
	write_change(p->db, STORY_CHANGE, 1, deferred, 212000);
	commit(p->db, 1);
	assert_int_equal(open_again(p), 0);
	json_decref(story(p->db, 1));
	assert_int_equal(count(p->db, "event"), 1);
	assert_int_equal(count(p->db, "text"), 4);
}

static void a_report_ends_another(void **state)
{
	struct place *p = *state;
	struct rcpt to = {.addr = SPAN("a@sender.test")};
	struct envelope e = envelope_of(2, &to, 1);
	struct change_rcpt failed = {
	    .number = 1, .attempts = 1, .outcome = OUTCOME_FAILED, .code = 550, .esc = {5, 1, 1}};
	char id[MSGID_TEXT + 1];
	struct buf ends;
	json_t *j, *x;

	write_plain(p->db, 1, "bob@remote.test");
	buf_init(&ends, 4096);
	change_into(&ends, 1, failed, 500000);
	e.ends = buf_view(&ends);
	e.from = SPAN_NONE;
	e.origin = ORIGIN_SYSTEM;
	assert_int_equal(write_envelope(p->db, &e), 0);
	buf_fini(&ends);
	j = story(p->db, 1);
	x = json_array_get(json_object_get(j, "events"), 0);
	msgid_format(&e.id, id);
	assert_string_equal(text_at(x, "report"), id);
	assert_string_equal(text_at(x, "event"), "bounced");
	json_decref(j);
}

/* A copy repeats what is known; of a message that is not, it is what is left. */
static void copies(void **state)
{
	struct place *p = *state;
	struct rcpt to = {.addr = SPAN("bob@remote.test")};
	struct envelope e = envelope_of(1, &to, 1);
	struct buf b;
	json_t *j;

	write_plain(p->db, 1, "bob@remote.test");
	write_change(p->db, STORY_CHANGE, 1, deferred, 212000);
	buf_init(&b, 4096);
	change_into(&b, 1, deferred, 0);
	e.state = buf_view(&b);
	assert_int_equal(write_envelope(p->db, &e), 0);
	assert_int_equal(count(p->db, "message"), 1);
	assert_int_equal(count(p->db, "event"), 1);
	buf_clear(&b);
	change_into(&b, 5, deferred, 0);
	e = envelope_of(5, &to, 1);
	e.state = buf_view(&b);
	assert_int_equal(write_envelope(p->db, &e), 0);
	buf_fini(&b);
	j = story(p->db, 5);
	assert_string_equal(
	    text_at(json_array_get(json_object_get(j, "recipients"), 0), "state"), "deferred");
	json_decref(j);
}

static void what_makes_no_sense_is_passed_over(void **state)
{
	struct place *p = *state;
	int64_t before = metric_get(metric_page, METRIC_HISTORY_STRANGE);

	write_change(p->db, STORY_CHANGE, 77, deferred, 1);
	assert_int_equal(history_write(p->db, STORY_MESSAGE, SPAN("rubbish")), 0);
	assert_int_equal(history_write(p->db, STORY_CHANGE, SPAN_NONE), 0);
	assert_int_equal(history_write(p->db, STORY_RELEASED, SPAN("\1\1")), 0);
	commit(p->db, 1);
	assert_int_equal(metric_get(metric_page, METRIC_HISTORY_STRANGE) - before, 4);
	assert_int_equal(count(p->db, "message") + count(p->db, "event"), 0);
}

/* Whoever makes up replies fills neither the table of texts nor our memory. */
static void many_texts(void **state)
{
	struct place *p = *state;
	struct change_rcpt r = deferred;
	char reply[64];

	write_plain(p->db, 1, "bob@remote.test");
	for (unsigned i = 0; i < 12000; i++) {
		snprintf(reply, sizeof(reply), "go away, take the ticket %u", i);
		r.number = i + 1;
		r.reply = span_str(reply);
		write_change(p->db, STORY_CHANGE, 1, r, 1000 + (int64_t)i);
	}
	commit(p->db, 1);
	assert_int_equal(count(p->db, "event"), 12000);
	assert_true(count(p->db, "text") <= 4096);
	assert_true(map_len(&p->db->texts) <= 8192);
	json_decref(story(p->db, 1));
}

/* ---- what is kept --------------------------------------------------------------------------- */

static void kept_by_age(void **state)
{
	struct place *p = *state;
	struct msgid id = id_of(100);

	for (unsigned i = 0; i < 300; i++) {
		write_plain(p->db, i, "bob@remote.test");
		write_change(p->db, STORY_CHANGE, i, delivered, 1000);
	}
	commit(p->db, 1);
	while (history_keep(p->db, NOON + 200 * 1000, UINT64_MAX, 50) == 1)
		commit(p->db, 1);
	assert_int_equal(count(p->db, "message"), 100);
	assert_int_equal(count(p->db, "event"), 100);
	assert_int_equal(count(p->db, "address"), 200);
	json_decref(ask(
	    p->db, (struct proto_trace){.op = TRACE_ID, .low = id, .high = id, .limit = 1}, 404));
	json_decref(story(p->db, 250));
	/* A piece is as small as it was asked to be. */
	assert_int_equal(history_keep(p->db, INT64_MAX, UINT64_MAX, 30), 1);
	assert_int_equal(count(p->db, "message"), 70);
	commit(p->db, 1);
	while (history_keep(p->db, INT64_MAX, UINT64_MAX, 30) == 1)
		commit(p->db, 1);
	assert_int_equal(
	    count(p->db, "message") + count(p->db, "event") + count(p->db, "address"), 0);
}

static void kept_by_size(void **state)
{
	struct place *p = *state;
	const uint64_t most = 400 << 10;

	for (unsigned i = 0; i < 5000; i++) {
		write_plain(p->db, i, "somebody.with.a.name@remote.test");
		write_change(p->db, STORY_CHANGE, i, delivered, 1000);
	}
	commit(p->db, 1);
	assert_true(history_db_size(p->db) > most);
	while (history_keep(p->db, 0, most, 100) == 1)
		commit(p->db, 1);
	assert_true(history_db_size(p->db) <= most);
	assert_true(count(p->db, "message") > 500);
	json_decref(story(p->db, 4999));
}

static uint64_t on_disk(const struct place *p)
{
	uint64_t n = 0;
	struct stat st;
	char path[128];

	assert_int_equal(stat(p->path, &st), 0);
	n += (uint64_t)st.st_size;
	snprintf(path, sizeof(path), "%s-wal", p->path);
	if (stat(path, &st) == 0)
		n += (uint64_t)st.st_size;
	return n;
}

/* A transaction as the role makes them: of 5,000 records where 16 MiB is the room, the least that a
 * configuration gives. Here it is a quarter of that. */
static void write_many(struct place *p, unsigned from, unsigned n)
{
	char to[64];

	for (unsigned i = from; i < from + n; i++) {
		snprintf(to, sizeof(to), "user%u@remote.test", i * 2654435761u);
		write_plain(p->db, i, to);
		write_change(p->db, STORY_CHANGE, i, delivered, 1000);
	}
	commit(p->db, from + 1);
}

/* At no moment more than it may, the journal and all: from empty to full, and full for long. */
static void never_beyond_its_room(void **state)
{
	struct place *p = *state;
	enum { ROOM = 4 << 20, AT_ONCE = 4 * 5000 / 16 / 2 };
	const struct history_room room = history_room(ROOM);
	uint64_t most = 0, used = 0;

	assert_int_equal(history_use_room(p->db, &room), 0);
	for (unsigned i = 0; i < ROOM / 100; i += AT_ONCE) {
		write_many(p, i, AT_ONCE);
		most = on_disk(p) > most ? on_disk(p) : most;
		while (history_keep(p->db, 0, room.kept, 500) == 1) {
			commit(p->db, i + 1);
			most = on_disk(p) > most ? on_disk(p) : most;
		}
		for (int k = 0; k < 3 && history_shrink(p->db, room.unused) == 1; k++)
			most = on_disk(p) > most ? on_disk(p) : most;
		used = history_db_size(p->db);
	}
	print_message("%llu of %d octets at most, %llu in use\n", (unsigned long long)most, ROOM,
	    (unsigned long long)used);
	assert_true(most <= ROOM);
	/* And it is not for nothing. */
	assert_true(used > ROOM / 2);
	assert_true(count(p->db, "message") > ROOM / 500);
}

/* ---- damage --------------------------------------------------------------------------------- */

static void scribble(const char *path, long at, const char *text)
{
	FILE *f = fopen(path, "r+");

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	fputs(text, f);
	fclose(f);
}

static void not_a_database(void **state)
{
	struct place *p = *state;
	struct stat st;
	char to[128];

	write_plain(p->db, 1, "bob@remote.test");
	commit(p->db, 1);
	history_db_close(&p->db);
	scribble(p->path, 0, "This is no database at all, not any more");
	assert_int_equal(open_again(p), GW_ECORRUPT);
	assert_null(p->db);
	assert_int_equal(history_db_aside(p->path, NOON, to, sizeof(to)), 0);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(open_again(p), 0);
	assert_int_equal(count(p->db, "message"), 0);
}

static void of_a_later_version(void **state)
{
	struct place *p = *state;

	assert_int_equal(sqlite3_exec(p->db->sql, "PRAGMA user_version = 99", NULL, NULL, NULL), 0);
	assert_int_equal(open_again(p), GW_EVERSION);
}

static void other_tables(void **state)
{
	struct place *p = *state;

	assert_int_equal(
	    sqlite3_exec(p->db->sql, "DROP TABLE event; CREATE TABLE event(x)", NULL, NULL, NULL),
	    0);
	assert_int_equal(open_again(p), GW_ECORRUPT);
}

static void a_row_is_damaged(void **state)
{
	struct place *p = *state;
	struct msgid id = id_of(1);
	struct proto_trace t = {.op = TRACE_ID, .low = id, .high = id, .limit = 1};
	struct buf out;

	write_plain(p->db, 1, "bob@remote.test");
	write_change(p->db, STORY_CHANGE, 1, delivered, 1000);
	commit(p->db, 1);
	assert_int_equal(
	    sqlite3_exec(p->db->sql, "UPDATE event SET what = x'00ff'", NULL, NULL, NULL), 0);
	buf_init(&out, 1 << 16);
	assert_int_equal(history_answer(p->db, &t, &out), GW_ECORRUPT);
	buf_fini(&out);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void by_the_front_of_the_id(void **state)
{
	struct place *p = *state;
	struct proto_trace t = {.op = TRACE_ID, .limit = 1};

	write_plain(p->db, 1, "bob@remote.test");
	write_plain(p->db, 2, "bob@remote.test");
	t.low = id_of(1);
	t.high = id_of(2);
	json_decref(ask(p->db, t, 409));
	t.high = id_of(1);
	t.high.b[15] = 0xff;
	json_decref(ask(p->db, t, 200));
	t.low = id_of(3);
	t.high = id_of(9);
	json_decref(ask(p->db, t, 404));
}

static void check_found(json_t *answer, size_t n, unsigned first, bool more)
{
	const json_t *data = json_object_get(answer, "data");
	struct msgid id = id_of(first);
	char text[MSGID_TEXT + 1];

	assert_int_equal(json_array_size(data), n);
	msgid_format(&id, text);
	if (n > 0)
		assert_string_equal(text_at(json_array_get(data, 0), "id"), text);
	assert_int_equal(json_is_string(json_object_get(answer, "next")), more);
	json_decref(answer);
}

static void finding(void **state)
{
	struct place *p = *state;
	struct proto_trace t = {.op = TRACE_FIND, .limit = 10};

	for (unsigned i = 0; i < 40; i++)
		write_plain(p->db, i, i % 4 ? "x@remote.test" : "Carol@remote.test");
	t.to = SPAN("carol@REMOTE.test");
	check_found(ask(p->db, t, 200), 10, 36, true);
	t.limit = 20;
	check_found(ask(p->db, t, 200), 10, 36, false);
	t.limit = 3;
	t.high = id_of(24); /* behind this one */
	check_found(ask(p->db, t, 200), 3, 20, true);
	t.high = (struct msgid){{0}};
	t.since = NOON + 30 * 1000;
	t.limit = 20;
	check_found(ask(p->db, t, 200), 2, 36, false);
	t.from = SPAN("somebody@else.test");
	check_found(ask(p->db, t, 200), 0, 0, false);
	t = (struct proto_trace){.op = TRACE_FIND, .limit = 7};
	check_found(ask(p->db, t, 200), 7, 39, true);
}

/* The last message of the page before is gone, and with it all that are older. */
static void a_page_behind_what_is_gone(void **state)
{
	struct place *p = *state;
	struct proto_trace t = {.op = TRACE_FIND, .limit = 5};

	for (unsigned i = 1; i <= 20; i++)
		write_plain(p->db, i, "bob@remote.test");
	t.high = id_of(8);
	check_found(ask(p->db, t, 200), 5, 7, true);
	assert_int_equal(history_keep(p->db, 0, 0, 10), 1);
	commit(p->db, 1);
	check_found(ask(p->db, t, 200), 0, 0, false);
	t.to = SPAN("bob@remote.test");
	check_found(ask(p->db, t, 200), 0, 0, false);
}

/* More that only look like it than are looked at for one page: the search is not over. */
static void a_page_without_any(void **state)
{
	enum { MANY = 20001 };
	struct place *p = *state;
	struct proto_trace t = {.op = TRACE_FIND,
	    .limit = 5,
	    .to = SPAN("bob@remote.test"),
	    .from = SPAN("somebody@else.test")};
	json_t *answer;

	for (unsigned i = 0; i < MANY; i++)
		write_plain(p->db, i, "bob@remote.test");
	answer = ask(p->db, t, 200);
	assert_int_equal(json_array_size(json_object_get(answer, "data")), 0);
	assert_int_equal(msgid_parse(span_str(text_at(answer, "next")), &t.high), 0);
	json_decref(answer);
	check_found(ask(p->db, t, 200), 0, 0, false);
}

/* What only looks like it: another address with the same number. */
static void a_hash_is_no_proof(void **state)
{
	struct place *p = *state;
	struct proto_trace t = {.op = TRACE_FIND, .limit = 5, .to = SPAN("dave@remote.test")};
	sqlite3_stmt *st;

	write_plain(p->db, 1, "bob@remote.test");
	st = history_db_use(p->db, HDB_ADDRESS);
	sqlite3_bind_int64(st, 1, 0);
	sqlite3_bind_int64(st, 2, history_db_hash(p->db, t.to));
	sqlite3_bind_int64(st, 3, 1);
	assert_int_equal(history_db_run(p->db, st), 0);
	check_found(ask(p->db, t, 200), 0, 0, false);
}

static double asked(struct history_db *db, struct proto_trace t, int want)
{
	int64_t begin = clock_now();

	json_decref(ask(db, t, want));
	return (double)(clock_now() - begin) / 1000;
}

/* With GODWIT_LONG=1 a million messages; the answers come as fast as from a few. */
static void among_many(void **state)
{
	struct place *p = *state;
	const unsigned n = getenv("GODWIT_LONG") != NULL ? 1000000 : 30000;
	struct msgid id = id_of(n / 3);
	struct proto_trace t = {.op = TRACE_ID, .low = id, .high = id, .limit = 1};
	double by_id, by_front, by_to, in_vain;
	char to[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(to, sizeof(to), "user%u@remote.test", i / 2);
		write_plain(p->db, i, to);
		write_change(p->db, STORY_CHANGE, i, deferred, 212000);
		write_change(p->db, STORY_CHANGE, i, delivered, 301000000);
		if (i % 5000 == 0)
			commit(p->db, i);
	}
	commit(p->db, n);
	assert_int_equal(open_again(p), 0);
	by_id = asked(p->db, t, 200);
	t.low.b[9] = t.low.b[10] = 0;
	by_front = asked(p->db, t, 200);
	t = (struct proto_trace){.op = TRACE_FIND, .to = SPAN("user17@remote.test"), .limit = 20};
	by_to = asked(p->db, t, 200);
	t.to = SPAN("nobody@remote.test");
	in_vain = asked(p->db, t, 200);
	print_message("%u messages, %.0f octets each: by id %.2f ms, by its front %.2f, by address "
		      "%.2f, in vain %.2f\n",
	    n, (double)history_db_size(p->db) / n, by_id, by_front, by_to, in_vain);
	assert_true(by_id < 100 && by_front < 100 && by_to < 100 && in_vain < 100);
}

static void frames(void **state)
{
	struct proto_trace t = {.request = 7, .op = TRACE_FIND, .to = SPAN("a@b"), .limit = 3},
			   back;
	struct proto_story s = {5, {1, 2, 3}}, again;
	struct cursor c;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	proto_put_trace(&b, &t);
	assert_int_equal(proto_get_trace(buf_view(&b), &back), 0);
	assert_true(back.request == 7 && back.limit == 3 && span_eq(back.to, t.to));
	for (size_t n = 0; n < buf_len(&b); n++)
		assert_int_equal(proto_get_trace(span_first(buf_view(&b), n), &back), GW_EFORMAT);
	buf_clear(&b);
	proto_put_story(&b, &s);
	c = cursor_of(buf_view(&b));
	assert_int_equal(proto_get_story(&c, &again), 0);
	assert_true(again.epoch == 5 && again.at.mark == 3 && cursor_done(&c));
	buf_fini(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows_come_back),
	    cmocka_unit_test(the_same_is_short),
	    cmocka_unit_test(frames),
	    T(a_story),
	    T(told_again_changes_nothing),
	    T(rolled_back_and_told_again),
	    T(a_report_ends_another),
	    T(copies),
	    T(what_makes_no_sense_is_passed_over),
	    T(many_texts),
	    T(kept_by_age),
	    T(kept_by_size),
	    T(never_beyond_its_room),
	    T(not_a_database),
	    T(of_a_later_version),
	    T(other_tables),
	    T(a_row_is_damaged),
	    T(by_the_front_of_the_id),
	    T(finding),
	    T(a_page_behind_what_is_gone),
	    T(a_page_without_any),
	    T(a_hash_is_no_proof),
	    T(among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
