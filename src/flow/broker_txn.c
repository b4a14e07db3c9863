/* Receiving: transactions with their parts, commits, and the question after a restart. */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdlib.h>

enum { CLOCK_AHEAD = 1000000, CLOCK_BEHIND = 60000000 }; /* microseconds */

static struct span txn_key(struct txn *t)
{
	memcpy(t->key, &t->number, sizeof(t->number));
	memcpy(t->key + sizeof(t->number), &t->receiver, sizeof(t->receiver));
	return span_of(t->key, sizeof(t->key));
}

static struct txn *txn_find(struct broker *b, unsigned receiver, uint64_t number)
{
	struct txn probe = {.number = number, .receiver = receiver};

	return map_get(&b->txns, txn_key(&probe));
}

static struct txn *txn_new(struct broker *b, unsigned receiver, uint64_t number)
{
	struct txn *t = gw_calloc(1, sizeof(*t));

	t->number = number;
	t->receiver = receiver;
	map_put(&b->txns, txn_key(t), t);
	return t;
}

static void txn_free(struct broker *b, struct txn *t)
{
	gw_assert(t->pending == 0);
	for (size_t i = 0; i < t->n_part; i++)
		segment_release(b, t->part[i].segment, 0);
	map_del(&b->txns, txn_key(t));
	free(t->part);
	free(t);
}

static void credit(struct broker *b, const struct txn *t, uint32_t octets, int status)
{
	struct broker_effect *e;

	if (t->dead)
		return;
	e = effect_add(b, EFFECT_PART_CREDIT);
	e->peer = t->receiver;
	e->number = t->number;
	e->octets = octets;
	e->status = status;
}

static void txn_fail(struct broker *b, struct txn *t, int status)
{
	if (t->failed)
		return;
	t->failed = true;
	t->status = status;
	credit(b, t, 0, status);
}

/* Content in flight is bounded by what was granted; the whole by the limit on messages. */
static bool part_allowed(const struct broker *b, const struct txn *t, size_t n)
{
	uint64_t most = b->config->limits.message_size + PART_WINDOW;

	return n > 0 && !t->committing && t->octets + n <= most &&
	       t->n_part + t->pending < ENVELOPE_EXTENT_MAX &&
	       (uint64_t)t->pending * BODY_CHUNK <= 2 * (uint64_t)PART_WINDOW;
}

/* Few have as many as one may have; only then they are counted. */
static bool may_open(const struct broker *b, unsigned receiver)
{
	size_t at = 0, n = 0;
	const struct txn *t;

	if (map_len(&b->txns) < TXN_MAX)
		return true;
	while ((t = map_next(&b->txns, &at)) != NULL)
		n += t->receiver == receiver;
	return n < TXN_MAX;
}

int broker_part(struct broker *b, unsigned receiver, uint64_t number, struct span data, int64_t now)
{
	struct txn *t = txn_find(b, receiver, number);
	struct msgid none = {{0}};
	struct append *a;

	(void)now;
	if (t == NULL && may_open(b, receiver))
		t = txn_new(b, receiver, number);
	if (t == NULL || !part_allowed(b, t, data.n))
		return GW_EFORMAT;
	if (!b->intake)
		txn_fail(b, t, GW_ENOSPC);
	if (t->failed)
		return 0;
	t->octets += data.n;
	t->pending++;
	a = append_new(b, APPEND_PART, BROKER_PART, &none);
	a->txn = t;
	a->blob = blob_new(b, data.n);
	memcpy(a->blob->bytes, data.p, data.n);
	a->body[0] = span_of(a->blob->bytes, data.n);
	append_send(b, a, true);
	return 0;
}

static void add_part(struct broker *b, struct txn *t, const struct part *at)
{
	if (t->n_part == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->part = gw_realloc(t->part, t->cap * sizeof(*t->part));
	}
	t->part[t->n_part++] = *at;
	segment_hold(b, at->segment, 0);
}

static void commit_now(struct broker *b, struct txn *t, struct append *a);

