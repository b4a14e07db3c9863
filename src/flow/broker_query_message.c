/*
 * What operators are told of one message and its recipients, awake or at rest.
 */
#include "flow/query-private.h"

#include "base/json.h"
#include "flow/limits_use-private.h"

#include <stdio.h>
#include <string.h>

enum { RCPT_ROOM = 256, MESSAGE_ROOM = 1024 };

static const struct site *site_of(const struct queued_rcpt *r)
{
	return r->task != NULL ? r->task->site : r->site;
}

/* It could go, if its customer came. */
static bool is_unpulled(const struct queued_rcpt *r)
{
	const struct site *s = site_of(r);

	if (s == NULL || !site_waits(s) || r->outcome > OUTCOME_DEFERRED)
		return false;
	return r->task != NULL ? r->task->state == TASK_READY : r->crowded;
}

const char *query_rcpt_state(const struct queued_rcpt *r)
{
	static const char *const words[] = {[OUTCOME_NONE] = "ready",
	    [OUTCOME_DELIVERED] = "delivered",
	    [OUTCOME_DEFERRED] = "deferred",
	    [OUTCOME_FAILED] = "failed",
	    [OUTCOME_EXPIRED] = "expired",
	    [OUTCOME_DROPPED] = "dropped",
	    [OUTCOME_MAYBE] = "maybe",
	    [OUTCOME_HELD] = "held",
	    [OUTCOME_UNTOLD] = "untold",
	    [OUTCOME_EXPANDED] = "expanded"};

	if (r->outcome == OUTCOME_MAYBE)
		return words[OUTCOME_MAYBE];
	if (r->task != NULL && r->task->state == TASK_ACTIVE)
		return "active";
	if (r->by_account)
		return "suspended";
	if (r->not_before > 0 && r->outcome == OUTCOME_NONE)
		return "scheduled";
	if (held_by_limit(r))
		return "limited";
	if (is_unpulled(r))
		return "unpulled";
	if ((r->task != NULL && r->task->state == TASK_READY) ||
	    (r->crowded && r->outcome == OUTCOME_DEFERRED))
		return "ready";
	return words[r->outcome];
}

static void put_esc(const uint8_t esc[3], struct buf *out)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%u.%u", esc[0], esc[1], esc[2]);
	json_str(out, "esc", text);
}

static void put_via(const struct queued_rcpt *r, struct buf *out)
{
	if (r->tls[0] != '\0')
		json_str(out, "tls", r->tls);
	if (r->vmta[0] != '\0')
		json_str(out, "vmta", r->vmta);
	if (r->rule[0] != '\0')
		json_str(out, "rule", r->rule);
}

static void put_rcpt(const struct broker *b, const struct queued_rcpt *r, struct buf *out)
{
	const struct site *s = site_of(r);

	json_open(out, NULL, '{');
	json_text(out, "to", r->addr);
	if (r->from.n > 0)
		json_text(out, "return_path", r->from);
	json_str(out, "state", query_rcpt_state(r));
	json_number(out, "attempts", r->attempts);
	if (r->warned)
		json_bool(out, "warned", true);
	if (r->outcome == OUTCOME_DEFERRED || r->not_before > 0)
		query_put_time(b, "due", r->not_before > r->due ? r->not_before : r->due, out);
	if (r->outcome == OUTCOME_UNTOLD)
		query_put_time(b, "told", r->due, out);
	if (r->outcome == OUTCOME_MAYBE)
		query_put_time(b, "since", r->due, out);
	if (r->code)
		json_number(out, "code", r->code);
	if (r->esc[0])
		put_esc(r->esc, out);
	if (class_of_rcpt(b, r) != 0)
		json_str(out, "class", class_word(class_of_rcpt(b, r)));
	json_str(out, "reply", r->said);
	put_via(r, out);
	if (s != NULL)
		json_str(out, "site", s->name);
	json_close(out, '}');
}

/* What it takes at most: JSON makes six octets of one. */
static size_t rcpt_room(const struct queued_rcpt *r)
{
	const struct site *s = site_of(r);

	return RCPT_ROOM +
	       6 * (r->addr.n + r->from.n + strlen(r->said) + strlen(r->tls) + strlen(r->vmta) +
		       strlen(r->rule) + (s != NULL ? strlen(s->name) : 0));
}

size_t query_message_room(const struct queued *m)
{
	size_t n = MESSAGE_ROOM + 6 * (m->from.n + m->account.n);

	for (size_t i = 0; i < m->n_rcpt; i++)
		n += rcpt_room(&m->rcpt[i]);
	return n;
}

void query_put_message(const struct broker *b, const struct queued *m, struct buf *out)
{
	char id[MSGID_TEXT + 1];
	size_t i;

	msgid_format(&m->id, id);
	json_open(out, NULL, '{');
	json_str(out, "id", id);
	json_text(out, "from", m->from);
	json_number(out, "size", (int64_t)m->size);
	json_str(out, "class", priority_word(m->priority));
	if (m->account.n > 0)
		json_text(out, "account", m->account);
	query_put_time(b, "accepted", m->accepted, out);
	if (m->handling.by != BY_NONE)
		query_put_time(b, m->handling.by == BY_RETURN ? "return_at" : "notify_at",
		    m->handling.by_at, out);
	json_open(out, "recipients", '[');
	for (i = 0; i < m->n_rcpt && buf_space(out) > rcpt_room(&m->rcpt[i]) + MESSAGE_ROOM; i++)
		put_rcpt(b, &m->rcpt[i], out);
	json_close(out, ']');
	if (i < m->n_rcpt)
		json_number(out, "recipients_omitted", (int64_t)(m->n_rcpt - i));
	json_close(out, '}');
}

void query_put_unreadable(const struct broker *b, const struct parked *p, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&p->id, id);
	json_open(out, NULL, '{');
	json_str(out, "id", id);
	query_put_time(b, "accepted", p->accepted, out);
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
