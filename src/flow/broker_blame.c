/*
 * A worker died, and master says what it had in hand. The message that did it once is tried again
 * a little later; the second time the recipients of that job are held: set aside, durably, until an
 * operator releases or drops them. Everything else that was lost with the worker is due at once.
 *
 * The end of the channel (broker_worker_down) and master's word (broker_blamed) come in any order.
 * Until both are here nothing that was lost is started again, but not for longer than PATIENCE:
 * the guilty one could take another worker with it.
 *
 * Different messages in a row that end a worker on their way to one site, with no dialogue there
 * that came to its end in between, point at the site. It tries one message at a time, the newest
 * first, and rests in between: for moments at first, so that a burst of evil messages does not
 * keep it from the others; for more than a minute from the second time on, up to an hour, when the
 * worker was reading what the host said.
 */
#include "flow/broker-private.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PATIENCE = 300 * 1000,    /* microseconds */
	SECOND_TRY = 1000 * 1000, /* after the first time */
	KILLS_MAX = 2,            /* of one message, then it is held */
	KILLS_HOST = 14,          /* what two count when the worker was reading the host's words */
	LOOK_BACK = 64,           /* tasks of a site, for one that never ended a worker */
};
/* A site rests after its second kill, each time twice as long; over the host's words a minute at
 * once. From REST_TOLD on the rest is worth a line in the log. */
#define REST_FIRST (INT64_C(20) * 1000)
#define REST_TOLD (INT64_C(10) * 1000000)
#define REST_LAST (INT64_C(3600) * 1000000)
/* Longer than it can rest: what happens behind that belongs to it. */
#define SITE_MEMORY (INT64_C(7200) * 1000000)

/* ---- what a worker had --------------------------------------------------------------------- */

struct lost_job {
	uint64_t number;
	struct msgid id;
	char way[WAY_MARK_MAX];
	size_t n_rcpt;
	uint32_t rcpt[];
};

/* The message may rest again. */
static void let_rest(struct broker *b, const struct msgid *id)
{
	struct queued *m = map_get(&b->ids, msgid_span(id));

	if (m == NULL || m->lost == 0)
		return;
	m->lost--;
	queued_settle(b, m);
}

static void forget_lost(struct broker *b, struct blame_worker *w, bool all_over)
{
	for (size_t i = 0; i < w->n_lost; i++) {
		if (!all_over)
			let_rest(b, &w->lost[i]->id);
		free(w->lost[i]);
	}
	free(w->lost);
	w->lost = NULL;
	w->n_lost = w->cap_lost = 0;
}

static struct lost_job *lost_new(const struct job *j)
{
	const struct task *t = j->task;
	struct lost_job *x = gw_calloc(1, sizeof(*x) + t->n_rcpt * sizeof(x->rcpt[0]));

	x->number = j->number;
	x->id = j->msg->id;
	way_mark(t->site->way, x->way);
	for (size_t i = 0; i < j->msg->n_rcpt && x->n_rcpt < t->n_rcpt; i++) {
		if (j->msg->rcpt[i].task == t)
			x->rcpt[x->n_rcpt++] = (uint32_t)i;
	}
	return x;
}

int64_t blame_lost(struct broker *b, const struct job *j, int64_t now)
{
	struct blame_worker *w = &b->blame.worker[j->worker];

	if (w->n_lost == w->cap_lost) {
		w->cap_lost = w->cap_lost ? w->cap_lost * 2 : 16;
		w->lost = gw_realloc(w->lost, w->cap_lost * sizeof(struct lost_job *));
	}
	w->lost[w->n_lost++] = lost_new(j);
	j->msg->lost++;
	return now + PATIENCE;
}

/* ---- sites ---------------------------------------------------------------------------------- */

static struct blame_site *site_row(struct broker *b, const char *key)
{
	for (size_t i = 0; i < b->blame.n_site; i++) {
		if (strcmp(b->blame.site[i].key, key) == 0)
			return &b->blame.site[i];
	}
	return NULL;
}

