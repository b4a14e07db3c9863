/* What operators ask of the queue, as JSON; and what they do to it. */
#include "flow/broker-private.h"

#include "base/json.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 1000, RCPT_ROOM = 256, MESSAGE_ROOM = 1024 };

#define MINUTE (INT64_C(60) * 1000000)
#define HOUR (60 * MINUTE)

/* The age classes of the summary: under 5 m, 30 m, 2 h, 8 h, and older. */
enum { AGES = 5 };
static const int64_t age_limits[AGES - 1] = {5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR};
static const char *const age_names[AGES] = {
    "under_5m", "under_30m", "under_2h", "under_8h", "older"};

static int problem(
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

/* ---- summary ---------------------------------------------------------------------------- */

struct site_row {
	size_t age[AGES], total;
	int64_t oldest;
};

static void count_task(const struct task *t, struct site_row *row, int64_t now)
{
	int64_t age = now - t->msg->accepted;
	int i = 0;

	while (i < AGES - 1 && age >= age_limits[i])
		i++;
	row->age[i] += t->n_rcpt;
	row->total += t->n_rcpt;
	if (row->oldest == 0 || t->msg->accepted < row->oldest)
		row->oldest = t->msg->accepted;
}

/* One pass over the queue: a row for each site, found by the number the site carries meanwhile. */
static struct site_row *count_sites(struct broker *b, int64_t now)
{
	struct site_row *rows = gw_calloc(map_len(&b->sites), sizeof(*rows));
	const struct queued *m;
	const struct task *t;
	struct site *s;
	size_t at = 0, n = 0;

	while ((s = map_next(&b->sites, &at)) != NULL)
		s->row = n++;
	TAILQ_FOREACH(m, &b->messages, link)
	{
		TAILQ_FOREACH(t, &m->task_list, of_msg)
		count_task(t, &rows[t->site->row], now);
	}
	return rows;
}

static const char *site_state(const struct site *s)
{
	if (s->rest_until > 0)
		return "unreachable";
	if (s->n_ready > 0 && s->n_conns >= s->shape->connections)
		return "limited";
	return "open";
}

static void put_site(const struct site *s, struct site_row row, struct buf *out)
{
	json_open(out, NULL, '{');
	json_str(out, "group", s->shape->name);
	json_str(out, "site", s->key + strlen(s->shape->name) + 1);
	json_str(out, "state", site_state(s));
	json_number(out, "recipients", (int64_t)row.total);
	for (int i = 0; i < AGES; i++)
		json_number(out, age_names[i], (int64_t)row.age[i]);
	json_number(out, "ready", (int64_t)s->n_ready);
	json_number(out, "waiting", (int64_t)s->n_waiting);
	json_number(out, "active", (int64_t)s->n_active);
	json_number(out, "connections", (int64_t)s->n_conns);
	json_number(out, "connections_limit", s->shape->connections);
	if (row.oldest)
		json_time(out, "oldest", row.oldest);
	if (s->rest_until)
		json_time(out, "rest_until", s->rest_until);
	json_str(out, "last_reply", s->said);
	json_close(out, '}');
}

int broker_summary(struct broker *b, struct buf *out, int64_t now)
{
	struct site_row *rows = count_sites(b, now);
	struct broker_counts n;
	size_t at = 0;
	const struct site *s;

	broker_counts(b, &n);
	json_open(out, NULL, '{');
	json_number(out, "messages", (int64_t)n.messages);
	json_number(out, "recipients", (int64_t)n.recipients);
	json_number(out, "active", (int64_t)n.active);
	json_bool(out, "accepting", n.intake);
	if (n.oldest)
		json_time(out, "oldest", n.oldest);
	json_time(out, "now", now);
	counters_json(&b->counters, "days", now, out);
	json_open(out, "sites", '[');
	while ((s = map_next(&b->sites, &at)) != NULL)
		put_site(s, rows[s->row], out);
	free(rows);
	json_close(out, ']');
	json_close(out, '}');
	return 200;
}

/* ---- one message ------------------------------------------------------------------------ */

static const char *rcpt_state(const struct queued_rcpt *r)
{
	static const char *const finals[] = {[OUTCOME_NONE] = "ready",
	    [OUTCOME_DELIVERED] = "delivered",
	    [OUTCOME_DEFERRED] = "deferred",
	    [OUTCOME_FAILED] = "failed",
	    [OUTCOME_EXPIRED] = "expired",
	    [OUTCOME_DROPPED] = "dropped",
	    [OUTCOME_MAYBE] = "maybe",
	    [OUTCOME_HELD] = "held"};

	if (r->outcome == OUTCOME_MAYBE)
		return finals[OUTCOME_MAYBE];
	if (r->task != NULL && r->task->state == TASK_ACTIVE)
		return "active";
	if (r->task != NULL && r->task->state == TASK_READY)
		return "ready";
	return finals[r->outcome];
}

static void put_esc(const uint8_t esc[3], struct buf *out)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%u.%u", esc[0], esc[1], esc[2]);
	json_str(out, "esc", text);
}

