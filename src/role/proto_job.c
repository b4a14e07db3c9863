#include "role/proto_job.h"

#include "auth/tlspolicy.h"
#include "config/target.h"

enum { JOB_RCPT_MAX = 1000, HOLDING_MAX = 4096 };
enum result_flag {
	RESULT_SITE = 1,
	RESULT_CRASHED = 2,
	RESULT_REFUSED = 4,
	RESULT_DSN = 8,
	RESULT_TIME = 16
};

void proto_put_target(struct buf *b, const struct proto_target *t)
{
	put_u8(b, t->kind);
	put_u8(b, (uint8_t)t->n_host);
	for (size_t i = 0; i < t->n_host; i++) {
		put_span16(b, t->host[i].name);
		put_u16(b, t->host[i].port);
	}
	put_span16(b, t->path);
	put_span16(b, t->domain);
	put_u16(b, t->port);
	put_u8(b, t->private_ok);
	put_u8(b, t->tls);
	put_span16(b, t->pins);
	put_span16(b, t->vmta);
	put_span16(b, t->helo);
	put_span16(b, t->v4);
	put_span16(b, t->v6);
	put_u8(b, t->wish);
	put_u8(b, t->login);
	put_u32(b, t->secret);
}

static void get_hosts(struct cursor *c, struct proto_target *t)
{
	t->n_host = get_u8(c);
	if (t->n_host > PROTO_HOSTS_MAX) {
		cursor_fail(c);
		return;
	}
	for (size_t i = 0; i < t->n_host; i++) {
		t->host[i].name = get_span16(c);
		t->host[i].port = get_u16(c);
	}
}

static bool target_sane(const struct proto_target *t)
{
	return t->kind <= TARGET_ODMR && t->tls <= TLS_DEMAND_MAX && t->pins.n % 32 == 0 &&
	       t->pins.n <= 32 * PROTO_PINS_MAX && (t->v4.n == 0 || t->v4.n == 4) &&
	       (t->v6.n == 0 || t->v6.n == 16) && t->wish <= FAMILY_V6_ONLY;
}

void proto_get_target(struct cursor *c, struct proto_target *t)
{
	t->kind = get_u8(c);
	get_hosts(c, t);
	t->path = get_span16(c);
	t->domain = get_span16(c);
	t->port = get_u16(c);
	t->private_ok = get_u8(c) != 0;
	t->tls = get_u8(c);
	t->pins = get_span16(c);
	t->vmta = get_span16(c);
	t->helo = get_span16(c);
	t->v4 = get_span16(c);
	t->v6 = get_span16(c);
	t->wish = get_u8(c);
	t->login = get_u8(c) != 0;
	t->secret = get_u32(c);
	if (!target_sane(t))
		cursor_fail(c);
}

static void put_handling(struct buf *b, const struct handling *h)
{
	put_u64(b, (uint64_t)h->by_at);
	put_u8(b, (uint8_t)h->by);
	put_u8(b, h->by_trace);
	put_u8(b, h->require_tls);
	put_u8(b, h->tls_optional);
	put_u8(b, (uint8_t)h->mt_priority);
	put_u64(b, (uint64_t)h->hold_until);
}

static void get_handling(struct cursor *c, struct handling *h)
{
	uint8_t by;

	h->by_at = (int64_t)get_u64(c);
	by = get_u8(c);
	h->by = by <= BY_NOTIFY ? (enum deliver_by)by : BY_NONE;
	h->by_trace = get_u8(c) != 0;
	h->require_tls = get_u8(c) != 0;
	h->tls_optional = get_u8(c) != 0;
	h->mt_priority = get_u8(c);
	h->hold_until = (int64_t)get_u64(c);
	if (by > BY_NOTIFY || h->mt_priority > MT_PRIORITY_STORED)
		cursor_fail(c);
}

