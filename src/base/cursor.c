#include "base/cursor.h"

struct span get_bytes(struct cursor *c, size_t n)
{
	struct span s;

	if (c->bad || n > c->rest.n) {
		cursor_fail(c);
		return SPAN_NONE;
	}
	s = span_first(c->rest, n);
	c->rest = span_skip(c->rest, n);
	return s;
}

static uint64_t get_le(struct cursor *c, size_t n)
{
	struct span s = get_bytes(c, n);
	uint64_t v = 0;

	for (size_t i = s.n; i > 0; i--)
		v = v << 8 | s.p[i - 1];
	return v;
}

uint8_t get_u8(struct cursor *c)
{
	return (uint8_t)get_le(c, 1);
}

uint16_t get_u16(struct cursor *c)
{
	return (uint16_t)get_le(c, 2);
}

uint32_t get_u32(struct cursor *c)
{
	return (uint32_t)get_le(c, 4);
}

uint64_t get_u64(struct cursor *c)
{
	return get_le(c, 8);
}

struct span get_span16(struct cursor *c)
{
	return get_bytes(c, get_u16(c));
}

struct span get_span32(struct cursor *c)
{
	return get_bytes(c, get_u32(c));
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_add(b, bytes, n);
}

void put_u8(struct buf *b, uint8_t v)
{
	put_le(b, v, 1);
}

void put_u16(struct buf *b, uint16_t v)
{
	put_le(b, v, 2);
}

void put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

static void put_span(struct buf *b, struct span s, size_t length_bytes, size_t most)
{
	if (s.n > most) {
		b->failed = true;
		return;
	}
	put_le(b, s.n, length_bytes);
	buf_add_span(b, s);
}

void put_span16(struct buf *b, struct span s)
{
	put_span(b, s, 2, UINT16_MAX);
}

void put_span32(struct buf *b, struct span s)
{
	put_span(b, s, 4, UINT32_MAX);
}
