/* Groups: what may be given out now, to whom, and over what. */
#include "flow/ask-private.h"

#include <stdio.h>
#include <stdlib.h>

/* Beyond so many, groups where nothing goes are not remembered for what went. */
enum { GROUPS_KEPT_MAX = 32768 };

enum {
	GROUP_KEY_MAX = HOSTS_MAX * 3 * 256 + SITE_KEY_MAX + 256,
	GROUP_NAME_MAX = SITE_KEY_MAX + 256
};

/* ---- groups ---------------------------------------------------------------------------- */

/* All that goes out by a named shape is one group, from each source; else the same hosts are. */
static bool by_name(const struct belongs *in)
{
	return in->asking == NULL && strcmp(in->shape->name, "*") != 0 &&
	       (in->target->kind == TARGET_RELAY || in->target->kind == TARGET_MX);
}

static const char *source_of(const struct config *c, const struct belongs *in)
{
	const struct vmta *v = in->target->vmta;

	return v != NULL && v != c->vmta ? v->name : "";
}

/* "shape|where". What has no set of hosts has its source in its name. */
static void group_key(const struct config *c, const struct belongs *in, char to[GROUP_KEY_MAX])
{
	const char *shape = in->shape->name, *source = source_of(c, in);
	int n;

	if (by_name(in))
		n = snprintf(to, GROUP_KEY_MAX, "%s|all|%s", shape, source);
	else if (in->set != NULL)
		n = snprintf(to, GROUP_KEY_MAX, "%s|mx:%s|%s", shape, in->set, source);
	else
		n = snprintf(to, GROUP_KEY_MAX, "%s|%s", shape, in->name);
	gw_assert(n > 0 && n < GROUP_KEY_MAX);
}

/* Where it goes and from where, for people. */
static void group_name(const struct config *c, const struct belongs *in, char to[GROUP_NAME_MAX])
{
	const char *source = source_of(c, in);
	int n = snprintf(to, GROUP_NAME_MAX, "%s", by_name(in) ? in->shape->name : in->name);

	if ((by_name(in) || in->set != NULL) && source[0] != '\0' && n < GROUP_NAME_MAX)
		snprintf(to + n, (size_t)(GROUP_NAME_MAX - n), " from %s", source);
}

static struct group *group_new(struct broker *b, const struct belongs *in, const char *key)
{
	char name[GROUP_NAME_MAX];
	size_t n = strlen(key);
	struct group *g;

	group_name(b->config, in, name);
	g = gw_calloc(1, sizeof(*g) + n + strlen(name) + 2);
	g->magic = GROUP_MAGIC;
	memcpy(g->key, key, n + 1);
	memcpy(g->key + n + 1, name, strlen(name));
	g->name = g->key + n + 1;
	g->shape = in->shape;
	g->provisional = in->asking != NULL;
	g->by_pull = in->target->kind == TARGET_ODMR;
	TAILQ_INIT(&g->ways);
	turns_init(&g->turns, &b->turn_book);
	TAILQ_INIT(&g->idle);
	limit_init(b, g, in);
	map_put(&b->groups, span_str(g->key), g);
	if (!b->recovering)
		orders_apply(b, g, b->now);
	return g;
}

struct group *group_get(struct broker *b, const struct belongs *in)
{
	char key[GROUP_KEY_MAX];
	struct group *g;

	group_key(b->config, in, key);
	g = map_get(&b->groups, span_str(key));
	return g != NULL ? g : group_new(b, in, key);
}

void group_release(struct broker *b, struct group *g)
{
	int64_t until;

	if (g->n_ways > 0 || g->busy > 0)
		return;
	until = limit_remembers(g, b->now);
	if (until > 0 && map_len(&b->groups) < GROUPS_KEPT_MAX) {
		heap_set(&b->waiting, &g->wake, until);
		return;
	}
	group_fed(b, g);
	limit_fini(b, g);
	heap_del(&b->waiting, &g->wake);
	map_del(&b->groups, span_str(g->key));
	g->magic = 0;
	free(g);
}

void group_joins(struct site *s)
{
	turns_join(&s->group->turns, &s->turn, s->priority, site_account(s));
}

void group_leaves(struct site *s)
{
	turns_leave(&s->group->turns, &s->turn);
}

/* ---- who goes next ---------------------------------------------------------------------- */

