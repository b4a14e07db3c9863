/* Sites, and tasks: what is to go where, and when. */
#include "flow/broker-private.h"

#include <stdlib.h>

/* ---- sites ----------------------------------------------------------------------------- */

enum { KEY_ROOM = SITE_KEY_MAX + 384 };

/* "shape|where", a mark of the demands, class and account: by hand, since each recipient passes
 * here. */
static struct span site_key(const struct routed *r, const struct site_owner *o, char to[KEY_ROOM])
{
	struct span account = span_first(o->account, KEY_ROOM - SITE_KEY_MAX - 128);
	uint64_t demands = way_demands(&r->target);
	size_t a = strlen(r->shape->name), n = strlen(r->site);

	memcpy(to, r->shape->name, a);
	to[a++] = '|';
	memcpy(to + a, r->site, n);
	n += a;
	to[n++] = '\0';
	memcpy(to + n, &demands, sizeof(demands));
	n += sizeof(demands);
	to[n++] = (char)('0' + o->priority);
	if (account.n > 0)
		memcpy(to + n, account.p, account.n);
	return span_of(to, n + account.n);
}

static struct site *site_new(
    struct broker *b, const struct routed *r, enum priority priority, struct span key)
{
	struct site *s = gw_calloc(1, sizeof(*s) + key.n + 1);

	s->magic = SITE_MAGIC;
	memcpy(s->key, key.p, key.n);
	s->key_length = key.n;
	s->name = s->key + strlen(r->shape->name) + 1;
	s->target = r->target;
	s->routed = s->shape = r->shape;
	s->priority = priority;
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->crowd);
	if (r->target.kind == TARGET_MX)
		names_join(b, s, r->domain);
	site_moves(b, s);
	map_put(&b->sites, span_of(s->key, s->key_length), s);
	return s;
}

struct span site_account(const struct site *s)
{
	size_t n = strlen(s->key) + 1 + sizeof(uint64_t) + 1; /* the NUL, demands, class */

	return span_of(s->key + n, s->key_length - n);
}

struct site *site_get(struct broker *b, const struct routed *r, const struct site_owner *o)
{
	char room[KEY_ROOM];
	struct span key = site_key(r, o, room);
	struct site *s = map_get(&b->sites, key);

	return s != NULL ? s : site_new(b, r, o->priority, key);
}

void site_release(struct broker *b, struct site *s)
{
	struct way *w = s->way;

	if (s->n_ready + s->n_waiting + s->n_active + s->n_parked > 0 || turn_is_in(&s->hungry) ||
	    s->adopted)
		return;
	map_del(&b->sites, span_of(s->key, s->key_length));
	site_parts(s);
	names_leave(b, s);
	s->magic = 0;
	free(s);
	way_release(b, w);
}

struct site *site_of_rcpt(struct broker *b, const struct queued *m, const struct queued_rcpt *r)
{
	struct route_ask q = {
	    .addr = r->addr, .from = queued_from(m, r), .account = m->account, .size = m->size};
	struct routed where;

	route_of(b->config, &q, &where);
	return site_get(b, &where, &(struct site_owner){m->priority, m->account});
}

/* ---- tasks ----------------------------------------------------------------------------- */

static size_t *state_count(struct site *s, enum task_state state)
{
	return state == TASK_READY     ? &s->n_ready
	       : state == TASK_WAITING ? &s->n_waiting
				       : &s->n_active;
}

static void task_leave(struct broker *b, struct task *t)
{
	--*state_count(t->site, t->state);
	heap_del(&b->due, &t->node);
	if (t->state == TASK_READY) {
		b->n_ready--;
		TAILQ_REMOVE(&t->site->ready, t, link);
		if (TAILQ_EMPTY(&t->site->ready))
			site_withdraws(t->site);
		site_hungry(b, t->site);
	}
	if (t->state == TASK_ACTIVE)
		b->n_active--;
}

static void task_enter(struct task *t, enum task_state state)
{
	t->state = state;
	++*state_count(t->site, state);
}

void task_ready(struct broker *b, struct task *t)
{
	task_leave(b, t);
	task_enter(t, TASK_READY);
	b->n_ready++;
	TAILQ_INSERT_TAIL(&t->site->ready, t, link);
	site_offers(t->site);
	task_schedule(b, t);
}

void task_wait(struct broker *b, struct task *t, int64_t due)
{
	task_leave(b, t);
	task_enter(t, TASK_WAITING);
	t->due = due;
	task_schedule(b, t);
}

int64_t life_ends(const struct broker *b, const struct task *t)
{
	const struct shape *shape = t->site->shape;

	return sched_born(shape, queued_born(t->msg), b->resumed) + shape->expire;
}

void task_schedule(struct broker *b, struct task *t)
{
	int64_t at = t->state == TASK_READY ? life_ends(b, t) : t->due, by = deadline_of_task(t);

	heap_set(&b->due, &t->node, by < at ? by : at);
}

void task_activate(struct broker *b, struct task *t)
{
	task_leave(b, t);
	task_enter(t, TASK_ACTIVE);
	b->n_active++;
}

