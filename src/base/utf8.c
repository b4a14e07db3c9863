#include "base/utf8.h"

size_t utf8_take(struct span s, uint32_t *point)
{
	/* What the first octet says: the smallest value that may be written so. */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t first = s.n > 0 ? s.p[0] : 0xff;
	size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? first : first & (0x7fu >> n);

	if (n == 0 || first > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*point = c;
	return n;
}

int utf8_put(struct buf *out, uint32_t c)
{
	uint8_t o[4] = {(uint8_t)(0xf0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 0x3f)),
	    (uint8_t)(0x80 | (c >> 6 & 0x3f)), (uint8_t)(0x80 | (c & 0x3f))};

	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return GW_EFORMAT;
	if (c < 0x80)
		return buf_add_byte(out, (uint8_t)c);
	if (c >= 0x10000)
		return buf_add(out, o, 4);
	o[1] = (uint8_t)(c < 0x800 ? o[1] : 0xe0 | c >> 12);
	o[2] = (uint8_t)(c < 0x800 ? 0xc0 | c >> 6 : o[2]);
	return c < 0x800 ? buf_add(out, o + 2, 2) : buf_add(out, o + 1, 3);
}

/* The octets in front that are ASCII: of most texts all. */
static size_t ascii_run(struct span s)
{
	uint64_t eight;
	size_t n = 0;

	for (; n + sizeof(eight) <= s.n; n += sizeof(eight)) {
		memcpy(&eight, s.p + n, sizeof(eight));
		if ((eight & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (n < s.n && s.p[n] < 128)
		n++;
	return n;
}

bool utf8_valid(struct span s)
{
	uint32_t point;

	s = span_skip(s, ascii_run(s));
	for (size_t n; s.n > 0; s = span_skip(s, n)) {
		n = utf8_take(s, &point);
		if (n == 0)
			return false;
	}
	return true;
}

bool utf8_beyond_ascii(struct span s)
{
	return ascii_run(s) < s.n;
}

bool utf8_visible(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e},
	    {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
	    {0xfdd0, 0xfdef}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};

	for (size_t i = 0; i < GW_ARRAY_LEN(hidden) && hidden[i].first <= c; i++) {
		if (c <= hidden[i].last)
			return false;
	}
	return (c & 0xfffe) != 0xfffe;
}

bool utf8_text(struct span s)
{
	uint32_t point;

	for (size_t n; s.n > 0; s = span_skip(s, n)) {
		n = utf8_take(s, &point);
		if (n == 0 || !utf8_visible(point))
			return false;
	}
	return true;
}