static void put_rcpt(const struct queued_rcpt *r, struct buf *out)
{
	json_open(out, NULL, '{');
	json_text(out, "to", r->addr);
	json_str(out, "state", rcpt_state(r));
	json_number(out, "attempts", r->attempts);
	if (r->outcome == OUTCOME_DEFERRED)
		json_time(out, "due", r->due);
	if (r->outcome == OUTCOME_MAYBE)
		json_time(out, "since", r->due);
	if (r->code)
		json_number(out, "code", r->code);
	if (r->esc[0])
		put_esc(r->esc, out);
	json_str(out, "reply", r->said);
	if (r->task != NULL)
		json_str(out, "site", r->task->site->key + strlen(r->task->site->shape->name) + 1);
	json_close(out, '}');
}

/* What it takes at most: JSON makes six octets of one. */
static size_t rcpt_room(const struct queued_rcpt *r)
{
	size_t text = r->addr.n + strlen(r->said);

	if (r->task != NULL)
		text += strlen(r->task->site->key);
	return RCPT_ROOM + 6 * text;
}

static size_t message_room(const struct queued *m)
{
	size_t n = MESSAGE_ROOM + 6 * m->from.n;

	for (size_t i = 0; i < m->n_rcpt; i++)
		n += rcpt_room(&m->rcpt[i]);
	return n;
}

/* The last recipients are left out, and counted, where the answer has no room for all. */
static void put_message(const struct queued *m, struct buf *out)
{
	char id[MSGID_TEXT + 1];
	size_t i;

	msgid_format(&m->id, id);
	json_open(out, NULL, '{');
	json_str(out, "id", id);
	json_text(out, "from", m->from);
	json_number(out, "size", (int64_t)m->size);
	json_time(out, "accepted", m->accepted);
	json_open(out, "recipients", '[');
	for (i = 0; i < m->n_rcpt && buf_space(out) > rcpt_room(&m->rcpt[i]) + MESSAGE_ROOM; i++)
		put_rcpt(&m->rcpt[i], out);
	json_close(out, ']');
	if (i < m->n_rcpt)
		json_number(out, "recipients_omitted", (int64_t)(m->n_rcpt - i));
	json_close(out, '}');
}

static const struct queued *find(const struct broker *b, const struct msgid *id)
{
	const struct queued *m = map_get(&b->ids, msgid_span(id));

	return m != NULL && m->durable ? m : NULL;
}

static int not_found(struct buf *out)
{
	return problem(out, 404, "No such message", "no message with this id is in the queue",
	    "godwit queue list shows what is there; a message that is finished has left the queue");
}

int broker_show(struct broker *b, const struct msgid *id, struct buf *out, int64_t now)
{
	const struct queued *m = find(b, id);

	(void)now;
	if (m == NULL)
		return not_found(out);
	put_message(m, out);
	return 200;
}

/* ---- list ------------------------------------------------------------------------------- */

struct filter {
	struct span to, from, domain, group, state;
};

static bool contains(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++) {
		if (span_eq_case(span_of(s.p + i, part.n), part))
			return true;
	}
	return false;
}

static struct span *filter_slot(struct filter *f, struct span key)
{
	if (span_eq(key, SPAN("to")))
		return &f->to;
	if (span_eq(key, SPAN("from")))
		return &f->from;
	if (span_eq(key, SPAN("domain")))
		return &f->domain;
	if (span_eq(key, SPAN("group")))
		return &f->group;
	return span_eq(key, SPAN("state")) ? &f->state : NULL;
}

