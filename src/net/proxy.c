#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum {
	FIXED = 16,      /* of version 2, up to the addresses */
	AT_COMMAND = 12, /* version and command */
	AT_FAMILY = 13,
	AT_LENGTH = 14,
	VERSION_LOCAL = 0x20,
	VERSION_PROXY = 0x21,
	FAMILY_UNSPEC = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	FAMILY_UNIX = 0x31,
	ADDRESSES_4 = 12,
	ADDRESSES_6 = 36,
	ADDRESSES_UNIX = 216,
	TLV_HEAD = 3,
	TLV_CRC32C = 0x03,
	CRC_OCTETS = 4,
};

static const uint8_t signature[AT_COMMAND] = "\r\n\r\n\0\r\nQUIT\n";
static const char word[] = "PROXY ";

void proxy_init(struct proxy *p)
{
	p->n = p->whole = 0;
	p->local = p->known = false;
	p->why = NULL;
}

static int refuse(struct proxy *p, const char *why)
{
	p->why = why;
	return GW_EFORMAT;
}

/* ---- addresses ---------------------------------------------------------------------------------
 */

static void put_four(struct sockaddr_storage *to, const uint8_t *ip, uint16_t port)
{
	struct sockaddr_in *sa = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	sa->sin_family = AF_INET;
	sa->sin_port = htons(port);
	memcpy(&sa->sin_addr, ip, sizeof(sa->sin_addr));
}

static void put_six(struct sockaddr_storage *to, const uint8_t *ip, uint16_t port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in6 *sa = (struct sockaddr_in6 *)to;

	/* One client is one address, however it is written. */
	if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
		put_four(to, ip + sizeof(mapped), port);
		return;
	}
	memset(to, 0, sizeof(*to));
	sa->sin6_family = AF_INET6;
	sa->sin6_port = htons(port);
	memcpy(&sa->sin6_addr, ip, sizeof(sa->sin6_addr));
}

/* ---- version 1: a line (section 2.1) ------------------------------------------------------------
 */

/* The text up to the next blank, or to the end; a second blank there makes an empty one. */
static struct span next_word(struct span *rest)
{
	ptrdiff_t blank = span_find(*rest, ' ');
	struct span w = span_first(*rest, blank < 0 ? rest->n : (size_t)blank);

	*rest = span_skip(*rest, blank < 0 ? rest->n : (size_t)blank + 1);
	return w;
}

static bool read_ip(struct span text, int family, uint8_t *ip)
{
	char s[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(s))
		return false;
	span_to_cstr(text, s, sizeof(s));
	return inet_pton(family, s, ip) == 1;
}

static bool read_port(struct span text, uint16_t *port)
{
	uint64_t n;

	if (text.n == 0 || text.n > 5 || (text.p[0] == '0' && text.n > 1) ||
	    span_to_u64(text, &n) < 0 || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* "SOURCE DESTINATION PORT PORT" and nothing else. */
static bool read_ends(struct proxy *p, struct span rest, int family)
{
	uint8_t from[16], to[16];
	uint16_t ports[2];

	if (!read_ip(next_word(&rest), family, from) || !read_ip(next_word(&rest), family, to) ||
	    !read_port(next_word(&rest), &ports[0]))
		return false;
	/* The last one ends with the line: a blank behind it is one too many. */
	if (!read_port(rest, &ports[1]))
		return false;
	if (family == AF_INET) {
		put_four(&p->from, from, ports[0]);
		put_four(&p->to, to, ports[1]);
	} else {
		put_six(&p->from, from, ports[0]);
		put_six(&p->to, to, ports[1]);
	}
	p->known = true;
	return true;
}

static int read_line(struct proxy *p)
{
	struct span rest = span_of(p->in, p->n - 2), kind;

	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] < ' ' || rest.p[i] > '~')
			return refuse(p, "bad_line");
	}
	rest = span_skip(rest, sizeof(word) - 1);
	kind = next_word(&rest);
	if (span_eq(kind, SPAN("UNKNOWN")))
		return 1;
	if (span_eq(kind, SPAN("TCP4")) && read_ends(p, rest, AF_INET))
		return 1;
	if (span_eq(kind, SPAN("TCP6")) && read_ends(p, rest, AF_INET6))
		return 1;
	return refuse(p, "bad_line");
}

