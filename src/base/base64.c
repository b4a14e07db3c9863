#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Up to three octets as four digits. */
static void encode_group(struct span in, uint8_t to[4])
{
	uint32_t v = (uint32_t)in.p[0] << 16;

	if (in.n > 1)
		v |= (uint32_t)in.p[1] << 8;
	if (in.n > 2)
		v |= in.p[2];
	to[0] = (uint8_t)digits[v >> 18];
	to[1] = (uint8_t)digits[v >> 12 & 63];
	to[2] = in.n > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
	to[3] = in.n > 2 ? (uint8_t)digits[v & 63] : '=';
}

void base64_encode(struct span in, struct buf *out)
{
	size_t n = (in.n + 2) / 3 * 4;
	uint8_t *to = buf_room(out, n);

	if (to == NULL)
		return;
	for (; in.n > 0; to += 4, in = span_skip(in, 3))
		encode_group(span_first(in, 3), to);
	buf_commit(out, n);
}

/* All ones if low <= c <= high, else 0: passwords pass through here, so no branch and no table
 * depends on them. */
static uint32_t between(uint32_t c, uint32_t low, uint32_t high)
{
	return ((low - 1 - c) & (c - high - 1)) >> 31 ? UINT32_MAX : 0;
}

/* The value of a digit; far above 63 if it is none. */
static uint32_t value(uint8_t c)
{
	uint32_t one_more = 0;

	one_more |= between(c, 'A', 'Z') & (c - 'A' + 1u);
	one_more |= between(c, 'a', 'z') & (c - 'a' + 27u);
	one_more |= between(c, '0', '9') & (c - '0' + 53u);
	one_more |= between(c, '+', '+') & 63;
	one_more |= between(c, '/', '/') & 64;
	return one_more - 1;
}

/* Four digits, the last `pads` of them "=": true if they are that and no bit is left over. */
static bool decode_group(const uint8_t *p, size_t pads, uint8_t to[3])
{
	uint32_t v = 0, bad = 0;

	for (size_t i = 0; i < 4; i++) {
		uint32_t d = i + pads < 4 ? value(p[i]) : (p[i] == '=' ? 0 : 255u);

		bad |= d & 192;
		v = v << 6 | (d & 63);
	}
	bad |= v & ((UINT32_C(1) << 8 * pads) - 1);
	to[0] = (uint8_t)(v >> 16);
	to[1] = (uint8_t)(v >> 8);
	to[2] = (uint8_t)v;
	return bad == 0;
}

/* How many "=" the end of a text is made of; at most two. */
static size_t padding(struct span in)
{
	if (in.n == 0 || in.p[in.n - 1] != '=')
		return 0;
	return in.p[in.n - 2] == '=' ? 2 : 1;
}

int base64_decode(struct span in, struct buf *out)
{
	size_t pads, n;
	uint8_t *to, three[3] = {0};
	bool ok = true;

	if (in.n % 4 != 0)
		return GW_EFORMAT;
	pads = padding(in);
	n = in.n / 4 * 3 - pads;
	to = buf_room(out, n);
	if (to == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < in.n; i += 4) {
		size_t last = i + 4 == in.n ? pads : 0;

		ok = decode_group(in.p + i, last, three) && ok;
		memcpy(to + i / 4 * 3, three, 3 - last);
	}
	explicit_bzero(three, sizeof(three));
	if (ok)
		buf_commit(out, n);
	else
		explicit_bzero(to, n);
	return ok ? 0 : GW_EFORMAT;
}