void txn_part_done(struct broker *b, struct append *a, int status, const struct part *at)
{
	struct txn *t = a->txn;

	t->pending--;
	if (status == 0)
		add_part(b, t, at);
	else
		txn_fail(b, t, status);
	if (status == 0 && !t->committing)
		credit(b, t, at->length, 0);
	if (t->pending > 0)
		return;
	if (t->commit != NULL)
		commit_now(b, t, t->commit);
	else if (t->dead)
		txn_free(b, t);
}

void broker_abort(struct broker *b, unsigned receiver, uint64_t number)
{
	struct txn *t = txn_find(b, receiver, number);

	if (t == NULL || t->committing)
		return;
	t->dead = true;
	if (t->pending == 0)
		txn_free(b, t);
}

void broker_segment_failed(struct broker *b, uint64_t segment)
{
	size_t at = 0;
	struct txn *t;

	while ((t = map_next(&b->txns, &at)) != NULL) {
		for (size_t i = 0; i < t->n_part; i++) {
			if (t->part[i].segment == segment)
				txn_fail(b, t, GW_EIO);
		}
	}
}

/* ---- COMMIT ---------------------------------------------------------------------------- */

static void refuse_commit(struct broker *b, unsigned receiver, uint64_t number, int status)
{
	struct broker_effect *e = effect_add(b, EFFECT_COMMITTED);

	e->peer = receiver;
	e->number = number;
	e->status = status == GW_ENOSPC ? 2 : 1;
}

/* Times that can be counted with. */
static bool deadline_allowed(const struct envelope *e)
{
	const int64_t most = INT64_MAX / 4;

	return e->handling.by == BY_NONE ||
	       (e->accepted > -most && e->accepted < most && e->handling.by_at > -most &&
		   e->handling.by_at < most);
}

/* What a receiver may not claim: pieces of the log, other messages' ends, an id twice. */
static bool commit_allowed(struct broker *b, const struct envelope *e, struct span head)
{
	if (e->n_rcpt == 0 || e->n_part > 0 || e->ends.n > 0 || e->state.n > 0 ||
	    e->head_length != head.n || head.n == 0 || e->counted != 0 || !deadline_allowed(e) ||
	    !held_allowed(b, e))
		return false;
	return !message_known(b, &e->id);
}

static struct append *new_accept(struct broker *b, unsigned receiver, uint64_t number,
    const struct envelope *e, struct span head, struct span rest)
{
	struct append *a = append_new(b, APPEND_ACCEPT, BROKER_MESSAGE, &e->id);
	struct queued *m = queued_new(e);

	a->receiver = (int)receiver;
	a->number = number;
	a->msg = m;
	a->held = e->held.n > 0;
	a->blob = blob_new(b, head.n + rest.n);
	memcpy(a->blob->bytes, head.p, head.n);
	if (rest.n)
		memcpy(a->blob->bytes + head.n, rest.p, rest.n);
	a->body[0] = span_of(a->blob->bytes, a->blob->n);
	queued_schedule(b, m, release_of(b, e));
	m->size = a->blob->n;
	m->content = a->blob;
	a->blob->refs++;
	m->appends = 1;
	queued_insert(b, m);
	return a;
}

/* All parts are durable (or failed): the message can be written, with their places. */
static void commit_now(struct broker *b, struct txn *t, struct append *a)
{
	struct queued *m = a->msg;
	struct envelope e;

	if (t->failed) {
		if (a->receiver >= 0)
			refuse_commit(b, (unsigned)a->receiver, a->number, t->status);
		limits_refused(b, a);
		queued_discard(b, m);
		append_free(b, &a);
		txn_free(b, t);
		return;
	}
	arena_clear(&b->scratch);
	gw_assert(envelope_decode(&e, buf_view(&a->meta), &b->scratch) == 0);
	e.part = t->part;
	e.n_part = t->n_part;
	{
		struct buf meta;

		buf_init(&meta, ENVELOPE_ARENA);
		envelope_encode(&e, &meta);
		buf_fini(&a->meta);
		a->meta = meta;
	}
	m->part = t->part; /* with the holds on their segments */
	m->parts_held = true;
	m->n_part = t->n_part;
	m->size += t->octets;
	t->part = NULL;
	t->n_part = 0;
	txn_free(b, t);
	append_send(b, a, true);
}