/* The one that was blamed longest ago makes room. */
static struct blame_site *new_site_row(struct broker *b, const char *key)
{
	struct blame *x = &b->blame;
	struct blame_site *row = &x->site[0];

	if (x->n_site < BLAME_SITES_MAX) {
		row = &x->site[x->n_site++];
	} else {
		for (size_t i = 1; i < x->n_site; i++) {
			if (x->site[i].when < row->when)
				row = &x->site[i];
		}
	}
	*row = (struct blame_site){.when = 0};
	snprintf(row->key, sizeof(row->key), "%s", key);
	return row;
}

static void forget_site(struct broker *b, const char *key)
{
	struct blame_site *row = site_row(b, key);

	if (row != NULL)
		*row = b->blame.site[--b->blame.n_site];
}

static void log_paused(const struct way *w, int signal, int64_t rest)
{
	struct logline l;

	log_begin(&l, EV_SITE_PAUSED);
	log_str(&l, "group", w->group->shape->name);
	log_number(&l, "signal", signal);
	log_seconds(&l, "rest", rest);
	log_str(&l, "site", w->name);
	log_end(&l);
}

static int64_t rest_after(unsigned kills)
{
	int64_t rest = REST_FIRST;

	for (unsigned i = 2; i < kills && rest < REST_LAST; i++)
		rest *= 2;
	return rest < REST_LAST ? rest : REST_LAST;
}

static void rest_way(struct broker *b, struct way *w, unsigned kills, int signal, int64_t now)
{
	int64_t rest = rest_after(kills);

	w->paused = true;
	way_rest(b, w, now + rest);
	if (rest < REST_TOLD)
		return;
	snprintf(w->group->said, sizeof(w->group->said),
	    "Paused: different messages ended the process that sends here (signal %d)", signal);
	log_paused(w, signal, rest);
}

/* A message that did it before says nothing new of the site. */
static void blame_site(
    struct broker *b, const char *key, const struct broker_crash *crash, int64_t now)
{
	struct way *w = way_of_mark(b, key);
	struct blame_site *row = site_row(b, key);

	if (row != NULL && now - row->when > SITE_MEMORY)
		row->kills = 0;
	if (row == NULL)
		row = new_site_row(b, key);
	row->when = now;
	row->kills++;
	if (crash->host && row->kills > 1 && row->kills < KILLS_HOST)
		row->kills = KILLS_HOST;
	if (w == NULL)
		return;
	w->suspected = true;
	way_review(w);
	if (row->kills > 1)
		rest_way(b, w, row->kills, crash->signal, now);
}

void blame_way_works(struct broker *b, struct way *w)
{
	if (w->suspected) {
		w->suspected = false;
		way_review(w);
	}
	if (w->paused)
		heap_set(&b->resting, &w->rest, 0); /* awake at the next tick */
	if (b->blame.n_site > 0) {
		char mark[WAY_MARK_MAX];

		way_mark(w, mark);
		forget_site(b, mark);
	}
}

void blame_way_wakes(struct way *w)
{
	w->paused = false;
}

struct task *blame_next_task(const struct site *s)
{
	struct task *first = TAILQ_FIRST(&s->ready), *t;
	unsigned looked = 0;

