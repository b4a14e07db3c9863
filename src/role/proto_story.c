#include "role/proto_story.h"

void proto_put_story(struct buf *b, const struct proto_story *s)
{
	put_u32(b, s->epoch);
	put_u64(b, s->at.segment);
	put_u64(b, s->at.offset);
	put_u64(b, s->at.mark);
}

int proto_get_story(struct cursor *c, struct proto_story *s)
{
	s->epoch = get_u32(c);
	s->at.segment = get_u64(c);
	s->at.offset = get_u64(c);
	s->at.mark = get_u64(c);
	return cursor_ok(c) ? 0 : GW_EFORMAT;
}

void proto_put_story_record(struct buf *b, enum story_type type, struct span meta)
{
	put_u8(b, (uint8_t)type);
	put_span32(b, meta);
}

int proto_get_story_record(struct cursor *c, enum story_type *type, struct span *meta)
{
	uint8_t kind;

	if (cursor_done(c))
		return 0;
	kind = get_u8(c);
	*meta = get_span32(c);
	if (!cursor_ok(c) || kind < STORY_MESSAGE || kind > STORY_TYPE_MAX)
		return GW_EFORMAT;
	*type = (enum story_type)kind;
	return 1;
}

void proto_put_trace(struct buf *b, const struct proto_trace *t)
{
	put_u64(b, t->request);
	put_u8(b, (uint8_t)t->op);
	put_msgid(b, &t->low);
	put_msgid(b, &t->high);
	put_span16(b, t->to);
	put_span16(b, t->from);
	put_u64(b, (uint64_t)t->since);
	put_u32(b, t->limit);
}

int proto_get_trace(struct span in, struct proto_trace *t)
{
	struct cursor c = cursor_of(in);
	uint8_t op;

	*t = (struct proto_trace){.request = get_u64(&c)};
	op = get_u8(&c);
	t->low = get_msgid(&c);
	t->high = get_msgid(&c);
	t->to = get_span16(&c);
	t->from = get_span16(&c);
	t->since = (int64_t)get_u64(&c);
	t->limit = get_u32(&c);
	if (!cursor_done(&c) || op > TRACE_OP_MAX)
		return GW_EFORMAT;
	if (t->limit < 1 || t->limit > TRACE_LIMIT_MAX)
		return GW_EFORMAT;
	t->op = (enum trace_op)op;
	return 0;
}
