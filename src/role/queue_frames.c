/* Frames that reach the queue, decoded as hostile and given to the broker. */
#include "role/queue.h"

#include "base/log.h"
#include "flow/shape.h"

#include <stdlib.h>
#include <unistd.h>

enum { SCRATCH = 8 << 20, ANSWER_MAX = (2 << 20) - 64, MDA_SLOT = WORKERS_MAX };

static bool is_worker(enum role role)
{
	return role == ROLE_SENDER || role == ROLE_MDA;
}

/* ---- from receivers ---------------------------------------------------------------------- */

static int take_part(struct channel *c, struct span in, int64_t now)
{
	struct cursor cur = cursor_of(in);
	uint64_t txn = get_u64(&cur);

	return broker_part(c->queue->broker, c->number, txn, cur.rest, now);
}

static void note_commit(struct span envelope)
{
	struct blotter_addr addr;
	struct msgid id;
	struct span ip;

	envelope_glance(envelope, &id, &ip);
	addr = blotter_addr_parse(ip);
	blotter_commit(&id, &addr);
}

static int take_commit(struct channel *c, struct span in, int64_t now)
{
	struct proto_commit m;

	if (proto_get_commit(in, &m) < 0)
		return GW_EFORMAT;
	note_commit(m.envelope);
	return broker_commit(c->queue->broker, c->number, m.txn, m.envelope, m.head, m.rest, now);
}

static int take_abort(struct channel *c, struct span in)
{
	struct cursor cur = cursor_of(in);

	broker_abort(c->queue->broker, c->number, get_u64(&cur));
	return 0;
}

static int take_ask(struct channel *c, struct span in)
{
	struct cursor cur = cursor_of(in);
	uint64_t txn = get_u64(&cur);
	struct msgid nonce = get_msgid(&cur);

	if (!cursor_done(&cur))
		return GW_EFORMAT;
	broker_ask(c->queue->broker, c->number, txn, &nonce);
	return 0;
}

/* An answer for each, at once. */
static int take_etrn(struct channel *c, struct span in, int64_t now)
{
	struct proto_etrn_answer a;
	struct broker_etrn said;
	struct proto_etrn e;
	struct span part;
	struct buf b;

	if (proto_get_etrn(in, &e) < 0)
		return GW_EFORMAT;
	broker_etrn(c->queue->broker, (enum etrn_kind)e.kind, e.name, &said, now);
	a = (struct proto_etrn_answer){.request = e.request,
	    .status = (uint8_t)said.status,
	    .messages = said.messages,
	    .why = span_str(said.why)};
	buf_init(&b, ipc_rows[IPC_ETRN_ANSWER].max);
	proto_put_etrn_answer(&b, &a);
	part = buf_view(&b);
	ipc_send(c->ipc, IPC_ETRN_ANSWER, &part, 1, -1);
	buf_fini(&b);
	return 0;
}

/* ---- from workers ------------------------------------------------------------------------ */

static int take_holding(struct channel *c, struct span in, int64_t now)
{
	struct broker *b = c->queue->broker;
	struct proto_holding h;
	struct arena a;
	int err;

	arena_init(&a, SCRATCH);
	err = proto_get_holding(in, &h, &a);
	for (size_t i = 0; err == 0 && i < h.n_held; i++) {
		const struct proto_held *x = &h.held[i];

		err = broker_holding(b, c->number, x->job, x->conn, &x->id, x->rcpt, x->n_rcpt);
		if (err == GW_EIO)
			die("the spool cannot be read: %s", gw_strerror(err));
	}
	if (err == 0 && !h.more)
		broker_holding_done(b, c->number, now);
	arena_reset(&a);
	return err;
}

static int take_past_dot(struct channel *c, struct span in, int64_t now)
{
	struct proto_past_dot p;
	struct arena a;
	int err;

	arena_init(&a, SCRATCH);
	err = proto_get_past_dot(in, &p, &a);
	if (err == 0)
		err = broker_past_dot(c->queue->broker, c->number, p.job, p.rcpt, p.n_rcpt, now);
	arena_reset(&a);
	return err;
}

