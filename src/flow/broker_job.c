/* Jobs: a task on a connection. Content goes out under credit; the result becomes records. */
#include "flow/broker-private.h"

#include "base/log.h"
#include "base/metric.h"

#include <stdlib.h>

/* ---- starting -------------------------------------------------------------------------- */

/* What an effect says of the job besides: one piece of memory. */
struct job_memory {
	struct span avoid[TOLD_MAX];
	char text[TOLD_MAX][ADDRESS_TEXT_MAX];
};

static void put_rcpts(const struct task *t, struct broker_job_rcpt *list)
{
	const struct queued *m = t->msg;
	size_t n = 0;

	for (size_t i = 0; i < m->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[i];

		if (r->task == t)
			list[n++] = (struct broker_job_rcpt){.index = (uint32_t)i,
			    .attempts = r->attempts,
			    .addr = r->addr,
			    .orcpt = r->orcpt,
			    .notify = r->notify,
			    .kept = r->kept};
	}
	gw_assert(n == t->n_rcpt);
}

static void say_where(struct broker *b, const struct site *s, struct broker_effect *e,
    struct job_memory *x, int64_t now)
{
	e->target = &s->target;
	e->tls = &s->shape->tls;
	e->idle = s->shape->idle;
	e->conn_messages = s->shape->per_connection;
	if (x == NULL)
		return;
	e->n_avoid = bad_hosts_of(b, s->way, x->text, now);
	e->avoid = x->avoid;
	for (size_t i = 0; i < e->n_avoid; i++)
		x->avoid[i] = span_str(x->text[i]);
}

static void say_job(struct broker *b, struct job *j, int64_t now)
{
	const struct queued *m = j->msg;
	const struct site *s = j->task->site;
	struct broker_effect *e = effect_add(b, EFFECT_JOB);
	size_t lists = j->task->n_rcpt * sizeof(struct broker_job_rcpt);
	bool avoids = s->way->n_told > 0;
	uint8_t *memory = gw_calloc(1, lists + (avoids ? sizeof(struct job_memory) : 0));

	effect_own(b, memory);
	/* A Maildir knows its messages by name: a second delivery of one finds the first. */
	j->once = once_wanted(m, s) && s->target.kind != TARGET_MAILDIR;

	e->peer = j->worker;
	e->number = j->number;
	e->conn = j->conn->number;
	e->id = m->id;
	e->from = j->task->from;
	e->envid = m->envid;
	e->ret = m->ret;
	e->size = m->size;
	e->body_type = m->body_type;
	e->eight_bit = m->eight_bit;
	e->smtputf8 = m->smtputf8;
	e->at_most_once = j->once;
	e->handling = &m->handling;
	e->n_rcpt = j->task->n_rcpt;
	e->rcpt = (struct broker_job_rcpt *)memory;
	put_rcpts(j->task, (struct broker_job_rcpt *)memory);
	say_where(b, s, e, avoids ? (struct job_memory *)(memory + lists) : NULL, now);
}

static struct job *job_new(struct broker *b, struct task *t, struct conn *c, uint64_t number)
{
	struct job *j = gw_calloc(1, sizeof(*j));

	j->number = number;
	j->task = t;
	j->msg = t->msg;
	j->conn = c;
	j->worker = c->worker;
	j->credit = BODY_WINDOW;
	t->job = j;
	t->msg->jobs++;
	conn_busy(c, t->site->priority);
	limit_take(c->way->group);
	map_put(&b->jobs, span_of(&j->number, sizeof(j->number)), j);
	return j;
}

void job_start(struct broker *b, struct task *t, struct conn *c, int64_t now)
{
	struct job *j = job_new(b, t, c, b->next_number++);

	j->started = now;
	say_job(b, j, now);
	job_send_body(b, j);
}

void job_resume(struct broker *b, struct task *t, struct conn *c, uint64_t number)
{
	struct job *j = job_new(b, t, c, number);

	j->adopted = true;
	j->started = b->now;
}

static void job_free(struct broker *b, struct job *j)
{
	struct queued *m = j->msg;

	if (j->task != NULL)
		j->task->job = NULL;
	map_del(&b->jobs, span_of(&j->number, sizeof(j->number)));
	m->jobs--;
	free(j);
	queued_settle(b, m);
}

