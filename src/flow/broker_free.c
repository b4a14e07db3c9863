/* The end of a broker, in tests and the simulator: a crash. A live queue ends with its process. */
#include "flow/broker-private.h"

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

static void free_site(struct site *s)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&s->conns)) != NULL) {
		TAILQ_REMOVE(&s->conns, c, link);
		free(c);
	}
	free(s);
}

static void free_sites(struct broker *b)
{
	struct site *s;
	size_t at = 0;

	while ((s = map_next(&b->sites, &at)) != NULL)
		free_site(s);
	map_fini(&b->sites);
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
	free_txns(b);
	free_jobs(b);
	while (!TAILQ_EMPTY(&b->messages))
		free_message(b, TAILQ_FIRST(&b->messages));
	parking_fini(&b->parking);
	free_segments(b);
	free_sites(b);
	map_fini(&b->conns);
	nonces_forget(b);
	map_fini(&b->ids);
	heap_fini(&b->due);
	heap_fini(&b->resting);
	free(b->doubt);
	arena_reset(&b->scratch);
	arena_reset(&b->reading);
	b->magic = 0;
	free(b);
	*pb = NULL;
}
