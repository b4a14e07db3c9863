#include "base/cursor.h"

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

void put_var(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_u8(b, (uint8_t)(v | 0x80));
	put_u8(b, (uint8_t)v);
}

uint64_t get_var(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = get_u8(c);

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
	}
	cursor_fail(c);
	return 0;
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