static void take_tried(struct channel *c, const struct proto_result *r, int64_t now)
{
	struct broker_tried tried[PROTO_TRIED_MAX];

	if (r->n_tried == 0 && !r->refused)
		return;
	for (size_t i = 0; i < r->n_tried; i++)
		tried[i] =
		    (struct broker_tried){r->tried[i].address, r->tried[i].good, r->tried[i].why};
	broker_tried(c->queue->broker, c->number, r->job, r->refused, tried, r->n_tried, now);
}

static int settle(struct channel *c, const struct proto_result *r, int64_t now)
{
	const struct broker_forward f = {.keep = r->keep, .to = r->forward, .n = r->n_forward};
	const struct change *change = &r->change;

	if (change->n_rcpt != 1 || change->rcpt[0].outcome != OUTCOME_EXPANDED)
		return broker_result(c->queue->broker, c->number, r->job, r->site, change, now);
	if (c->role != ROLE_MDA)
		return GW_EFORMAT;
	return broker_expanded(c->queue->broker, c->number, r->job, &f, change, now);
}

static int take_result(struct channel *c, struct span in, int64_t now)
{
	struct proto_result r;
	struct arena a;
	int err;

	arena_init(&a, SCRATCH);
	err = proto_get_result(in, &r, &a);
	if (err == 0 && r.crashed && c->role == ROLE_MDA)
		broker_delivery_crashed(c->queue->broker, c->number, r.job);
	if (err == 0 && r.dsn)
		broker_dsn_passed_on(c->queue->broker, c->number, r.job);
	if (err == 0 && r.time)
		broker_time_passed_on(c->queue->broker, c->number, r.job);
	if (err == 0)
		take_tried(c, &r, now);
	if (err == 0)
		err = settle(c, &r, now);
	arena_reset(&a);
	body_forget(c->queue->reader, err == 0 ? r.job : 0);
	return err;
}

static int take_closed(struct channel *c, struct span in, int64_t now)
{
	struct cursor cur = cursor_of(in);

	broker_conn_closed(c->queue->broker, c->number, get_u64(&cur), now);
	return 0;
}

static int take_body_credit(struct channel *c, struct span in)
{
	struct cursor cur = cursor_of(in);
	uint64_t job = get_u64(&cur);
	uint32_t octets = get_u32(&cur);

	return broker_body_credit(c->queue->broker, c->number, job, octets);
}

/* ---- from control ------------------------------------------------------------------------ */

static void answer(struct channel *c, uint64_t request, int status, struct span json)
{
	struct proto_answer a = {.request = request, .status = (uint16_t)status, .json = json};
	struct buf b;
	struct span part;

	buf_init(&b, ANSWER_MAX + 64);
	proto_put_answer(&b, &a);
	part = buf_view(&b);
	ipc_send(c->ipc, IPC_ANSWER, &part, 1, -1);
	buf_fini(&b);
}

void queue_answer_later(struct channel *c, const struct broker_effect *e)
{
	answer(c, e->number, e->status, e->data);
}

static int forget_hosts(struct broker *b, const struct proto_query *q, struct buf *out)
{
	size_t n = q->all || q->text.n > 0 ? broker_hosts_clear(b, q->text) : 0;

	buf_addf(out, "{\"forgotten\":%zu}", n);
	return 200;
}

static int act(struct channel *c, const struct proto_query *q, enum broker_verb verb,
    struct buf *out, int64_t now)
{
	static const struct msgid none;
	bool one = !q->all && !msgid_eq(&q->id, &none);
	struct broker_command command = {.verb = verb,
	    .dry = q->dry,
	    .id = one ? &q->id : NULL,
	    .filter = q->text,
	    .asker = c->number,
	    .request = q->request};

	if (!one && !q->all && q->text.n == 0)
		return 400;
	return broker_act(c->queue->broker, &command, out, now);
}

static int order(struct channel *c, const struct proto_query *q, struct buf *out, int64_t now)
{
	struct broker_order o = {.slow = q->op == QUERY_SLOW,
	    .group = q->text,
	    .rate = {q->rate, q->per},
	    .time = q->time,
	    .who = q->who,
	    .reason = q->reason,
	    .asker = c->number,
	    .request = q->request};

	return q->op == QUERY_RESUME ? broker_resume(c->queue->broker, &o, out, now)
				     : broker_order(c->queue->broker, &o, out, now);
}