/* "to:bob from:alice state:deferred": the word that makes no sense, or an empty span. */
static struct span filter_parse(struct span text, struct filter *f)
{
	memset(f, 0, sizeof(*f));
	for (;;) {
		struct span word;
		ptrdiff_t colon, end;
		struct span *slot;

		text = span_trim(text);
		if (text.n == 0)
			return SPAN_NONE;
		end = span_find(text, ' ');
		word = end < 0 ? text : span_first(text, (size_t)end);
		colon = span_find(word, ':');
		slot = colon > 0 ? filter_slot(f, span_first(word, (size_t)colon)) : NULL;
		if (slot == NULL || (size_t)colon + 1 == word.n)
			return word;
		*slot = span_skip(word, (size_t)colon + 1);
		text = span_skip(text, word.n);
	}
}

static bool rcpt_matches(const struct queued_rcpt *r, const struct filter *f)
{
	ptrdiff_t at = span_find(r->addr, '@');

	if (f->to.n && !contains(r->addr, f->to))
		return false;
	if (f->domain.n && (at < 0 || !span_eq_case(span_skip(r->addr, (size_t)at + 1), f->domain)))
		return false;
	if (f->group.n &&
	    (r->task == NULL || !span_eq(span_str(r->task->site->shape->name), f->group)))
		return false;
	return !f->state.n || span_eq_case(span_str(rcpt_state(r)), f->state);
}

static bool matches(const struct queued *m, const struct filter *f)
{
	if (f->from.n && !contains(m->from, f->from))
		return false;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (rcpt_matches(&m->rcpt[i], f))
			return true;
	}
	return false;
}

static bool is_after(const struct queued *m, const struct msgid *after)
{
	return memcmp(m->id.b, after->b, sizeof(after->b)) > 0;
}

/* Where to go on behind the cursor: at once if its message is still there, else by a walk. */
static const struct queued *behind(const struct broker *b, const struct msgid *after)
{
	static const struct msgid none;
	const struct queued *m;

	if (msgid_eq(after, &none))
		return TAILQ_FIRST(&b->messages);
	m = map_get(&b->ids, msgid_span(after));
	if (m != NULL)
		return TAILQ_NEXT(m, link);
	TAILQ_FOREACH(m, &b->messages, link)
	{
		if (is_after(m, after))
			return m;
	}
	return NULL;
}

static const struct queued *put_page(
    const struct queued *m, const struct filter *f, uint32_t limit, struct buf *out)
{
	const struct queued *last = NULL;

	for (; m != NULL && limit > 0; m = TAILQ_NEXT(m, link)) {
		if (!m->durable || !matches(m, f))
			continue;
		if (last != NULL && buf_space(out) < message_room(m) + MESSAGE_ROOM)
			break; /* the next page begins with it */
		put_message(m, out);
		last = m;
		limit--;
	}
	return m ? last : NULL;
}

int broker_list(struct broker *b, struct span filter, const struct msgid *after, uint32_t limit,
    struct buf *out, int64_t now)
{
	char id[MSGID_TEXT + 1], detail[128];
	const struct queued *last;
	struct filter f;
	struct span bad = filter_parse(filter, &f);

	(void)now;
	if (bad.n > 0) {
		snprintf(detail, sizeof(detail), "column %zu: \"%.*s\" is not understood",
		    (size_t)(bad.p - filter.p) + 1, SPAN_ARG(span_first(bad, 64)));
		return problem(out, 400, "Bad query", detail,
		    "words: to: from: domain: group: state:(ready|active|deferred|maybe)");
	}
	json_open(out, NULL, '{');
	json_open(out, "data", '[');
	last = put_page(behind(b, after), &f, limit && limit < LIST_MAX ? limit : LIST_MAX, out);
	json_close(out, ']');
	if (last != NULL) {
		msgid_format(&last->id, id);
		json_str(out, "next", id);
	} else {
		json_none(out, "next");
	}
	json_close(out, '}');
	return 200;
}

