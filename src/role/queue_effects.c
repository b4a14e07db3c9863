/* What the broker asks for: frames to receivers, workers and control, records to the log. */
#include "auth/tlspolicy.h"
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
	if (type != IPC_CONFIRM && type != IPC_CLOSE)
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

static void set_source(struct proto_target *p, const struct vmta *v)
{
	p->vmta = span_str(v->name);
	p->helo = span_str(v->helo);
	p->v4 = span_of(v->v4, v->has_v4 ? sizeof(v->v4) : 0);
	p->v6 = span_of(v->v6, v->has_v6 ? sizeof(v->v6) : 0);
	p->wish = (uint8_t)v->wish;
}

/* In the order of their strictness; what nobody said is to try. */
static enum tls_demand demand_of(const struct tls_out *t)
{
	static const enum tls_demand demands[] = {[OUT_TLS_UNSAID] = TLS_DEMAND_TRY,
	    [OUT_TLS_OFF] = TLS_DEMAND_NONE,
	    [OUT_TLS_OPPORTUNISTIC] = TLS_DEMAND_TRY,
	    [OUT_TLS_REQUIRE] = TLS_DEMAND_ENCRYPT,
	    [OUT_TLS_VERIFY] = TLS_DEMAND_VERIFY,
	    [OUT_TLS_FINGERPRINT] = TLS_DEMAND_FINGERPRINT};

	return demands[t->mode];
}

/* The stricter of what the target and its group demand; one that is silent leaves it to the other,
 * and of two lists of certificates the target's counts. */
static const struct tls_out *stricter(const struct tls_out *target, const struct tls_out *group)
{
	if (group == NULL || group->mode == OUT_TLS_UNSAID)
		return target;
	if (target->mode == OUT_TLS_UNSAID)
		return group;
	return demand_of(group) > demand_of(target) ? group : target;
}

static void set_channel(struct proto_target *p, const struct target *t, const struct tls_out *group)
{
	const struct tls_out *o = stricter(&t->tls, group);

	p->tls = (uint8_t)demand_of(o);
	/* A password is shown to a verified host, unless the route says that less will do. */
	if (t->secret != NULL && t->tls.mode == OUT_TLS_UNSAID && p->tls < TLS_DEMAND_VERIFY)
		p->tls = TLS_DEMAND_VERIFY;
	p->pins = span_of(o->fingerprint, o->n_fingerprint * TLS_FINGERPRINT);
	p->login = t->secret != NULL;
	p->secret = t->secret != NULL ? secret_number(t->secret_path) : 0;
}

/* All recipients of a job are of one domain where that says which hosts take it. */
static struct span domain_of(const struct broker_effect *e)
{
	struct span addr = e->rcpt[0].addr;
	size_t at = addr.n;

	while (at > 0 && addr.p[at - 1] != '@')
		at--;
	return at > 0 ? span_skip(addr, at) : SPAN_NONE;
}

struct proto_target queue_target(const struct target *t, const struct tls_out *group)
{
	struct proto_target p = {.kind = (uint8_t)t->kind,
	    .port = t->port,
	    .private_ok = t->private_ok,
	    .path = span_str(t->path)};

	if (t->vmta != NULL)
		set_source(&p, t->vmta);
	if (t->kind == TARGET_RELAY || t->kind == TARGET_MX)
		set_channel(&p, t, group);
	for (size_t i = 0; i < t->n_host; i++) {
		if (t->host[i].unix_path != NULL)
			p.path = span_str(t->host[i].unix_path);
		else
			p.host[p.n_host++] =
			    (struct proto_host){span_str(t->host[i].host), t->host[i].port};
	}
	return p;
}

/* Its deadline is one of our clock; who sends it knows the wall clock only. */
static struct handling wall_handling(const struct queue *q, const struct handling *h)
{
	struct handling said = *h;

	if (h->by != BY_NONE)
		said.by_at += q->wall_ahead;
	return said;
}

