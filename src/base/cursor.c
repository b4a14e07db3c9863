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
