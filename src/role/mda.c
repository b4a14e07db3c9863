/*
 * The mda: a child per delivery. The parent passes content on and parses none of it; it has no
 * network, starts no program (the launcher does, which it forks before its jail) and may signal
 * nobody. It keeps results until the queue confirms.
 *
 * A RESULT may come before all BODY frames did; those that follow are ignored. A job is one
 * recipient, its connection ends with it (no CLOSED).
 */
#include "role/role.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/map.h"
#include "role/dirs.h"
#include "role/mda_job.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	RUNNING_MAX = 32,
	PROGRAMS_MAX = 16, /* a slow one must not keep mailboxes waiting */
	JOB_MEMORY = 64 << 10,
	HELD_PER_FRAME = 1000,
	FRAME_MAX = 64 << 10,
	CLOCK_SLACK = 2, /* seconds a message id may be ahead of our clock */
};

TAILQ_HEAD(job_list, mda_job);

struct mda {
	struct config *config;
	struct config *first;  /* the launcher goes by it */
	struct config *before; /* what the queue may still go by when we have changed; NULL: none */
	struct mda_place place;
	struct master_link master;
	struct ipc *queue; /* NULL: gone, a new one will come */
	struct map jobs;   /* by number */
	struct job_list list;
	unsigned running, programs; /* the second is a part of the first */
	bool stopping;
	int64_t since;      /* wall clock: before this an older queue may have given us jobs */
	struct flush start; /* deliveries that may begin */
};

static struct span number_of(const struct mda_job *j)
{
	return span_of(&j->number, sizeof(j->number));
}

static void forget(struct mda *m, struct mda_job *j)
{
	map_del(&m->jobs, number_of(j));
	TAILQ_REMOVE(&m->list, j, link);
	mda_job_free(&j);
}

static void maybe_end(struct mda *m)
{
	if (m->stopping && (TAILQ_EMPTY(&m->list) || (m->queue == NULL && m->running == 0)))
		master_link_done(&m->master);
}

/* ---- what we tell the queue -------------------------------------------------------------- */

/* An ended channel is no error here: the next queue is told what is still true. */
static void tell(struct mda *m, enum ipc_type type, const struct buf *b)
{
	struct span s = buf_view(b);

	gw_assert(!buf_failed(b));
	if (m->queue != NULL)
		ipc_send(m->queue, type, &s, 1, -1);
}

static void send_result(struct mda *m, const struct mda_job *j)
{
	struct buf b;

	buf_init(&b, FRAME_MAX);
	mda_job_result(j, &b);
	tell(m, IPC_RESULT, &b);
	buf_fini(&b);
}

static void send_credit(void *arg, struct mda_job *j, uint32_t octets)
{
	struct buf b;

	buf_init(&b, FRAME_MAX);
	put_u64(&b, j->number);
	put_u32(&b, octets);
	tell(arg, IPC_BODY_CREDIT, &b);
	buf_fini(&b);
}

static void ask_go(void *arg, const struct mda_job *j)
{
	struct proto_past_dot p = {.job = j->number, .rcpt = &j->index, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, FRAME_MAX);
	proto_put_past_dot(&b, &p);
	tell(arg, IPC_PAST_DOT, &b);
	buf_fini(&b);
}

static void job_done(void *arg, struct mda_job *j)
{
	struct mda *m = arg;

	if (j->started) {
		m->running--;
		m->programs -= j->target->kind == TARGET_PIPE;
	}
	if (j->forgotten)
		forget(m, j);
	else
		send_result(m, j);
	flush_mark(&m->start, m->place.loop);
}

/* Those whose content is whole go on and keep their order; the first frame may be the last. */
static void send_holding(struct mda *m)
{
	struct proto_held held[HELD_PER_FRAME];
	struct mda_job *j = TAILQ_FIRST(&m->list);

	do {
		struct proto_holding h = {.held = held};
		struct buf b;

		for (; j != NULL && h.n_held < HELD_PER_FRAME; j = TAILQ_NEXT(j, link)) {
			if (!j->forgotten)
				held[h.n_held++] = (struct proto_held){.job = j->number,
				    .conn = j->conn,
				    .id = j->id,
				    .rcpt = &j->index,
				    .n_rcpt = 1};
		}
		h.more = j != NULL;
		buf_init(&b, FRAME_MAX);
		proto_put_holding(&b, &h);
		tell(m, IPC_HOLDING, &b);
		buf_fini(&b);
	} while (j != NULL);
}

/* ---- jobs -------------------------------------------------------------------------------- */

static bool may_start(const struct mda *m, const struct mda_job *j)
{
	return j->target->kind != TARGET_PIPE || m->programs < PROGRAMS_MAX;
}