static void put_job(const struct queue *q, struct buf *b, const struct broker_effect *e)
{
	struct proto_rcpt *rcpt = gw_calloc(e->n_rcpt, sizeof(*rcpt));
	struct proto_job j = {.job = e->number,
	    .conn = e->conn,
	    .conn_messages = e->conn_messages,
	    .id = e->id,
	    .target = queue_target(e->target, e->tls),
	    .from = e->from,
	    .envid = e->envid,
	    .ret = (uint8_t)e->ret,
	    .smtputf8 = e->smtputf8,
	    .size = e->size,
	    .body_type = (uint8_t)e->body_type,
	    .eight_bit = e->eight_bit,
	    .at_most_once = e->at_most_once,
	    .handling = wall_handling(q, e->handling),
	    .n_avoid = e->n_avoid < PROTO_AVOID_MAX ? e->n_avoid : PROTO_AVOID_MAX,
	    .idle = e->idle,
	    .rcpt = rcpt,
	    .n_rcpt = e->n_rcpt};

	if (e->target->kind == TARGET_MX)
		j.target.domain = domain_of(e);
	for (size_t i = 0; i < j.n_avoid; i++)
		j.avoid[i] = e->avoid[i];
	for (size_t i = 0; i < e->n_rcpt; i++)
		rcpt[i] = (struct proto_rcpt){.index = e->rcpt[i].index,
		    .attempts = e->rcpt[i].attempts,
		    .addr = e->rcpt[i].addr,
		    .orcpt = e->rcpt[i].orcpt,
		    .notify = e->rcpt[i].notify,
		    .kept = e->rcpt[i].kept};
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
	put_job(q, &b, e);
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

static void send_close(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, true, e->peer);

	if (c != NULL)
		send_numbered(c, IPC_CLOSE, e);
}

static void answer_dropped(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, false, e->peer);

	if (c != NULL)
		queue_answer_later(c, e);
}

static void put_limit(struct buf *b, const struct broker_limit *l)
{
	struct proto_limit p = {.key = (uint8_t)l->key,
	    .what = (uint8_t)l->what,
	    .calendar = (uint8_t)l->calendar,
	    .seconds = l->seconds,
	    .n = l->n,
	    .used = l->used,
	    .opens_in = l->opens_in,
	    .plan = span_str(l->plan),
	    .subject = span_str(l->subject)};

	proto_put_limit(b, &p);
}

static void tell_limit(struct queue *q, const struct broker_effect *e)
{
	struct channel *c;
	struct span part;
	struct buf b;

	buf_init(&b, PROTO_LIMIT_MAX);
	put_limit(&b, e->limit);
	part = buf_view(&b);
	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role == ROLE_SMTPD && (e->flag || c->number == e->peer))
			ipc_send(c->ipc, IPC_LIMIT, &part, 1, -1);
	}
	buf_fini(&b);
}

/* Over a limit: and over which. */
static void tell_over(struct queue *q, const struct broker_effect *e)
{
	struct channel *c = queue_channel(q, false, e->peer);
	struct span part;
	struct buf b;

	if (c == NULL)
		return;
	buf_init(&b, PROTO_LIMIT_MAX + 16);
	put_u64(&b, e->number);
	put_u8(&b, COMMIT_LIMIT);
	put_limit(&b, e->limit);
	part = buf_view(&b);
	ipc_send(c->ipc, IPC_COMMITTED, &part, 1, -1);
	buf_fini(&b);
}

static void tell_committed(struct queue *q, const struct broker_effect *e)
{
	if (e->limit != NULL)
		tell_over(q, e);
	else
		tell_receiver(q, IPC_COMMITTED, e);
}

void queue_carry_out(struct queue *q, const struct broker_effect *e)
{
	switch (e->type) {
	case EFFECT_APPEND:
		queue_log_add(q->log, queue_stored_type(e->record), &e->id, e->own, e->flag,
		    e->meta, e->body, e->token);
		break;
	case EFFECT_COMMITTED: tell_committed(q, e); break;
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
	case EFFECT_RESOLVE: queue_ask_names(q, e); break;
	case EFFECT_CLOSE: send_close(q, e); break;
	case EFFECT_ANSWER: answer_dropped(q, e); break;

	/* limits */
	case EFFECT_LIMIT: tell_limit(q, e); break;
	case EFFECT_INDEX: store_index_below(q->store, e->segment); break;
	}
}
