/*
 * Orders of operators over groups: applied to those there are and to each that comes, written to
 * the log with the counts of the days before they are answered.
 */
#include "flow/ask-private.h"

#include "base/json.h"
#include "flow/query-private.h"

#include <stdio.h>
#include <stdlib.h>

enum { ORDER_ROOM = 8192 };

/* ---- on groups ------------------------------------------------------------------------------- */

static void describe(const struct order *o, char *to, size_t n)
{
	snprintf(to, n, "%s%s%s", o->who, o->reason[0] != '\0' ? ": " : "", o->reason);
}

void orders_apply(struct broker *b, struct group *g, int64_t now)
{
	const struct order *pause = orders_find(&b->orders, false, g->shape->name, g->name);
	const struct order *slow = orders_find(&b->orders, true, g->shape->name, g->name);
	char why[ORDER_WHO_MAX + ORDER_REASON_MAX + 4];

	if (pause != NULL && pause->until > now) {
		describe(pause, why, sizeof(why));
		group_pause(b, g, pause->until, why, NULL, now);
	}
	if (slow != NULL && slow->until > now) {
		describe(slow, why, sizeof(why));
		group_slow(b, g, slow->rate, slow->until, why, NULL, now);
	}
}

static bool is_meant(const struct group *g, const char *name)
{
	return strcmp(name, "all") == 0 || strcmp(name, g->shape->name) == 0 ||
	       strcmp(name, g->name) == 0;
}

static size_t apply_to(struct broker *b, const char *name, bool resume, int64_t now)
{
	size_t at = 0, n = 0;
	struct group *g;

	while ((g = map_next(&b->groups, &at)) != NULL) {
		if (!is_meant(g, name))
			continue;
		if (resume)
			group_resume(b, g, now);
		orders_apply(b, g, now);
		n++;
	}
	return n;
}

void orders_recovered(struct broker *b, int64_t now)
{
	(void)orders_expire(&b->orders, now);
	if (b->orders.n > 0)
		(void)apply_to(b, "all", false, now);
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct order order_of(const struct broker_order *in, int64_t now)
{
	struct order o = {.slow = in->slow, .rate = in->rate, .since = now};

	o.until = in->time > 0 && in->time < INT64_MAX - now ? now + in->time : INT64_MAX;
	span_to_cstr(in->group, o.group, sizeof(o.group));
	span_to_cstr(in->who, o.who, sizeof(o.who));
	span_to_cstr(in->reason, o.reason, sizeof(o.reason));
	return o;
}

static int bad_group(struct buf *out)
{
	return query_problem(out, 400, "Bad group", "the name of a group has 1 to 399 characters",
	    "a name of the summary (godwit queue), of a shape, or all");
}

/* Is it the name of a shape, of a group there is now, or all? One that the summary alone has
 * becomes the group's own, which stays the same. */
static bool is_known(const struct broker *b, char name[ORDER_GROUP_MAX])
{
	size_t at = 0;
	const struct group *g;

	if (strcmp(name, "all") == 0)
		return true;
	for (size_t i = 0; i < b->config->n_shape; i++) {
		if (strcmp(b->config->shape[i].name, name) == 0)
			return true;
	}
	while ((g = map_next(&b->groups, &at)) != NULL) {
		if (strcmp(g->name, name) == 0)
			return true;
		if (strlen(g->name) < ORDER_GROUP_MAX && strcmp(query_group_name(g), name) == 0) {
			snprintf(name, ORDER_GROUP_MAX, "%s", g->name);
			return true;
		}
	}
	return false;
}

static int unknown_group(struct buf *out, const char *name)
{
	char detail[ORDER_GROUP_MAX + 64];

	snprintf(detail, sizeof(detail), "there is no group '%.200s' now", name);
	return query_problem(out, 404, "No such group", detail,
	    "godwit queue names them; a shape of the configuration, or all, will do too");
}

/* Without a log the answer is given at once, else when the order is durable. */
static int say(
    struct broker *b, const struct broker_order *in, const char *word, size_t n, struct buf *out)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"%s\":%zu}", word, n);
	if (counters_order(b, in->asker, in->request, text))
		return 0;
	buf_add_str(out, text);
	return 200;
}

