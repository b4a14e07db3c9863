/*
 * Copying forward: what is alive in the oldest segment of the log is written again at its end, with
 * the state of every recipient, so that the segment can go (docs/spool.md). A message is read back
 * and appended as an ordinary record of our own; when that is durable it counts from there on, and
 * the old place is released.
 *
 * The records that changed its recipients may go with the old segments. So the state has to be
 * whole, and true: it is taken when nothing about the message is on its way to the disk. What
 * changes after that is appended after the copy and lies behind it. For the same reason a copy that
 * could not be written is given up and not written again; the search comes past its message once
 * more.
 */
#include "flow/broker-private.h"

#include <stdlib.h>

enum {
	ALIVE_PART = 10,       /* a tenth of a segment alive is little */
	LOG_MOST = 4,          /* the log is too long beyond so many times what is alive */
	LOG_SHORT = 8,         /* segments: shorter ones may hold what they like */
	SEARCH_MAX = 50000,    /* slots looked at in one call */
	COPY_BUDGET = 2 << 20, /* octets in one call */
	COPIES_MAX = 256,      /* on their way to the disk */
	PARTS_AT_ONCE = 8,
	STUCK_FOR = 60 * 1000000,
};

struct copy {
	TAILQ_ENTRY(copy) link;
	struct msgid id;
	struct buf meta; /* as it was read */
	struct part body, *part, *made;
	size_t n_part, n_sent, n_done;
	bool failed;
	int64_t since; /* from when it is tried */
	struct blob *content;
};

/* ---- what is to be told --------------------------------------------------------------------- */

static int64_t due_of(const struct queued_rcpt *r)
{
	if (r->outcome == OUTCOME_NONE && r->not_before > 0)
		return DUE_AT_RELEASE;
	return r->outcome == OUTCOME_DEFERRED || r->outcome == OUTCOME_UNTOLD ? r->due : 0;
}

static struct change_rcpt state_of(const struct queued_rcpt *r, uint32_t index)
{
	return (struct change_rcpt){.index = index,
	    .number = r->number,
	    .attempts = r->attempts,
	    .outcome = r->outcome,
	    .due = due_of(r),
	    .warned = r->warned,
	    .code = r->code,
	    .esc = {r->esc[0], r->esc[1], r->esc[2]},
	    .reply = span_str(r->said),
	    .tls = span_str(r->tls),
	    .vmta = span_str(r->vmta),
	    .rule = span_str(r->rule)};
}

/* Of all recipients about which there is something to say; finished ones in any case. */
static void encode_state(const struct queued *m, struct buf *out)
{
	struct change c = {.id = m->id, .when = m->accepted};

	c.rcpt = gw_calloc(m->n_rcpt, sizeof(*c.rcpt));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].outcome != OUTCOME_NONE || m->rcpt[i].number > 0)
			c.rcpt[c.n_rcpt++] = state_of(&m->rcpt[i], (uint32_t)i);
	}
	change_encode(&c, out);
	free(c.rcpt);
}

/* ---- one message ---------------------------------------------------------------------------- */

static void copy_free(struct broker *b, struct copy **pc)
{
	struct copy *c = *pc;

	for (size_t i = 0; i < c->n_part; i++) {
		if (c->made[i].segment != 0)
			segment_release(b, c->made[i].segment, 0);
	}
	buf_fini(&c->meta);
	blob_drop(b, &c->content);
	free(c->part);
	free(c->made);
	TAILQ_REMOVE(&b->compaction.copies, c, link);
	b->compaction.under_way--;
	free(c);
	*pc = NULL;
}

static struct append *copy_append(struct broker *b, struct copy *c, enum append_kind kind)
{
	struct append *a =
	    append_new(b, kind, kind == APPEND_COPY ? BROKER_MESSAGE : BROKER_PART, &c->id);

	a->copy = c;
	return a;
}

