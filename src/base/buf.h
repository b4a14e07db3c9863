/*
 * A growable byte buffer whose ceiling is named where it is made. Bytes are
 * added at the end and dropped at the front. When the ceiling is reached,
 * nothing of that addition is stored and the buffer is marked failed: add ten
 * things, check once. An emptied buffer gives its memory back with buf_trim(),
 * so idle sessions cost none.
 *
 * Want of memory ends the process, as with gw_calloc(): who knows that what he adds
 * fits below the ceiling need not check, and content must never lack a piece of its
 * middle. Only a soft buffer takes it for its ceiling: for owners that check every
 * addition and can turn away the one client it is for.
 *
 * Owned by whoever embeds it; views are valid until the next call that adds,
 * drops or trims.
 */
#ifndef GW_BASE_BUF_H
#define GW_BASE_BUF_H

#include "base/span.h"

struct buf {
	uint8_t *mem;
	size_t begin, end, cap, max;
	bool failed, soft;
};

void buf_init(struct buf *b, size_t max);
void buf_init_soft(struct buf *b, size_t max);
void buf_fini(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->begin;
}

static inline struct span buf_view(const struct buf *b)
{
	return b->mem ? span_of(b->mem + b->begin, b->end - b->begin) : SPAN_NONE;
}

/* How many bytes still fit below the ceiling. */
static inline size_t buf_space(const struct buf *b)
{
	return b->max - (b->end - b->begin);
}

/* Add bytes: 0, or GW_EFULL (sticky, see buf_failed). */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_span(struct buf *b, struct span s);
int buf_add_str(struct buf *b, const char *s);
int buf_add_byte(struct buf *b, uint8_t c);
int buf_addf(struct buf *b, const char *fmt, ...) gw_printf(2, 3);

/* Room for n bytes at the end, to be filled and then taken with buf_commit(); NULL if full. */
uint8_t *buf_room(struct buf *b, size_t n) gw_checked;
void buf_commit(struct buf *b, size_t n);

/* Remove n bytes at the front (n <= buf_len). */
void buf_drop(struct buf *b, size_t n);
/* Shorten to n bytes from the front (n <= buf_len): takes back what was added last. */
void buf_cut(struct buf *b, size_t n);
/* Forget the content and the failure, keep the memory. */
void buf_clear(struct buf *b);
/* Give the memory back if there is no content. */
void buf_trim(struct buf *b);
/* Overwrite all of the memory and give it back. Only what grew by itself leaves copies behind: who
 * fills a buf with secrets takes the room for them first (buf_room). */
void buf_wipe(struct buf *b);

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

#endif
