#include "spool/ledger.h"

#include <stdlib.h>

/* As the queue's: what it cannot decode, we cannot either. */
enum { SCRATCH = 32 << 20 };

void ledger_init(struct ledger *l, uint64_t seed)
{
	*l = (struct ledger){.n = 0};
	map_init(&l->ids, seed);
	arena_init(&l->scratch, SCRATCH);
}

static void forget_details(struct ledger_message *m)
{
	free(m->rcpt);
	free(m->part);
	m->rcpt = NULL;
	m->part = NULL;
}

void ledger_fini(struct ledger *l)
{
	for (size_t i = 0; i < l->n; i++) {
		forget_details(l->message[i]);
		free(l->message[i]);
	}
	free(l->message);
	map_fini(&l->ids);
	arena_reset(&l->scratch);
	*l = (struct ledger){.n = 0};
}

struct ledger_message *ledger_find(const struct ledger *l, const struct msgid *id)
{
	return map_get(&l->ids, msgid_span(id));
}

bool ledger_finished(const struct ledger_message *m)
{
	return m && m->n_open == 0;
}

static void apply_one(
    struct ledger_message *m, const struct change_rcpt *c, const struct extent *said)
{
	if (!m->rcpt || c->index >= m->n_rcpt)
		return;
	struct ledger_rcpt *r = &m->rcpt[c->index];

	if (!change_wins(r->outcome, r->number, c->outcome, c->number))
		return;
	if (outcome_final(c->outcome) && !outcome_final(r->outcome))
		m->n_open--;
	r->outcome = c->outcome;
	r->number = c->number;
	r->said = *said;
}

static bool apply_change(struct ledger *l, struct span in, struct ledger_entry *e)
{
	struct change c;

	if (change_decode(&c, in, &l->scratch) != 0)
		return false;
	e->about = c.id;
	struct ledger_message *m = ledger_find(l, &c.id);
	for (size_t i = 0; m && i < c.n_rcpt; i++)
		apply_one(m, &c.rcpt[i], &e->ends_at);
	if (ledger_finished(m) && !l->keep_finished)
		forget_details(m);
	return true;
}

static void keep_parts(struct ledger_message *m, const struct envelope *e)
{
	free(m->part);
	m->part = NULL;
	m->n_part = e->n_part;
	if (e->n_part == 0)
		return;
	m->part = gw_calloc(e->n_part, sizeof(*m->part));
	memcpy(m->part, e->part, e->n_part * sizeof(*m->part));
}

static void keep_message(struct ledger *l, struct ledger_message *m)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->message = gw_realloc(l->message, l->cap * sizeof(struct ledger_message *));
	}
	l->message[l->n++] = m;
	map_put(&l->ids, msgid_span(&m->id), m);
}

static struct ledger_message *message_new(const struct envelope *e, const struct store_record *r)
{
	struct ledger_message *m = gw_calloc(1, sizeof(*m));

	m->id = e->id;
	m->nonce = e->nonce;
	m->accepted = e->accepted;
	m->meta_at = r->meta_at;
	m->body_at = r->body_at;
	m->n_rcpt = m->n_open = e->n_rcpt;
	m->rcpt = gw_calloc(e->n_rcpt, sizeof(*m->rcpt));
	keep_parts(m, e);
	return m;
}

/* Where a change lies that is part of an envelope. */
static struct extent within(const struct store_record *r, struct span change)
{
	struct extent at = r->meta_at;

	at.offset += (uint64_t)(change.p - r->meta.p);
	at.length = (uint32_t)change.n;
	return at;
}

/* Held from the start: the first that is said of these recipients. */
static void hold(struct ledger *l, const struct envelope *e, const struct store_record *r)
{
	struct ledger_entry held = {.ends_at = within(r, e->held)};

	(void)!apply_change(l, e->held, &held);
}

/* The newer copy counts: the older one may be gone from one moment to the next. */
static void move_message(struct ledger *l, struct ledger_message *m, const struct envelope *e,
    const struct store_record *r)
{
	struct ledger_entry state = {.ends_at = within(r, e->state)};

	m->copied = true;
	m->meta_at = r->meta_at;
	m->body_at = r->body_at;
	if (m->rcpt)
		keep_parts(m, e);
	(void)!apply_change(l, e->state, &state);
}

static void add_message(struct ledger *l, const struct store_record *r, struct ledger_entry *out)
{
	struct envelope e;

	if (envelope_decode(&e, r->meta, &l->scratch) != 0 || e.n_rcpt == 0 ||
	    e.head_length > r->body_at.length)
		return;
	out->kind = LEDGER_MESSAGE;
	out->message = ledger_find(l, &e.id);
	if (!out->message) {
		out->message = message_new(&e, r);
		keep_message(l, out->message);
	}
	if (e.held.n > 0)
		hold(l, &e, r);
	if (e.state.n > 0)
		move_message(l, out->message, &e, r);
	if (e.ends.n == 0)
		return;
	out->change = e.ends;
	out->ends_at = within(r, e.ends);
	out->ends = apply_change(l, e.ends, out);
	/* The queue counts this message, and sets aside what it says of the other one. */
}

static void add_change(struct ledger *l, const struct store_record *r, struct ledger_entry *out)
{
	out->ends_at = r->meta_at;
	out->change = r->meta;
	out->ends = apply_change(l, r->meta, out);
	if (out->ends)
		out->kind = LEDGER_CHANGE;
}

void ledger_add(struct ledger *l, const struct store_record *r, struct ledger_entry *out)
{
	struct ledger_entry own;

	if (!out)
		out = &own;
	*out = (struct ledger_entry){.kind = LEDGER_STRANGE};
	arena_reset(&l->scratch);
	switch (r->type) {
	case REC_MESSAGE: add_message(l, r, out); break;
	case REC_RESULT:
	case REC_DEFERRED:
	case REC_PAST_DOT:
	case REC_HELD:
	case REC_RELEASED: add_change(l, r, out); break;
	default: out->kind = LEDGER_OTHER; break;
	}
}
