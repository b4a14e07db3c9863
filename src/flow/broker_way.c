/*
 * Ways: the hosts that mail goes to, with what is demanded of a connection there. Its connections
 * can be used by all its sites; its hosts fail and recover together. A way that rests, or on which
 * one message is tried before the others, keeps its sites out of the turns of the group, so that
 * they are in nobody's way there.
 */
#include "flow/broker-private.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAY_KEY_MAX = HOSTS_MAX * 3 * 256 + SITE_KEY_MAX + 256 };

/* ---- what is demanded of a connection --------------------------------------------------- */

static uint64_t mix(uint64_t seed, const void *p, size_t n)
{
	return map_hash(span_of(p, n), seed);
}

/* Nothing but what is the same for everybody? */
static bool plain(const struct target *t)
{
	return t->tls.mode == OUT_TLS_UNSAID && t->secret == NULL && !t->private_ok &&
	       (t->port == 0 || t->port == 25);
}

uint64_t way_demands(const struct target *t)
{
	const struct {
		uint32_t mode, port, private;
	} said = {(uint32_t)t->tls.mode, t->port, t->private_ok};
	uint64_t h;

	if (plain(t))
		return 0;
	h = mix(1, &said, sizeof(said));
	if (t->tls.n_fingerprint > 0)
		h = mix(h, t->tls.fingerprint, t->tls.n_fingerprint * sizeof(*t->tls.fingerprint));
	if (t->secret != NULL)
		h = mix(h, t->secret, strlen(t->secret));
	return h | 1;
}

/* ---- ways -------------------------------------------------------------------------------- */

/* "shape|where", and a mark of its demands if it has any. */
static void way_key(const struct config *c, const struct belongs *in, char to[WAY_KEY_MAX])
{
	uint64_t demands = way_demands(in->target);
	int n = snprintf(to, WAY_KEY_MAX, "%s|%s%s", in->shape->name, in->set ? "mx:" : "",
	    in->set ? in->set : in->name);

	gw_assert(n > 0 && n < WAY_KEY_MAX);
	if (in->set != NULL && in->target->vmta != c->vmta)
		n +=
		    snprintf(to + n, (size_t)(WAY_KEY_MAX - n), " from %s", in->target->vmta->name);
	if (demands != 0)
		n += snprintf(
		    to + n, (size_t)(WAY_KEY_MAX - n), "#%016llx", (unsigned long long)demands);
	gw_assert(n < WAY_KEY_MAX);
}

/* name: where it goes, for people. */
static struct way *way_new(struct broker *b, struct group *g, const char *key, const char *name)
{
	size_t n = strlen(key), m = strlen(name);
	struct way *w = gw_calloc(1, sizeof(*w) + n + m + 2);

	w->magic = WAY_MAGIC;
	memcpy(w->key, key, n + 1);
	memcpy(w->key + n + 1, name, m + 1);
	w->name = w->key + n + 1;
	w->group = g;
	TAILQ_INIT(&w->sites);
	TAILQ_INIT(&w->idle);
	TAILQ_INSERT_TAIL(&g->ways, w, of_group);
	g->n_ways++;
	map_put(&b->ways, span_str(w->key), w);
	bad_hosts_recall(b, w);
	return w;
}

struct way *way_get(struct broker *b, const struct belongs *in)
{
	char key[WAY_KEY_MAX];
	struct way *w;

	way_key(b->config, in, key);
	w = map_get(&b->ways, span_str(key));
	return w != NULL ? w : way_new(b, group_get(b, in), key, in->name);
}

void way_mark(const struct way *w, char to[WAY_MARK_MAX])
{
	int n = snprintf(to, WAY_MARK_MAX, "%s", w->key);

	if (n >= WAY_MARK_MAX)
		snprintf(to + WAY_MARK_MAX - 20, 20, "+%016llx",
		    (unsigned long long)map_hash(span_str(w->key), 1));
}

struct way *way_of_mark(const struct broker *b, const char *mark)
{
	char this[WAY_MARK_MAX];
	struct way *w = map_get(&b->ways, span_str(mark));
	size_t at = 0;

	while (w == NULL && (w = map_next(&b->ways, &at)) != NULL) {
		way_mark(w, this);
		if (strcmp(this, mark) == 0)
			return w;
		w = NULL;
	}
	return w;
}

void way_release(struct broker *b, struct way *w)
{
	struct group *g = w->group;

	if (w->n_sites + w->n_conns > 0 || w->rest_until > 0 || w->busy > 0)
		return;
	map_del(&b->ways, span_str(w->key));
	TAILQ_REMOVE(&g->ways, w, of_group);
	g->n_ways--;
	w->magic = 0;
	free(w->told);
	free(w);
	group_release(b, g);
}