static struct task *task_new(struct queued *m, struct site *s, struct span from, int64_t not_before)
{
	struct task *t = gw_calloc(1, sizeof(*t));

	t->msg = m;
	t->site = s;
	t->from = from;
	t->not_before = not_before;
	TAILQ_INSERT_TAIL(&m->task_list, t, of_msg);
	m->tasks++;
	task_enter(t, TASK_WAITING);
	return t;
}

void task_free(struct broker *b, struct task *t)
{
	struct queued *m = t->msg;
	struct site *s = t->site;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].task == t)
			m->rcpt[i].task = NULL;
	}
	task_leave(b, t);
	TAILQ_REMOVE(&m->task_list, t, of_msg);
	m->tasks--;
	free(t);
	site_release(b, s);
}

static size_t task_room(const struct site *s)
{
	return target_is_local(&s->target) ? 1 : TASK_RCPT_MAX;
}

/* A task of this filing that has room, for that site: a transaction has one return path, and one
 * time before which it does not go. */
static struct task *task_for(
    struct queued *m, struct site *s, struct span from, int64_t not_before, struct task *after)
{
	struct task *t = after ? TAILQ_NEXT(after, of_msg) : TAILQ_FIRST(&m->task_list);

	for (; t != NULL; t = TAILQ_NEXT(t, of_msg)) {
		if (t->site == s && t->n_rcpt < task_room(s) && t->not_before == not_before &&
		    span_eq(t->from, from))
			return t;
	}
	return NULL;
}

static void file_one(
    struct broker *b, struct queued *m, struct queued_rcpt *r, struct task *old_last, int64_t now)
{
	struct site *s = site_of_rcpt(b, m, r);
	struct span from = queued_from(m, r);
	struct task *t;

	r->due = site_stored(b, s, r->attempts, r->due, now);
	if (r->not_before <= now)
		r->not_before = 0;
	else if (r->due < r->not_before)
		r->due = r->not_before;
	t = task_room(s) == 1 ? NULL : task_for(m, s, from, r->not_before, old_last);
	if (t == NULL)
		t = task_new(m, s, from, r->not_before);
	r->task = t;
	t->n_rcpt++;
	if (t->n_rcpt == 1 || r->due < t->node.key)
		t->node.key = r->due; /* not in the heap yet: remembers the earliest */
}

static void start_filed(struct broker *b, struct task *t, int64_t now)
{
	int64_t due = t->node.key;
	struct group *g = t->site->group;

	if (deadline_meet(b, t, now) == DEADLINE_OVER)
		return;
	if (due > now) {
		task_wait(b, t, due);
		return;
	}
	task_ready(b, t);
	group_pump(b, g, now);
}

/* What may have been sent already is filed only for a worker that comes to name it (broker_once.c).
 */
static bool may_be_filed(const struct broker *b, const struct queued_rcpt *r)
{
	return queued_fileable(r) || (b->frozen && r->outcome == OUTCOME_MAYBE);
}

/* What is held is in no task but for this: to hear of its deadline, or to end by it. */
static void file_held(struct broker *b, struct queued *m, int64_t now)
{
	struct task *old_last = TAILQ_LAST(&m->task_list, task_list_head), *t, *next;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (deadline_meets_held(b, m, &m->rcpt[i], now))
			file_one(b, m, &m->rcpt[i], old_last, now);
	}
	t = old_last ? TAILQ_NEXT(old_last, of_msg) : TAILQ_FIRST(&m->task_list);
	for (; t != NULL; t = next) {
		next = TAILQ_NEXT(t, of_msg);
		if (deadline_meet(b, t, now) != DEADLINE_OVER)
			task_free(b, t);
	}
}

void queued_file(struct broker *b, struct queued *m, int64_t now)
{
	struct task *old_last = TAILQ_LAST(&m->task_list, task_list_head), *t, *next;

	blame_hand(b, &m->id);
	m->appends++;
	file_held(b, m, now);
	m->appends--;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (may_be_filed(b, &m->rcpt[i]) && m->rcpt[i].task == NULL)
			file_one(b, m, &m->rcpt[i], old_last, now);
	}
	m->appends++; /* the message stays while its tasks start, whatever becomes of them */
	t = old_last ? TAILQ_NEXT(old_last, of_msg) : TAILQ_FIRST(&m->task_list);
	for (; t != NULL; t = next) {
		next = TAILQ_NEXT(t, of_msg);
		start_filed(b, t, now);
	}
	m->appends--;
}

/* ---- jobs that outlived the queue -------------------------------------------------------- */

struct task *task_like(struct task *t)
{
	return task_new(t->msg, t->site, t->from, t->not_before);
}

void job_adopt(struct broker *b, struct task *t, unsigned worker, uint64_t job, uint64_t conn)
{
	struct conn *c = conn_by_number(b, conn);

	if (c == NULL) {
		c = conn_new(b, t->site->way, worker, conn);
		/* It may be one to where the mail went before a reload. */
		c->stale = b->config->generation > 1;
	}
	names_adopted(b, t->site);
	task_activate(b, t);
	job_resume(b, t, c, job);
}