void proto_put_job(struct buf *b, const struct proto_job *j)
{
	put_u64(b, j->job);
	put_u64(b, j->conn);
	put_u32(b, j->conn_messages);
	put_msgid(b, &j->id);
	proto_put_target(b, &j->target);
	put_span16(b, j->from);
	put_span16(b, j->envid);
	put_u8(b, j->ret);
	put_u64(b, j->size);
	put_u8(b, j->body_type);
	put_u8(b, j->eight_bit);
	put_u8(b, j->smtputf8);
	put_u8(b, j->at_most_once);
	put_handling(b, &j->handling);
	put_u8(b, (uint8_t)j->n_avoid);
	for (size_t i = 0; i < j->n_avoid; i++)
		put_span16(b, j->avoid[i]);
	put_u64(b, (uint64_t)j->idle);
	put_u32(b, (uint32_t)j->n_rcpt);
	for (size_t i = 0; i < j->n_rcpt; i++) {
		put_u32(b, j->rcpt[i].index);
		put_u32(b, j->rcpt[i].attempts);
		put_span16(b, j->rcpt[i].addr);
		put_span16(b, j->rcpt[i].orcpt);
		put_u8(b, j->rcpt[i].notify);
		put_u8(b, j->rcpt[i].kept);
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
		rcpt[i].orcpt = get_span16(c);
		rcpt[i].notify = get_u8(c);
		rcpt[i].kept = get_u8(c) != 0;
	}
	j->rcpt = rcpt;
	return cursor_done(c) ? 0 : GW_EFORMAT;
}

static void get_avoid(struct cursor *c, struct proto_job *j)
{
	j->n_avoid = get_u8(c);
	if (j->n_avoid > PROTO_AVOID_MAX) {
		cursor_fail(c);
		return;
	}
	for (size_t i = 0; i < j->n_avoid; i++)
		j->avoid[i] = get_span16(c);
}

int proto_get_job(struct span in, struct proto_job *j, struct arena *a)
{
	struct cursor c = cursor_of(in);

	j->job = get_u64(&c);
	j->conn = get_u64(&c);
	j->conn_messages = get_u32(&c);
	j->id = get_msgid(&c);
	proto_get_target(&c, &j->target);
	j->from = get_span16(&c);
	j->envid = get_span16(&c);
	j->ret = get_u8(&c);
	j->size = get_u64(&c);
	j->body_type = get_u8(&c);
	j->eight_bit = get_u8(&c) != 0;
	j->smtputf8 = get_u8(&c) != 0;
	j->at_most_once = get_u8(&c) != 0;
	get_handling(&c, &j->handling);
	get_avoid(&c, j);
	j->idle = (int64_t)get_u64(&c);
	return get_job_rcpts(&c, j, a);
}

static void put_tried(struct buf *b, const struct proto_result *r)
{
	put_u8(b, (uint8_t)r->n_tried);
	for (size_t i = 0; i < r->n_tried; i++) {
		put_span16(b, r->tried[i].address);
		put_u8(b, r->tried[i].good);
		put_span16(b, r->tried[i].why);
	}
}

static void get_tried(struct cursor *c, struct proto_result *r)
{
	r->n_tried = get_u8(c);
	if (r->n_tried > PROTO_TRIED_MAX) {
		cursor_fail(c);
		return;
	}
	for (size_t i = 0; i < r->n_tried; i++) {
		r->tried[i].address = get_span16(c);
		r->tried[i].good = get_u8(c) != 0;
		r->tried[i].why = get_span16(c);
	}
}

static void put_forward(struct buf *b, const struct proto_result *r)
{
	put_u8(b, (uint8_t)r->n_forward);
	put_u8(b, r->keep);
	for (size_t i = 0; i < r->n_forward; i++)
		put_span16(b, r->forward[i]);
}

static int get_forward(struct cursor *c, struct proto_result *r, struct arena *a)
{
	struct span *list;

	r->n_forward = get_u8(c);
	r->keep = get_u8(c) != 0;
	list = arena_alloc(a, (r->n_forward + 1) * sizeof(*list));
	if (list == NULL || r->n_forward > PROTO_FORWARD_MAX)
		return GW_EFORMAT;
	for (size_t i = 0; i < r->n_forward; i++)
		list[i] = get_span16(c);
	r->forward = list;
	return 0;
}

void proto_put_result(struct buf *b, const struct proto_result *r)
{
	put_u64(b, r->job);
	put_u8(b, (uint8_t)((r->site ? RESULT_SITE : 0) | (r->crashed ? RESULT_CRASHED : 0) |
			    (r->refused ? RESULT_REFUSED : 0) | (r->dsn ? RESULT_DSN : 0) |
			    (r->time ? RESULT_TIME : 0)));
	put_tried(b, r);
	put_forward(b, r);
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
	r->refused = flags & RESULT_REFUSED;
	r->dsn = flags & RESULT_DSN;
	r->time = flags & RESULT_TIME;
	get_tried(&c, r);
	if (get_forward(&c, r, a) < 0 || !cursor_ok(&c))
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
