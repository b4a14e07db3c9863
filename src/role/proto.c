#include "role/proto.h"

enum { JOB_RCPT_MAX = 1000, HOLDING_MAX = 4096 };
enum result_flag { RESULT_SITE = 1, RESULT_CRASHED = 2 };

static struct msgid get_msgid(struct cursor *c)
{
	struct span s = get_bytes(c, sizeof(struct msgid));
	struct msgid id = {{0}};

	if (s.n == sizeof(id.b))
		memcpy(id.b, s.p, sizeof(id.b));
	return id;
}

static void put_msgid(struct buf *b, const struct msgid *id)
{
	buf_add(b, id->b, sizeof(id->b));
}

void proto_put_commit(struct buf *b, const struct proto_commit *c)
{
	put_u64(b, c->txn);
	put_span32(b, c->envelope);
	put_span32(b, c->head);
}

int proto_get_commit(struct span in, struct proto_commit *c)
{
	struct cursor cur = cursor_of(in);

	c->txn = get_u64(&cur);
	c->envelope = get_span32(&cur);
	c->head = get_span32(&cur);
	c->rest = cur.rest;
	return cursor_ok(&cur) ? 0 : GW_EFORMAT;
}

static void put_target(struct buf *b, const struct proto_target *t)
{
	put_u8(b, t->kind);
	put_span16(b, t->host);
	put_u16(b, t->port);
	put_span16(b, t->path);
}

static void get_target(struct cursor *c, struct proto_target *t)
{
	t->kind = get_u8(c);
	t->host = get_span16(c);
	t->port = get_u16(c);
	t->path = get_span16(c);
}

void proto_put_job(struct buf *b, const struct proto_job *j)
{
	put_u64(b, j->job);
	put_u64(b, j->conn);
	put_u32(b, j->conn_messages);
	put_msgid(b, &j->id);
	put_target(b, &j->target);
	put_span16(b, j->from);
	put_u64(b, j->size);
	put_u8(b, j->body_type);
	put_u8(b, j->eight_bit);
	put_u8(b, j->at_most_once);
	put_u32(b, (uint32_t)j->n_rcpt);
	for (size_t i = 0; i < j->n_rcpt; i++) {
		put_u32(b, j->rcpt[i].index);
		put_u32(b, j->rcpt[i].attempts);
		put_span16(b, j->rcpt[i].addr);
	}
}

static int get_job_rcpts(struct cursor *c, struct proto_job *j, struct arena *a)
{
	struct proto_rcpt *rcpt;

	j->n_rcpt = get_u32(c);
	if (!cursor_ok(c) || j->n_rcpt == 0 || j->n_rcpt > JOB_RCPT_MAX)
		return GW_EFORMAT;
	rcpt = arena_alloc(a, j->n_rcpt * sizeof(*rcpt));
	if (rcpt == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < j->n_rcpt; i++) {
		rcpt[i].index = get_u32(c);
		rcpt[i].attempts = get_u32(c);
		rcpt[i].addr = get_span16(c);
	}
	j->rcpt = rcpt;
	return cursor_done(c) ? 0 : GW_EFORMAT;
}

int proto_get_job(struct span in, struct proto_job *j, struct arena *a)
{
	struct cursor c = cursor_of(in);

	j->job = get_u64(&c);
	j->conn = get_u64(&c);
	j->conn_messages = get_u32(&c);
	j->id = get_msgid(&c);
	get_target(&c, &j->target);
	j->from = get_span16(&c);
	j->size = get_u64(&c);
	j->body_type = get_u8(&c);
	j->eight_bit = get_u8(&c) != 0;
	j->at_most_once = get_u8(&c) != 0;
	return get_job_rcpts(&c, j, a);
}

void proto_put_result(struct buf *b, const struct proto_result *r)
{
	put_u64(b, r->job);
	put_u8(b, (uint8_t)((r->site ? RESULT_SITE : 0) | (r->crashed ? RESULT_CRASHED : 0)));
	change_encode(&r->change, b);
}

int proto_get_result(struct span in, struct proto_result *r, struct arena *a)
{
	struct cursor c = cursor_of(in);
	uint8_t flags;

	r->job = get_u64(&c);
	flags = get_u8(&c);
	r->site = flags & RESULT_SITE;
	r->crashed = flags & RESULT_CRASHED;
	if (!cursor_ok(&c))
		return GW_EFORMAT;
	return change_decode(&r->change, c.rest, a);
}

static void put_indexes(struct buf *b, const uint32_t *rcpt, size_t n)
{
	put_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		put_u32(b, rcpt[i]);
}

static int get_indexes(struct cursor *c, const uint32_t **rcpt, size_t *n, struct arena *a)
{
	uint32_t *list;

	*n = get_u32(c);
	if (!cursor_ok(c) || *n > JOB_RCPT_MAX)
		return GW_EFORMAT;
	list = arena_alloc(a, *n * sizeof(*list));
	if (list == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < *n; i++)
		list[i] = get_u32(c);
	*rcpt = list;
	return cursor_ok(c) ? 0 : GW_EFORMAT;
}