/* ---- actions ---------------------------------------------------------------------------- */

static size_t retry_message(struct broker *b, struct queued *m, int64_t now)
{
	struct task *t;
	size_t n = 0;

	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state != TASK_WAITING)
			continue;
		n += t->n_rcpt;
		task_wait(b, t, now);
	}
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task != NULL && m->rcpt[i].task->state == TASK_WAITING)
			m->rcpt[i].due = now;
	}
	return n;
}

/* An operator's retry also wakes the sites that rest. */
static void wake_resting(struct broker *b, int64_t now)
{
	size_t at = 0;
	struct site *s;

	while ((s = map_next(&b->sites, &at)) != NULL) {
		if (s->rest_until > 0)
			heap_set(&b->resting, &s->rest, now);
	}
}

static int say_count(struct buf *out, const char *what, size_t n)
{
	json_open(out, NULL, '{');
	json_number(out, what, (int64_t)n);
	json_close(out, '}');
	return 200;
}

int broker_retry(struct broker *b, const struct msgid *id, struct buf *out, int64_t now)
{
	struct queued *m;
	size_t n = 0;

	if (id != NULL && find(b, id) == NULL)
		return not_found(out);
	if (id != NULL) {
		n = retry_message(b, map_get(&b->ids, msgid_span(id)), now);
	} else {
		TAILQ_FOREACH(m, &b->messages, link)
		n += retry_message(b, m, now);
	}
	wake_resting(b, now);
	broker_tick(b, now);
	return say_count(out, "retried", n);
}

/* Takes the dropped recipients out of their tasks. */
static void drop_apply(struct broker *b, struct queued *m, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		struct task *t = m->rcpt[c->rcpt[i].index].task;

		queued_apply(b, m, &c->rcpt[i]);
		m->rcpt[c->rcpt[i].index].task = NULL;
		if (--t->n_rcpt == 0)
			task_free(b, t);
	}
}

static void log_drop(const struct queued *m, size_t n)
{
	struct logline l;
	char id[MSGID_TEXT + 1];

	msgid_format(&m->id, id);
	log_begin(&l, EV_DROPPED);
	log_str(&l, "id", id);
	log_number(&l, "recipients", (int64_t)n);
	log_str(&l, "reason", "operator");
	log_end(&l);
}

/* Ends every recipient that no worker has right now. */
static void drop_message(struct broker *b, struct queued *m, struct asked *asked, int64_t now)
{
	struct change c = {.id = m->id, .when = now};
	struct append *a;

	c.rcpt = gw_calloc(m->n_rcpt, sizeof(*c.rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (outcome_final(r->outcome) || r->task == NULL || r->task->state == TASK_ACTIVE)
			continue;
		c.rcpt[c.n_rcpt++] = (struct change_rcpt){.index = (uint32_t)i,
		    .number = r->number + 1,
		    .attempts = r->attempts,
		    .outcome = OUTCOME_DROPPED,
		    .reply = SPAN("Dropped by an operator")};
	}
	if (c.n_rcpt == 0) {
		free(c.rcpt);
		return;
	}
	a = append_new(b, APPEND_CHANGE, BROKER_RESULT, &m->id);
	change_encode(&c, &a->meta);
	a->about = m;
	m->appends++;
	a->asked = asked;
	asked->pending++;
	asked->dropped += c.n_rcpt;
	drop_apply(b, m, &c);
	log_drop(m, c.n_rcpt);
	free(c.rcpt);
	append_send(b, a, true);
}

int broker_drop(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now)
{
	struct asked *asked;
	struct queued *m, *next;

	if (id != NULL && find(b, id) == NULL)
		return not_found(out);
	if (b->frozen)
		return problem(out, 503, "Not ready",
		    "the workers have not said yet which messages they have under way",
		    "try again in a moment");
	asked = gw_calloc(1, sizeof(*asked));
	*asked = (struct asked){.asker = asker, .request = request};
	for (m = TAILQ_FIRST(&b->messages); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->durable && (id == NULL || msgid_eq(&m->id, id)))
			drop_message(b, m, asked, now);
	}
	if (asked->pending > 0)
		return 0;
	free(asked);
	return say_count(out, "dropped", 0);
}
