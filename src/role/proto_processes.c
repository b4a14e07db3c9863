#include "role/proto_processes.h"

void proto_put_role(struct buf *b, const struct proto_role *r)
{
	put_u8(b, r->role);
	put_u8(b, r->index);
	put_u32(b, r->pid);
	put_u32(b, r->restarts);
	put_u64(b, (uint64_t)r->started);
	put_u64(b, r->generation);
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
	r->generation = get_u64(c);
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