static int run_query(struct channel *c, const struct proto_query *q, struct buf *out, int64_t now)
{
	struct broker *b = c->queue->broker;

	switch (q->op) {
	case QUERY_SUMMARY:
	case QUERY_STATUS: return broker_summary(b, out, now);
	case QUERY_LIST: return broker_list(b, q->text, &q->id, q->limit, out, now);
	case QUERY_SHOW: return broker_show(b, &q->id, out, now);
	case QUERY_RETRY: return act(c, q, BROKER_RETRY, out, now);
	case QUERY_DROP: return act(c, q, BROKER_DROP, out, now);
	case QUERY_RELEASE: return act(c, q, BROKER_RELEASE, out, now);
	case QUERY_HOLD: return act(c, q, BROKER_HOLD, out, now);
	case QUERY_PAUSE:
	case QUERY_SLOW:
	case QUERY_RESUME: return order(c, q, out, now);
	case QUERY_RULES: return broker_orders(b, out, now);
	case QUERY_HOSTS: return broker_hosts(b, out, now);
	case QUERY_LIMITS: return broker_limits(b, q->text, q->limit, out, now);
	case QUERY_FORGET: return forget_hosts(b, q, out);
	case QUERY_PULL: return pulls_ask(&c->queue->pulls, q->text, out);
	case QUERY_PULLS: return pulls_list(&c->queue->pulls, out);
	}
	return 400;
}

/* Who did what, and whether it was done: reading is not told of. */
static void log_command(const struct proto_query *q, int status)
{
	static const char *const verbs[QUERY_MAX + 1] = {[QUERY_RETRY] = "queue.retry",
	    [QUERY_DROP] = "queue.drop",
	    [QUERY_RELEASE] = "queue.release",
	    [QUERY_HOLD] = "queue.hold",
	    [QUERY_PAUSE] = "queue.pause",
	    [QUERY_SLOW] = "queue.slow",
	    [QUERY_RESUME] = "queue.resume",
	    [QUERY_FORGET] = "queue.hosts.clear",
	    [QUERY_PULL] = "pull"};
	char id[MSGID_TEXT + 1], rate[RATE_TEXT];
	struct logline l;

	if (verbs[q->op] == NULL || q->dry)
		return;
	msgid_format(&q->id, id);
	log_begin(&l, EV_ADMIN);
	log_str(&l, "command", verbs[q->op]);
	if (q->all || q->text.n > 0)
		log_text(&l, "selection", q->all ? SPAN("all") : q->text);
	else
		log_str(&l, "selection", id);
	if (q->op == QUERY_SLOW)
		log_str(&l, "messages", rate_text((struct rate){q->rate, q->per}, rate));
	if (q->time > 0)
		log_seconds(&l, "for", q->time);
	if (status >= 400)
		log_number(&l, "refused", status);
	log_text(&l, "who", q->who);
	if (q->reason.n > 0)
		log_text(&l, "reason", q->reason);
	log_end(&l);
}

static int take_query(struct channel *c, struct span in, int64_t now)
{
	struct proto_query q;
	struct buf out;
	int status;

	if (proto_get_query(in, &q) < 0)
		return GW_EFORMAT;
	buf_init(&out, ANSWER_MAX);
	status = run_query(c, &q, &out, now);
	log_command(&q, status);
	if (status != 0)
		answer(c, q.request, status, buf_view(&out));
	buf_fini(&out);
	return 0;
}

/* ---- channels ---------------------------------------------------------------------------- */

/* A table that cannot be read was logged; the one in force stays. */
static int take_accounts(struct channel *c, const struct ipc_frame *f, int64_t now)
{
	struct queue *q = c->queue;
	struct accounts *table = NULL, *old = q->accounts;

	if (accounts_frame_take(f, &table) < 0)
		return 0;
	q->accounts = table;
	broker_accounts(q->broker, table, now);
	accounts_free(&old);
	return 0;
}

static int take(struct channel *c, const struct ipc_frame *f, int64_t now)
{
	switch (f->type) {
	case IPC_PART: return take_part(c, f->payload, now);
	case IPC_COMMIT: return take_commit(c, f->payload, now);
	case IPC_ABORT: return take_abort(c, f->payload);
	case IPC_ASK: return take_ask(c, f->payload);
	case IPC_ETRN: return take_etrn(c, f->payload, now);
	case IPC_HOLDING: return take_holding(c, f->payload, now);
	case IPC_PAST_DOT: return take_past_dot(c, f->payload, now);
	case IPC_RESULT: return take_result(c, f->payload, now);
	case IPC_CLOSED: return take_closed(c, f->payload, now);
	case IPC_BODY_CREDIT: return take_body_credit(c, f->payload);
	case IPC_ACCOUNTS: return take_accounts(c, f, now);
	case IPC_QUERY: return take_query(c, f->payload, now);
	case IPC_TURN: return queue_take_turn(c, f);
	case IPC_PULLED: return queue_take_pulled(c, f->payload);
	case IPC_STORY_KEPT:
	case IPC_STORY_BEGIN: return story_frame(&c->queue->story, f);
	default: return GW_EFORMAT;
	}
}