/* A receiver's clock makes mail neither older nor younger, nor a stranger in its time in the log.
 */
static bool clock_agrees(int64_t accepted, int64_t now)
{
	return accepted <= now + CLOCK_AHEAD && accepted >= now - CLOCK_BEHIND;
}

/* Over a limit, or it is not known what limits it has: the parts it brought mean nothing. */
static void refuse_by_limit(struct broker *b, unsigned receiver, uint64_t number, struct txn *t,
    const struct limits_said *said)
{
	struct broker_effect *e = effect_add(b, EFFECT_COMMITTED);

	e->peer = receiver;
	e->number = number;
	e->status = said->word == LIMITS_REFUSED ? 3 : 1;
	e->limit = said->limit;
	effect_own(b, said->limit);
	if (t == NULL)
		return;
	t->dead = true;
	if (t->pending == 0)
		txn_free(b, t);
}

static void encode_accepted(const struct envelope *e, const struct limits_said *said, bool as_it_is,
    struct span envelope, struct buf *out)
{
	if (!as_it_is || said->word == LIMITS_HELD) {
		envelope_encode(e, out);
		return;
	}
	buf_add_span(out, envelope);
	envelope_encode_counted(e->counted, out);
}

int broker_commit(struct broker *b, unsigned receiver, uint64_t number, struct span envelope,
    struct span head, struct span rest, int64_t now)
{
	struct txn *t = txn_find(b, receiver, number);
	struct envelope e;
	struct append *a;
	struct limits_said said;
	bool trusted;

	arena_clear(&b->scratch);
	if (envelope_decode(&e, envelope, &b->scratch) < 0 || !commit_allowed(b, &e, head))
		return GW_EFORMAT;
	if (t != NULL && t->committing)
		return GW_EFORMAT;
	if (!b->intake && t == NULL) {
		refuse_commit(b, receiver, number, GW_ENOSPC);
		return 0;
	}
	trusted = clock_agrees(e.accepted, now);
	if (e.handling.by != BY_NONE) {
		deadline_of_commit(&e, now);
		trusted = false;
	}
	if (!trusted || e.accepted > now)
		e.accepted = now;
	limits_judge(b, &e, head.n + rest.n + (t != NULL ? t->octets : 0), now, &said);
	if (said.word >= LIMITS_REFUSED) {
		refuse_by_limit(b, receiver, number, t, &said);
		return 0;
	}
	a = new_accept(b, receiver, number, &e, head, rest);
	a->charged = said.charged;
	a->stands = said.word == LIMITS_HELD;
	encode_accepted(&e, &said, trusted, envelope, &a->meta);
	if (a->stands)
		buf_fini(&said.held);
	if (t == NULL) {
		append_send(b, a, true);
		return 0;
	}
	t->committing = true;
	t->commit = a;
	if (t->pending == 0)
		commit_now(b, t, a);
	return 0;
}

void broker_ask(struct broker *b, unsigned receiver, uint64_t number, const struct msgid *nonce)
{
	struct broker_effect *e = effect_add(b, EFFECT_COMMITTED);

	e->peer = receiver;
	e->number = number;
	e->status = nonce_known(b, nonce) ? 0 : 1;
}

/* ---- receivers come and go ------------------------------------------------------------- */

void broker_receiver_up(struct broker *b, unsigned receiver)
{
	struct broker_effect *e = effect_add(b, EFFECT_INTAKE);

	e->peer = receiver;
	e->flag = b->intake;
	limits_tell(b, receiver);
}

void broker_receiver_down(struct broker *b, unsigned receiver)
{
	size_t at = 0;
	struct txn *t;

	while ((t = map_next(&b->txns, &at)) != NULL) {
		if (t->receiver != receiver)
			continue;
		if (t->commit != NULL) {
			t->commit->receiver = -1;
			continue;
		}
		t->dead = true;
		if (t->pending == 0)
			txn_free(b, t);
	}
}
