/* After a start: the log is read, what is finished goes, the rest is filed again. */
#include "flow/broker-private.h"

#include <stdlib.h>

enum { NONCES_KEPT = 600 * 1000000 };

struct nonce {
	struct msgid id;
};

static void remember_nonce(struct broker *b, const struct msgid *nonce)
{
	struct nonce *n;

	if (map_get(&b->nonces, msgid_span(nonce)) != NULL)
		return;
	n = gw_calloc(1, sizeof(*n));
	n->id = *nonce;
	map_put(&b->nonces, msgid_span(&n->id), n);
}

static void note_time(struct broker *b, int64_t when)
{
	if (when > b->latest)
		b->latest = when;
}

static int apply_change(struct broker *b, struct span in)
{
	struct change c;
	struct queued *m;

	if (change_decode(&c, in, &b->scratch) < 0)
		return GW_EFORMAT;
	note_time(b, c.when);
	m = map_get(&b->ids, msgid_span(&c.id));
	for (size_t i = 0; i < c.n_rcpt; i++) {
		counted_change(b, m, &c.rcpt[i], c.when);
		if (m != NULL)
			queued_apply(b, m, &c.rcpt[i]);
	}
	return 0;
}

/* Content: what is in the record, and the parts the envelope names. */
static uint64_t content_size(const struct envelope *e, const struct part *body)
{
	uint64_t n = body->length;

	for (size_t i = 0; i < e->n_part; i++)
		n += e->part[i].length;
	return n;
}

static int recover_message(struct broker *b, struct span meta, const struct part *body)
{
	struct envelope e;
	struct queued *m;

	if (envelope_decode(&e, meta, &b->scratch) < 0 || e.n_rcpt == 0 ||
	    e.head_length > body->length)
		return GW_EFORMAT;
	remember_nonce(b, &e.nonce);
	note_time(b, e.accepted);
	if (map_get(&b->ids, msgid_span(&e.id)) == NULL) {
		m = queued_new(&e);
		m->body = *body;
		m->size = content_size(&e, body);
		m->durable = true;
		queued_insert(b, m);
	}
	return e.ends.n > 0 ? apply_change(b, e.ends) : 0;
}

int broker_recover(
    struct broker *b, enum broker_record type, struct span meta, const struct part *body)
{
	gw_assert(b->recovering);
	arena_reset(&b->scratch);
	switch (type) {
	case BROKER_MESSAGE: return recover_message(b, meta, body);
	case BROKER_PAST_DOT: b->had_past_dot = true; return apply_change(b, meta);
	case BROKER_RESULT:
	case BROKER_DEFERRED:
	case BROKER_HELD:
	case BROKER_RELEASED: return apply_change(b, meta);
	case BROKER_COUNTERS: return counters_recover(b, meta, body);
	case BROKER_PART: return 0; /* dead unless a message names it */
	case BROKER_RECORDS: break;
	}
	return GW_EFORMAT;
}

static void hold_all(struct broker *b, const struct queued *m)
{
	queued_hold(b, m);
	for (size_t i = 0; i < m->n_part; i++)
		effect_add(b, EFFECT_HOLD)->segment = m->part[i].segment;
}

/* It holds nothing: the segments of its parts may be gone before that of its record is. */
static void forget_finished(struct broker *b, struct queued *m)
{
	m->durable = false;
	m->n_part = 0;
	queued_discard(b, m);
}

void broker_recovered(struct broker *b, int64_t now)
{
	struct queued *m, *next;

	b->recovering = false;
	b->resumed = sched_silent(b->latest, now) ? now : 0;
	b->forget_nonces_at = now + NONCES_KEPT;
	for (m = TAILQ_FIRST(&b->messages); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->n_open == 0) {
			forget_finished(b, m);
			continue;
		}
		if (m->accepted > now) /* a receiver's clock, or ours before it was set back */
			m->accepted = now;
		once_recovered(b, m);
		hold_all(b, m);
		queued_file(b, m, now);
		queued_settle(b, m);
	}
	counters_recovered(b, now);
	b->frozen = true;
}
