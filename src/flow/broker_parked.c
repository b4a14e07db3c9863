/*
 * To rest and back. A message whose recipients all wait is put into a slot of
 * parked.h, and read back from the log when one of them is due, when its site has room, or
 * when somebody asks for it.
 */
#include "flow/broker-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdlib.h>

/* What cannot be read is tried again after a second; after five minutes if it is damaged, or if
 * reads fail one after the other. */
enum { READ_AGAIN = 1000000, READ_DOUBLES = 8, READ_LAST = 300 * 1000000 };

/* ---- sites ---------------------------------------------------------------------------------- */

static void site_add(struct broker *b, struct site *s, size_t n)
{
	(void)b;
	if (s != NULL)
		s->n_parked += n;
}

static void site_sub(struct broker *b, struct site *s, size_t n)
{
	if (s == NULL)
		return;
	s->n_parked -= n;
	site_release(b, s);
}

/* ---- to rest -------------------------------------------------------------------------------- */

uint32_t parked_ahead(const struct parked *p, uint64_t segment)
{
	return (uint32_t)(segment - p->first);
}

/* Where it goes; for one that is set aside, where it would go. */
static struct site *site_for(struct broker *b, const struct queued *m, const struct queued_rcpt *q)
{
	return q->task != NULL ? q->task->site : site_of_rcpt(b, m, q);
}

/* Those of one site stand side by side as a rule; what is held, or scheduled, waits for something
 * else. */
void parked_count(struct parked *p, int by)
{
	const struct resting *r = parked_rest(p);
	const struct site *last = NULL;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome > OUTCOME_DEFERRED || resting_not_before(p, &r[i]) > 0 ||
		    r[i].site == NULL || r[i].site == last)
			continue;
		last = r[i].site;
		r[i].site->n_pending += (size_t)by;
	}
}

static void rest_one(struct broker *b, struct parked *p, struct resting *r, const struct queued *m,
    const struct queued_rcpt *q)
{
	*r = (struct resting){.due = q->due,
	    .site = site_for(b, m, q),
	    .index = r->index,
	    .number = q->number,
	    .attempts = q->attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)q->attempts,
	    .code = q->code,
	    .outcome = (uint8_t)q->outcome & 0x7f,
	    .warned = q->warned};
	memcpy(r->esc, q->esc, sizeof(r->esc));
	if (q->task != NULL && q->task->state == TASK_READY)
		r->due = 0;
	if (q->said_at.segment != 0) {
		r->said_ahead = parked_ahead(p, q->said_at.segment);
		r->said_offset = (uint32_t)q->said_at.offset;
	}
	site_add(b, r->site, 1);
}

static struct parked *park(struct broker *b, struct queued *m)
{
	struct parked *p = parking_add(&b->parking, &m->id, (uint32_t)m->n_rcpt);

	p->first = m->first;
	p->ahead = parked_ahead(p, m->at.segment);
	p->offset = (uint32_t)m->at.offset;
	p->octets = m->octets;
	p->accepted = m->accepted;
	p->by = (uint8_t)m->handling.by;
	parked_set_times(p, m->release, m->handling.by_at);
	p->copying = m->copying;
	p->kills = m->kills;
	p->by_account = m->by_account;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct resting *r = &parked_rest(p)[i];

		if (outcome_final(m->rcpt[i].outcome))
			r->outcome = (uint8_t)m->rcpt[i].outcome & 0x7f;
		else
			rest_one(b, p, r, m, &m->rcpt[i]);
	}
	parked_compact(p);
	parked_count(p, 1);
	return p;
}

/* The holds on its segments go over to the slot. */
struct parked *queued_put_to_rest(struct broker *b, struct queued *m)
{
	struct parked *p = park(b, m);
	struct task *t;

	while ((t = TAILQ_FIRST(&m->task_list)) != NULL)
		task_free(b, t);
	map_del(&b->ids, msgid_span(&m->id));
	TAILQ_REMOVE(&b->messages, m, link);
	queued_view_free(b, &m);
	return p;
}

bool queued_at_rest(const struct broker *b, const struct queued *m)
{
	return m->durable && m->appends == 0 && m->lost == 0 && m->jobs == 0 && m->n_open > 0 &&
	       !b->recovering;
}

/* When the first of its recipients is due; never, if all are held. */
static int64_t first_due(const struct parked *p)
{
	const struct resting *r = parked_rest((struct parked *)(uintptr_t)p);
	int64_t at = INT64_MAX;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome <= OUTCOME_DEFERRED && r[i].due < at)
			at = r[i].due;
	}
	return at;
}

