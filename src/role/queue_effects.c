/* What the broker asks for: frames to receivers, workers and control, records to the log. */
#include "role/queue.h"

#include <stdlib.h>

struct channel *queue_channel(struct queue *q, bool worker, unsigned number)
{
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		bool is_worker = c->role == ROLE_SENDER || c->role == ROLE_MDA;

		if (is_worker == worker && c->number == number)
			return c;
	}
	return NULL;
}

static void send_numbered(struct channel *c, enum ipc_type type, const struct broker_effect *e)
{
	struct buf b;
	struct span part;

	buf_init(&b, 16);
	put_u64(&b, e->number);
	if (type == IPC_PART_CREDIT)
		put_u32(&b, e->octets);
	if (type != IPC_CONFIRM)
		put_u8(&b,
		    (uint8_t)(e->status < 0 ? (e->status == GW_ENOSPC ? COMMIT_FULL : COMMIT_FAIL)
					    : e->status));
	part = buf_view(&b);
	ipc_send(c->ipc, type, &part, 1, -1);
	buf_fini(&b);
}

static void tell_receiver(struct queue *q, enum ipc_type type, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, false, e->peer);

	if (c != NULL)
		send_numbered(c, type, e);
}

static void tell_intake(struct queue *q, const struct broker_effect *e)
{
	uint8_t open = e->flag;
	struct span part = span_of(&open, 1);
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role == ROLE_SMTPD)
			ipc_send(c->ipc, IPC_INTAKE, &part, 1, -1);
	}
}

static struct proto_target target_of(const struct target *t)
{
	return (struct proto_target){.kind = (uint8_t)t->kind,
	    .host = span_str(t->at.host),
	    .port = t->at.port,
	    .path = span_str(t->kind == TARGET_MAILDIR ? t->path : t->at.unix_path)};
}

static void put_job(struct buf *b, const struct broker_effect *e)
{
	struct proto_rcpt *rcpt = gw_calloc(e->n_rcpt, sizeof(*rcpt));
	struct proto_job j = {.job = e->number,
	    .conn = e->conn,
	    .conn_messages = e->conn_messages,
	    .id = e->id,
	    .target = target_of(e->target),
	    .from = e->from,
	    .size = e->size,
	    .body_type = (uint8_t)e->body_type,
	    .eight_bit = e->eight_bit,
	    .at_most_once = e->at_most_once,
	    .rcpt = rcpt,
	    .n_rcpt = e->n_rcpt};

	for (size_t i = 0; i < e->n_rcpt; i++)
		rcpt[i] =
		    (struct proto_rcpt){e->rcpt[i].index, e->rcpt[i].attempts, e->rcpt[i].addr};
	proto_put_job(b, &j);
	free(rcpt);
}

static void send_job(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, true, e->peer);
	struct span part;
	struct buf b;

	if (c == NULL)
		return; /* the worker just went: broker_worker_down is on its way */
	buf_init(&b, IPC_COMMIT_MAX);
	put_job(&b, e);
	part = buf_view(&b);
	if (ipc_send(c->ipc, IPC_JOB, &part, 1, -1) < 0)
		ipc_end(c->ipc, "job_refused");
	buf_fini(&b);
}

static void send_body(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, true, e->peer);

	if (c == NULL)
		return;
	if (!body_send(q->reader, c->ipc, e))
		broker_body_broken(q->broker, e->number);
	if (ipc_full(c->ipc) && !c->blocked) {
		c->blocked = true;
		broker_worker_blocked(q->broker, c->number, true, loop_now(q->loop));
	}
}

static void send_go(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, true, e->peer);
	struct proto_go g = {.job = e->number, .go = e->flag};
	struct buf b;
	struct span part;

	if (c == NULL)
		return;
	buf_init(&b, 16);
	proto_put_go(&b, &g);
	part = buf_view(&b);
	ipc_send(c->ipc, IPC_GO, &part, 1, -1);
	buf_fini(&b);
}

static void confirm(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, true, e->peer);

	body_forget(q->reader, e->number);
	if (c != NULL)
		send_numbered(c, IPC_CONFIRM, e);
}

static void answer_dropped(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, false, e->peer);

	if (c != NULL)
		queue_answer_dropped(q, c, e);
}

void queue_carry_out(struct queue *q, const struct broker_effect *e)
{
	switch (e->type) {
	case EFFECT_APPEND:
		queue_log_add(q->log, queue_stored_type(e->record), &e->id, e->own, e->flag,
		    e->meta, e->body, e->token);
		break;
	case EFFECT_COMMITTED: tell_receiver(q, IPC_COMMITTED, e); break;
	case EFFECT_PART_CREDIT: tell_receiver(q, IPC_PART_CREDIT, e); break;
	case EFFECT_INTAKE: tell_intake(q, e); break;
	case EFFECT_JOB: send_job(q, e); break;
	case EFFECT_BODY: send_body(q, e); break;
	case EFFECT_GO: send_go(q, e); break;
	case EFFECT_CONFIRM: confirm(q, e); break;
	case EFFECT_HOLD: store_hold(q->store, e->segment); break;
	case EFFECT_RELEASE: store_release(q->store, e->segment); break;
	case EFFECT_READ_HEAD:
		broker_head(q->broker, e->token, body_head(q->reader, e), loop_now(q->loop));
		break;
	case EFFECT_ANSWER: answer_dropped(q, e); break;
	}
}