static void start_waiting(void *arg)
{
	struct mda *m = arg;
	struct mda_job *j, *next;

	for (j = TAILQ_FIRST(&m->list); j != NULL && m->running < RUNNING_MAX; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->state != MDA_WAITING || !may_start(m, j))
			continue;
		mda_job_start(j);
		if (j->state != MDA_RUNNING)
			continue;
		m->running++;
		m->programs += j->target->kind == TARGET_PIPE;
	}
	blotter_clear();
	maybe_end(m);
}

static const struct target *target_at(const struct config *c, size_t i)
{
	if (i < c->n_domain)
		return &c->domain[i].deliver;
	i -= c->n_domain;
	return i < c->n_route ? &c->route[i].target : NULL;
}

/* The queue may name only what the configuration names, or the one before: it changes after us. */
static const struct target *own_target(const struct config *c, const struct proto_target *p)
{
	const struct target *t;

	for (size_t i = 0; (t = target_at(c, i)) != NULL; i++) {
		if (target_is_local(t) && t->kind == p->kind && span_eq(span_str(t->path), p->path))
			return t;
	}
	return NULL;
}

/* The domain of this address, if it is ours. */
static const struct domain *own_domain(const struct config *c, struct span addr)
{
	for (size_t i = addr.n; i > 0; i--) {
		if (addr.p[i - 1] == '@')
			return config_domain(c, span_skip(addr, i));
	}
	return NULL;
}

/* A message that was accepted after we began to work for this queue, and was never tried, cannot
 * be in a mailbox yet. One from the future was accepted before somebody set the clock back. */
static bool is_fresh(const struct mda *m, const struct proto_job *p)
{
	int64_t msec = 0, accepted;

	for (size_t i = 0; i < 6; i++)
		msec = msec << 8 | p->id.b[i];
	accepted = msec * USEC_PER_MSEC;
	return p->rcpt[0].attempts == 0 && accepted > m->since + CLOCK_SLACK * USEC_PER_SEC &&
	       accepted <= clock_wall();
}

static void add_job(struct mda *m, const struct proto_job *p)
{
	struct config *c = m->config;
	const struct target *t = own_target(c, &p->target);
	struct mda_job *j;

	if (t == NULL && m->before != NULL) {
		c = m->before;
		t = own_target(c, &p->target);
	}

	if (p->n_rcpt != 1 || t == NULL || (p->at_most_once && t->kind != TARGET_PIPE) ||
	    map_get(&m->jobs, span_of(&p->job, sizeof(p->job))) != NULL) {
		ipc_end(m->queue, "forbidden_job");
		return;
	}
	blotter_job(p->job, &p->id, t->kind == TARGET_PIPE ? "pipe" : "maildir", "job");
	j = mda_job_new(&m->place, p, t, own_domain(c, p->rcpt[0].addr), is_fresh(m, p));
	j->config = config_ref(c);
	map_put(&m->jobs, number_of(j), j);
	TAILQ_INSERT_TAIL(&m->list, j, link);
	flush_mark(&m->start, m->place.loop);
}

static void take_job(struct mda *m, struct span payload)
{
	struct proto_job p;
	struct arena a;

	/* The queue does not know that we end; the job is due again when we are gone. */
	if (m->stopping)
		return;
	arena_init(&a, JOB_MEMORY);
	if (proto_get_job(payload, &p, &a) < 0)
		ipc_end(m->queue, "malformed_job");
	else
		add_job(m, &p);
	arena_reset(&a);
}

static void take_body(struct mda *m, struct span payload)
{
	struct cursor c = cursor_of(payload);
	uint64_t number = get_u64(&c);
	uint8_t flags = get_u8(&c);
	struct mda_job *j = map_get(&m->jobs, span_of(&number, sizeof(number)));

	if (j == NULL)
		return;
	if (flags & BODY_BROKEN)
		mda_job_cut(j);
	else if (mda_job_body(j, c.rest, flags & BODY_LAST) < 0)
		ipc_end(m->queue, "credit_exceeded");
}

static void take_go(struct mda *m, struct span payload)
{
	struct proto_go g;
	struct mda_job *j;

	if (proto_get_go(payload, &g) < 0) {
		ipc_end(m->queue, "malformed_go");
		return;
	}
	j = map_get(&m->jobs, span_of(&g.job, sizeof(g.job)));
	if (j != NULL)
		mda_job_go(j, g.go);
}

static void take_confirm(struct mda *m, struct span payload)
{
	struct cursor c = cursor_of(payload);
	uint64_t number = get_u64(&c);
	struct mda_job *j = map_get(&m->jobs, span_of(&number, sizeof(number)));

	if (j != NULL && j->state == MDA_DONE)
		forget(m, j);
	maybe_end(m);
}