void parked_schedule(struct broker *b, struct parked *p)
{
	int64_t at = first_due(p), by = deadline_of_parked(p);

	if (by < at)
		at = by;
	if (at == INT64_MAX)
		heap_del(&b->parking.due, &p->node);
	else
		heap_set(&b->parking.due, &p->node, at);
}

bool parked_held_by_limit(const struct parked *p)
{
	const struct resting *r = parked_rest((struct parked *)(uintptr_t)p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (change_by_limit((enum outcome)r[i].outcome, r[i].code, r[i].esc))
			return true;
	}
	return false;
}

void queued_rest(struct broker *b, struct queued *m)
{
	const struct task *t;
	bool pulled = false;

	if (!queued_at_rest(b, m))
		return;
	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		/* One whose time is over has come to be told of. */
		if (t->state == TASK_READY && site_waits(t->site) && t->node.key > b->now)
			pulled = true;
		else if (t->state != TASK_WAITING)
			return;
	}
	if (pulled && queued_crowd(b, m))
		return;
	parked_schedule(b, queued_put_to_rest(b, m));
}

/* ---- and back ------------------------------------------------------------------------------- */

static struct record_place place_of(const struct parked *p)
{
	return (struct record_place){p->first + p->ahead, p->offset};
}

/* The envelope of this message, in b->reading, or a GW_E*. */
static int read_back(
    struct broker *b, const struct parked *p, struct envelope *e, struct part *body)
{
	struct record_place at = place_of(p);
	enum broker_record type;
	struct span meta;
	int err;

	blame_hand(b, &p->id);
	err = b->log.record(b->log.arg, &at, &type, &meta, body);

	if (err != 0)
		return err;
	if (type != BROKER_MESSAGE)
		return GW_ECORRUPT;
	arena_clear(&b->reading);
	if (envelope_decode(e, meta, &b->reading) != 0 || !msgid_eq(&e->id, &p->id) ||
	    e->n_rcpt != p->n_rcpt || e->head_length > body->length)
		return GW_ECORRUPT;
	return 0;
}

static void restore_one(const struct parked *p, const struct resting *r, struct queued_rcpt *q)
{
	q->outcome = (enum outcome)r->outcome;
	q->number = r->number;
	q->attempts = r->attempts;
	q->due = r->due;
	q->code = r->code;
	q->warned = r->warned;
	memcpy(q->esc, r->esc, sizeof(q->esc));
	if (r->said_offset != 0)
		q->said_at = (struct record_place){p->first + r->said_ahead, r->said_offset};
}

static void restore_rcpts(const struct parked *p, struct queued *m)
{
	const struct resting *r = parked_rest((struct parked *)(uintptr_t)p);

	m->n_open = 0;
	for (uint32_t i = 0; i < p->n_rcpt; i++)
		m->rcpt[i].outcome = (enum outcome)parked_ended(p, i);
	for (uint32_t i = 0; i < p->n_open; i++) {
		restore_one(p, &r[i], &m->rcpt[r[i].index]);
		m->n_open++;
	}
}

static uint64_t content_size(const struct queued *m)
{
	uint64_t n = m->body.length;

	for (size_t i = 0; i < m->n_part; i++)
		n += m->part[i].length;
	return n;
}

static struct queued *restore(struct broker *b, const struct parked *p)
{
	struct envelope e;
	struct part body;
	struct queued *m;
	int err = read_back(b, p, &e, &body);

	if (err != 0) {
		b->read_error = err;
		return NULL;
	}
	b->read_failures = 0;
	m = queued_new(&e);
	m->at = place_of(p);
	m->first = p->first;
	m->octets = p->octets;
	m->accepted = p->accepted;
	m->handling.by_at = parked_by_at(p);
	m->copying = p->copying;
	m->kills = p->kills;
	m->by_account = p->by_account;
	m->body = body;
	m->size = content_size(m);
	m->durable = true;
	restore_rcpts(p, m);
	queued_schedule(b, m, parked_release(p));
	return m;
}

struct queued *parked_view(struct broker *b, const struct parked *p)
{
	const struct resting *r = parked_rest((struct parked *)(uintptr_t)p);
	struct queued *m = restore(b, p);

	for (uint32_t i = 0; m != NULL && i < p->n_open; i++) {
		m->rcpt[r[i].index].site = r[i].site;
		m->rcpt[r[i].index].crowded = r[i].due <= b->now;
	}
	if (m != NULL)
		account_view(p, m);
	return m;
}

void queued_view_free(struct broker *b, struct queued **pm)
{
	struct queued *m = *pm;

	blob_drop(b, &m->content);
	free(m->rcpt);
	free(m->part);
	m->magic = 0;
	free(m);
	*pm = NULL;
}

/* A record that changes recipients: the change itself, the state of a copy, or a message that holds
 * some of its own. */