/* ---- content --------------------------------------------------------------------------- */

/* The stored piece that holds this octet of the content: head, parts, rest. */
static void find_piece(const struct queued *m, uint64_t at, struct broker_effect *e, uint64_t *left)
{
	uint64_t start = m->head_length;

	e->piece = m->body;
	e->is_part = false;
	e->from_octet = at;
	*left = m->head_length - at;
	if (at < m->head_length)
		return;
	for (size_t i = 0; i < m->n_part; i++) {
		if (at < start + m->part[i].length) {
			e->piece = m->part[i];
			e->is_part = true;
			e->from_octet = at - start;
			*left = m->part[i].length - e->from_octet;
			return;
		}
		start += m->part[i].length;
	}
	e->from_octet = m->head_length + (at - start);
	*left = m->size - at;
}

static uint32_t send_piece(struct broker *b, struct job *j)
{
	struct queued *m = j->msg;
	struct broker_effect *e = effect_add(b, EFFECT_BODY);
	uint64_t left;

	e->peer = j->worker;
	e->number = j->number;
	find_piece(m, j->sent, e, &left);
	if (left > BODY_CHUNK)
		left = BODY_CHUNK;
	if (left > j->credit)
		left = j->credit;
	e->octets = (uint32_t)left;
	e->piece_start = e->from_octet == 0;
	e->piece_end = e->from_octet + left == e->piece.length;
	e->flag = j->sent + left == m->size;
	if (m->content != NULL && !e->is_part) {
		e->data = span_of(m->content->bytes + e->from_octet, (size_t)left);
		effect_hold_blob(b, m->content);
	}
	return (uint32_t)left;
}

void job_send_body(struct broker *b, struct job *j)
{
	if (j->adopted || j->finished || j->worker >= BROKER_WORKERS_MAX ||
	    b->worker[j->worker].blocked)
		return;
	while (j->sent < j->msg->size && j->credit > 0) {
		uint32_t n = send_piece(b, j);

		j->sent += n;
		j->credit -= n;
	}
}

int broker_body_credit(struct broker *b, unsigned worker, uint64_t number, uint32_t octets)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j == NULL || j->finished)
		return 0; /* it was on its way when the result came */
	if (j->worker != worker)
		return GW_EFORMAT;
	j->credit += octets;
	if (j->credit > (uint64_t)BODY_WINDOW * 4)
		j->credit = (uint64_t)BODY_WINDOW * 4;
	job_send_body(b, j);
	return 0;
}

void broker_body_broken(struct broker *b, uint64_t number)
{
	const struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));
	char id[MSGID_TEXT + 1];
	struct logline l;

	/* The worker was told (BODY_BROKEN) and gives the job back as deferred. */
	metric_add(METRIC_SPOOL_DAMAGED, 1);
	if (j == NULL)
		return;
	msgid_format(&j->msg->id, id);
	log_begin(&l, EV_SPOOL_DAMAGED);
	log_str(&l, "id", id);
	log_number(&l, "segment", (int64_t)j->msg->body.segment);
	log_end(&l);
}

/* ---- ends ------------------------------------------------------------------------------ */

static void say_confirm(struct broker *b, unsigned worker, uint64_t number)
{
	struct broker_effect *e = effect_add(b, EFFECT_CONFIRM);

	e->peer = worker;
	e->number = number;
}

void job_confirm(struct broker *b, struct job *j)
{
	if (j->worker < BROKER_WORKERS_MAX)
		say_confirm(b, j->worker, j->number);
	job_free(b, j);
}

/* The worker had all of it, and may have sent it before it died. */
static bool may_be_twice(const struct job *j, const struct task *t)
{
	return !j->once && t->site->target.kind != TARGET_MAILDIR &&
	       (j->adopted || j->sent == j->msg->size);
}

