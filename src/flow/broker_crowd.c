/*
 * Crowds: a site takes so many messages into memory at a time; the others wait at rest, in the
 * order in which they came, until it has room again. And time: what is at rest and due is woken,
 * some at a time, or joins the crowd.
 */
#include "flow/broker-private.h"

enum { WAKE_MAX = 512 }; /* read back in one turn of the loop */

/* ---- in ------------------------------------------------------------------------------------- */

bool site_crowded(const struct broker *b, const struct site *s)
{
	return s->n_ready >= b->ready_max || !TAILQ_EMPTY(&s->crowd);
}

static int64_t life_ends(const struct broker *b, const struct parked *p, const struct site *s)
{
	return sched_born(s->shape, p->accepted, b->resumed) + s->shape->expire;
}

static void join_crowd(struct broker *b, struct parked *p, struct site *s)
{
	p->in = s;
	TAILQ_INSERT_TAIL(&s->crowd, p, crowd);
	heap_set(&b->parking.due, &p->node, life_ends(b, p, s));
	site_hungry(b, s);
}

void crowd_leave(struct parked *p)
{
	if (p->in == NULL)
		return;
	TAILQ_REMOVE(&p->in->crowd, p, crowd);
	p->in = NULL;
}

/* The site that keeps it waiting, if all it is due for have enough to do; else NULL. */
static struct site *crowded_out(const struct broker *b, struct parked *p, int64_t now)
{
	struct resting *r = parked_rest(p);
	struct site *s = NULL;

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].outcome > OUTCOME_DEFERRED || r[i].due > now)
			continue;
		if (r[i].site == NULL || !site_crowded(b, r[i].site))
			return NULL;
		if (s == NULL)
			s = r[i].site;
	}
	return s;
}

bool queued_crowd(struct broker *b, struct queued *m)
{
	struct site *s = NULL;
	const struct task *t;

	if (!queued_at_rest(b, m))
		return false;
	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state == TASK_ACTIVE ||
		    (t->state == TASK_READY && !site_crowded(b, t->site)))
			return false;
		if (t->state == TASK_READY)
			s = t->site;
	}
	if (s == NULL)
		return false;
	join_crowd(b, queued_put_to_rest(b, m), s);
	return true;
}

void site_hungry(struct broker *b, struct site *s)
{
	if (s->is_hungry || TAILQ_EMPTY(&s->crowd) || s->n_ready > b->ready_max / 2)
		return;
	s->is_hungry = true;
	TAILQ_INSERT_TAIL(&b->hungry, s, hungry);
}

/* ---- out ------------------------------------------------------------------------------------ */

static void wake(struct broker *b, struct parked *p, int64_t now)
{
	struct queued *m = parked_revive(b, p, now);

	if (m != NULL)
		queued_settle(b, m);
}

/* In a crowd, its life is over; else it is due. */
static void wake_one(struct broker *b, struct parked *p, int64_t now)
{
	struct site *s = p->in == NULL ? crowded_out(b, p, now) : NULL;

	if (s != NULL)
		join_crowd(b, p, s);
	else
		wake(b, p, now);
}

static size_t feed(struct broker *b, struct site *s, size_t most, int64_t now)
{
	struct parked *p;
	size_t n = 0;

	while (n < most && s->n_ready < b->ready_max && (p = TAILQ_FIRST(&s->crowd)) != NULL) {
		wake(b, p, now);
		n++;
	}
	return n;
}

/* Sites with room again take in from their crowd, in the order of arrival. */
static void feed_hungry(struct broker *b, int64_t now)
{
	size_t left = WAKE_MAX;
	struct site *s;

	while (left > 0 && (s = TAILQ_FIRST(&b->hungry)) != NULL) {
		s->n_waiting++; /* the site stays */
		left -= feed(b, s, left, now);
		s->n_waiting--;
		if (!TAILQ_EMPTY(&s->crowd) && s->n_ready < b->ready_max)
			break; /* it goes on in the next turn */
		TAILQ_REMOVE(&b->hungry, s, hungry);
		s->is_hungry = false;
		site_release(b, s);
	}
}

void parked_wake(struct broker *b, int64_t now)
{
	struct heap_node *n;

	for (size_t i = 0; i < WAKE_MAX; i++) {
		n = heap_min(&b->parking.due);
		if (n == NULL || n->key > now)
			break;
		wake_one(b, (struct parked *)n, now);
	}
	feed_hungry(b, now);
}

int64_t parked_deadline(const struct broker *b)
{
	const struct heap_node *n = heap_min(&b->parking.due);

	if (!TAILQ_EMPTY(&b->hungry))
		return 0;
	return n != NULL ? n->key : INT64_MAX;
}
