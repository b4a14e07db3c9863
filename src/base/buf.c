#include "base/buf.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_init_soft(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max, .soft = true};
}

void buf_fini(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){.max = b->max, .soft = b->soft};
}

static void slide(struct buf *b)
{
	if (b->begin == 0)
		return;
	if (b->end > b->begin)
		memmove(b->mem, b->mem + b->begin, b->end - b->begin);
	b->end -= b->begin;
	b->begin = 0;
}

static bool grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST;
	uint8_t *mem;

	while (cap < need)
		cap *= 2;
	if (cap > b->max && b->max >= need)
		cap = b->max;
	mem = b->soft ? memory_realloc(b->mem, cap) : gw_realloc(b->mem, cap);
	if (mem == NULL)
		return false;
	b->mem = mem;
	b->cap = cap;
	return true;
}

/* Most additions need no more than this. The memory never goes beyond the ceiling, and there is
 * some where it has room for more than n. */
static bool fits(const struct buf *b, size_t n)
{
	return b->cap - b->end > n && !b->failed;
}

static uint8_t *make_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (b->failed || n > b->max - len) {
		b->failed = true;
		return NULL;
	}
	if (b->cap - b->end < n || b->mem == NULL) {
		/* Sliding is cheap only when it frees at least half. */
		if (b->begin >= b->cap / 2)
			slide(b);
		if (b->cap - b->end < n || b->mem == NULL) {
			slide(b);
			if (b->cap < len + n && !grow(b, len + n)) {
				b->failed = true;
				return NULL;
			}
			if (b->mem == NULL && !grow(b, 1)) {
				b->failed = true;
				return NULL;
			}
		}
	}
	return b->mem + b->end;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
	return fits(b, n) ? b->mem + b->end : make_room(b, n);
}

void buf_commit(struct buf *b, size_t n)
{
	gw_assert(n <= b->cap - b->end);
	b->end += n;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = buf_room(b, n);

	if (to == NULL)
		return GW_EFULL;
	if (n)
		memcpy(to, p, n);
	b->end += n;
	return 0;
}

int buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

int buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int buf_add_byte(struct buf *b, uint8_t c)
{
	if (!fits(b, 1))
		return buf_add(b, &c, 1);
	b->mem[b->end++] = c;
	return 0;
}

/* Into the room that is there; printed again only where that is not enough. */
int buf_addf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->failed ? 0 : b->cap - b->end;
	va_list ap, again;
	uint8_t *to;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(room > 0 ? (char *)b->mem + b->end : NULL, room, fmt, ap);
	va_end(ap);
	to = n < 0 ? NULL : buf_room(b, (size_t)n + 1);
	if (to != NULL) {
		if ((size_t)n >= room)
			vsnprintf((char *)to, (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	}
	va_end(again);
	return to ? 0 : GW_EFULL;
}

void buf_drop(struct buf *b, size_t n)
{
	gw_assert(n <= buf_len(b));
	b->begin += n;
	if (b->begin == b->end)
		b->begin = b->end = 0;
}

void buf_cut(struct buf *b, size_t n)
{
	gw_assert(n <= buf_len(b));
	b->end = b->begin + n;
}

void buf_clear(struct buf *b)
{
	b->begin = b->end = 0;
	b->failed = false;
}

void buf_trim(struct buf *b)
{
	if (buf_len(b) != 0 || b->mem == NULL)
		return;
	free(b->mem);
	b->mem = NULL;
	b->begin = b->end = b->cap = 0;
}

void buf_wipe(struct buf *b)
{
	if (b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	buf_fini(b);
}
