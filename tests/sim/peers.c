#include "sim/peers-private.h"

#include "sim/faults.h"
#include "sim/people.h"
#include "sim/trace.h"

#include <stdlib.h>

enum { JSON = 1 << 20 };

struct peers *peers_new(struct world *w)
{
	struct peers *p = gw_calloc(1, sizeof(*p));

	(void)w;
	for (int i = 0; i < RECEIVERS; i++) {
		p->receiver[i].up = true;
		p->receiver[i].next_txn = 1;
	}
	for (int i = 0; i < WORKERS; i++)
		p->worker[i].up = true;
	return p;
}

void peers_free(struct peers **pp)
{
	struct peers *p = *pp;

	if (p == NULL)
		return;
	for (int i = 0; i < RECEIVERS; i++)
		free(p->receiver[i].frame);
	for (int i = 0; i < WORKERS; i++) {
		struct sim_worker *s = &p->worker[i];

		for (size_t k = 0; k < s->n_held; k++)
			free(s->held[k]);
		free(s->held);
		free(s->line);
		free(s->frame);
	}
	free(p);
	*pp = NULL;
}

void peers_calm(struct world *w, bool calm)
{
	w->peers->calm = calm;
}

bool peers_idle(const struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++) {
		if (w->peers->receiver[i].n > 0 || w->peers->receiver[i].n_frame > 0)
			return false;
	}
	for (int i = 0; i < WORKERS; i++) {
		if (w->peers->worker[i].n_held > 0 || w->peers->worker[i].n_frame > 0)
			return false;
	}
	return true;
}

void peers_meet(struct world *w)
{
	for (unsigned i = 0; i < WORKERS; i++)
		worker_meet(w, i);
}

void peers_recovered(struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++) {
		if (w->peers->receiver[i].up)
			receiver_connect(w, &w->peers->receiver[i]);
	}
}

void peers_queue_gone(struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++)
		receiver_queue_gone(w, &w->peers->receiver[i]);
	for (int i = 0; i < WORKERS; i++)
		worker_queue_gone(w, &w->peers->worker[i]);
}

void peers_power_gone(struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++) {
		receiver_die(w, &w->peers->receiver[i]);
		w->peers->receiver[i].up = true;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_die(w, i);
		w->peers->worker[i].up = true;
	}
}

/* ---- operators ---------------------------------------------------------------------------- */

/* 500: it lies where nothing can be read, which must be so. */
static void drop(struct world *w, const struct msgid *id, struct buf *out)
{
	uint64_t unread = w->unread;
	int status = broker_drop(w->broker, id, 99, 1, out, w->now);
	bool excused = w->unread != unread || !world_alive(w);

	if (status != 0 && status != 200 && status != 404 && status != 409 && status != 503 &&
	    !(status == 500 && excused))
		sim_fail("drop says %d", status);
}

/* m NULL: all. */
static void release(struct world *w, struct mail *m, struct buf *out)
{
	uint64_t unread = w->unread;
	int status;

	book_release(&w->book, m);
	status = broker_release(w->broker, m ? &m->id : NULL, 99, 1, out, w->now);
	if (status != 0 && status != 200 && status != 404 && status != 409 && status != 503 &&
	    !(status == 500 && (w->unread != unread || !world_alive(w))))
		sim_fail("release says %d", status);
}

/* Orders over groups: what is paused or slowed goes when the world is calm, at the latest. */
enum { ORDER_PAUSE, ORDER_SLOW, ORDER_RESUME, ORDER_KINDS };

static void order(struct world *w, unsigned kind, const char *group, struct buf *out)
{
	struct broker_order o = {.slow = kind == ORDER_SLOW,
	    .group = span_str(group),
	    .rate = {1 + (uint32_t)sim_below(&w->rng, 5), 1 + (uint32_t)sim_below(&w->rng, 60)},
	    .time = sim_once_in(&w->rng, 2) ? 0 : (int64_t)sim_below(&w->rng, 3600) * 1000000,
	    .who = SPAN("uid=0"),
	    .asker = 99,
	    .request = 2};
	int status = kind == ORDER_RESUME ? broker_resume(w->broker, &o, out, w->now)
					  : broker_order(w->broker, &o, out, w->now);

	if (status != 0 && status != 200)
		sim_fail("an order over groups says %d", status);
}

/* Only counted: nothing of it may show anywhere. */
static void dry(struct world *w, struct buf *out)
{
	static const char *const filters[] = {
	    "", "class:high", "account:ben", "from:src state:deferred", "to:a", "class:bulk to:x"};
	struct broker_command c = {.verb = (enum broker_verb)sim_below(&w->rng, BROKER_HOLD + 1),
	    .dry = true,
	    .filter = span_str(filters[sim_below(&w->rng, GW_ARRAY_LEN(filters))]),
	    .asker = 99,
	    .request = 3};
	int status = broker_act(w->broker, &c, out, w->now);

	if (status != 0 && status != 200 && status != 409 && status != 503)
		sim_fail("a dry run says %d", status);
}

/* What rules hold would stay for ever. */
static void release_all(struct world *w)
{
	struct buf out;

	buf_init(&out, JSON);
	release(w, NULL, &out);
	buf_clear(&out);
	order(w, ORDER_RESUME, "all", &out);
	buf_fini(&out);
	world_run(w);
}

static void operate(struct world *w)
{
	struct mail *m = w->book.mail[sim_below(&w->rng, w->book.n)];
	static const struct msgid none;
	struct buf out;

	buf_init(&out, JSON);
	switch (sim_below(&w->rng, 12)) {
	case 0:
		sim_note("an operator drops mail %d", m->index);
		drop(w, &m->id, &out);
		break;
	case 1:
		sim_note("an operator retries all");
		(void)!broker_retry(w->broker, NULL, &out, w->now);
		break;
	case 2: (void)!broker_summary(w->broker, &out, w->now); break;
	case 3: (void)!broker_list(w->broker, SPAN("state:ready"), &none, 3, &out, w->now); break;
	case 4:
		if (sim_once_in(&w->rng, 20)) {
			sim_note("an operator drops all");
			drop(w, NULL, &out);
		}
		break;
	case 5:
		sim_note("an operator releases mail %d", m->index);
		release(w, m, &out);
		break;
	case 6:
		sim_note("an operator orders over all groups");
		order(w, (unsigned)sim_below(&w->rng, ORDER_KINDS),
		    sim_once_in(&w->rng, 2) ? "all" : "*", &out);
		break;
	case 7: dry(w, &out); break;
	default: (void)!broker_retry(w->broker, &m->id, &out, w->now); break;
	}
	if (buf_failed(&out))
		sim_fail("an answer that is too long");
	buf_fini(&out);
	world_run(w);
}

void peers_step(struct world *w, bool new_mail)
{
	uint64_t dice = sim_below(&w->rng, 100);

	if (!w->peers->calm && sim_once_in(&w->rng, w->accounts == NULL ? 20 : 100))
		people_step(w);
	if (!world_alive(w))
		return;
	if (dice < 2 && !w->peers->calm && w->book.n > 0 && world_may(w, MAY_OPERATE))
		operate(w);
	else if (dice == 0 && w->peers->calm)
		release_all(w);
	else if (dice < 40)
		receiver_step(w, &w->peers->receiver[dice % RECEIVERS], new_mail);
	else
		worker_step(w, (unsigned)(dice % WORKERS));
}