void proto_put_past_dot(struct buf *b, const struct proto_past_dot *p)
{
	put_u64(b, p->job);
	put_indexes(b, p->rcpt, p->n_rcpt);
}

int proto_get_past_dot(struct span in, struct proto_past_dot *p, struct arena *a)
{
	struct cursor c = cursor_of(in);
	int err;

	p->job = get_u64(&c);
	err = get_indexes(&c, &p->rcpt, &p->n_rcpt, a);
	if (err < 0)
		return err;
	return cursor_done(&c) && p->n_rcpt > 0 ? 0 : GW_EFORMAT;
}

void proto_put_go(struct buf *b, const struct proto_go *g)
{
	put_u64(b, g->job);
	put_u8(b, g->go);
}

int proto_get_go(struct span in, struct proto_go *g)
{
	struct cursor c = cursor_of(in);

	g->job = get_u64(&c);
	g->go = get_u8(&c) != 0;
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_holding(struct buf *b, const struct proto_holding *h)
{
	put_u8(b, h->more);
	put_u32(b, (uint32_t)h->n_held);
	for (size_t i = 0; i < h->n_held; i++) {
		const struct proto_held *x = &h->held[i];

		put_u64(b, x->job);
		put_u64(b, x->conn);
		put_msgid(b, &x->id);
		put_indexes(b, x->rcpt, x->n_rcpt);
	}
}

static int get_held(struct cursor *c, struct proto_held *x, struct arena *a)
{
	x->job = get_u64(c);
	x->conn = get_u64(c);
	x->id = get_msgid(c);
	return get_indexes(c, &x->rcpt, &x->n_rcpt, a);
}

int proto_get_holding(struct span in, struct proto_holding *h, struct arena *a)
{
	struct cursor c = cursor_of(in);
	struct proto_held *held;

	h->more = get_u8(&c) != 0;
	h->n_held = get_u32(&c);
	if (!cursor_ok(&c) || h->n_held > HOLDING_MAX)
		return GW_EFORMAT;
	held = arena_alloc(a, h->n_held * sizeof(*held));
	if (held == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < h->n_held; i++) {
		int err = get_held(&c, &held[i], a);

		if (err < 0)
			return err;
	}
	h->held = held;
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_query(struct buf *b, const struct proto_query *q)
{
	put_u64(b, q->request);
	put_u8(b, (uint8_t)q->op);
	put_u8(b, q->all);
	put_msgid(b, &q->id);
	put_u32(b, q->limit);
	put_span16(b, q->text);
	put_span16(b, q->who);
}

int proto_get_query(struct span in, struct proto_query *q)
{
	struct cursor c = cursor_of(in);
	uint8_t op;

	q->request = get_u64(&c);
	op = get_u8(&c);
	q->all = get_u8(&c) != 0;
	q->id = get_msgid(&c);
	q->limit = get_u32(&c);
	q->text = get_span16(&c);
	q->who = get_span16(&c);
	if (op > QUERY_MAX)
		return GW_EFORMAT;
	q->op = (enum query_op)op;
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_answer(struct buf *b, const struct proto_answer *a)
{
	put_u64(b, a->request);
	put_u16(b, a->status);
	put_span32(b, a->json);
}

int proto_get_answer(struct span in, struct proto_answer *a)
{
	struct cursor c = cursor_of(in);

	a->request = get_u64(&c);
	a->status = get_u16(&c);
	a->json = get_span32(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_role(struct buf *b, const struct proto_role *r)
{
	put_u8(b, r->role);
	put_u8(b, r->index);
	put_u32(b, r->pid);
	put_u32(b, r->restarts);
	put_u64(b, (uint64_t)r->started);
}

int proto_get_role(struct cursor *c, struct proto_role *r)
{
	if (c->rest.n == 0)
		return cursor_ok(c) ? 0 : GW_EFORMAT;
	r->role = get_u8(c);
	r->index = get_u8(c);
	r->pid = get_u32(c);
	r->restarts = get_u32(c);
	r->started = (int64_t)get_u64(c);
	return cursor_ok(c) ? 1 : GW_EFORMAT;
}

void proto_put_blame(struct buf *b, const struct proto_blame *x)
{
	put_u8(b, x->role);
	put_u8(b, x->index);
	put_u8(b, x->signal);
	put_u8(b, x->host);
	put_u64(b, x->job);
	put_msgid(b, &x->id);
}

int proto_get_blame(struct span in, struct proto_blame *x)
{
	struct cursor c = cursor_of(in);

	x->role = get_u8(&c);
	x->index = get_u8(&c);
	x->signal = get_u8(&c);
	x->host = get_u8(&c) != 0;
	x->job = get_u64(&c);
	x->id = get_msgid(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}