static void from_queue(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct mda *m = arg;

	(void)c;
	blotter_clear();
	if (f->type == IPC_JOB)
		take_job(m, f->payload);
	else if (f->type == IPC_BODY)
		take_body(m, f->payload);
	else if (f->type == IPC_GO)
		take_go(m, f->payload);
	else if (f->type == IPC_CONFIRM)
		take_confirm(m, f->payload);
	blotter_clear();
}

/* ---- queues come and go ------------------------------------------------------------------- */

static void queue_gone(void *arg, struct ipc *c, const char *why)
{
	struct mda *m = arg;

	(void)c;
	(void)why;
	ipc_free(&m->queue);
	maybe_end(m);
}

/* Without all its content a job cannot be finished: the new queue will give it again. */
static void drop_incomplete(struct mda *m)
{
	struct mda_job *j, *next;

	for (j = TAILQ_FIRST(&m->list); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		/* Nobody will give this one leave to end: the new queue hears that it did not. */
		if (j->asked)
			mda_job_go(j, false);
		if (j->whole || j->state == MDA_DONE)
			continue;
		j->forgotten = true;
		mda_job_cut(j);
	}
}

static void new_queue(struct mda *m, int fd)
{
	struct ipc_owner owner = {.frame = from_queue, .closed = queue_gone, .arg = m};
	struct mda_job *j;

	if (m->queue != NULL)
		ipc_free(&m->queue);
	drop_incomplete(m);
	m->since = clock_wall();
	m->queue = ipc_new(m->place.loop, fd, ROLE_MDA, ROLE_QUEUE, 0, &owner);
	send_holding(m);
	TAILQ_FOREACH(j, &m->list, link)
	{
		if (j->state == MDA_DONE && !j->forgotten)
			send_result(m, j);
	}
}

static void on_peer(void *arg, enum role role, unsigned index, int fd)
{
	(void)index;
	if (role == ROLE_QUEUE)
		new_queue(arg, fd);
	else
		close(fd);
}

static void on_stop(void *arg)
{
	struct mda *m = arg;

	m->stopping = true;
	flush_mark(&m->start, m->place.loop);
}

/* ---- the role ---------------------------------------------------------------------------- */

/* Jobs under way have theirs. Directories and programs are those of the start: master starts us
 * again for others. */
static void change(void *arg, struct reload *r, struct config *old)
{
	struct mda *m = arg;

	(void)r;
	config_free(&m->before);
	m->before = config_ref(old);
}

static void program_ended(void *arg, uint64_t number, int status)
{
	struct mda *m = arg;
	struct mda_job *j = map_get(&m->jobs, span_of(&number, sizeof(number)));

	if (j == NULL || j->state != MDA_RUNNING || j->target->kind != TARGET_PIPE)
		die("mda: the launcher tells of a program that does not run");
	mda_job_ended(j, status);
}

static void make_trees(const struct mda *m, const struct sandbox *s)
{
	struct dir_owner owner = {
	    .uid = m->place.uid, .gid = m->place.gid, .set = m->place.is_root};

	for (size_t i = 0; i < s->n_trees; i++) {
		if (dir_make(s->trees[i], 0755, &owner) < 0)
			log_error("%s: %s", s->trees[i], strerror(errno));
	}
}

static void find_owner(struct mda *m, const struct boot *b)
{
	m->place.is_root = b->is_root && b->jail;
	if (!m->place.is_root)
		return;
	if (sandbox_ids(m->config->run_as, ROLE_MDA, &m->place.uid, &m->place.gid) < 0)
		die("mda: no user to own mailboxes");
}

int role_mda(struct loop *l, struct boot *b)
{
	struct mda *m = gw_calloc(1, sizeof(*m));
	struct sandbox s;

	m->config = boot_config(b);
	TAILQ_INIT(&m->list);
	map_init(&m->jobs, (uint64_t)clock_now());
	flush_init(&m->start, start_waiting, m);
	m->place = (struct mda_place){.loop = l,
	    .jail = b->jail && !b->one_process,
	    .filters = b->filters,
	    .credit = send_credit,
	    .ask_go = ask_go,
	    .done = job_done,
	    .arg = m};
	find_owner(m, b);
	m->first = config_ref(m->config);
	m->place.launcher = (struct launcher){.ended = program_ended, .arg = m};
	launcher_start(&m->place.launcher, l, m->config, m->place.jail, m->place.uid, b->filters);
	boot_sandbox(b, m->config, &s);
	make_trees(m, &s);
	sandbox_confine(&s);
	sandbox_seal(&s);
	for (size_t i = 0; i < b->n_peer; i++)
		on_peer(m, b->peer[i].role, b->peer[i].index, b->peer[i].fd);
	m->master = (struct master_link){
	    .peer = on_peer, .stop = on_stop, .config = &m->config, .change = change, .arg = m};
	master_link_start(&m->master, l, b);
	return 0;
}