static int read_change(struct broker *b, const struct record_place *at, struct change *c)
{
	enum broker_record type;
	struct envelope e;
	struct span meta;
	struct part body;
	int err = b->log.record(b->log.arg, at, &type, &meta, &body);

	arena_clear(&b->reading);
	if (err == 0 && type == BROKER_MESSAGE) {
		err = envelope_decode(&e, meta, &b->reading);
		meta = e.state.n > 0 ? e.state : e.held.n > 0 ? e.held : e.ends;
	}
	return err == 0 ? change_decode(c, meta, &b->reading) : err;
}

static void load_said(
    const struct broker *b, struct queued_rcpt *r, uint32_t index, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (c->rcpt[i].index != index)
			continue;
		queued_said(r, &c->rcpt[i]);
		r->class = class_of_change(b, &c->rcpt[i]);
	}
}

void queued_load_said(struct broker *b, struct queued *m)
{
	struct record_place last = {0};
	struct change c = {.n_rcpt = 0};

	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (r->said[0] != '\0' || r->said_at.segment == 0)
			continue;
		if (r->said_at.segment != last.segment || r->said_at.offset != last.offset) {
			last = r->said_at;
			if (read_change(b, &last, &c) != 0 || !msgid_eq(&c.id, &m->id))
				c.n_rcpt = 0;
		}
		load_said(b, r, (uint32_t)i, &c);
	}
}

/* Its sites are let go, its slot is free. The holds on its segments are somebody else's now. */
static void leave(struct broker *b, struct parked *p)
{
	struct resting *r = parked_rest(p);

	crowd_leave(p);
	parked_count(p, -1);
	for (uint32_t i = 0; i < p->n_open; i++)
		site_sub(b, r[i].site, 1);
	parking_remove(&b->parking, p);
}

/* Doubled for every eighth failure in a row: a disk that is gone is not asked all the time. */
static int64_t read_again_after(struct broker *b)
{
	unsigned doubles = b->read_failures++ / READ_DOUBLES;

	if (b->read_error != GW_EIO || doubles > READ_DOUBLES)
		return READ_LAST;
	return (int64_t)READ_AGAIN << doubles;
}

static void unreadable(struct broker *b, struct parked *p, int64_t now)
{
	char id[MSGID_TEXT + 1];
	struct logline l;

	crowd_leave(p);
	heap_set(&b->parking.due, &p->node, now + read_again_after(b));
	metric_add(METRIC_SPOOL_DAMAGED, 1);
	msgid_format(&p->id, id);
	log_begin(&l, EV_SPOOL_DAMAGED);
	log_str(&l, "id", id);
	log_number(&l, "segment", (int64_t)(p->first + p->ahead));
	log_end(&l);
}

struct queued *parked_revive(struct broker *b, struct parked *p, int64_t now)
{
	struct queued *m = restore(b, p);

	if (m == NULL) {
		unreadable(b, p, now);
		return NULL;
	}
	map_put(&b->ids, msgid_span(&m->id), m);
	TAILQ_INSERT_TAIL(&b->messages, m, link);
	m->appends++; /* it stays awake until its tasks are there */
	queued_file(b, m, now);
	m->appends--;
	leave(b, p);
	return m;
}

struct queued *queued_find(struct broker *b, const struct msgid *id, int64_t now)
{
	struct queued *m = map_get(&b->ids, msgid_span(id));
	struct parked *p;

	if (m != NULL)
		return m;
	p = parking_find(&b->parking, id);
	return p != NULL ? parked_revive(b, p, now) : NULL;
}

bool message_known(const struct broker *b, const struct msgid *id)
{
	return map_get(&b->ids, msgid_span(id)) != NULL || parking_find(&b->parking, id) != NULL;
}

/* ---- recovery ------------------------------------------------------------------------------- */

static void take_state(struct resting *r, const struct change_rcpt *c)
{
	r->outcome = (uint8_t)c->outcome & 0x7f;
	r->number = c->number;
	r->attempts = c->attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)c->attempts;
	r->due = c->due;
	r->code = c->code;
	memcpy(r->esc, c->esc, sizeof(r->esc));
}

void parked_apply(struct parked *p, const struct change_rcpt *c, const struct record_place *at)
{
	struct resting *r = parked_entry(p, c->index);

	if (r == NULL)
		return;
	r->warned = r->warned || c->warned;
	if (change_wins((enum outcome)r->outcome, r->number, c->outcome, c->number))
		take_state(r, c);
	else if (r->number != c->number || r->said_offset != 0)
		return; /* else a copy repeats the words whose place went with its original's */
	r->said_ahead = parked_ahead(p, at->segment);
	r->said_offset = (uint32_t)at->offset;
}
