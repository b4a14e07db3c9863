/*
 * Limits in the log. The envelope of a message that counts has its stamp, and so has the RELEASED
 * record of one that was held. A checkpoint is all that is counted at one moment, in one or more
 * COUNTED records: it follows the log into each new segment, holds it from there on, and no segment
 * from there on gets an index, so that every stamp that a checkpoint does not have is found behind
 * it. One of several records follows later: four times its size is mail.
 *
 * COUNTED: a version octet, the stamp up to which all is counted (which is its name, too), number
 * of the piece, how many there are, the segment it holds, the stamps that were under way, the piece
 * (flow/limit.h).
 */
#include "flow/limits-private.h"

#include "base/cursor.h"

#include <stdlib.h>

enum {
	VERSION = 1,
	ASKING_VERSION = 1,
	CHECKPOINT_AGAIN = 1000000,
	EXCEPT_MAX = 1 << 20,
	AT_DISK = 8,  /* pieces of a checkpoint at once */
	MORE_MAIL = 4 /* times its size is other records before the next one */
};

/* ---- whom a release concerns
 * --------------------------------------------------------------------- */

void asking_encode(const struct limit_ask *ask, struct buf *out)
{
	put_u8(out, ASKING_VERSION);
	put_u8(out, ask->null_sender);
	put_u32(out, ask->recipients);
	put_u64(out, ask->octets);
	put_span16(out, ask->account);
	put_span16(out, ask->tenant);
	put_span16(out, ask->listener);
	put_span16(out, ask->client_ip);
}

int asking_decode(struct span in, struct limit_ask *ask)
{
	struct cursor c = cursor_of(in);
	uint8_t version = get_u8(&c);

	*ask = (struct limit_ask){.null_sender = get_u8(&c) != 0};
	ask->recipients = get_u32(&c);
	ask->octets = get_u64(&c);
	ask->account = get_span16(&c);
	ask->tenant = get_span16(&c);
	ask->listener = get_span16(&c);
	ask->client_ip = get_span16(&c);
	return cursor_done(&c) && version == ASKING_VERSION ? 0 : GW_EFORMAT;
}

/* ---- checkpoints
 * ----------------------------------------------------------------------------------- */

void checkpoint_index(struct broker *b)
{
	struct broker_limits *l = b->limits;
	uint64_t below = limits_any(l->counts) ? l->since : UINT64_MAX;
	struct broker_effect *e;

	if (below == l->index_below)
		return;
	l->index_below = below;
	e = effect_add(b, EFFECT_INDEX);
	e->segment = below;
}

void checkpoint_wanted(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;

	if (limits_any(l->counts) && l->checkpoint_due == INT64_MAX)
		l->checkpoint_due = now;
}

static void put_head(const struct broker_limits *l, uint32_t piece, struct buf *out)
{
	const struct charged *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &l->under_way, link)
	n++;
	put_u8(out, VERSION);
	put_u64(out, (uint64_t)l->counting.upto);
	put_u32(out, piece);
	put_u32(out, (uint32_t)l->counting.n);
	put_u64(out, l->counting.since);
	put_u32(out, piece == 0 ? n : 0);
	if (piece > 0)
		return;
	TAILQ_FOREACH(c, &l->under_way, link)
	put_u64(out, (uint64_t)c->stamp);
}

static void send_pieces(struct broker *b)
{
	static const struct msgid nobody;
	struct broker_limits *l = b->limits;
	struct counting *c = &l->counting;

	while (!c->failed && c->sent < c->n && c->at_disk < AT_DISK) {
		struct append *a = append_new(b, APPEND_COUNTED, BROKER_COUNTED, &nobody);

		put_head(l, (uint32_t)c->sent, &a->meta);
		buf_add_span(&a->meta, buf_view(&c->piece[c->sent]));
		buf_fini(&c->piece[c->sent++]);
		c->at_disk++;
		append_send(b, a, false);
	}
}

void counting_fini(struct counting *c)
{
	for (size_t i = c->sent; i < c->n; i++)
		buf_fini(&c->piece[i]);
	free(c->piece);
	*c = (struct counting){.piece = NULL};
}