static int read_content(struct broker *b, const struct part *piece, struct blob **out)
{
	*out = blob_new(b, piece->length);
	return b->log.content(b->log.arg, piece, (*out)->bytes);
}

static bool send_part(struct broker *b, struct copy *c, size_t i)
{
	struct append *a = copy_append(b, c, APPEND_COPY_PART);

	a->index = i;
	c->n_sent++;
	if (read_content(b, &c->part[i], &a->blob) != 0) {
		c->failed = true;
		c->n_done++;
		append_free(b, &a);
		return false;
	}
	a->body[0] = span_of(a->blob->bytes, a->blob->n);
	append_send(b, a, false);
	return true;
}

/* The state as it is on the disk; false: some of it is on its way there, or all is finished. */
static bool state_now(struct broker *b, const struct msgid *id, struct buf *state, int64_t *since)
{
	struct queued *m = map_get(&b->ids, msgid_span(id)), *view = NULL;
	bool whole;

	if (m == NULL)
		m = view = parked_view(b, parking_find(&b->parking, id));
	whole = m != NULL && m->appends == 0 && m->n_open > 0;
	if (whole) {
		queued_load_said(b, m);
		encode_state(m, state);
		*since = m->accepted;
	}
	if (view != NULL)
		queued_view_free(b, &view);
	return whole && !buf_failed(state);
}

/* The envelope as it was, with the state, and the parts where they are now. */
static void encode_copy(struct broker *b, const struct copy *c, struct span state, struct buf *out)
{
	struct envelope e;

	arena_clear(&b->reading);
	gw_assert(envelope_decode(&e, buf_view(&c->meta), &b->reading) == 0);
	e.part = c->made;
	e.state = state;
	e.ends = SPAN_NONE;        /* done long since, and told by the state of the other message */
	e.held = SPAN_NONE;        /* in the state */
	if (c->since > e.accepted) /* a limit held it until then */
		e.accepted = c->since;
	if (e.counted != 0 && c->since > e.counted)
		e.counted = c->since; /* what its release was counted by */
	envelope_encode(&e, out);
}

static bool send_message(struct broker *b, struct copy *c)
{
	struct append *a;
	struct buf state;

	buf_init(&state, ENVELOPE_ARENA);
	if (!state_now(b, &c->id, &state, &c->since)) {
		buf_fini(&state);
		return false;
	}
	a = copy_append(b, c, APPEND_COPY);
	encode_copy(b, c, buf_view(&state), &a->meta);
	buf_fini(&state);
	a->blob = c->content;
	c->content = NULL;
	a->body[0] = span_of(a->blob->bytes, a->blob->n);
	append_send(b, a, false);
	return true;
}

static void copy_end(struct broker *b, struct copy *c);

/* Parts first, a few at a time; the message when all of them are durable. */
static void copy_go_on(struct broker *b, struct copy *c)
{
	while (!c->failed && c->n_sent < c->n_part && c->n_sent - c->n_done < PARTS_AT_ONCE) {
		if (!send_part(b, c, c->n_sent))
			break;
	}
	if (c->n_done < c->n_sent || (!c->failed && c->n_sent < c->n_part))
		return;
	if (c->failed || !send_message(b, c))
		copy_end(b, c);
}

static struct copy *copy_new(struct broker *b, const struct queued *m, struct span meta)
{
	struct copy *c = gw_calloc(1, sizeof(*c));

	c->id = m->id;
	c->body = m->body;
	buf_init(&c->meta, ENVELOPE_ARENA);
	buf_add_span(&c->meta, meta);
	c->n_part = m->n_part;
	c->part = gw_calloc(m->n_part + 1, sizeof(*c->part));
	c->made = gw_calloc(m->n_part + 1, sizeof(*c->made));
	if (m->n_part > 0)
		memcpy(c->part, m->part, m->n_part * sizeof(*c->part));
	TAILQ_INSERT_TAIL(&b->compaction.copies, c, link);
	b->compaction.under_way++;
	return c;
}

