#include "role/proto_receive.h"

#include "config/limit.h"

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

void proto_put_limit(struct buf *b, const struct proto_limit *l)
{
	put_u8(b, l->key);
	put_u8(b, l->what);
	put_u8(b, l->calendar);
	put_u32(b, l->seconds);
	put_u64(b, l->n);
	put_u64(b, l->used);
	put_u64(b, (uint64_t)l->opens_in);
	put_span16(b, span_first(l->plan, PROTO_LIMIT_NAME));
	put_span16(b, span_first(l->subject, PROTO_LIMIT_NAME));
}

int proto_get_limit(struct span in, struct proto_limit *l)
{
	struct cursor c = cursor_of(in);

	l->key = get_u8(&c);
	l->what = get_u8(&c);
	l->calendar = get_u8(&c);
	l->seconds = get_u32(&c);
	l->n = get_u64(&c);
	l->used = get_u64(&c);
	l->opens_in = (int64_t)get_u64(&c);
	l->plan = get_span16(&c);
	l->subject = get_span16(&c);
	if (l->key >= LIMIT_KEYS || l->what >= LIMIT_WHATS || l->calendar >= LIMIT_CALENDARS ||
	    l->opens_in < 0 || l->plan.n > PROTO_LIMIT_NAME || l->subject.n > PROTO_LIMIT_NAME)
		return GW_EFORMAT;
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_etrn(struct buf *b, const struct proto_etrn *e)
{
	put_u64(b, e->request);
	put_u8(b, e->kind);
	put_span16(b, e->name);
}

int proto_get_etrn(struct span in, struct proto_etrn *e)
{
	struct cursor c = cursor_of(in);

	e->request = get_u64(&c);
	e->kind = get_u8(&c);
	e->name = get_span16(&c);
	return cursor_done(&c) && e->kind < ETRN_KINDS &&
		       etrn_name_good((enum etrn_kind)e->kind, e->name)
		   ? 0
		   : GW_EFORMAT;
}

void proto_put_etrn_answer(struct buf *b, const struct proto_etrn_answer *a)
{
	put_u64(b, a->request);
	put_u8(b, a->status);
	put_u32(b, a->messages);
	put_span16(b, a->why);
}

int proto_get_etrn_answer(struct span in, struct proto_etrn_answer *a)
{
	struct cursor c = cursor_of(in);

	a->request = get_u64(&c);
	a->status = get_u8(&c);
	a->messages = get_u32(&c);
	a->why = get_span16(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}
