/*
 * Another configuration. Nothing of the one before is pointed to when this is done: sites, groups
 * and names are told what they are by the new one. What waits is routed anew when it is tried next,
 * as always; what was ready to go is tried next. A site that the new configuration has no target
 * for takes no more: it stays until the mail that is filed there is wanted again.
 *
 * Limits are those of the new shapes, and counts go on; so do pauses, orders and what is known of
 * hosts. Idle connections that were made for another target, or for none, are closed; those with a
 * job when it is done.
 */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdlib.h>

enum { TARGET_KEY = SITE_KEY_MAX + sizeof(uint64_t) };

/* What stands for a target that is gone, where its mail has only to be found again. */
static const char gone_reply[] = "451 4.3.0 The rules for this recipient have changed";

/* ---- targets -------------------------------------------------------------------------------- */

struct targets {
	struct map map; /* target_key() -> const struct target */
	struct arena keys;
};

static const struct target *target_at(const struct config *c, size_t i)
{
	if (i < c->n_domain)
		return &c->domain[i].deliver;
	i -= c->n_domain;
	return i < c->n_route ? &c->route[i].target : NULL;
}

/* Its name, whatever domain it is for, and what it demands. */
static struct span target_key(const struct config *c, const struct target *t, char to[TARGET_KEY])
{
	uint64_t demands = way_demands(t);
	size_t n;

	route_site(c, t, to);
	n = strlen(to);
	memcpy(to + n, &demands, sizeof(demands));
	return span_of(to, n + sizeof(demands));
}

static void targets_init(struct targets *all, const struct config *c, uint64_t seed)
{
	const struct target *t;
	char room[TARGET_KEY];

	map_init(&all->map, seed);
	arena_init(&all->keys, SIZE_MAX);
	for (size_t i = 0; (t = target_at(c, i)) != NULL; i++) {
		struct span key = target_key(c, t, room);

		if (map_get(&all->map, key) == NULL)
			map_put(&all->map, arena_dup(&all->keys, key), (void *)(uintptr_t)t);
	}
}

static void targets_fini(struct targets *all)
{
	map_fini(&all->map);
	arena_reset(&all->keys);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_vmta(const struct vmta *a, const struct vmta *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a->name, b->name) == 0 && same_text(a->helo, b->helo) && a->wish == b->wish &&
	       a->has_v4 == b->has_v4 && a->has_v6 == b->has_v6 &&
	       memcmp(a->v4, b->v4, sizeof(a->v4)) == 0 && memcmp(a->v6, b->v6, sizeof(a->v6)) == 0;
}

/* Of two with one key: is a connection for one of them good for the other? Their hosts, ports and
 * demands are the same. */
static bool same_channel(const struct target *a, const struct target *b)
{
	return same_text(a->secret_path, b->secret_path) && same_vmta(a->vmta, b->vmta);
}

/* ---- shapes --------------------------------------------------------------------------------- */

/* By the name before the '|' of a key; what has gone is as everything else. */
static const struct shape *shape_of_key(const struct config *c, const char *key)
{
	size_t n = strcspn(key, "|");

	for (size_t i = 0; i < c->n_shape; i++) {
		if (strlen(c->shape[i].name) == n && memcmp(c->shape[i].name, key, n) == 0)
			return &c->shape[i];
	}
	return &c->shape[c->n_shape - 1];
}

static void change_groups(struct broker *b)
{
	size_t at = 0;
	struct group *g;

	while ((g = map_next(&b->groups, &at)) != NULL)
		g->shape = shape_of_key(b->config, g->key);
}

/* ---- sites ---------------------------------------------------------------------------------- */

/* What could go now is tried again: by the routes of now, the oldest first. */
static void unready(struct broker *b, struct site *s)
{
	struct task *t;

	while ((t = TAILQ_FIRST(&s->ready)) != NULL)
		task_wait(b, t, t->msg->accepted < b->now ? t->msg->accepted : b->now);
}

