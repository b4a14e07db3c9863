#include "role/proto_callout.h"

#include "base/cursor.h"

/* Both end up in lines of a protocol, and in the log. */
static bool is_line(struct span s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

void proto_put_callout(struct buf *b, const struct proto_callout *c)
{
	put_u64(b, c->request);
	buf_add(b, c->ip, sizeof(c->ip));
	put_span16(b, c->domain);
	put_span16(b, c->address);
}

int proto_get_callout(struct span in, struct proto_callout *c)
{
	struct cursor r = cursor_of(in);
	struct span ip;

	c->request = get_u64(&r);
	ip = get_bytes(&r, sizeof(c->ip));
	c->domain = get_span16(&r);
	c->address = get_span16(&r);
	if (!cursor_done(&r) || c->address.n == 0 || !is_line(c->domain, 255) ||
	    !is_line(c->address, CALLOUT_ADDRESS_MAX))
		return GW_EFORMAT;
	memcpy(c->ip, ip.p, sizeof(c->ip));
	return 0;
}

/* A reply has lines, and whoever wrote it decides what is in them. */
static void put_line(struct buf *b, struct span words)
{
	put_u16(b, (uint16_t)words.n);
	for (size_t i = 0; i < words.n; i++)
		buf_add_byte(b, words.p[i] < ' ' || words.p[i] == 0x7f ? ' ' : words.p[i]);
}

void proto_put_called(struct buf *b, const struct proto_called *c)
{
	put_u64(b, c->request);
	put_u8(b, c->called);
	put_line(b, span_first(c->why, CALLOUT_WHY_MAX));
}

int proto_get_called(struct span in, struct proto_called *c)
{
	struct cursor r = cursor_of(in);

	c->request = get_u64(&r);
	c->called = get_u8(&r);
	c->why = get_span16(&r);
	if (!cursor_done(&r) || c->called > CALLED_MAX || !is_line(c->why, CALLOUT_WHY_MAX))
		return GW_EFORMAT;
	return 0;
}