void way_pump(struct broker *b, struct way *w, int64_t now)
{
	struct group *g = w->group;

	g->busy++;
	way_release(b, w);
	g->busy--;
	group_pump(b, g, now);
}

/* ---- whose sites have turns ---------------------------------------------------------------- */

/* One knocks, the others wait. */
static bool way_open(const struct way *w)
{
	if (w->rest_until > 0)
		return false;
	return (w->failures == 0 && !w->suspected) || w->n_busy == 0;
}

void site_offers(struct site *s)
{
	if (turn_is_in(&s->turn) || s->way->held || site_waits(s) || TAILQ_EMPTY(&s->ready))
		return;
	group_joins(s);
}

void site_withdraws(struct site *s)
{
	group_leaves(s);
}

void way_review(struct way *w)
{
	bool held = !way_open(w);
	struct site *s;

	if (held == w->held)
		return;
	w->held = held;
	TAILQ_FOREACH(s, &w->sites, of_way)
	{
		if (held)
			site_withdraws(s);
		else
			site_offers(s);
	}
}

void site_enters(struct site *s, struct way *w)
{
	s->way = w;
	s->group = w->group;
	s->pulled = pull_is_on(s);
	TAILQ_INSERT_TAIL(&w->sites, s, of_way);
	w->n_sites++;
	site_offers(s);
}

void site_parts(struct site *s)
{
	site_withdraws(s);
	TAILQ_REMOVE(&s->way->sites, s, of_way);
	s->way->n_sites--;
}

/* text[WAY_MARK_MAX] */
static struct belongs belongs_to(const struct broker *b, const struct site *s, char *text)
{
	struct names *d = s->names;
	struct belongs in = {.shape = s->routed, .target = &s->target, .name = s->name};

	if (d != NULL && names_have_hosts(d)) {
		in.shape = d->shape;
		in.name = d->text;
		in.set = d->set;
	} else if (s->target.kind == TARGET_ODMR) {
		in.name = text; /* one way for all that its customer may have */
		in.shape = &b->config->shape[b->config->n_shape - 1];
		snprintf(text, WAY_MARK_MAX, PULL_WAY "%s", s->target.path);
	} else {
		in.asking = d;
	}
	return in;
}

int64_t site_stored(
    const struct broker *b, const struct site *s, uint32_t attempts, int64_t due, int64_t now)
{
	int64_t latest = sched_stored(s->shape, s->priority, attempts, due, now);

	/* Its group is not known yet: it may have waited by the schedule of any shape. */
	if (!s->group->provisional)
		return latest;
	for (size_t i = 0; i < b->config->n_shape; i++) {
		int64_t other = sched_stored(&b->config->shape[i], s->priority, attempts, due, now);

		latest = other > latest ? other : latest;
	}
	return latest;
}

/* What is ready counts its life by the shape. */
static void take_shape(struct broker *b, struct site *s, const struct shape *shape)
{
	struct task *t;

	if (s->shape == shape)
		return;
	s->shape = shape;
	TAILQ_FOREACH(t, &s->ready, link)
	task_schedule(b, t);
}

void site_moves(struct broker *b, struct site *s)
{
	char text[WAY_MARK_MAX];
	struct belongs in = belongs_to(b, s, text);
	struct way *w = way_get(b, &in), *old = s->way;

	take_shape(b, s, s->target.kind == TARGET_ODMR ? s->routed : in.shape);
	if (w == old)
		return;
	if (old != NULL)
		site_parts(s);
	site_enters(s, w);
	if (old == NULL)
		return;
	if (old->group->provisional)
		conns_move(b, old, w);
	way_release(b, old);
}

/* ---- failures ------------------------------------------------------------------------------ */

void way_rest(struct broker *b, struct way *w, int64_t until)
{
	w->rest_until = until;
	heap_set(&b->resting, &w->rest, until);
	way_review(w);
}

void way_failed(struct broker *b, struct way *w, int64_t now)
{
	/* Connections that fail together are one failure of the hosts. */
	if (w->rest_until > 0)
		return;
	w->failures++;
	way_rest(b, w, sched_rest(w->failures, now, &b->dice));
}

void way_works(struct broker *b, struct way *w)
{
	if (w->failures > 0) {
		w->failures = 0;
		way_review(w);
	}
	blame_way_works(b, w);
}

void way_wakes(struct broker *b, struct way *w, int64_t now)
{
	heap_del(&b->resting, &w->rest);
	w->rest_until = 0;
	blame_way_wakes(w);
	way_review(w);
	way_pump(b, w, now);
}
