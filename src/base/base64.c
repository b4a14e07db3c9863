#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i += 3) {
		size_t n = in.n - i < 3 ? in.n - i : 3;
		uint32_t v = (uint32_t)in.p[i] << 16 | (n > 1 ? (uint32_t)in.p[i + 1] << 8 : 0) |
			     (n > 2 ? in.p[i + 2] : 0);
		char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
		    n > 1 ? alphabet[v >> 6 & 63] : '=', n > 2 ? alphabet[v & 63] : '='};

		buf_add(out, four, sizeof(four));
	}
}

/* The six bits of an octet, or -1. */
static int value_of(uint8_t c)
{
	if (ascii_isalpha(c))
		return c <= 'Z' ? c - 'A' : c - 'a' + 26;
	if (ascii_isdigit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters, the last of them with n octets of content: 0 or GW_EFORMAT. */
static int decode_four(const uint8_t *p, size_t n, struct buf *out)
{
	uint32_t v = 0;
	uint8_t three[3];

	for (size_t i = 0; i < 4; i++) {
		int six = i <= n ? value_of(p[i]) : 0;

		if (six < 0)
			return GW_EFORMAT;
		v = v << 6 | (uint32_t)six;
	}
	if ((v & (UINT32_C(0xffffff) >> (8 * n))) != 0)
		return GW_EFORMAT; /* bits that nobody would see */
	for (size_t i = 0; i < 3; i++)
		three[i] = (uint8_t)(v >> (16 - 8 * i));
	return buf_add(out, three, n);
}

int base64_decode(struct span in, struct buf *out)
{
	size_t pad = 0, had = buf_len(out);

	if (in.n % 4 != 0)
		return GW_EFORMAT;
	if (in.n > 0 && in.p[in.n - 1] == '=')
		pad = in.p[in.n - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < in.n; i += 4) {
		int r = decode_four(in.p + i, i + 4 == in.n ? 3 - pad : 3, out);

		if (r < 0) {
			buf_cut(out, had);
			return r;
		}
	}
	return 0;
}
