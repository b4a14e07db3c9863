/* What operators ask of the queue, as JSON: its summary, and one message. */
#include "flow/broker-private.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { RCPT_ROOM = 256, MESSAGE_ROOM = 1024, SITE_ROOM = 1024 };

#define MINUTE (INT64_C(60) * 1000000)
#define HOUR (60 * MINUTE)

/* The age classes of the summary: under 5 m, 30 m, 2 h, 8 h, and older. */
enum { AGES = 5 };
static const int64_t age_limits[AGES - 1] = {5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR};
static const char *const age_names[AGES] = {
    "under_5m", "under_30m", "under_2h", "under_8h", "older"};

int query_problem(
    struct buf *out, int status, const char *title, const char *detail, const char *hint)
{
	json_open(out, NULL, '{');
	json_str(out, "type", "urn:godwit:problem:queue");
	json_str(out, "title", title);
	json_number(out, "status", status);
	json_str(out, "detail", detail);
	if (hint != NULL)
		json_str(out, "hint", hint);
	json_close(out, '}');
	return status;
}

int query_not_found(struct buf *out)
{
	return query_problem(out, 404, "No such message", "no message with this id is in the queue",
	    "godwit queue list shows what is there; a message that is finished has left the queue");
}

/* As people's clocks have it now, whatever was set since the program started. */
static void put_time(const struct broker *b, const char *key, int64_t when, struct buf *out)
{
	json_time(out, key, when + b->wall_ahead);
}

/* ---- summary ---------------------------------------------------------------------------- */

struct site_row {
	const struct site *site;
	size_t age[AGES], total, held;
	int64_t oldest;
};

struct rows {
	struct site_row *row;
	size_t n;
	int64_t oldest, now;
};

static int age_class(int64_t age)
{
	int i = 0;

	while (i < AGES - 1 && age >= age_limits[i])
		i++;
	return i;
}

static void count_rcpts(struct site_row *row, int64_t accepted, int class, size_t n)
{
	row->age[class] += n;
	row->total += n;
	if (row->oldest == 0 || accepted < row->oldest)
		row->oldest = accepted;
}

static void note_oldest(struct rows *rows, int64_t accepted)
{
	if (rows->oldest == 0 || accepted < rows->oldest)
		rows->oldest = accepted;
}

static void count_awake(const struct broker *b, struct rows *rows)
{
	const struct queued *m;
	const struct task *t;

	TAILQ_FOREACH(m, &b->messages, link)
	{
		int class = age_class(rows->now - m->accepted);

		note_oldest(rows, m->accepted);
		TAILQ_FOREACH(t, &m->task_list, of_msg)
		count_rcpts(&rows->row[t->site->row], m->accepted, class, t->n_rcpt);
	}
}

static void count_resting(struct rows *rows, struct parked *p)
{
	const struct resting *r = parked_rest(p);
	int class = age_class(rows->now - p->accepted);

	note_oldest(rows, p->accepted);
	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].site == NULL)
			continue;
		count_rcpts(&rows->row[r[i].site->row], p->accepted, class, 1);
		rows->row[r[i].site->row].held += r[i].outcome == OUTCOME_HELD;
	}
}

/* One pass over the queue: a row for each site, found by the number the site carries meanwhile. */
static struct rows count_sites(struct broker *b, int64_t now)
{
	struct rows rows = {.now = now};
	struct pool_walk walk = {0};
	struct parked *p;
	struct site *s;
	size_t at = 0;

	rows.row = gw_calloc(map_len(&b->sites) + 1, sizeof(*rows.row));
	while ((s = map_next(&b->sites, &at)) != NULL) {
		rows.row[rows.n].site = s;
		s->row = rows.n++;
	}
	count_awake(b, &rows);
	while ((p = pool_next(&b->parking.pool, &walk)) != NULL)
		count_resting(&rows, p);
	return rows;
}

