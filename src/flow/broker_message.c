/* Messages in the queue: made from envelopes, changed by results, gone when finished. */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdlib.h>

static size_t memory_for(const struct envelope *e)
{
	size_t n = e->from.n + e->envid.n + e->account.n;

	for (size_t i = 0; i < e->n_rcpt; i++)
		n += e->rcpt[i].addr.n + e->rcpt[i].orcpt.n + e->rcpt[i].from.n;
	return n;
}

static struct span keep(uint8_t **to, struct span s)
{
	struct span kept = span_of(*to, s.n);

	if (s.n)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

static void keep_rcpts(struct queued *m, const struct envelope *e, uint8_t *to)
{
	m->rcpt = gw_calloc(e->n_rcpt, sizeof(*m->rcpt));
	m->n_rcpt = m->n_open = e->n_rcpt;
	for (size_t i = 0; i < e->n_rcpt; i++) {
		m->rcpt[i].addr = keep(&to, e->rcpt[i].addr);
		m->rcpt[i].orcpt = keep(&to, e->rcpt[i].orcpt);
		m->rcpt[i].notify = e->rcpt[i].notify;
		m->rcpt[i].kept = e->rcpt[i].kept;
		m->rcpt[i].from = keep(&to, e->rcpt[i].from);
	}
}

static void keep_parts(struct queued *m, const struct envelope *e)
{
	if (e->n_part == 0)
		return;
	m->part = gw_calloc(e->n_part, sizeof(*m->part));
	memcpy(m->part, e->part, e->n_part * sizeof(*m->part));
	m->n_part = e->n_part;
}

struct queued *queued_new(const struct envelope *e)
{
	struct queued *m = gw_calloc(1, sizeof(*m) + memory_for(e));
	uint8_t *to = m->memory;

	m->magic = QUEUED_MAGIC;
	m->id = e->id;
	m->accepted = e->accepted;
	m->head_length = e->head_length;
	m->body_type = e->body_type;
	m->ret = e->ret;
	m->eight_bit = e->facts.eight_bit;
	m->smtputf8 = e->smtputf8;
	m->at_most_once = e->at_most_once;
	m->handling = e->handling;
	m->is_report = e->origin == ORIGIN_SYSTEM && e->from.n == 0;
	m->priority = e->priority < PRIORITY_COUNT ? (enum priority)e->priority : PRIORITY_NORMAL;
	m->from = keep(&to, e->from);
	m->envid = keep(&to, e->envid);
	m->account = keep(&to, e->account);
	keep_rcpts(m, e, to);
	keep_parts(m, e);
	TAILQ_INIT(&m->task_list);
	return m;
}

void queued_insert(struct broker *b, struct queued *m)
{
	map_put(&b->ids, msgid_span(&m->id), m);
	TAILQ_INSERT_TAIL(&b->messages, m, link);
	b->n_rcpt += m->n_open;
}

void queued_forget_content(struct broker *b, struct queued *m)
{
	if (m->durable)
		blob_drop(b, &m->content);
}

static void release_parts(struct broker *b, struct queued *m)
{
	for (size_t i = 0; m->parts_held && i < m->n_part; i++)
		segment_release(b, m->part[i].segment, 0);
	m->parts_held = false;
}

static uint64_t oldest_segment(const struct queued *m)
{
	uint64_t first = m->at.segment;

	for (size_t i = 0; i < m->n_part; i++) {
		if (m->part[i].segment < first)
			first = m->part[i].segment;
	}
	return first;
}

void queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body)
{
	m->durable = true;
	m->at = *at;
	m->body = *body;
	m->first = oldest_segment(m);
	segment_hold_message(b, m->first, m->at.segment, m->octets);
	release_parts(b, m);
}

static void queued_free(struct broker *b, struct queued *m)
{
	map_del(&b->ids, msgid_span(&m->id));
	TAILQ_REMOVE(&b->messages, m, link);
	b->n_rcpt -= m->n_open;
	if (m->durable)
		segment_release_message(b, m->first, m->at.segment, m->octets);
	release_parts(b, m);
	queued_view_free(b, &m);
}

void queued_settle(struct broker *b, struct queued *m)
{
	gw_check_magic(m, QUEUED_MAGIC);
	if (m->appends > 0 || m->jobs > 0 || b->recovering)
		return;
	if (m->n_open > 0)
		queued_rest(b, m);
	else if (m->tasks == 0 && !m->copying)
		queued_free(b, m);
}

void queued_discard(struct broker *b, struct queued *m)
{
	gw_assert(!m->durable && m->tasks == 0);
	queued_free(b, m);
}

void queued_said(struct queued_rcpt *r, const struct change_rcpt *c)
{
	span_to_cstr(c->reply, r->said, sizeof(r->said));
	r->class = 0;
	span_to_cstr(c->tls, r->tls, sizeof(r->tls));
	span_to_cstr(c->vmta, r->vmta, sizeof(r->vmta));
	span_to_cstr(c->rule, r->rule, sizeof(r->rule));
}

bool queued_apply(struct broker *b, struct queued *m, const struct change_rcpt *c)
{
	struct queued_rcpt *r;
	bool was_limited;

	if (c->index >= m->n_rcpt)
		return false;
	r = &m->rcpt[c->index];
	if (!change_wins(r->outcome, r->number, c->outcome, c->number))
		return false;
	was_limited = held_by_limit(r);
	if (outcome_final(c->outcome) && !outcome_final(r->outcome)) {
		m->n_open--;
		b->n_rcpt--;
	}
	b->n_held += (size_t)(c->outcome == OUTCOME_HELD) - (size_t)(r->outcome == OUTCOME_HELD);
	b->n_untold +=
	    (size_t)(c->outcome == OUTCOME_UNTOLD) - (size_t)(r->outcome == OUTCOME_UNTOLD);
	r->outcome = c->outcome;
	r->number = c->number;
	r->attempts = c->attempts;
	r->due = c->due;
	r->not_before = 0;
	if (c->outcome == OUTCOME_NONE && c->due == DUE_AT_RELEASE)
		r->due = r->not_before = m->release;
	r->warned = r->warned || c->warned;
	r->code = c->code;
	memcpy(r->esc, c->esc, sizeof(r->esc));
	queued_said(r, c);
	r->said_at = (struct record_place){0};
	if (was_limited && !held_by_limit(r))
		limits_left(b, m);
	return true;
}
