/*
 * What operators ask of the queue, as JSON: its summary (how much there is, how old, and for where:
 * a row for each destination, see broker_query_group.c), and what all such answers share.
 */
#include "flow/query-private.h"

#include "base/json.h"
#include "flow/limits_use-private.h"

#include <stdlib.h>

#define MINUTE (INT64_C(60) * 1000000)
#define HOUR (60 * MINUTE)

/* Under 5 m, 30 m, 2 h, 8 h, and older. */
static const int64_t age_limits[QUERY_AGES - 1] = {5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR};
static const char *const age_names[QUERY_AGES] = {
    "under_5m", "under_30m", "under_2h", "under_8h", "older"};

int query_problem(
    struct buf *out, int status, const char *title, const char *detail, const char *hint)
{
	json_open(out, NULL, '{');
	json_str(out, "type", "urn:godwit:problem:queue");
	json_str(out, "title", title);
	json_number(out, "status", status);
	json_str(out, "detail", detail);
	if (hint != NULL)
		json_str(out, "hint", hint);
	json_close(out, '}');
	return status;
}

int query_not_found(struct buf *out)
{
	return query_problem(out, 404, "No such message", "no message with this id is in the queue",
	    "godwit queue list shows what is there; a message that is finished has left the queue");
}

void query_put_time(const struct broker *b, const char *key, int64_t when, struct buf *out)
{
	json_time(out, key, when + b->wall_ahead);
}

void query_put_ages(const size_t age[QUERY_AGES], struct buf *out)
{
	for (int i = 0; i < QUERY_AGES; i++)
		json_number(out, age_names[i], (int64_t)age[i]);
}

/* ---- summary ---------------------------------------------------------------------------- */

struct rows {
	struct query_row *row;
	size_t n;
	int64_t oldest, now;
	size_t limited; /* recipients that wait for room in a limit */
};

static int age_class(int64_t age)
{
	int i = 0;

	while (i < QUERY_AGES - 1 && age >= age_limits[i])
		i++;
	return i;
}

static void count_rcpts(struct query_row *row, int64_t accepted, int class, size_t n)
{
	row->age[class] += n;
	row->total += n;
	if (row->oldest == 0 || accepted < row->oldest)
		row->oldest = accepted;
}

static void note_oldest(struct rows *rows, int64_t accepted)
{
	if (rows->oldest == 0 || accepted < rows->oldest)
		rows->oldest = accepted;
}

/* All destinations together: those too that have no room in the answer. */
static void put_all_ages(const struct rows *rows, struct buf *out)
{
	size_t age[QUERY_AGES] = {0}, all = 0;

	for (size_t i = 0; i < rows->n; i++) {
		all += rows->row[i].total;
		for (int k = 0; k < QUERY_AGES; k++)
			age[k] += rows->row[i].age[k];
	}
	json_open(out, "ages", '{');
	json_number(out, "all", (int64_t)all);
	query_put_ages(age, out);
	json_close(out, '}');
}

static void count_awake(const struct broker *b, struct rows *rows)
{
	const struct queued *m;
	const struct task *t;

	TAILQ_FOREACH(m, &b->messages, link)
	{
		int class = age_class(rows->now - m->accepted);

		note_oldest(rows, m->accepted);
		TAILQ_FOREACH(t, &m->task_list, of_msg)
		count_rcpts(&rows->row[t->site->group->row], m->accepted, class, t->n_rcpt);
		for (size_t i = 0; i < m->n_rcpt; i++)
			rows->limited += held_by_limit(&m->rcpt[i]);
	}
}

static void count_resting(struct rows *rows, struct parked *p)
{
	const struct resting *r = parked_rest(p);
	int class = age_class(rows->now - p->accepted);

	note_oldest(rows, p->accepted);
	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].site == NULL)
			continue;
		count_rcpts(&rows->row[r[i].site->group->row], p->accepted, class, 1);
		rows->limited += change_by_limit((enum outcome)r[i].outcome, r[i].code, r[i].esc);
		rows->row[r[i].site->group->row].held += r[i].outcome == OUTCOME_HELD;
		rows->row[r[i].site->group->row].untold += r[i].outcome == OUTCOME_UNTOLD;
	}
}

/* One pass over the queue: a row for each site, found by the number the site carries meanwhile. */
static struct rows count_sites(struct broker *b, int64_t now)
{
	struct rows rows = {.now = now};
	struct pool_walk walk = {0};
	struct parked *p;
	struct group *g;
	size_t at = 0;

	rows.row = gw_calloc(map_len(&b->groups) + 1, sizeof(*rows.row));
	while ((g = map_next(&b->groups, &at)) != NULL) {
		rows.row[rows.n].group = g;
		g->row = rows.n++;
	}
	count_awake(b, &rows);
	while ((p = pool_next(&b->parking.pool, &walk)) != NULL)
		count_resting(&rows, p);
	return rows;
}

static int by_size(const void *a, const void *b)
{
	size_t x = ((const struct query_row *)a)->total, y = ((const struct query_row *)b)->total;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The largest first; what has no room in the answer is counted. */
static void put_sites(const struct broker *b, struct rows *rows, struct buf *out)
{
	size_t i;

	qsort(rows->row, rows->n, sizeof(*rows->row), by_size);
	json_open(out, "sites", '[');
	for (i = 0; i < rows->n &&
		    buf_space(out) > query_group_room(rows->row[i].group) + QUERY_GROUP_ROOM;
	     i++)
		query_put_group(b, &rows->row[i], out);
	json_close(out, ']');
	if (i < rows->n)
		json_number(out, "sites_omitted", (int64_t)(rows->n - i));
}

int broker_summary(struct broker *b, struct buf *out, int64_t now)
{
	struct rows rows = count_sites(b, now);
	struct broker_counts n;

	broker_counts(b, &n);
	json_open(out, NULL, '{');
	json_number(out, "messages", (int64_t)n.messages);
	json_number(out, "recipients", (int64_t)n.recipients);
	json_number(out, "held", (int64_t)n.held);
	json_number(out, "held_by_limits", (int64_t)rows.limited);
	limits_summary(b, out);
	json_number(out, "untold", (int64_t)n.untold);
	json_number(out, "active", (int64_t)n.active);
	json_bool(out, "accepting", n.intake);
	if (rows.oldest)
		query_put_time(b, "oldest", rows.oldest, out);
	query_put_time(b, "now", now, out);
	counters_json(&b->counters, "days", now, out);
	put_all_ages(&rows, out);
	put_sites(b, &rows, out);
	json_close(out, '}');
	free(rows.row);
	return 200;
}