/* Nothing more is filed here: no key is like this one, since no class is. */
static void site_goes(struct broker *b, struct site *s)
{
	size_t at = strlen(s->key) + 1;
	uint64_t number = b->next_number++;

	map_del(&b->sites, span_of(s->key, s->key_length));
	memcpy(s->key + at, &number, sizeof(number));
	s->key[at + sizeof(number)] = '~';
	map_put(&b->sites, span_of(s->key, s->key_length), s);
	s->gone = true;
}

/* Enough to be told apart and listed. */
static void take_gone_target(struct broker *b, struct site *s)
{
	s->target = (struct target){.kind = s->target.kind,
	    .path = s->name,
	    .reply = gone_reply,
	    .vmta = &b->config->vmta[0]};
}

static void change_site(
    struct broker *b, struct site *s, const struct config *old, struct targets *all)
{
	char room[TARGET_KEY];
	const struct target *t = NULL;

	unready(b, s);
	if (!s->gone && !pull_ends(b, s))
		t = map_get(&all->map, target_key(old, &s->target, room));
	if (t == NULL || !same_channel(&s->target, t))
		s->way->stale = true;
	if (t == NULL && !s->gone)
		site_goes(b, s);
	if (t != NULL)
		s->target = *t;
	else
		take_gone_target(b, s);
	s->routed = shape_of_key(b->config, s->key);
}

/* In a list: what is done to one of them changes the map. */
static struct site **list_sites(const struct broker *b, size_t *n)
{
	struct site **list = gw_calloc(map_len(&b->sites) + 1, sizeof(struct site *)), *s;
	size_t at = 0;

	*n = 0;
	while ((s = map_next(&b->sites, &at)) != NULL)
		list[(*n)++] = s;
	return list;
}

static void change_sites(struct broker *b, const struct config *old)
{
	struct targets all;
	struct site **list;
	size_t n;

	targets_init(&all, b->config, dice_roll(&b->dice));
	list = list_sites(b, &n);
	for (size_t i = 0; i < n; i++)
		change_site(b, list[i], old, &all);
	names_reconfigure(b);
	for (size_t i = 0; i < n; i++)
		site_moves(b, list[i]);
	/* What waits for room, or a customer, at one that is gone waits no more. */
	for (size_t i = 0; i < n; i++) {
		site_hungry(b, list[i]);
		if (list[i]->gone)
			pull_disband(b, list[i]);
	}
	free(list);
	targets_fini(&all);
}

/* ---- connections ---------------------------------------------------------------------------- */

static void close_stale(struct broker *b)
{
	size_t at = 0;
	struct conn *c;
	struct way *w;

	while ((w = map_next(&b->ways, &at)) != NULL)
		w->stale = w->stale || w->n_sites == 0;
	at = 0;
	while ((c = map_next(&b->conns, &at)) != NULL) {
		if (!c->way->stale || c->closing)
			continue;
		c->stale = true;
		if (c->idle)
			conn_dismiss(b, c);
	}
	at = 0;
	while ((w = map_next(&b->ways, &at)) != NULL)
		w->stale = false;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void change_limits(struct broker *b)
{
	size_t at = 0;
	struct group *g;

	limit_wholes_reconfigure(b, b->now);
	while ((g = map_next(&b->groups, &at)) != NULL) {
		limit_reconfigure(b, g, b->now);
		conns_thin(b, g);
		group_soon(b, g);
	}
}

void broker_reconfigure(struct broker *b, const struct config *c, int64_t now)
{
	const struct config *old = b->config;

	gw_check_magic(b, BROKER_MAGIC);
	gw_assert(b->first == NULL);
	b->now = now;
	rules_fini(b);
	b->config = c;
	rules_init(b);
	change_groups(b);
	change_sites(b, old);
	close_stale(b);
	change_limits(b);
	limits_reconfigure(b, now);
}
