/*
 * What operators are told of one destination: its state, what limits it and who said so, and the
 * recipients that wait for it by their age. The numbers of all of them together, and which of them
 * have room in an answer, are the summary's (broker_query.c).
 */
#include "flow/query-private.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { RULING_ROOM = 4096 };

/* The sites of a group together. */
struct together {
	size_t ready, waiting, active;
};

static struct together add_up(const struct group *g)
{
	struct together n = {0};
	const struct site *s;
	const struct way *w;

	TAILQ_FOREACH(w, &g->ways, of_group)
	{
		TAILQ_FOREACH(s, &w->sites, of_way)
		{
			n.ready += s->n_ready;
			n.waiting += s->n_waiting + s->n_parked;
			n.active += s->n_active;
		}
	}
	return n;
}

/* Until when all its ways rest; 0: not all of them do. */
static int64_t all_rest(const struct group *g)
{
	int64_t until = 0;
	const struct way *w;

	TAILQ_FOREACH(w, &g->ways, of_group)
	{
		if (w->rest_until == 0)
			return 0;
		if (until == 0 || w->rest_until < until)
			until = w->rest_until;
	}
	return until;
}

/* All sites of a provisional group are of one domain. */
static bool is_asked(const struct group *g)
{
	const struct site *s = g->n_ways > 0 ? TAILQ_FIRST(&TAILQ_FIRST(&g->ways)->sites) : NULL;

	return s != NULL && (s->names->asked || s->names->waits);
}

static bool rules(const struct ruling *r)
{
	return r->until > 0;
}

static const char *group_state(const struct group *g)
{
	const struct rulings *r = g->rulings;

	if (g->provisional && is_asked(g))
		return "resolving";
	if (r != NULL && rules(&r->pause))
		return "paused";
	if (all_rest(g) > 0)
		return TAILQ_FIRST(&g->ways)->paused ? "paused" : "unreachable";
	if (r != NULL && rules(&r->slow))
		return "slowed";
	return g->limit != LIMIT_NONE ? "limited" : "open";
}

/* Which setting of the shape it is; NULL: none. */
static const char *limit_setting(enum limit limit)
{
	switch (limit) {
	case LIMIT_CONNECTIONS:
	case LIMIT_CONNECTIONS_TOTAL:
	case LIMIT_GROWN: return "connections";
	case LIMIT_MESSAGES:
	case LIMIT_MESSAGES_TOTAL: return "messages";
	case LIMIT_NONE:
	case LIMIT_SLOW:
	case LIMIT_PAUSE: break;
	}
	return NULL;
}

static void group_limit_text(const struct group *g, char *to, size_t n)
{
	const struct shape *s = g->shape;
	char rate[RATE_TEXT];

	switch (g->limit) {
	case LIMIT_CONNECTIONS: snprintf(to, n, "connections %u", s->connections); break;
	case LIMIT_CONNECTIONS_TOTAL:
		snprintf(to, n, "connections %u total", s->connections_total);
		break;
	case LIMIT_GROWN:
		snprintf(to, n, "%u connections, grown to %u", s->connections, g->grower.allowed);
		break;
	case LIMIT_MESSAGES: snprintf(to, n, "messages %s", rate_text(s->messages, rate)); break;
	case LIMIT_MESSAGES_TOTAL:
		snprintf(to, n, "messages %s total", rate_text(s->messages_total, rate));
		break;
	case LIMIT_SLOW:
		snprintf(to, n, "messages %s for now", rate_text(g->rulings->slow.rate, rate));
		break;
	case LIMIT_PAUSE: snprintf(to, n, "pause"); break;
	case LIMIT_NONE: to[0] = '\0'; break;
	}
}

static void put_place(const struct place *at, struct buf *out)
{
	char text[300];

	if (at->file == NULL)
		return;
	snprintf(text, sizeof(text), "%s:%u", at->file, at->line);
	json_str(out, "limit_place", text);
}

/* A rule or an operator, where one has spoken; else what stopped the group last. */
static const struct ruling *ruling_of(const struct group *g)
{
	const struct rulings *r = g->rulings;

	if (r == NULL)
		return NULL;
	return rules(&r->pause) ? &r->pause : rules(&r->slow) ? &r->slow : NULL;
}

static void put_ruling(const struct broker *b, const struct ruling *r, struct buf *out)
{
	json_str(out, "by", r->place.file != NULL ? "rule" : "operator");
	json_str(out, "why", r->why);
	put_place(&r->place, out);
	if (r->until != INT64_MAX)
		query_put_time(b, "limit_until", r->until, out);
}

static void put_limit(const struct broker *b, const struct group *g, struct buf *out)
{
	const char *setting = limit_setting(g->limit);
	const struct ruling *r = ruling_of(g);
	char text[100];

	group_limit_text(g, text, sizeof(text));
	if (text[0] != '\0')
		json_str(out, "limit", text);
	if (r != NULL) {
		put_ruling(b, r, out);
	} else if (setting != NULL) {
		struct place at = shape_place(g->shape, setting);

		put_place(&at, out);
	}
}

/* Where its mail leaves from; NULL: the default. */
static const char *source_of(const struct broker *b, const struct group *g)
{
	const struct site *s = g->n_ways > 0 ? TAILQ_FIRST(&TAILQ_FIRST(&g->ways)->sites) : NULL;

	return s != NULL && s->target.vmta != NULL && s->target.vmta != b->config->vmta
		   ? s->target.vmta->name
		   : NULL;
}

const char *query_group_name(const struct group *g)
{
	const char *name = NULL;
	const struct site *s;
	const struct way *w;

	TAILQ_FOREACH(w, &g->ways, of_group)
	{
		TAILQ_FOREACH(s, &w->sites, of_way)
		{
			if (name != NULL && strcmp(name, s->name) != 0)
				return g->name;
			name = s->name;
		}
	}
	return name != NULL ? name : g->name;
}

void query_put_group(const struct broker *b, const struct query_row *row, struct buf *out)
{
	const struct group *g = row->group;
	struct together n = add_up(g);
	char rate[RATE_TEXT];

	json_open(out, NULL, '{');
	json_str(out, "group", g->shape->name);
	json_str(out, "site", query_group_name(g));
	if (source_of(b, g) != NULL)
		json_str(out, "source", source_of(b, g));
	json_str(out, "state", group_state(g));
	put_limit(b, g, out);
	json_number(out, "recipients", (int64_t)row->total);
	query_put_ages(row->age, out);
	json_number(out, "ready", (int64_t)n.ready);
	json_number(out, "waiting", (int64_t)(n.waiting - row->held - row->untold));
	json_number(out, "held", (int64_t)row->held);
	json_number(out, "untold", (int64_t)row->untold);
	json_number(out, "active", (int64_t)n.active);
	json_number(out, "connections", (int64_t)g->n_conns);
	json_number(out, "connections_limit", g->shape->connections);
	json_number(out, "concurrency", g->grower.allowed);
	if (g->shape->messages.n > 0)
		json_str(out, "messages_rate", rate_text(g->shape->messages, rate));
	if (row->oldest)
		query_put_time(b, "oldest", row->oldest, out);
	if (all_rest(g) > 0)
		query_put_time(b, "rest_until", all_rest(g), out);
	json_str(out, "last_reply", g->said);
	json_close(out, '}');
}

/* JSON makes six octets of one. */
size_t query_group_room(const struct group *g)
{
	return QUERY_GROUP_ROOM +
	       6 * (strlen(query_group_name(g)) + strlen(g->shape->name) + strlen(g->said)) +
	       (g->rulings != NULL ? RULING_ROOM : 0);
}