/* From the segment that was written to last: what is under way lands there or behind it. */
static void checkpoint(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;
	struct counting *c = &l->counting;
	bool more = true;
	size_t at = 0;

	l->checkpoint_due = INT64_MAX;
	c->since = l->newest;
	l->size = l->behind = 0;
	c->upto = limits_stamp(b, now);
	segment_hold(b, c->since, 0);
	while (more) {
		c->piece = gw_realloc(c->piece, (c->n + 1) * sizeof(*c->piece));
		buf_init(&c->piece[c->n], LIMIT_PIECE + 64);
		more = limits_encode(l->counts, &at, now, &c->piece[c->n]);
		l->size += buf_len(&c->piece[c->n++]);
	}
	send_pieces(b);
}

void checkpoint_tick(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;

	if (now < l->checkpoint_due || b->recovering || l->counting.piece != NULL)
		return;
	if (l->newest == 0 || !limits_any(l->counts)) {
		l->checkpoint_due = INT64_MAX;
		return;
	}
	checkpoint(b, now);
}

static void checkpoint_done(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;
	struct counting c = l->counting;

	counting_fini(&l->counting);
	if (c.failed) {
		segment_release(b, c.since, 0);
		l->checkpoint_due = now + CHECKPOINT_AGAIN;
		return;
	}
	if (l->since != 0)
		segment_release(b, l->since, 0);
	l->since = c.since;
	checkpoint_index(b);
}

void limits_counted(struct broker *b, struct append *a, int status, int64_t now)
{
	struct counting *c = &b->limits->counting;

	append_free(b, &a);
	c->failed = c->failed || status != 0;
	c->at_disk--;
	send_pieces(b);
	if (c->at_disk == 0)
		checkpoint_done(b, now);
}

/* Nothing that counts lies before it. */
void checkpoint_begin(struct broker *b, uint64_t segment)
{
	if (segment == 0 || b->limits->since != 0)
		return;
	b->limits->since = segment;
	segment_hold(b, segment, 0);
	checkpoint_index(b);
}

static size_t octets_of(const struct append *a)
{
	return a->kind == APPEND_COUNTED ? 0 : buf_len(&a->meta) + a->body[0].n + a->body[1].n;
}

void limits_seen(struct broker *b, const struct append *a, int status,
    const struct record_place *at, int64_t now)
{
	struct broker_limits *l = b->limits;

	if (status == 0)
		l->behind += octets_of(a);
	if (status != 0 || at->segment <= l->newest)
		return;
	if (limits_any(l->counts))
		checkpoint_begin(b, at->segment);
	l->newest = at->segment;
	if (l->since < l->newest && (l->size <= LIMIT_PIECE || l->behind >= MORE_MAIL * l->size))
		checkpoint_wanted(b, now);
}

/* ---- recovery
 * -------------------------------------------------------------------------------------- */

void reading_fini(struct counted_read *r)
{
	buf_fini(&r->pieces);
	free(r->except);
	*r = (struct counted_read){.upto = 0};
}

static void seen_add(struct broker *b, const struct limit_ask *ask, int64_t stamp)
{
	struct broker_limits *l = b->limits;
	struct asking *a;

	if (stamp <= 0)
		return;
	if (stamp > l->stamp)
		l->stamp = stamp;
	a = asking_new(ask, stamp);
	TAILQ_INSERT_TAIL(&l->seen, a, link);
}

/* Did this checkpoint count it already? */
static bool has(const struct counted_read *r, int64_t stamp)
{
	if (stamp > r->upto)
		return false;
	for (size_t i = 0; i < r->n_except; i++) {
		if (r->except[i] == stamp)
			return false;
	}
	return true;
}

static void forget_counted(struct broker_limits *l)
{
	struct asking *a, *next;

	for (a = TAILQ_FIRST(&l->seen); a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (!has(&l->whole, a->stamp))
			continue;
		TAILQ_REMOVE(&l->seen, a, link);
		free(a);
	}
}

struct head {
	int64_t upto;
	uint32_t piece, pieces, n_except;
	uint64_t since;
};

static bool get_head(struct cursor *c, struct head *h)
{
	uint8_t version = get_u8(c);

	h->upto = (int64_t)get_u64(c);
	h->piece = get_u32(c);
	h->pieces = get_u32(c);
	h->since = get_u64(c);
	h->n_except = get_u32(c);
	return cursor_ok(c) && version == VERSION && h->upto > 0 && h->piece < h->pieces &&
	       h->since > 0 && h->n_except <= c->rest.n / 8 && h->n_except <= EXCEPT_MAX;
}

