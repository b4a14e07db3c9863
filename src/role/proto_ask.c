#include "role/proto_ask.h"

void proto_put_query(struct buf *b, const struct proto_query *q)
{
	put_u64(b, q->request);
	put_u8(b, (uint8_t)q->op);
	put_u8(b, q->all);
	put_u8(b, q->dry);
	put_u32(b, q->rate);
	put_u32(b, q->per);
	put_u64(b, (uint64_t)q->time);
	put_msgid(b, &q->id);
	put_u32(b, q->limit);
	put_span16(b, q->text);
	put_span16(b, q->reason);
	put_span16(b, q->who);
}

int proto_get_query(struct span in, struct proto_query *q)
{
	struct cursor c = cursor_of(in);
	uint8_t op;

	q->request = get_u64(&c);
	op = get_u8(&c);
	q->all = get_u8(&c) != 0;
	q->dry = get_u8(&c) != 0;
	q->rate = get_u32(&c);
	q->per = get_u32(&c);
	q->time = (int64_t)get_u64(&c);
	q->id = get_msgid(&c);
	q->limit = get_u32(&c);
	q->text = get_span16(&c);
	q->reason = get_span16(&c);
	q->who = get_span16(&c);
	if (op > QUERY_MAX || q->time < 0 || (op == QUERY_SLOW && (q->rate == 0 || q->per == 0)))
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
