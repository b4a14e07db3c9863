#include "base/span.h"

bool span_eq_case(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	}
	return true;
}

bool span_starts_case(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq_case(span_first(s, prefix.n), prefix);
}

int span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d != 0)
		return d;
	return (a.n > b.n) - (a.n < b.n);
}

struct span span_trim(struct span s)
{
	while (s.n && ascii_isblank(s.p[0]))
		s = span_skip(s, 1);
	while (s.n && ascii_isblank(s.p[s.n - 1]))
		s.n--;
	return s;
}

int span_to_u64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 19)
		return GW_EFORMAT;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_isdigit(s.p[i]))
			return GW_EFORMAT;
		v = v * 10 + (s.p[i] - '0');
	}
	*out = v;
	return 0;
}

char *span_to_cstr(struct span s, char *dst, size_t size)
{
	size_t n = s.n < size - 1 ? s.n : size - 1;

	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return dst;
}