static void begin(struct counted_read *r, const struct head *h, struct cursor *c)
{
	reading_fini(r);
	buf_init(&r->pieces, LIMITS_READ_MAX);
	r->upto = h->upto;
	r->since = h->since;
	r->n_pieces = h->pieces;
	r->n_except = h->n_except;
	r->except = gw_calloc(h->n_except + 1, sizeof(*r->except));
	for (size_t i = 0; i < h->n_except; i++)
		r->except[i] = (int64_t)get_u64(c);
}

/* The newest one that is whole counts, and what it has need not be remembered. */
static void take_whole(struct broker_limits *l)
{
	struct counted_read old = l->whole;

	l->whole = l->reading;
	l->reading = (struct counted_read){.upto = 0};
	reading_fini(&old);
	if (l->whole.upto > l->stamp)
		l->stamp = l->whole.upto;
	forget_counted(l);
}

int limits_recover(struct broker *b, struct span meta)
{
	struct broker_limits *l = b->limits;
	struct counted_read *r = &l->reading;
	struct cursor c = cursor_of(meta);
	struct head h;

	if (!get_head(&c, &h))
		return GW_EFORMAT;
	if (h.piece == 0)
		begin(r, &h, &c);
	else if (h.upto != r->upto || h.piece != r->next || h.pieces != r->n_pieces)
		return 0; /* of one that is not whole */
	put_span32(&r->pieces, c.rest);
	r->next = h.piece + 1;
	if (r->next == r->n_pieces && !buf_failed(&r->pieces))
		take_whole(l);
	return 0;
}

void limits_recover_message(
    struct broker *b, const struct envelope *e, uint64_t octets, bool held, uint64_t segment)
{
	struct limit_ask ask = limits_ask_of(e, octets);

	if (e->counted <= 0)
		return;
	if (b->limits->first == 0)
		b->limits->first = segment;
	if (!held) {
		seen_add(b, &ask, e->counted);
	} else if (standing_find(b, &e->id) == NULL) {
		struct standing *s = standing_new(b, &e->id, asking_new(&ask, e->counted));

		s->ready = s->waits = true;
	}
	if (e->counted > b->limits->stamp)
		b->limits->stamp = e->counted;
}

void limits_recover_release(struct broker *b, const struct change *c)
{
	struct standing *s = standing_find(b, &c->id);
	struct limit_ask ask;

	if (c->counted.n == 0 || asking_decode(c->counted, &ask) < 0)
		return;
	if (s != NULL)
		s->paid = true;
	seen_add(b, &ask, c->when);
}

static int by_stamp(const void *a, const void *b)
{
	int64_t x = (*(struct asking *const *)a)->stamp, y = (*(struct asking *const *)b)->stamp;

	return x < y ? -1 : x > y;
}

/* In their order, each stamp once: a copy says what its original said. */
static void count_seen(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;
	struct asking *a, **all;
	int64_t last = 0;
	size_t n = 0;

	TAILQ_FOREACH(a, &l->seen, link)
	n++;
	all = gw_calloc(n + 1, sizeof(struct asking *));
	n = 0;
	while ((a = TAILQ_FIRST(&l->seen)) != NULL) {
		TAILQ_REMOVE(&l->seen, a, link);
		all[n++] = a;
	}
	qsort(all, n, sizeof(struct asking *), by_stamp);
	for (size_t i = 0; i < n; i++) {
		if (all[i]->stamp != last && !has(&l->whole, all[i]->stamp))
			limits_count(l->counts, &all[i]->ask, all[i]->stamp, now);
		last = all[i]->stamp;
		free(all[i]);
	}
	free(all);
}

/* Those that still wait: of all others nothing is left to be released. */
static void keep_waiting(struct broker *b)
{
	struct standing *s;
	size_t at = 0;

	while ((s = map_next(&b->limits->standing, &at)) != NULL) {
		struct parked *p = parking_find(&b->parking, &s->id);

		if (p == NULL || !parked_held_by_limit(p))
			standing_free(b, &s);
	}
}

void limits_recovered(struct broker *b, int64_t now)
{
	struct broker_limits *l = b->limits;
	struct cursor c = cursor_of(buf_view(&l->whole.pieces));

	l->size = c.rest.n;
	while (c.rest.n > 0 && cursor_ok(&c)) {
		if (limits_decode(l->counts, get_span32(&c), now) < 0)
			break;
	}
	if (limits_any(l->counts))
		checkpoint_begin(b, l->whole.upto > 0 ? l->whole.since : l->first);
	count_seen(b, now);
	reading_fini(&l->whole);
	reading_fini(&l->reading);
	keep_waiting(b);
	lines_place(b, now);
	checkpoint_index(b);
}
