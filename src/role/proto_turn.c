#include "role/proto_turn.h"

#include "base/map.h"
#include "config/config.h"

enum { PEER_MAX = 400, ACCOUNT_MAX = 255 };

static int whole(const struct cursor *c)
{
	return cursor_done(c) ? 0 : GW_EFORMAT;
}

void proto_put_turn(struct buf *b, const struct proto_turn *t)
{
	put_u64(b, t->number);
	put_u32(b, t->pull);
	put_span16(b, t->account);
	put_span16(b, t->domains);
	put_span16(b, span_first(t->peer, PEER_MAX));
}

int proto_get_turn(struct span in, struct proto_turn *t)
{
	struct cursor c = cursor_of(in);

	t->number = get_u64(&c);
	t->pull = get_u32(&c);
	t->account = get_span16(&c);
	t->domains = get_span16(&c);
	t->peer = get_span16(&c);
	if (t->account.n > ACCOUNT_MAX || t->peer.n > PEER_MAX)
		cursor_fail(&c);
	return whole(&c);
}

void proto_put_turned(struct buf *b, uint64_t number, enum turn_status status)
{
	put_u64(b, number);
	put_u8(b, (uint8_t)status);
}

int proto_get_turned(struct span in, uint64_t *number, enum turn_status *status)
{
	struct cursor c = cursor_of(in);
	uint8_t said;

	*number = get_u64(&c);
	said = get_u8(&c);
	*status = said <= TURN_MAX ? (enum turn_status)said : TURN_BUSY;
	if (said > TURN_MAX)
		cursor_fail(&c);
	return whole(&c);
}

void proto_put_given(struct buf *b, const struct proto_given *g)
{
	put_u64(b, g->number);
	put_u32(b, g->pull);
	put_span16(b, g->peer);
}

int proto_get_given(struct span in, struct proto_given *g)
{
	struct cursor c = cursor_of(in);

	g->number = get_u64(&c);
	g->pull = get_u32(&c);
	g->peer = get_span16(&c);
	if (g->peer.n > PEER_MAX)
		cursor_fail(&c);
	return whole(&c);
}

void proto_put_pull(struct buf *b, const struct proto_pull *p)
{
	put_u64(b, p->number);
	put_u32(b, p->pull);
	proto_put_target(b, &p->target);
}

int proto_get_pull(struct span in, struct proto_pull *p)
{
	struct cursor c = cursor_of(in);

	p->number = get_u64(&c);
	p->pull = get_u32(&c);
	proto_get_target(&c, &p->target);
	if (p->target.kind != TARGET_RELAY || p->target.n_host == 0)
		cursor_fail(&c);
	return whole(&c);
}

void proto_put_pulled(struct buf *b, const struct proto_pulled *p)
{
	put_u64(b, p->number);
	put_u8(b, p->status);
	put_u64(b, p->octets);
	put_u16(b, p->code);
	put_span16(b, p->host);
	put_span16(b, p->text);
}

int proto_get_pulled(struct span in, struct proto_pulled *p)
{
	struct cursor c = cursor_of(in);

	p->number = get_u64(&c);
	p->status = get_u8(&c);
	p->octets = get_u64(&c);
	p->code = get_u16(&c);
	p->host = get_span16(&c);
	p->text = get_span16(&c);
	if (p->status > PULLED_MAX || p->code > 599)
		cursor_fail(&c);
	return whole(&c);
}

uint32_t pull_number(const struct pull *p)
{
	uint64_t h = map_hash(span_str(p->name), 2 + (uint64_t)p->kind);

	for (size_t i = 0; i < p->n_domain; i++)
		h = map_hash(span_str(p->domain[i]), h);
	return (uint32_t)h;
}

const struct pull *pull_of_number(const struct config *c, uint32_t number)
{
	for (size_t i = 0; i < c->n_pull; i++) {
		if (pull_number(&c->pull[i]) == number)
			return &c->pull[i];
	}
	return NULL;
}
