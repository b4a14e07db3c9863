/*
 * After a start: the log is read. Every message begins at rest; what is finished at
 * the end of the log goes, the others wait for their time.
 */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdlib.h>

/* How long a receiver may ask what became of its COMMIT. */
enum { NONCES_KEPT = 600 * 1000000, NONCES_FIRST = 1024 };

/* ---- nonces --------------------------------------------------------------------------------- */

/* Those of the last minutes of the log are enough: older ones make room before more is taken. */
static void nonces_thin(struct broker *b)
{
	struct nonces *l = &b->nonces;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].accepted >= b->latest - NONCES_KEPT)
			l->v[n++] = l->v[i];
	}
	l->n = n;
	if (n < l->cap / 2)
		return;
	l->cap = l->cap ? 2 * l->cap : NONCES_FIRST;
	l->v = gw_realloc(l->v, l->cap * sizeof(*l->v));
}

static void remember_nonce(struct broker *b, const struct msgid *nonce, int64_t accepted)
{
	if (b->nonces.n == b->nonces.cap)
		nonces_thin(b);
	b->nonces.v[b->nonces.n++] = (struct nonce){*nonce, accepted};
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct msgid));
}

/* Sorted when the first one asks. */
bool nonce_known(struct broker *b, const struct msgid *nonce)
{
	struct nonces *l = &b->nonces;

	if (l->n == 0)
		return false;
	if (!l->sorted)
		qsort(l->v, l->n, sizeof(*l->v), compare);
	l->sorted = true;
	return bsearch(nonce, l->v, l->n, sizeof(*l->v), compare) != NULL;
}

/* ---- records -------------------------------------------------------------------------------- */

static void note_time(struct broker *b, int64_t when)
{
	if (when > b->latest)
		b->latest = when;
}

static void apply_to(struct parked *p, const struct change *c, const struct record_place *at)
{
	for (size_t i = 0; p != NULL && i < c->n_rcpt; i++)
		parked_apply(p, &c->rcpt[i], at);
}

/* Each by its state before it. */
static void count(struct broker *b, struct parked *p, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct resting *r = p ? parked_entry(p, c->rcpt[i].index) : NULL;
		struct change_rcpt before = {.outcome = OUTCOME_NONE};

		if (r != NULL) {
			before.outcome = (enum outcome)r->outcome;
			before.code = r->code;
			memcpy(before.esc, r->esc, sizeof(before.esc));
		}
		counted_change(b, &before, &c->rcpt[i], c->when);
	}
}

/* news: it says what happened; the state of a copy only repeats it. */
static int apply_change(struct broker *b, struct span in, const struct record_place *at, bool news)
{
	struct change c;
	struct parked *p;

	if (change_decode(&c, in, &b->scratch) < 0)
		return GW_EFORMAT;
	note_time(b, c.when);
	p = parking_find(&b->parking, &c.id);
	for (size_t i = 0; i < c.n_rcpt; i++)
		b->had_past_dot = b->had_past_dot || c.rcpt[i].outcome == OUTCOME_MAYBE;
	if (news)
		count(b, p, &c);
	if (c.counted.n > 0)
		limits_recover_release(b, &c);
	if (c.counted.n > 0 && p != NULL && c.when > p->accepted)
		p->accepted = c.when;
	apply_to(p, &c, at);
	return 0;
}

/* The index of a segment says so of a message of which only the nonce is left. */
static bool ends_itself(struct broker *b, const struct envelope *e)
{
	struct change c;

	return e->ends.n > 0 && e->n_rcpt == 1 && change_decode(&c, e->ends, &b->scratch) == 0 &&
	       msgid_eq(&c.id, &e->id) && c.n_rcpt == 1 && outcome_final(c.rcpt[0].outcome);
}

/* Where it goes is looked up now, while its addresses are at hand. */
static uint64_t size_of(const struct envelope *e, const struct part *body)
{
	uint64_t n = body->length;

	for (size_t i = 0; i < e->n_part; i++)
		n += e->part[i].length;
	return n;
}

static void find_sites(
    struct broker *b, struct parked *p, const struct envelope *e, const struct part *body)
{
	struct resting *r = parked_rest(p);
	struct site_owner o = {
	    e->priority < PRIORITY_COUNT ? (enum priority)e->priority : PRIORITY_NORMAL,
	    e->account};
	struct route_ask q = {.account = e->account, .size = size_of(e, body)};
	struct routed where;

	for (uint32_t i = 0; i < p->n_open; i++) {
		q.addr = e->rcpt[i].addr;
		q.from = rcpt_from(e, &e->rcpt[i]);
		route_of(b->config, &q, &where);
		r[i].site = site_get(b, &where, &o);
		r[i].site->n_parked++;
	}
}

static void set_place(struct parked *p, const struct envelope *e, struct span meta,
    const struct record_place *at, const struct part *body)
{
	uint64_t octets = meta.n + body->length;

	p->first = at->segment;
	for (size_t i = 0; i < e->n_part; i++) {
		octets += e->part[i].length;
		if (e->part[i].segment < p->first)
			p->first = e->part[i].segment;
	}
	p->octets = parked_octets(octets);
	p->ahead = parked_ahead(p, at->segment);
	p->offset = (uint32_t)at->offset;
}

/* Places of last words count from the message's first segment; those of before are gone with it. */
static void move(struct parked *p, const struct envelope *e, struct span meta,
    const struct record_place *at, const struct part *body)
{
	struct resting *r = parked_rest(p);

	set_place(p, e, meta, at, body);
	for (uint32_t i = 0; i < p->n_open; i++)
		r[i].said_offset = 0;
}

