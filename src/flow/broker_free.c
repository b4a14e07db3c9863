/* The end of a broker, in tests and the simulator: a crash. A live queue ends with its process. */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdlib.h>

static void free_segments(struct broker *b)
{
	size_t at = 0;
	void *s;

	while ((s = map_next(&b->segments, &at)) != NULL)
		free(s);
	map_fini(&b->segments);
}

static void free_appends(struct broker *b)
{
	struct append *a;

	while ((a = TAILQ_FIRST(&b->appends)) != NULL)
		append_free(b, &a);
}

static void free_txns(struct broker *b)
{
	struct txn *t;
	size_t at = 0;

	while ((t = map_next(&b->txns, &at)) != NULL) {
		free(t->part);
		free(t);
	}
	map_fini(&b->txns);
}

static void free_jobs(struct broker *b)
{
	struct job *j;
	size_t at = 0;

	while ((j = map_next(&b->jobs, &at)) != NULL)
		free(j);
	map_fini(&b->jobs);
}

static void free_conns(struct broker *b)
{
	struct conn *c;
	size_t at = 0;

	while ((c = map_next(&b->conns, &at)) != NULL)
		free(c);
	map_fini(&b->conns);
}

static void free_all(struct map *of)
{
	size_t at = 0;
	void *thing;

	while ((thing = map_next(of, &at)) != NULL)
		free(thing);
	map_fini(of);
}

static void free_ways(struct broker *b)
{
	size_t at = 0;
	struct way *w;

	while ((w = map_next(&b->ways, &at)) != NULL) {
		free(w->told);
		free(w);
	}
	map_fini(&b->ways);
}

static void free_groups(struct broker *b)
{
	size_t at = 0;
	struct group *g;

	while ((g = map_next(&b->groups, &at)) != NULL) {
		limit_fini(b, g);
		free(g);
	}
	map_fini(&b->groups);
}

static void free_message(struct broker *b, struct queued *m)
{
	struct task *t;

	while ((t = TAILQ_FIRST(&m->task_list)) != NULL) {
		TAILQ_REMOVE(&m->task_list, t, of_msg);
		free(t);
	}
	TAILQ_REMOVE(&b->messages, m, link);
	blob_drop(b, &m->content);
	free(m->rcpt);
	free(m->part);
	free(m);
}

void broker_free(struct broker **pb)
{
	struct broker *b = *pb;

	if (b == NULL)
		return;
	gw_check_magic(b, BROKER_MAGIC);
	blame_fini(b);
	free_appends(b);
	copies_free(b);
	effect_forget_all(b);
	free(b->sweep.asked);
	orders_fini(&b->orders);
	free_txns(b);
	free_jobs(b);
	while (!TAILQ_EMPTY(&b->messages))
		free_message(b, TAILQ_FIRST(&b->messages));
	parking_fini(&b->parking);
	free_segments(b);
	free_conns(b);
	free_all(&b->sites);
	free_all(&b->turn_book);
	names_fini(b);
	free_ways(b);
	free_groups(b);
	free_all(&b->wholes);
	rules_fini(b);
	bad_hosts_fini(b);
	storm_fini(b);
	etrn_fini(b);
	limits_fini(b);
	nonces_forget(b);
	map_fini(&b->ids);
	heap_fini(&b->due);
	heap_fini(&b->resting);
	heap_fini(&b->waiting);
	free(b->doubt);
	arena_reset(&b->scratch);
	arena_reset(&b->reading);
	b->magic = 0;
	free(b);
	*pb = NULL;
}