/* Behind one more octet of it. */
static int look_at_line(struct proxy *p)
{
	if (p->n < sizeof(word))
		return p->in[p->n - 1] == (uint8_t)word[p->n - 1] ? 0 : refuse(p, "no_header");
	if (p->in[p->n - 1] == '\n')
		return p->in[p->n - 2] == '\r' ? read_line(p) : refuse(p, "bad_line");
	if (p->in[p->n - 2] == '\r')
		return refuse(p, "bad_line");
	return p->n < PROXY_LINE_MAX ? 0 : refuse(p, "too_long");
}

/* ---- version 2 (section 2.2) --------------------------------------------------------------------
 */

/* RFC 9260 appendix A: reflected, as everywhere. Some hundred octets: no table is worth it. */
static uint32_t crc32c(struct span data, size_t hole)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < data.n; i++) {
		crc ^= i >= hole && i < hole + CRC_OCTETS ? 0 : data.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (UINT32_C(0x82f63b78) & -(crc & 1));
	}
	return ~crc;
}

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Each has its place, the last one ends with the header; the checksum is over all of it with
 * zeros in its own place. */
static int read_tlvs(struct proxy *p, size_t at)
{
	bool summed = false;

	while (at < p->n) {
		size_t left = p->n - at, n;

		if (left < TLV_HEAD)
			return refuse(p, "bad_tlv");
		n = (size_t)(p->in[at + 1] << 8 | p->in[at + 2]);
		if (n > left - TLV_HEAD)
			return refuse(p, "bad_tlv");
		if (p->in[at] == TLV_CRC32C) {
			if (n != CRC_OCTETS || summed)
				return refuse(p, "bad_tlv");
			if (crc32c(span_of(p->in, p->n), at + TLV_HEAD) !=
			    read_u32(p->in + at + TLV_HEAD))
				return refuse(p, "bad_checksum");
			summed = true;
		}
		at += TLV_HEAD + n;
	}
	return 1;
}

static uint16_t read_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static size_t addresses_of(uint8_t family)
{
	return family == FAMILY_TCP4   ? ADDRESSES_4
	       : family == FAMILY_TCP6 ? ADDRESSES_6
	       : family == FAMILY_UNIX ? ADDRESSES_UNIX
				       : 0;
}

static int read_binary(struct proxy *p)
{
	const uint8_t *a = p->in + FIXED;
	uint8_t family = p->in[AT_FAMILY];
	size_t n = addresses_of(family);

	p->local = p->in[AT_COMMAND] == VERSION_LOCAL;
	if (p->local || family == FAMILY_UNSPEC)
		return 1; /* where the addresses end is not said, nor is anything else */
	if (p->n - FIXED < n)
		return refuse(p, "too_short");
	p->known = family != FAMILY_UNIX;
	if (family == FAMILY_TCP4) {
		put_four(&p->from, a, read_u16(a + 8));
		put_four(&p->to, a + 4, read_u16(a + 10));
	} else if (family == FAMILY_TCP6) {
		put_six(&p->from, a, read_u16(a + 32));
		put_six(&p->to, a + 16, read_u16(a + 34));
	}
	return read_tlvs(p, FIXED + n);
}

static bool family_good(const struct proxy *p)
{
	uint8_t family = p->in[AT_FAMILY];

	/* Of LOCAL the family is ignored; mail never comes by datagrams. */
	return p->in[AT_COMMAND] == VERSION_LOCAL || family == FAMILY_UNSPEC ||
	       addresses_of(family) > 0;
}

static int look_at_binary(struct proxy *p)
{
	uint8_t last = p->in[p->n - 1];

	if (p->n <= sizeof(signature))
		return last == signature[p->n - 1] ? 0 : refuse(p, "no_header");
	if (p->n == AT_COMMAND + 1)
		return last == VERSION_LOCAL || last == VERSION_PROXY ? 0
								      : refuse(p, "bad_command");
	if (p->n == AT_FAMILY + 1)
		return family_good(p) ? 0 : refuse(p, "bad_family");
	if (p->n == FIXED)
		p->whole = FIXED + (size_t)read_u16(p->in + AT_LENGTH);
	if (p->whole > PROXY_MAX)
		return refuse(p, "too_long");
	return p->n == p->whole ? read_binary(p) : 0;
}

int proxy_feed(struct proxy *p, struct span in, size_t *used)
{
	int r = 0;

	for (*used = 0; r == 0 && *used < in.n; ++*used) {
		gw_assert(p->n < PROXY_MAX);
		p->in[p->n++] = in.p[*used];
		r = p->in[0] == word[0] ? look_at_line(p) : look_at_binary(p);
	}
	if (r < 0)
		p->known = p->local = false;
	return r;
}