void job_lost(struct broker *b, struct job *j, int64_t now)
{
	struct task *t = j->task;
	int64_t until;

	if (j->finished) { /* its records are on their way; nobody waits for the confirmation */
		j->worker = BROKER_WORKERS_MAX;
		return;
	}
	until = blame_lost(b, j, now);
	limit_back(b, j->conn->way->group, true, j->started, now);
	conn_rests(j->conn);
	t->job = NULL;
	j->task = NULL;
	if (!once_lost(b, t, j->go || j->adopted, now)) {
		if (may_be_twice(j, t))
			counted(b, COUNTER_LOST, t->n_rcpt, now);
		task_wait(b, t, until);
	}
	job_free(b, j);
}

/* ---- what workers say ------------------------------------------------------------------- */

/* It was told that there are too many of us, by hosts that others of ours are speaking with. */
static bool only_too_many(const struct job *j)
{
	return j->refused && j->conn->way->n_busy > 1;
}

static void note_hosts(struct broker *b, struct job *j, bool site_is_down, int64_t now)
{
	struct way *w = j->conn->way;
	struct group *g = w->group;

	if (!site_is_down) {
		way_works(b, w);
		if (!j->refused)
			limit_good(g, now);
		return;
	}
	if (w->turned != NULL &&
	    w->turned == j->conn) { /* no hosts of ours: who comes again is served */
		pull_over(b, w);
		return;
	}
	j->soon = only_too_many(j);
	/* Of several ways one may be dead without being in the way of the others. */
	if (!j->refused && g->n_ways == 1)
		limit_unreachable(b, g, j->started, now);
	if (!j->soon)
		way_failed(b, w, now);
}

static void free_connection(struct broker *b, struct job *j, bool site_is_down, int64_t now)
{
	struct conn *c = j->conn;

	note_hosts(b, j, site_is_down, now);
	limit_back(b, c->way->group, !site_is_down, j->started, now);
	j->conn = NULL;
	conn_idle(b, c);
}

/* Each recipient at most once, in order; when one's time is over, and what is dropped, is ours. */
static bool change_allowed(const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (i > 0 && c->rcpt[i].index <= c->rcpt[i - 1].index)
			return false;
		if (c->rcpt[i].outcome >= OUTCOME_EXPIRED && c->rcpt[i].outcome != OUTCOME_MAYBE)
			return false;
	}
	return true;
}

/* Content stays in memory for first attempts only. */
static bool only_waiting(const struct queued *m)
{
	const struct task *t;

	TAILQ_FOREACH(t, &m->task_list, of_msg)
	{
		if (t->state != TASK_WAITING)
			return false;
	}
	return true;
}

void job_take_result(
    struct broker *b, struct job *j, bool site_is_down, const struct change *c, int64_t now)
{
	struct task *t = j->task;
	struct site *s = t->site;
	struct group *g = s->group, *used = j->conn->way->group;

	j->finished = true;
	j->task = NULL;
	t->job = NULL;
	s->n_waiting++; /* the site stays until its next task was looked for */
	free_connection(b, j, site_is_down, now);
	j->appends++;
	once_set_aside(b, t, c, now);
	if (j->poison)
		blame_settle(b, t, j, c, now);
	else
		task_settle(b, t, j, c, now);
	if (only_waiting(j->msg))
		queued_forget_content(b, j->msg);
	if (--j->appends == 0)
		job_confirm(b, j);
	s->n_waiting--;
	g->busy++;
	used->busy += used != g;
	site_release(b, s);
	g->busy--;
	group_pump(b, g, now);
	if (used != g) { /* its hosts have changed meanwhile */
		used->busy--;
		group_pump(b, used, now);
	}
}

void broker_dsn_passed_on(struct broker *b, unsigned worker, uint64_t number)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j != NULL && j->worker == worker)
		j->dsn = true;
}

void broker_time_passed_on(struct broker *b, unsigned worker, uint64_t number)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j != NULL && j->worker == worker)
		j->time = true;
}

int broker_result(struct broker *b, unsigned worker, uint64_t number, bool site_is_down,
    const struct change *c, int64_t now)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j == NULL) { /* known already: told again to a new queue */
		say_confirm(b, worker, number);
		return 0;
	}
	blame_hand(b, &j->msg->id);
	if (j->worker != worker || !msgid_eq(&j->msg->id, &c->id) || !change_allowed(c))
		return GW_EFORMAT;
	if (!j->finished)
		job_take_result(b, j, site_is_down, c, now);
	return 0;
}