static const char *site_state(const struct site *s)
{
	if (s->rest_until > 0)
		return s->paused ? "paused" : "unreachable";
	if (s->n_ready > 0 && s->n_conns >= s->shape->connections)
		return "limited";
	return "open";
}

static void put_site(const struct broker *b, const struct site_row *row, struct buf *out)
{
	const struct site *s = row->site;

	json_open(out, NULL, '{');
	json_str(out, "group", s->shape->name);
	json_str(out, "site", s->key + strlen(s->shape->name) + 1);
	json_str(out, "state", site_state(s));
	json_number(out, "recipients", (int64_t)row->total);
	for (int i = 0; i < AGES; i++)
		json_number(out, age_names[i], (int64_t)row->age[i]);
	json_number(out, "ready", (int64_t)s->n_ready);
	json_number(out, "waiting", (int64_t)(s->n_waiting + s->n_parked - row->held));
	json_number(out, "held", (int64_t)row->held);
	json_number(out, "active", (int64_t)s->n_active);
	json_number(out, "connections", (int64_t)s->n_conns);
	json_number(out, "connections_limit", s->shape->connections);
	if (row->oldest)
		put_time(b, "oldest", row->oldest, out);
	if (s->rest_until)
		put_time(b, "rest_until", s->rest_until, out);
	json_str(out, "last_reply", s->said);
	json_close(out, '}');
}

static int by_size(const void *a, const void *b)
{
	size_t x = ((const struct site_row *)a)->total, y = ((const struct site_row *)b)->total;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* What a site takes at most: JSON makes six octets of one. */
static size_t site_room(const struct site *s)
{
	return SITE_ROOM + 6 * (strlen(s->key) + strlen(s->said));
}

/* The largest first; what has no room in the answer is counted. */
static void put_sites(const struct broker *b, struct rows *rows, struct buf *out)
{
	size_t i;

	qsort(rows->row, rows->n, sizeof(*rows->row), by_size);
	json_open(out, "sites", '[');
	for (i = 0; i < rows->n && buf_space(out) > site_room(rows->row[i].site) + SITE_ROOM; i++)
		put_site(b, &rows->row[i], out);
	json_close(out, ']');
	if (i < rows->n)
		json_number(out, "sites_omitted", (int64_t)(rows->n - i));
}

int broker_summary(struct broker *b, struct buf *out, int64_t now)
{
	struct rows rows = count_sites(b, now);
	struct broker_counts n;

	broker_counts(b, &n);
	json_open(out, NULL, '{');
	json_number(out, "messages", (int64_t)n.messages);
	json_number(out, "recipients", (int64_t)n.recipients);
	json_number(out, "held", (int64_t)n.held);
	json_number(out, "active", (int64_t)n.active);
	json_bool(out, "accepting", n.intake);
	if (rows.oldest)
		put_time(b, "oldest", rows.oldest, out);
	put_time(b, "now", now, out);
	counters_json(&b->counters, "days", now, out);
	put_sites(b, &rows, out);
	json_close(out, '}');
	free(rows.row);
	return 200;
}

/* ---- one message ------------------------------------------------------------------------ */

const char *query_rcpt_state(const struct queued_rcpt *r)
{
	static const char *const words[] = {[OUTCOME_NONE] = "ready",
	    [OUTCOME_DELIVERED] = "delivered",
	    [OUTCOME_DEFERRED] = "deferred",
	    [OUTCOME_FAILED] = "failed",
	    [OUTCOME_EXPIRED] = "expired",
	    [OUTCOME_DROPPED] = "dropped",
	    [OUTCOME_MAYBE] = "maybe",
	    [OUTCOME_HELD] = "held"};

	if (r->outcome == OUTCOME_MAYBE)
		return words[OUTCOME_MAYBE];
	if (r->task != NULL && r->task->state == TASK_ACTIVE)
		return "active";
	if (r->by_account)
		return "suspended";
	if ((r->task != NULL && r->task->state == TASK_READY) ||
	    (r->crowded && r->outcome == OUTCOME_DEFERRED))
		return "ready";
	return words[r->outcome];
}

static const struct site *site_of(const struct queued_rcpt *r)
{
	return r->task != NULL ? r->task->site : r->site;
}

static void put_esc(const uint8_t esc[3], struct buf *out)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%u.%u", esc[0], esc[1], esc[2]);
	json_str(out, "esc", text);
}

