/*
 * Storms: one address is sent so many reports in a time (dsn { per-sender }). What fails beyond
 * that is OUTCOME_UNTOLD, which the log has like any other state; when the time is over, one
 * message of our own tells of all of them, and when that is durable they end. Until then nothing
 * forgets them: a crash between summary and end costs a second summary (broker_summary.c).
 *
 * An address has a window from its first report on. It is forgotten at its end, and earlier where
 * there are too many, but not while somebody is to be told in it.
 */
#include "flow/storm-private.h"

#include "mail/address.h"

#include <stdlib.h>

enum {
	WINDOWS_MAX = 20000, /* addresses; beyond, the oldest is forgotten, or not counted */
	LOOK_BACK = 64,      /* windows looked at for one that may be forgotten */
};

void ids_add(struct ids *l, const struct msgid *id)
{
	if (l->n > 0 && msgid_eq(&l->v[l->n - 1], id))
		return;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->v = gw_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = *id;
}

void ids_free(struct ids *l)
{
	free(l->v);
	*l = (struct ids){.n = 0};
}

/* ---- windows -------------------------------------------------------------------------------- */

void storm_init(struct broker *b, uint64_t seed)
{
	map_init(&b->storm.map, seed);
	heap_init(&b->storm.ends);
	TAILQ_INIT(&b->storm.windows);
	TAILQ_INIT(&b->storm.summed);
	b->storm.strays_due = INT64_MAX;
}

static void storm_window_free(struct broker *b, struct storm_window *w)
{
	map_del(&b->storm.map, span_of(w->key, w->length));
	heap_del(&b->storm.ends, &w->node);
	TAILQ_REMOVE(&b->storm.windows, w, link);
	ids_free(&w->untold);
	free(w);
}

void storm_fini(struct broker *b)
{
	while (!TAILQ_EMPTY(&b->storm.windows))
		storm_window_free(b, TAILQ_FIRST(&b->storm.windows));
	summary_fini(b);
	ids_free(&b->storm.strays);
	map_fini(&b->storm.map);
	heap_fini(&b->storm.ends);
}

int64_t storm_period(const struct broker *b)
{
	return (int64_t)b->config->dsn.per_sender.seconds * 1000000;
}

/* Room for one more: false if all of the oldest have somebody to tell. */
static bool make_room(struct broker *b)
{
	struct storm_window *w = TAILQ_FIRST(&b->storm.windows);

	if (map_len(&b->storm.map) < WINDOWS_MAX)
		return true;
	for (int i = 0; w != NULL && i < LOOK_BACK; i++, w = TAILQ_NEXT(w, link)) {
		if (w->untold.n == 0) {
			storm_window_free(b, w);
			return true;
		}
	}
	return false;
}

static struct span lower(struct span address, char to[STORM_KEY_MAX])
{
	size_t n = address.n < STORM_KEY_MAX ? address.n : STORM_KEY_MAX;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)ascii_lower(address.p[i]);
	return span_of(to, n);
}

static struct storm_window *storm_window_of(const struct broker *b, struct span to)
{
	char key[STORM_KEY_MAX];

	return map_get(&b->storm.map, lower(to, key));
}

void storm_window_begin(struct broker *b, struct storm_window *w, int64_t end)
{
	w->sent = 0;
	heap_set(&b->storm.ends, &w->node, end);
	TAILQ_REMOVE(&b->storm.windows, w, link);
	TAILQ_INSERT_TAIL(&b->storm.windows, w, link);
}

static struct storm_window *storm_window_new(struct broker *b, struct span to, int64_t end)
{
	size_t n = to.n < STORM_KEY_MAX ? to.n : STORM_KEY_MAX;
	struct storm_window *w = gw_calloc(1, sizeof(*w) + 2 * n + 1);

	w->length = n;
	memcpy(w->address, to.p, n);
	w->key = w->address + n;
	(void)!lower(to, w->key).n;
	map_put(&b->storm.map, span_of(w->key, n), w);
	TAILQ_INSERT_TAIL(&b->storm.windows, w, link);
	storm_window_begin(b, w, end);
	return w;
}

bool storm_admits(struct broker *b, struct span to, int64_t now)
{
	struct storm_window *w = storm_window_of(b, to);

	if (to.n > STORM_KEY_MAX || (w == NULL && !make_room(b)))
		return true; /* more reports rather than none */
	if (w == NULL)
		w = storm_window_new(b, to, now + storm_period(b));
	else if (w->node.key <= now && w->untold.n == 0)
		storm_window_begin(b, w, now + storm_period(b));
	if (w->sent >= b->config->dsn.per_sender.n)
		return false;
	w->sent++;
	return true;
}

