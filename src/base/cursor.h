/*
 * Reading and writing of binary fields, little-endian. The reader is bounds-
 * checked with a sticky error: read ten fields, check cursor_ok() once; reads
 * after an error give zeros and empty spans. Writing appends to a buf, whose
 * failure is sticky too.
 */
#ifndef GW_BASE_CURSOR_H
#define GW_BASE_CURSOR_H

#include "base/buf.h"

#include <endian.h>

struct cursor {
	struct span rest;
	bool bad;
};

static inline struct cursor cursor_of(struct span s)
{
	return (struct cursor){.rest = s};
}

static inline bool cursor_ok(const struct cursor *c)
{
	return !c->bad;
}

/* True when everything was read and nothing was wrong. */
static inline bool cursor_done(const struct cursor *c)
{
	return !c->bad && c->rest.n == 0;
}

static inline void cursor_fail(struct cursor *c)
{
	c->bad = true;
	c->rest.n = 0;
}

/* Exactly n bytes, borrowed from the input. Here, since a start reads millions of fields. */
static inline struct span get_bytes(struct cursor *c, size_t n)
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

static inline uint8_t get_u8(struct cursor *c)
{
	struct span s = get_bytes(c, 1);

	return s.n > 0 ? s.p[0] : 0;
}

static inline uint16_t get_u16(struct cursor *c)
{
	struct span s = get_bytes(c, 2);
	uint16_t v = 0;

	if (s.n > 0)
		memcpy(&v, s.p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t get_u32(struct cursor *c)
{
	struct span s = get_bytes(c, 4);
	uint32_t v = 0;

	if (s.n > 0)
		memcpy(&v, s.p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get_u64(struct cursor *c)
{
	struct span s = get_bytes(c, 8);
	uint64_t v = 0;

	if (s.n > 0)
		memcpy(&v, s.p, sizeof(v));
	return le64toh(v);
}

/* A span behind a 16- or 32-bit length, borrowed from the input. */
static inline struct span get_span16(struct cursor *c)
{
	return get_bytes(c, get_u16(c));
}

static inline struct span get_span32(struct cursor *c)
{
	return get_bytes(c, get_u32(c));
}

/* What put_var() wrote. */
uint64_t get_var(struct cursor *c);

void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
/* Groups of seven bits, the lowest first: small numbers are short. */
void put_var(struct buf *b, uint64_t v);
/* A length and the bytes; a span too long for its length marks the buffer failed. */
void put_span16(struct buf *b, struct span s);
void put_span32(struct buf *b, struct span s);

#endif
