/*
 * Crowds: a site takes so many messages into memory at a time; the others wait at rest, in the
 * order in which they came, until it has room again; where all sites together have too many in
 * memory, each keeps its share of what is allowed. Sites that have room take in by turns
 * (flow/turns.h), so that what is urgent does not wait for a site with a million messages. And
 * time: what is at rest and due is woken, some at a time, or joins the crowd.
 */
#include "flow/broker-private.h"

enum {
	WAKE_MAX = 512, /* read back in one turn of the loop */
	FEED_STEP = 32, /* of them for one site before the next has its turn */
};

/* ---- in ------------------------------------------------------------------------------------- */

/*
 * How many it may have ready. All sites together: not above twice ready_all, and one of each. One
 * is always allowed: what waits for hosts that are away keeps nobody else from going.
 */
static size_t site_room(const struct broker *b)
{
	size_t share;

	if (b->n_ready < b->ready_all)
		return b->ready_max;
	share = b->ready_all / (map_len(&b->sites) + 1);
	if (share > b->ready_max)
		share = b->ready_max;
	return share > 0 ? share : 1;
}

bool site_crowded(const struct broker *b, const struct site *s)
{
	return s->n_ready >= site_room(b) || !TAILQ_EMPTY(&s->crowd) || site_waits(s);
}

static int64_t crowd_ends(const struct broker *b, const struct parked *p, const struct site *s)
{
	int64_t end = sched_born(s->shape, parked_born(p), b->resumed) + s->shape->expire;
	int64_t by = deadline_of_parked(p);

	return by < end ? by : end;
}

/* When another recipient of it is due: who waits for the customer of one site may wait for days. */
static int64_t others_due(const struct broker *b, struct parked *p, const struct site *s)
{
	const struct resting *r = parked_rest(p);
	int64_t at = INT64_MAX;

	for (uint32_t i = 0; site_waits(s) && i < p->n_open; i++) {
		if (r[i].outcome <= OUTCOME_DEFERRED && r[i].due > b->now && r[i].due < at)
			at = r[i].due;
	}
	return at;
}

static void join_crowd(struct broker *b, struct parked *p, struct site *s)
{
	int64_t ends = crowd_ends(b, p, s), others = others_due(b, p, s);

	p->in = s;
	TAILQ_INSERT_TAIL(&s->crowd, p, crowd);
	s->n_crowd++;
	heap_set(&b->parking.due, &p->node, ends < others ? ends : others);
	site_hungry(b, s);
}

void crowd_leave(struct parked *p)
{
	if (p->in == NULL)
		return;
	TAILQ_REMOVE(&p->in->crowd, p, crowd);
	p->in->n_crowd--;
	p->in = NULL;
}

void crowd_join(struct broker *b, struct parked *p, struct site *s)
{
	crowd_leave(p);
	join_crowd(b, p, s);
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
	if (turn_is_in(&s->hungry) || TAILQ_EMPTY(&s->crowd) || site_waits(s) ||
	    s->n_ready > site_room(b) / 2)
		return;
	turns_join(&b->hungry, &s->hungry, s->priority, site_account(s));
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

	while (n < most && !site_waits(s) && s->n_ready < site_room(b) &&
	       (p = TAILQ_FIRST(&s->crowd)) != NULL) {
		wake(b, p, now);
		n++;
	}
	return n;
}

static struct site *hungry_next(const struct broker *b)
{
	struct turn *e = turns_next(&b->hungry, TURNS_ALL);

	return e != NULL ? (struct site *)((char *)e - offsetof(struct site, hungry)) : NULL;
}

/* Sites with room again take in from their crowd, in the order of arrival. While it is in the ring
 * a site stays. */
static void feed_hungry(struct broker *b, int64_t now)
{
	size_t left = WAKE_MAX;
	struct site *s;

	while (left > 0 && (s = hungry_next(b)) != NULL) {
		turns_taken(&b->hungry, &s->hungry);
		left -= feed(b, s, left < FEED_STEP ? left : FEED_STEP, now);
		if (!TAILQ_EMPTY(&s->crowd) && !site_waits(s) && s->n_ready < site_room(b))
			continue; /* it goes on at its next turn */
		turns_leave(&b->hungry, &s->hungry);
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

	if (turns_classes(&b->hungry) != 0)
		return 0;
	return n != NULL ? n->key : INT64_MAX;
}
