/* Limits of a group: connections and messages, of one source and of all, and what rules and
 * operators make of them for a time. */
#include "flow/broker-private.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- all sources together -------------------------------------------------------------------- */

/* The group's key without its source. */
static size_t whole_key_length(
    const struct config *c, const struct group *g, const struct belongs *in)
{
	const struct vmta *v = in->target->vmta;
	size_t n = strlen(g->key);

	if (v == NULL || v == c->vmta)
		return n;
	n -= strlen(v->name);
	return in->set == NULL && g->key[n - 1] == ' ' ? n - strlen(" from ") : n;
}

static struct whole *whole_new(struct broker *b, const struct shape *shape, struct span key)
{
	struct whole *t = gw_calloc(1, sizeof(*t) + key.n + 1);

	memcpy(t->key, key.p, key.n);
	TAILQ_INIT(&t->groups);
	t->connections = shape->connections_total;
	window_init(&t->messages, shape->messages_total);
	map_put(&b->wholes, span_str(t->key), t);
	return t;
}

static void whole_join(struct broker *b, struct group *g)
{
	struct span key = span_of(g->key, g->whole_length);
	struct whole *t = map_get(&b->wholes, key);

	if (g->provisional || (g->shape->connections_total == 0 && g->shape->messages_total.n == 0))
		return;
	g->whole = t != NULL ? t : whole_new(b, g->shape, key);
	g->whole->n_groups++;
	TAILQ_INSERT_TAIL(&g->whole->groups, g, of_whole);
}

static void whole_leave(struct broker *b, struct group *g)
{
	struct whole *t = g->whole;

	if (t == NULL)
		return;
	g->whole = NULL;
	TAILQ_REMOVE(&t->groups, g, of_whole);
	if (--t->n_groups > 0)
		return;
	map_del(&b->wholes, span_str(t->key));
	free(t);
}

/* Those that wait for it are looked at in the next turn. */
void limit_others(struct broker *b, struct group *g)
{
	struct group *other;

	if (g->whole == NULL)
		return;
	TAILQ_FOREACH(other, &g->whole->groups, of_whole)
	{
		if (other != g && other->limit != LIMIT_NONE)
			group_soon(b, other);
	}
}

/* ---- a group ------------------------------------------------------------------------------------
 */

static bool grows(const struct belongs *in)
{
	return in->target->kind == TARGET_RELAY || in->target->kind == TARGET_MX;
}

void limit_init(struct broker *b, struct group *g, const struct belongs *in)
{
	g->opens = INT64_MAX;
	g->grows = grows(in);
	grower_init(&g->grower, g->shape->connections, !g->grows);
	if (g->shape->messages.n > 0 && !g->provisional) {
		g->messages = gw_calloc(1, sizeof(*g->messages));
		window_init(g->messages, g->shape->messages);
	}
	g->whole_length = whole_key_length(b->config, g, in);
	whole_join(b, g);
}

void limit_fini(struct broker *b, struct group *g)
{
	whole_leave(b, g);
	free(g->messages);
	free(g->rulings);
	g->messages = NULL;
	g->rulings = NULL;
}

/* Jobs that are on their way. */
static size_t under_way(const struct group *g)
{
	const struct way *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &g->ways, of_group)
	n += w->n_busy;
	return n;
}

/* Without a limit nobody counted: what is under way counts from now on. */
static void change_window(struct window *w, struct rate rate, size_t busy, int64_t now)
{
	bool counted = w->rate.n > 0;

	window_change(w, rate, now);
	for (size_t i = 0; i < busy && !counted; i++)
		window_take(w);
}

static size_t whole_under_way(const struct whole *t)
{
	const struct group *g;
	size_t n = 0;

	TAILQ_FOREACH(g, &t->groups, of_whole)
	n += under_way(g);
	return n;
}

void limit_wholes_reconfigure(struct broker *b, int64_t now)
{
	struct whole *t;
	size_t at = 0;

	while ((t = map_next(&b->wholes, &at)) != NULL) {
		const struct shape *shape = TAILQ_FIRST(&t->groups)->shape;

		t->connections = shape->connections_total;
		change_window(&t->messages, shape->messages_total, whole_under_way(t), now);
	}
}

static void change_messages(struct group *g, int64_t now)
{
	struct rate rate = g->shape->messages;

	if (rate.n == 0 || g->provisional) {
		free(g->messages);
		g->messages = NULL;
		return;
	}
	if (g->messages == NULL)
		g->messages = gw_calloc(1, sizeof(*g->messages));
	change_window(g->messages, rate, under_way(g), now);
}

/* It has what it had, and its connections and messages with it. */
static void change_whole(struct broker *b, struct group *g)
{
	bool wanted = g->shape->connections_total > 0 || g->shape->messages_total.n > 0;

	if (g->whole != NULL && !wanted) {
		g->whole->n_conns -= g->n_conns;
		whole_leave(b, g);
	} else if (g->whole == NULL && wanted) {
		whole_join(b, g);
		if (g->whole == NULL)
			return;
		g->whole->n_conns += g->n_conns;
		for (size_t i = under_way(g); i > 0; i--)
			window_take(&g->whole->messages);
	}
}

void limit_reconfigure(struct broker *b, struct group *g, int64_t now)
{
	grower_change(&g->grower, g->shape->connections, !g->grows);
	change_messages(g, now);
	change_whole(b, g);
}

size_t limit_most(const struct group *g)
{
	return g->grower.allowed;
}

static bool stop(struct group *g, enum limit why, int64_t opens)
{
	g->limit = why;
	g->opens = opens;
	return false;
}

