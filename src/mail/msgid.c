#include "mail/msgid.h"

/* 26 characters hold 130 bits: the first one carries only three. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct msgid msgid_make(int64_t now, const uint8_t random[MSGID_RANDOM])
{
	uint64_t msec = now > 0 ? (uint64_t)now / 1000 : 0;
	struct msgid id;

	for (size_t i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(msec >> (40 - 8 * i));
	memcpy(id.b + 6, random, MSGID_RANDOM);
	return id;
}

void msgid_format(const struct msgid *id, char *text)
{
	uint32_t bits = 0;
	unsigned have = 2; /* two zero bits in front: 128 + 2 = 26 * 5 */
	size_t at = 0;

	for (size_t i = 0; i < sizeof(id->b); i++) {
		bits = bits << 8 | id->b[i];
		for (have += 8; have >= 5; have -= 5)
			text[at++] = digits[bits >> (have - 5) & 31];
	}
	text[at] = '\0';
}

static int digit_value(uint8_t c)
{
	const char *at;

	c = ascii_lower(c);
	if (c == 'o')
		return 0;
	if (c == 'i' || c == 'l')
		return 1;
	if (c >= 'a' && c <= 'z')
		c = (uint8_t)(c - 'a' + 'A');
	at = memchr(digits, c, sizeof(digits) - 1);
	return at ? (int)(at - digits) : GW_EFORMAT;
}

int msgid_parse(struct span text, struct msgid *id)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t at = 0;

	if (text.n != MSGID_TEXT || digit_value(text.p[0]) > 7)
		return GW_EFORMAT;
	for (size_t i = 0; i < text.n; i++) {
		int v = digit_value(text.p[i]);

		if (v < 0)
			return GW_EFORMAT;
		bits = bits << 5 | (uint32_t)v;
		have += i == 0 ? 3 : 5;
		if (have >= 8) {
			have -= 8;
			id->b[at++] = (uint8_t)(bits >> have);
		}
	}
	return 0;
}
