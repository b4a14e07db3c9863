#include "role/proto_reload.h"

void proto_put_generation(struct buf *b, uint64_t generation)
{
	put_u64(b, generation);
}

int proto_get_generation(struct span in, uint64_t *generation)
{
	struct cursor c = cursor_of(in);

	*generation = get_u64(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_refused(struct buf *b, const struct proto_refused *r)
{
	put_u64(b, r->generation);
	buf_add_span(b, span_first(r->why, PROTO_REFUSED_TEXT));
}

int proto_get_refused(struct span in, struct proto_refused *r)
{
	struct cursor c = cursor_of(in);

	r->generation = get_u64(&c);
	r->why = c.rest;
	return cursor_ok(&c) && r->why.n <= PROTO_REFUSED_TEXT ? 0 : GW_EFORMAT;
}

void proto_put_listen(struct buf *b, const struct proto_listen *l)
{
	put_u64(b, l->generation);
	put_u32(b, l->socket);
	put_u32(b, l->conf);
}

int proto_get_listen(struct span in, struct proto_listen *l)
{
	struct cursor c = cursor_of(in);

	l->generation = get_u64(&c);
	l->socket = get_u32(&c);
	l->conf = get_u32(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

void proto_put_reload(struct buf *b, const struct proto_reload *r)
{
	put_u64(b, r->request);
	put_u8(b, r->verb);
	put_u32(b, r->seconds);
	put_span16(b, r->who);
}

int proto_get_reload(struct span in, struct proto_reload *r)
{
	struct cursor c = cursor_of(in);

	r->request = get_u64(&c);
	r->verb = get_u8(&c);
	r->seconds = get_u32(&c);
	r->who = get_span16(&c);
	return cursor_done(&c) && r->verb <= RELOAD_VERB_MAX ? 0 : GW_EFORMAT;
}

void proto_put_reloaded(struct buf *b, const struct proto_reloaded *r)
{
	put_u64(b, r->request);
	put_u8(b, r->status);
	put_u64(b, r->generation);
	put_u64(b, r->took);
	put_u64(b, r->goes_back);
	put_span32(b, r->text);
}

int proto_get_reloaded(struct span in, struct proto_reloaded *r)
{
	struct cursor c = cursor_of(in);

	r->request = get_u64(&c);
	r->status = get_u8(&c);
	r->generation = get_u64(&c);
	r->took = get_u64(&c);
	r->goes_back = get_u64(&c);
	r->text = get_span32(&c);
	return cursor_done(&c) && r->status <= RELOAD_STATUS_MAX ? 0 : GW_EFORMAT;
}