bool limit_open(struct group *g, int64_t now)
{
	struct rulings *r = g->rulings;

	if (r != NULL && r->pause.until > now)
		return stop(g, LIMIT_PAUSE, r->pause.until);
	if (r != NULL && r->slow.until > now && !window_open(&r->window, now))
		return stop(g, LIMIT_SLOW, window_opens(&r->window));
	if (g->messages != NULL && !window_open(g->messages, now))
		return stop(g, LIMIT_MESSAGES, window_opens(g->messages));
	if (g->whole != NULL && !window_open(&g->whole->messages, now))
		return stop(g, LIMIT_MESSAGES_TOTAL, window_opens(&g->whole->messages));
	g->limit = LIMIT_NONE;
	g->opens = INT64_MAX;
	return true;
}

bool limit_connection(struct group *g)
{
	if (g->n_conns >= g->shape->connections)
		return stop(g, LIMIT_CONNECTIONS, INT64_MAX);
	if (g->n_conns >= limit_most(g))
		return stop(g, LIMIT_GROWN, INT64_MAX);
	if (g->whole != NULL && g->whole->connections > 0 &&
	    g->whole->n_conns >= g->whole->connections)
		return stop(g, LIMIT_CONNECTIONS_TOTAL, INT64_MAX);
	return true;
}

bool limit_bulk(struct group *g)
{
	size_t most = limit_most(g);

	if (most < 2 || g->n_bulk + 1 < most)
		return false;
	return !stop(g, most < g->shape->connections ? LIMIT_GROWN : LIMIT_CONNECTIONS, INT64_MAX);
}

void limit_take(struct group *g)
{
	if (g->messages != NULL)
		window_take(g->messages);
	if (g->rulings != NULL)
		window_take(&g->rulings->window);
	if (g->whole != NULL)
		window_take(&g->whole->messages);
}

void limit_back(struct broker *b, struct group *g, bool sent, int64_t started, int64_t now)
{
	if (g->messages != NULL)
		window_back(g->messages, sent, started, now);
	if (g->rulings != NULL)
		window_back(&g->rulings->window, sent, started, now);
	if (g->whole == NULL)
		return;
	window_back(&g->whole->messages, sent, started, now);
	limit_others(b, g);
}

void limit_good(struct group *g, int64_t now)
{
	(void)grower_good(&g->grower, now);
}

static void log_refused(const struct group *g, struct span why)
{
	struct logline l;

	log_begin(&l, EV_SHAPE_SLOWED);
	log_str(&l, "group", g->shape->name);
	log_number(&l, "connections", g->grower.allowed);
	log_str(&l, "site", g->name);
	log_text(&l, "reply", why);
	log_end(&l);
}

static uint32_t in_use(const struct group *g)
{
	const struct way *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &g->ways, of_group)
	n += w->n_busy;
	return (uint32_t)n;
}

void limit_refused(struct broker *b, struct group *g, int64_t started, struct span why, int64_t now)
{
	bool first = g->grower.refused == 0;

	if (!grower_cut(&g->grower, in_use(g), started, now))
		return;
	if (first && g->grower.refused != 0)
		log_refused(g, why);
	conns_thin(b, g);
}

void limit_unreachable(struct broker *b, struct group *g, int64_t started, int64_t now)
{
	if (grower_cut(&g->grower, 0, started, now))
		conns_thin(b, g);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void log_normal(const struct group *g, const struct ruling *r)
{
	struct logline l;

	log_begin(&l, EV_SHAPE_NORMAL);
	log_str(&l, "group", g->shape->name);
	log_str(&l, "site", g->name);
	log_str(&l, "was", r->why);
	log_end(&l);
}

static void end_ruling(const struct group *g, struct ruling *r, int64_t now)
{
	if (r->until == 0 || r->until > now)
		return;
	r->until = 0;
	log_normal(g, r);
}

void limit_refresh(struct group *g, int64_t now)
{
	struct rulings *r = g->rulings;

	if (g->limit != LIMIT_NONE) {
		g->limit = LIMIT_NONE;
		g->opens = INT64_MAX;
	}
	if (r == NULL)
		return;
	end_ruling(g, &r->pause, now);
	end_ruling(g, &r->slow, now);
	if (r->pause.until == 0 && r->slow.until == 0) {
		free(r);
		g->rulings = NULL;
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return b > 0 && b < a ? b : a;
}

void limit_schedule(struct broker *b, struct group *g)
{
	int64_t at = g->opens;

	if (g->rulings != NULL) {
		at = earlier(at, g->rulings->pause.until);
		at = earlier(at, g->rulings->slow.until);
	}
	if (at != INT64_MAX)
		heap_set(&b->waiting, &g->wake, at);
	else
		heap_del(&b->waiting, &g->wake);
}

static int64_t window_remembers(struct window *w, int64_t now)
{
	return w == NULL || window_empty(w, now) ? 0 : now + (int64_t)w->rate.seconds * 1000000;
}

int64_t limit_remembers(struct group *g, int64_t now)
{
	int64_t until = window_remembers(g->messages, now), other;

	other = g->whole != NULL ? window_remembers(&g->whole->messages, now) : 0;
	until = other > until ? other : until;
	if (g->rulings != NULL) {
		until = g->rulings->pause.until > until ? g->rulings->pause.until : until;
		until = g->rulings->slow.until > until ? g->rulings->slow.until : until;
	}
	if (!grower_fresh(&g->grower, now))
		until = now + 60 * 1000000 > until ? now + 60 * 1000000 : until;
	return until;
}