int broker_order(struct broker *b, const struct broker_order *in, struct buf *out, int64_t now)
{
	struct order o;

	if (in->group.n == 0 || in->group.n >= ORDER_GROUP_MAX)
		return bad_group(out);
	o = order_of(in, now);
	(void)orders_expire(&b->orders, now);
	if (!is_known(b, o.group))
		return unknown_group(out, o.group);
	if (!orders_put(&b->orders, &o))
		return query_problem(out, 409, "Too many orders", "256 orders stand already",
		    "godwit queue rules lists them");
	b->now = now;
	return say(b, in, o.slow ? "slowed" : "paused", apply_to(b, o.group, false, now), out);
}

int broker_resume(struct broker *b, const struct broker_order *in, struct buf *out, int64_t now)
{
	char name[ORDER_GROUP_MAX];
	size_t removed;

	if (in->group.n == 0 || in->group.n >= sizeof(name))
		return bad_group(out);
	span_to_cstr(in->group, name, sizeof(name));
	(void)orders_expire(&b->orders, now);
	removed = orders_remove(&b->orders, name);
	if (removed == 0 && is_known(b, name))
		removed = orders_remove(&b->orders, name);
	if (strcmp(name, "all") == 0) {
		removed += b->orders.n;
		orders_fini(&b->orders);
	}
	if (removed == 0 && !is_known(b, name))
		return unknown_group(out, name);
	b->now = now;
	return say(b, in, "resumed", apply_to(b, name, true, now), out);
}

/* ---- what stands ------------------------------------------------------------------------------
 */

static void put_times(const struct broker *b, int64_t since, int64_t until, struct buf *out)
{
	if (since > 0)
		json_time(out, "since", since + b->wall_ahead);
	if (until != INT64_MAX)
		json_time(out, "until", until + b->wall_ahead);
}

static void put_rate(const struct rate *r, struct buf *out)
{
	char text[RATE_TEXT];

	if (r->n > 0)
		json_str(out, "rate", rate_text(*r, text));
}

static void put_order(const struct broker *b, const struct order *o, struct buf *out)
{
	json_open(out, NULL, '{');
	json_str(out, "kind", o->slow ? "slow" : "pause");
	json_str(out, "group", o->group);
	put_rate(&o->rate, out);
	json_str(out, "owner", o->who);
	if (o->reason[0] != '\0')
		json_str(out, "reason", o->reason);
	put_times(b, o->since, o->until, out);
	json_close(out, '}');
}

/* A rule on replies that holds now; those of operators were listed. */
static void put_ruling(const struct broker *b, const struct group *g, const struct ruling *r,
    const char *kind, struct buf *out)
{
	char place[256];

	if (r->until <= b->now || r->place.file == NULL)
		return;
	snprintf(place, sizeof(place), "%s:%u", r->place.file, r->place.line);
	json_open(out, NULL, '{');
	json_str(out, "kind", kind);
	json_str(out, "group", g->name);
	put_rate(&r->rate, out);
	json_str(out, "owner", place);
	json_str(out, "reason", r->why);
	put_times(b, 0, r->until, out);
	json_close(out, '}');
}

int broker_orders(struct broker *b, struct buf *out, int64_t now)
{
	size_t at = 0, omitted = 0;
	const struct group *g;

	b->now = now;
	(void)orders_expire(&b->orders, now);
	json_open(out, NULL, '{');
	json_open(out, "rules", '[');
	for (size_t i = 0; i < b->orders.n; i++)
		put_order(b, &b->orders.v[i], out);
	while ((g = map_next(&b->groups, &at)) != NULL) {
		if (g->rulings == NULL)
			continue;
		if (buf_space(out) < 2 * ORDER_ROOM) {
			omitted++;
			continue;
		}
		put_ruling(b, g, &g->rulings->pause, "pause", out);
		put_ruling(b, g, &g->rulings->slow, "slow", out);
	}
	json_close(out, ']');
	if (omitted > 0)
		json_number(out, "rules_omitted", (int64_t)omitted);
	json_close(out, '}');
	return 200;
}