static uint64_t first_number(struct span payload)
{
	struct cursor c = cursor_of(payload);

	return get_u64(&c);
}

static void frame(void *arg, struct ipc *ipc, struct ipc_frame *f)
{
	struct channel *c = arg;

	blotter_frame(c->role, c->index, first_number(f->payload), ipc_rows[f->type].name);
	if (take(c, f, loop_now(c->queue->loop)) < 0) {
		log_error("%s %u sent a %s frame that makes no sense", role_names[c->role],
		    c->index, ipc_rows[f->type].name);
		ipc_end(ipc, "bad_payload");
	}
	queue_run(c->queue);
	blotter_clear();
}

void queue_take_blame(struct queue *q, struct span payload)
{
	struct broker_crash crash;
	struct proto_blame x;

	if (proto_get_blame(payload, &x) < 0 || !is_worker((enum role)x.role) ||
	    x.index >= WORKERS_MAX)
		die("queue: master sent a BLAME frame that makes no sense");
	crash = (struct broker_crash){.job = x.job, .id = x.id, .signal = x.signal, .host = x.host};
	broker_blamed(
	    q->broker, x.role == ROLE_MDA ? MDA_SLOT : x.index, &crash, loop_now(q->loop));
	queue_run(q);
}

static void remove_channel(struct channel *c)
{
	struct queue *q = c->queue;

	TAILQ_REMOVE(&q->channels, c, link);
	if (c->role == ROLE_HISTORY)
		story_channel(&q->story, NULL);
	ipc_free(&c->ipc);
	if (c->role == ROLE_SENDER)
		pulls_worker_gone(&q->pulls, c->number);
	if (is_worker(c->role))
		broker_worker_down(q->broker, c->number, loop_now(q->loop));
	else if (c->role == ROLE_SMTPD)
		broker_receiver_down(q->broker, c->number);
	free(c);
	queue_run(q);
}

static void closed(void *arg, struct ipc *ipc, const char *why)
{
	(void)ipc;
	(void)why;
	remove_channel(arg);
}

static void drained(void *arg, struct ipc *ipc)
{
	struct channel *c = arg;

	(void)ipc;
	if (!c->blocked)
		return;
	c->blocked = false;
	broker_worker_blocked(c->queue->broker, c->number, false, loop_now(c->queue->loop));
	queue_run(c->queue);
}

/* The process in this slot is a new one: what the old one had is over. */
static void replace(struct queue *q, enum role role, unsigned index)
{
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role == role && c->index == index) {
			remove_channel(c);
			return;
		}
	}
}

void queue_add_channel(struct queue *q, enum role role, unsigned index, int fd)
{
	struct channel *c;
	struct ipc_owner owner = {.frame = frame, .closed = closed, .drained = drained};

	if (index >= WORKERS_MAX || role == ROLE_MASTER || role == ROLE_QUEUE) {
		close(fd);
		return;
	}
	replace(q, role, index);
	c = gw_calloc(1, sizeof(*c));
	c->queue = q;
	c->role = role;
	c->index = index;
	owner.arg = c;
	c->ipc = ipc_new(q->loop, fd, ROLE_QUEUE, role, index, &owner);
	TAILQ_INSERT_TAIL(&q->channels, c, link);
	if (is_worker(role)) {
		c->number = role == ROLE_MDA ? MDA_SLOT : index;
		broker_worker_up(
		    q->broker, c->number, role == ROLE_MDA ? WORKER_MDA : WORKER_SENDER);
		return;
	}
	c->number = q->next_receiver++;
	if (role == ROLE_SMTPD)
		broker_receiver_up(q->broker, c->number);
	if (role == ROLE_HISTORY)
		story_channel(&q->story, c->ipc);
}