/* Does this change say that a limit holds some of them? */
static bool said_held(struct broker *b, struct span change)
{
	struct change c;

	if (change.n == 0 || change_decode(&c, change, &b->scratch) < 0)
		return false;
	for (size_t i = 0; i < c.n_rcpt; i++) {
		if (change_by_limit(c.rcpt[i].outcome, c.rcpt[i].code, c.rcpt[i].esc))
			return true;
	}
	return false;
}

static int recover_message(
    struct broker *b, struct span meta, const struct record_place *at, const struct part *body)
{
	struct envelope e;
	struct parked *p;

	if (envelope_decode(&e, meta, &b->scratch) < 0 || e.n_rcpt == 0 ||
	    e.head_length > body->length)
		return GW_EFORMAT;
	remember_nonce(b, &e.nonce, e.accepted);
	note_time(b, e.accepted);
	if (ends_itself(b, &e))
		return 0;
	p = parking_find(&b->parking, &e.id);
	if (p != NULL && e.state.n > 0) {
		move(p, &e, meta, at, body);
	} else if (p == NULL) {
		p = parking_add(&b->parking, &e.id, (uint32_t)e.n_rcpt);
		p->accepted = e.accepted;
		p->by = (uint8_t)e.handling.by;
		parked_set_times(p, release_of(b, &e), e.handling.by_at);
		set_place(p, &e, meta, at, body);
		find_sites(b, p, &e, body);
	}
	if (e.held.n > 0 && apply_change(b, e.held, at, true) < 0)
		return GW_EFORMAT;
	limits_recover_message(
	    b, &e, size_of(&e, body), said_held(b, e.held) || said_held(b, e.state), at->segment);
	if (e.state.n > 0 && apply_change(b, e.state, at, false) < 0)
		return GW_EFORMAT;
	return e.ends.n > 0 ? apply_change(b, e.ends, at, true) : 0;
}

int broker_recover(struct broker *b, enum broker_record type, struct span meta,
    const struct record_place *at, const struct part *body)
{
	gw_assert(b->recovering);
	arena_clear(&b->scratch);
	switch (type) {
	case BROKER_MESSAGE: return recover_message(b, meta, at, body);
	case BROKER_RESULT:
	case BROKER_DEFERRED:
	case BROKER_PAST_DOT:
	case BROKER_HELD:
	case BROKER_RELEASED: return apply_change(b, meta, at, true);
	case BROKER_COUNTERS: return counters_recover(b, meta, at);
	case BROKER_COUNTED: return limits_recover(b, meta);
	case BROKER_PART: return 0; /* dead unless a message names it */
	case BROKER_RECORDS: break;
	}
	return GW_EFORMAT;
}

/* ---- the end of the log --------------------------------------------------------------------- */

/* Their sites need not stay for them. Returns how many recipients are left. */
static size_t let_finished_go(struct broker *b, struct parked *p)
{
	struct resting *r = parked_rest(p);
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (!outcome_final((enum outcome)r[i].outcome)) {
			n++;
			continue;
		}
		r[i].site->n_parked--;
		site_release(b, r[i].site);
		r[i].site = NULL;
	}
	return n;
}

/* A due time no later than its attempts allow: the clock may have been set back meanwhile. */
static void settle_times(const struct broker *b, struct parked *p, int64_t now)
{
	struct resting *r = parked_rest(p);

	if (p->accepted > now) { /* a receiver's clock, or ours before it was set back */
		if (p->times != NULL)
			p->times->by_at -= p->accepted - now;
		p->accepted = now;
	}
	for (uint32_t i = 0; i < p->n_open; i++) {
		int64_t not_before = resting_not_before(p, &r[i]);

		if (r[i].outcome != OUTCOME_UNTOLD)
			r[i].due = site_stored(b, r[i].site, r[i].attempts, r[i].due, now);
		if (not_before > 0)
			r[i].due = not_before;
	}
}

static size_t count_of(struct parked *p, enum outcome o)
{
	const struct resting *r = parked_rest(p);
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_open; i++)
		n += r[i].outcome == o;
	return n;
}

static void settle(struct broker *b, struct parked *p, int64_t now)
{
	size_t left = let_finished_go(b, p), untold;

	/* It holds nothing: the segments of its parts may be gone before that of its record is. */
	if (left == 0) {
		parking_remove(&b->parking, p);
		return;
	}
	parked_compact(p);
	b->n_rcpt += left;
	b->n_held += count_of(p, OUTCOME_HELD);
	untold = count_of(p, OUTCOME_UNTOLD);
	b->n_untold += untold;
	if (untold > 0)
		storm_recovered(b, &p->id, now);
	segment_hold_message(b, p->first, p->first + p->ahead, p->octets);
	settle_times(b, p, now);
	parked_count(p, 1);
	once_recovered(b, p);
	parked_schedule(b, p);
}

int64_t broker_latest(const struct broker *b)
{
	return b->latest;
}

void broker_recovered(struct broker *b, int64_t now)
{
	struct pool_walk at = {0};
	struct parked *p;

	b->recovering = false;
	b->now = now;
	b->resumed = sched_silent(b->latest, now) ? now : 0;
	b->forget_nonces_at = now + NONCES_KEPT;
	while ((p = pool_next(&b->parking.pool, &at)) != NULL)
		settle(b, p, now);
	counters_recovered(b, now);
	limits_recovered(b, now);
	b->frozen = true;
}