static void put_rcpt(const struct broker *b, const struct queued_rcpt *r, struct buf *out)
{
	const struct site *s = site_of(r);

	json_open(out, NULL, '{');
	json_text(out, "to", r->addr);
	json_str(out, "state", query_rcpt_state(r));
	json_number(out, "attempts", r->attempts);
	if (r->outcome == OUTCOME_DEFERRED)
		put_time(b, "due", r->due, out);
	if (r->outcome == OUTCOME_MAYBE)
		put_time(b, "since", r->due, out);
	if (r->code)
		json_number(out, "code", r->code);
	if (r->esc[0])
		put_esc(r->esc, out);
	json_str(out, "reply", r->said);
	if (s != NULL)
		json_str(out, "site", s->key + strlen(s->shape->name) + 1);
	json_close(out, '}');
}

/* What it takes at most: JSON makes six octets of one. */
static size_t rcpt_room(const struct queued_rcpt *r)
{
	const struct site *s = site_of(r);

	return RCPT_ROOM + 6 * (r->addr.n + strlen(r->said) + (s != NULL ? strlen(s->key) : 0));
}

size_t query_message_room(const struct queued *m)
{
	size_t n = MESSAGE_ROOM + 6 * m->from.n;

	for (size_t i = 0; i < m->n_rcpt; i++)
		n += rcpt_room(&m->rcpt[i]);
	return n;
}

/* The last recipients are left out, and counted, where the answer has no room for all. */
void query_put_message(const struct broker *b, const struct queued *m, struct buf *out)
{
	char id[MSGID_TEXT + 1];
	size_t i;

	msgid_format(&m->id, id);
	json_open(out, NULL, '{');
	json_str(out, "id", id);
	json_text(out, "from", m->from);
	json_number(out, "size", (int64_t)m->size);
	put_time(b, "accepted", m->accepted, out);
	json_open(out, "recipients", '[');
	for (i = 0; i < m->n_rcpt && buf_space(out) > rcpt_room(&m->rcpt[i]) + MESSAGE_ROOM; i++)
		put_rcpt(b, &m->rcpt[i], out);
	json_close(out, ']');
	if (i < m->n_rcpt)
		json_number(out, "recipients_omitted", (int64_t)(m->n_rcpt - i));
	json_close(out, '}');
}

/* Of one that cannot be read back, only what is in memory. */
void query_put_unreadable(const struct broker *b, const struct parked *p, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&p->id, id);
	json_open(out, NULL, '{');
	json_str(out, "id", id);
	put_time(b, "accepted", p->accepted, out);
	json_bool(out, "unreadable", true);
	json_number(out, "recipients_omitted", p->n_open);
	json_close(out, '}');
}

static void show_parked(struct broker *b, const struct parked *p, struct buf *out)
{
	struct queued *m = parked_view(b, p);

	if (m == NULL) {
		query_put_unreadable(b, p, out);
		return;
	}
	queued_load_said(b, m);
	query_put_message(b, m, out);
	queued_view_free(b, &m);
}

int broker_show(struct broker *b, const struct msgid *id, struct buf *out, int64_t now)
{
	struct queued *m = map_get(&b->ids, msgid_span(id));
	const struct parked *p = parking_find(&b->parking, id);

	b->now = now;
	if (p == NULL && (m == NULL || !m->durable))
		return query_not_found(out);
	if (p != NULL) {
		show_parked(b, p, out);
		return 200;
	}
	queued_load_said(b, m);
	query_put_message(b, m, out);
	return 200;
}
