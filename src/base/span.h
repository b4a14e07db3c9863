/*
 * A span is a borrowed run of bytes: it owns nothing and is valid only as long
 * as its owner says. Text in spans is not NUL-terminated and may hold NULs.
 */
#ifndef GW_BASE_SPAN_H
#define GW_BASE_SPAN_H

#include "base/base.h"

#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

#define SPAN(lit) ((struct span){(const uint8_t *)("" lit), sizeof(lit) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* For printf: printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).n, (const char *)(s).p

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
	return (struct span){(const uint8_t *)s, s ? strlen(s) : 0};
}

/* The first n bytes (all if there are fewer). */
static inline struct span span_first(struct span s, size_t n)
{
	return (struct span){s.p, n < s.n ? n : s.n};
}

/* All but the first n bytes (empty if there are fewer). */
static inline struct span span_skip(struct span s, size_t n)
{
	if (n >= s.n)
		return (struct span){s.p ? s.p + s.n : NULL, 0};
	return (struct span){s.p + n, s.n - n};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_first(s, prefix.n), prefix);
}

/* Index of the first byte c, or -1. */
static inline ptrdiff_t span_find(struct span s, uint8_t c)
{
	const uint8_t *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

/* ASCII only, no locale. */
static inline uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* A space or a tab: what parts words on a line. */
static inline bool ascii_isblank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static inline bool ascii_isdigit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_isalpha(uint8_t c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* Equal without regard to ASCII case. */
bool span_eq_case(struct span a, struct span b);
bool span_starts_case(struct span s, struct span prefix);

/* Ordering by bytes, shorter first on a tie: <0, 0, >0. */
int span_cmp(struct span a, struct span b);

/* Without spaces and tabs at its start. */
static inline struct span span_skip_blanks(struct span s)
{
	while (s.n > 0 && ascii_isblank(s.p[0]))
		s = span_skip(s, 1);
	return s;
}

/* Without spaces and tabs at both ends. */
struct span span_trim(struct span s);

/* A decimal number of 1-19 digits and nothing else: 0 or GW_EFORMAT. */
int span_to_u64(struct span s, uint64_t *out) gw_checked;

/* Copies as a C string, cut to size - 1 bytes; returns dst. */
char *span_to_cstr(struct span s, char *dst, size_t size);

#endif