/* Reads it back and sends the first of it to the disk. False: it cannot be read. */
static bool copy_start(struct broker *b, const struct queued *m)
{
	enum broker_record type;
	struct span meta;
	struct part body;
	struct copy *c;

	if (b->log.record(b->log.arg, &m->at, &type, &meta, &body) != 0)
		return false;
	c = copy_new(b, m, meta);
	if (buf_failed(&c->meta) || read_content(b, &c->body, &c->content) != 0) {
		copy_free(b, &c);
		return false;
	}
	copy_go_on(b, c);
	return true;
}

void copies_free(struct broker *b)
{
	struct copy *c;

	while ((c = TAILQ_FIRST(&b->compaction.copies)) != NULL)
		copy_free(b, &c);
}

/* ---- what became of it ---------------------------------------------------------------------- */

static bool *copying_of(struct broker *b, const struct msgid *id)
{
	struct queued *m = map_get(&b->ids, msgid_span(id));
	struct parked *p = m == NULL ? parking_find(&b->parking, id) : NULL;

	gw_assert(m != NULL || p != NULL); /* it stays as long as it is copied */
	return m != NULL ? &m->copying : &p->copying;
}

/* Given up, or done: the message may go now. */
static void copy_end(struct broker *b, struct copy *c)
{
	struct queued *m = map_get(&b->ids, msgid_span(&c->id));

	*copying_of(b, &c->id) = false;
	copy_free(b, &c);
	if (m != NULL)
		queued_settle(b, m);
}

void copy_part_done(struct broker *b, struct append *a, int status, const struct part *body)
{
	struct copy *c = a->copy;

	c->n_done++;
	if (status != 0) {
		c->failed = true;
	} else {
		c->made[a->index] = *body;
		segment_hold(b, body->segment, 0);
	}
	append_free(b, &a);
	copy_go_on(b, c);
}

static uint64_t oldest_of(const struct copy *c, const struct record_place *at)
{
	uint64_t first = at->segment;

	for (size_t i = 0; i < c->n_part; i++) {
		if (c->made[i].segment < first)
			first = c->made[i].segment;
	}
	return first;
}

static void move_parked(struct broker *b, struct parked *p, const struct copy *c,
    const struct record_place *at, uint32_t octets)
{
	uint64_t old_first = p->first, old = p->first + p->ahead, old_octets = p->octets;
	struct resting *r = parked_rest(p);

	p->first = oldest_of(c, at);
	p->ahead = parked_ahead(p, at->segment);
	p->offset = (uint32_t)at->offset;
	p->octets = octets;
	for (uint32_t i = 0; i < p->n_open; i++) {
		r[i].said_ahead = p->ahead;
		r[i].said_offset = r[i].said_offset != 0 ? p->offset : 0;
	}
	segment_hold_message(b, p->first, at->segment, octets);
	segment_release_message(b, old_first, old, old_octets);
}

static void move_queued(struct broker *b, struct queued *m, const struct copy *c,
    const struct record_place *at, const struct part *body, uint32_t octets)
{
	uint64_t old_first = m->first, old = m->at.segment, old_octets = m->octets;

	m->first = oldest_of(c, at);
	m->at = *at;
	m->body = *body;
	m->octets = octets;
	if (m->n_part > 0)
		memcpy(m->part, c->made, m->n_part * sizeof(*m->part));
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct record_place *said = &m->rcpt[i].said_at;

		if (said->segment != 0 && said->segment < m->first)
			*said = *at; /* the copy repeats it */
	}
	segment_hold_message(b, m->first, at->segment, octets);
	segment_release_message(b, old_first, old, old_octets);
}

static void landed(struct broker *b, const struct copy *c, const struct record_place *at,
    const struct part *body, uint32_t octets)
{
	struct queued *m = map_get(&b->ids, msgid_span(&c->id));
	struct parked *p = m == NULL ? parking_find(&b->parking, &c->id) : NULL;

	if (m != NULL)
		move_queued(b, m, c, at, body, octets);
	else
		move_parked(b, p, c, at, octets);
}