	if (!s->way->suspected)
		return first;
	TAILQ_FOREACH_REVERSE(t, &s->ready, ready_list, link)
	{
		if (t->msg->kills == 0)
			return t;
		if (++looked == LOOK_BACK)
			break;
	}
	return first;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void hold(struct broker *b, struct task *t, int signal, int64_t now)
{
	struct reply r = {.code = 0};
	char text[200];

	snprintf(text, sizeof(text), "Set aside: it ended the %s twice (signal %d, to %s)",
	    target_is_local(&t->site->target) ? "delivery" : "sender", signal, t->site->name);
	r.text = span_str(text);
	task_settle_all(b, t, NULL, OUTCOME_HELD, &r, now);
}

static bool count_kill(struct queued *m)
{
	if (m->kills < UINT8_MAX)
		m->kills++;
	return m->kills >= KILLS_MAX;
}

/* The time is its recipients' too: the message may go to rest until then. */
static void try_again(struct broker *b, struct task *t, int64_t due)
{
	for (size_t i = 0; i < t->msg->n_rcpt; i++) {
		if (t->msg->rcpt[i].task == t)
			t->msg->rcpt[i].due = due;
	}
	task_wait(b, t, due);
}

static void blame_job(
    struct broker *b, const struct lost_job *x, const struct broker_crash *crash, int64_t now)
{
	struct queued *m = map_get(&b->ids, msgid_span(&x->id));
	struct task *t;
	bool enough;

	if (m == NULL)
		return; /* it was finished elsewhere */
	enough = count_kill(m);
	t = task_carve(b, m, 0, x->rcpt, x->n_rcpt);
	if (m->kills == 1)
		blame_site(b, x->way, crash, now);
	if (t == NULL)
		return;
	if (enough)
		hold(b, t, crash->signal, now);
	else
		try_again(b, t, now + SECOND_TRY);
}

/* It was lost with the guilty one and waits for the verdict only. */
static void acquit(struct broker *b, const struct lost_job *x, int64_t now)
{
	const struct queued *m = map_get(&b->ids, msgid_span(&x->id));
	struct task *t;

	if (m == NULL)
		return;
	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state == TASK_WAITING && t->node.key > now && t->node.key <= now + PATIENCE)
			task_wait(b, t, now);
	}
}

static void judge(struct broker *b, struct blame_worker *w, int64_t now)
{
	const struct lost_job *guilty = NULL;

	for (size_t i = 0; i < w->n_lost; i++) {
		const struct lost_job *x = w->lost[i];

		if (w->said.job != 0 && x->number == w->said.job && msgid_eq(&x->id, &w->said.id))
			guilty = x;
		else
			acquit(b, x, now);
	}
	if (guilty != NULL)
		blame_job(b, guilty, &w->said, now);
	w->is_said = false;
	forget_lost(b, w, false);
}

/* ---- what comes from outside ----------------------------------------------------------------- */

void blame_worker_up(struct broker *b, unsigned worker)
{
	struct blame_worker *w = &b->blame.worker[worker];

	w->is_said = false;
	forget_lost(b, w, false);
}

void blame_worker_down(struct broker *b, unsigned worker, int64_t now)
{
	struct blame_worker *w = &b->blame.worker[worker];

	if (w->is_said)
		judge(b, w, now);
}

void broker_blamed(struct broker *b, unsigned worker, const struct broker_crash *crash, int64_t now)
{
	struct blame_worker *w;

	gw_assert(worker < BROKER_WORKERS_MAX);
	w = &b->blame.worker[worker];
	w->is_said = true;
	w->said = *crash;
	if (!b->worker[worker].up)
		judge(b, w, now);
}

void broker_delivery_crashed(struct broker *b, unsigned worker, uint64_t number)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j != NULL && j->worker == worker && !j->finished && !j->poison)
		j->poison = count_kill(j->msg);
}

void blame_settle(
    struct broker *b, struct task *t, struct job *j, const struct change *c, int64_t now)
{
	struct reply r = {.code = 0};
	char said[128] = "", text[200];

	if (c->n_rcpt > 0)
		span_to_cstr(c->rcpt[0].reply, said, sizeof(said));
	snprintf(
	    text, sizeof(text), "Set aside: twice the process that delivers it crashed (%s)", said);
	r.text = span_str(text);
	task_settle_all(b, t, j, OUTCOME_HELD, &r, now);
}

void blame_hand(const struct broker *b, const struct msgid *id)
{
	if (b->hand != NULL)
		b->hand(id);
}

void blame_fini(struct broker *b)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(b->blame.worker); i++)
		forget_lost(b, &b->blame.worker[i], true);
}