static bool may_pump(const struct broker *b, const struct group *g)
{
	(void)g;
	return !b->recovering && !b->frozen && b->may_start && !b->stopping;
}

static void settle_rejected(struct broker *b, struct task *t, int64_t now)
{
	struct reply r = route_reply(t->site->target.reply);

	task_activate(b, t);
	task_settle_all(
	    b, t, NULL, reply_temporary(&r) ? OUTCOME_DEFERRED : OUTCOME_FAILED, &r, now);
}

/* DNS said that there is nowhere to go, or nothing. False: it was not asked yet. */
static bool settle_nameless(struct broker *b, struct task *t, int64_t now)
{
	struct names *d = t->site->names;
	char text[512];
	struct reply r;

	if (!names_end(b, d, now))
		return false;
	r = names_reply(d, text, sizeof(text));
	task_activate(b, t);
	task_settle_all(
	    b, t, NULL, reply_temporary(&r) ? OUTCOME_DEFERRED : OUTCOME_FAILED, &r, now);
	return true;
}

/* False: nothing more can be given out now. */
static bool give_one(struct broker *b, struct site *s, int64_t now)
{
	struct task *t = blame_next_task(s);
	struct conn *c;

	if (deadline_meet(b, t, now) == DEADLINE_OVER || account_holds(b, t, now))
		return true;
	if (s->target.kind == TARGET_REJECT) {
		settle_rejected(b, t, now);
		return true;
	}
	if (s->group->provisional)
		return settle_nameless(b, t, now);
	if (s->names != NULL && b->n_names_adopted > 0)
		return false;
	if (s->names != NULL && now >= s->names->until)
		names_want(b, s->names); /* it goes by the old answer meanwhile */
	if (!limit_open(s->group, now))
		return false;
	c = conn_get(b, s);
	if (c == NULL)
		return false;
	turns_taken(&s->group->turns, &s->turn);
	task_activate(b, t);
	job_start(b, t, c, now);
	return true;
}

static struct site *site_of_turn(struct turn *e)
{
	return e != NULL ? (struct site *)((char *)e - offsetof(struct site, turn)) : NULL;
}

/* Bulk mail leaves one connection to the others, where there may be more than one: what comes
 * behind any amount of it goes at once. */
static struct site *next_site(struct group *g)
{
	struct turn *e = turns_next(&g->turns, TURNS_ALL);

	if (e != NULL && site_of_turn(e)->priority == PRIORITY_BULK && limit_bulk(g))
		e = turns_next(&g->turns, TURNS_ALL & ~(1U << PRIORITY_BULK));
	return site_of_turn(e);
}

void group_pump(struct broker *b, struct group *g, int64_t now)
{
	struct site *s;

	gw_check_magic(g, GROUP_MAGIC);
	g->busy++;
	group_fed(b, g);
	limit_refresh(g, now);
	while (may_pump(b, g) && (s = next_site(g)) != NULL && give_one(b, s, now))
		;
	if (g->by_pull)
		pull_look(b, g);
	limit_schedule(b, g);
	g->busy--;
	group_release(b, g);
}

void group_pump_all(struct broker *b, int64_t now)
{
	size_t at = 0;
	struct group *g;

	while ((g = map_next(&b->groups, &at)) != NULL)
		group_pump(b, g, now);
}

/* ---- later ----------------------------------------------------------------------------------- */

void group_soon(struct broker *b, struct group *g)
{
	heap_set(&b->waiting, &g->wake, 0);
}

void group_starves(struct broker *b, struct group *g)
{
	if (g->starved)
		return;
	g->starved = true;
	TAILQ_INSERT_TAIL(&b->starved, g, of_starved);
}

void group_fed(struct broker *b, struct group *g)
{
	if (!g->starved)
		return;
	g->starved = false;
	TAILQ_REMOVE(&b->starved, g, of_starved);
}

void groups_soon(struct broker *b)
{
	size_t at = 0;
	struct group *g;

	while ((g = map_next(&b->groups, &at)) != NULL)
		group_soon(b, g);
}

void groups_wake(struct broker *b, int64_t now)
{
	struct heap_node *n;

	while ((n = heap_min(&b->waiting)) != NULL && n->key <= now) {
		heap_del(&b->waiting, n);
		group_pump(b, (struct group *)((char *)n - offsetof(struct group, wake)), now);
	}
}

/* ---- names and hosts ------------------------------------------------------------------------ */