void copy_done(struct broker *b, struct append *a, int status, const struct record_place *at,
    const struct part *body)
{
	struct copy *c = a->copy;

	if (status == 0) {
		uint64_t octets = buf_len(&a->meta) + body->length;

		for (size_t i = 0; i < c->n_part; i++)
			octets += c->made[i].length;
		landed(b, c, at, body, parked_octets(octets));
		b->copied++;
	}
	append_free(b, &a);
	copy_end(b, c);
}

/* ---- the search ----------------------------------------------------------------------------- */

static bool wanted(const struct broker *b, const struct broker_log_size *size, int64_t now)
{
	uint64_t alive = segment_live(b, size->oldest);

	if (size->oldest >= size->newest || alive == 0)
		return false;
	if (b->compaction.stuck == size->oldest && now < b->compaction.stuck_until)
		return false;
	return alive < size->segment / ALIVE_PART ||
	       (size->octets > LOG_MOST * b->live && size->octets > LOG_SHORT * size->segment);
}

static bool room_for(const struct compaction *k)
{
	return k->budget > 0 && k->under_way < COPIES_MAX;
}

static void spend(struct compaction *k, uint64_t octets)
{
	k->budget -= octets < k->budget ? octets : k->budget;
}

/* Those that are awake: few, so all of them are looked at each time. */
static void search_awake(struct broker *b)
{
	struct compaction *k = &b->compaction;
	struct queued *m, *next;

	for (m = TAILQ_FIRST(&b->messages); m != NULL && room_for(k); m = next) {
		next = TAILQ_NEXT(m, link);
		if (!m->durable || m->first != k->segment || m->copying || m->appends > 0 ||
		    m->n_open == 0)
			continue;
		m->copying = true;
		spend(k, m->octets);
		if (!copy_start(b, m))
			m->copying = false;
	}
}

static void copy_parked(struct broker *b, struct parked *p)
{
	struct queued *m = parked_view(b, p);

	if (m == NULL)
		return; /* unreadable: it is told when its time comes */
	spend(&b->compaction, p->octets);
	p->copying = true;
	if (!copy_start(b, m))
		p->copying = false;
	queued_view_free(b, &m);
}

/* True: the walk is through. */
static bool search_parked(struct broker *b)
{
	struct compaction *k = &b->compaction;
	struct parked *p;

	for (size_t i = 0; i < SEARCH_MAX && room_for(k); i++) {
		p = pool_next(&b->parking.pool, &k->at);
		if (p == NULL)
			return true;
		if (p->first == k->segment && !p->copying)
			copy_parked(b, p);
	}
	return false;
}

static void begin(struct broker *b, uint64_t segment)
{
	b->compaction.segment = segment;
	b->compaction.at = (struct pool_walk){0};
	b->compaction.before = b->copied;
}

/* Something else needs it (a transaction, a message that cannot be read or written): looked at
 * again later. */
static void give_up(struct compaction *k, int64_t now)
{
	k->stuck = k->segment;
	k->stuck_until = now + STUCK_FOR;
	k->segment = 0;
}

bool broker_compact(struct broker *b, const struct broker_log_size *size, int64_t now)
{
	struct compaction *k = &b->compaction;

	if (b->recovering || b->frozen || !b->may_start || b->stopping)
		return false;
	if (k->segment != size->oldest)
		k->segment = 0;
	if (k->segment == 0 && !wanted(b, size, now))
		return false;
	if (k->segment == 0)
		begin(b, size->oldest);
	k->budget = COPY_BUDGET;
	search_awake(b);
	if (search_parked(b) && k->under_way == 0) {
		if (b->copied == k->before)
			give_up(k, now);
		else
			begin(b, k->segment);
	}
	return k->segment != 0;
}