int64_t storm_ends(const struct broker *b, struct span to, int64_t now)
{
	const struct storm_window *w = storm_window_of(b, to);

	return w != NULL ? w->node.key : now;
}

void storm_untold(struct broker *b, struct span to, const struct msgid *id, int64_t now)
{
	struct storm_window *w = storm_window_of(b, to);

	if (w == NULL) /* after a start; whoever is told of something gets nothing else before */
		w = storm_window_new(b, to, now + storm_period(b));
	ids_add(&w->untold, id);
}

bool storm_waits(const struct broker *b, struct span address, const struct msgid *id)
{
	const struct storm_window *w = storm_window_of(b, address);

	for (size_t i = 0; w != NULL && i < w->untold.n; i++) {
		if (msgid_eq(&w->untold.v[i], id))
			return true;
	}
	return false;
}

/* ---- after a start -------------------------------------------------------------------------- */

void storm_recovered(struct broker *b, const struct msgid *id, int64_t when)
{
	ids_add(&b->storm.strays, id);
	if (when < b->storm.strays_due)
		b->storm.strays_due = when;
}

/* What is in the log is not doubted: where it leads nowhere, the administrator hears of it. */
struct span storm_listener(const struct broker *b, const struct queued *m, uint32_t index)
{
	struct span to = tell_whom(b, m, index);

	return to.n > 0 && to.n <= STORM_KEY_MAX ? to : span_str(b->config->admin);
}

/* Whose window it was, and when that ends; a clock that was set back does not keep it open. */
static void restore(struct broker *b, const struct queued *m, uint32_t index, int64_t now)
{
	struct span to = storm_listener(b, m, index);
	struct storm_window *w = storm_window_of(b, to);
	int64_t end = m->rcpt[index].due;

	end = end < now ? now : end > now + storm_period(b) ? now + storm_period(b) : end;
	if (w == NULL)
		w = storm_window_new(b, to, end);
	w->sent = b->config->dsn.per_sender.n;
	ids_add(&w->untold, &m->id);
}

/* False: it cannot be read. */
static bool sort_stray(struct broker *b, const struct msgid *id, int64_t now)
{
	struct queued *m = map_get(&b->ids, msgid_span(id)), *view = NULL;
	const struct parked *p = m == NULL ? parking_find(&b->parking, id) : NULL;

	if (m == NULL && p == NULL)
		return true; /* it is over */
	if (m == NULL)
		m = view = parked_view(b, p);
	for (uint32_t i = 0; m != NULL && i < m->n_rcpt; i++) {
		if (m->rcpt[i].outcome == OUTCOME_UNTOLD)
			restore(b, m, i, now);
	}
	if (view != NULL)
		queued_view_free(b, &view);
	return m != NULL;
}

static void sort_strays(struct broker *b, int64_t now)
{
	struct ids *l = &b->storm.strays, left = {.n = 0};
	size_t end = l->n - l->at > STORM_PORTION ? l->at + STORM_PORTION : l->n;

	for (; l->at < end; l->at++) {
		if (!sort_stray(b, &l->v[l->at], now))
			ids_add(&left, &l->v[l->at]);
	}
	for (size_t i = 0; i < left.n; i++)
		l->v[l->kept++] = left.v[i];
	ids_free(&left);
	if (l->at < l->n)
		return;
	l->n = l->kept;
	l->at = l->kept = 0;
	b->storm.strays_due = l->n > 0 ? now + STORM_READ_AGAIN : INT64_MAX;
	if (l->n == 0)
		ids_free(l);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void close_window(struct broker *b, struct storm_window *w, int64_t now)
{
	if (w->untold.n == 0)
		storm_window_free(b, w);
	else
		summary_send(b, w, now);
}

void storm_tick(struct broker *b, int64_t now)
{
	struct heap_node *n;

	if (b->storm.strays_due <= now)
		sort_strays(b, now);
	while ((n = heap_min(&b->storm.ends)) != NULL && n->key <= now)
		close_window(b, (struct storm_window *)n, now);
	summary_end_some(b, now);
}

int64_t storm_deadline(const struct broker *b)
{
	const struct heap_node *n = heap_min(&b->storm.ends);
	int64_t at = n != NULL ? n->key : INT64_MAX;

	if (summary_waits(b))
		return 0;
	return b->storm.strays_due < at ? b->storm.strays_due : at;
}
