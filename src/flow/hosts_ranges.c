/* Which addresses are nobody's on the Internet. */
#include "flow/hosts.h"

#include <string.h>

struct range {
	uint8_t bytes[16];
	unsigned bits;
};

/* RFC 6890 and the registry of special-purpose addresses it made. */
static const struct range v4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared (RFC 6598) */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relays, gone (RFC 7526) */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, and broadcast */
};

static const struct range v6[] = {
    {{0}, 96},                            /* unspecified, loopback, IPv4-compatible */
    {{0x01}, 64},                         /* discard (RFC 6666) */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48}, /* local-use translation (RFC 8215) */
    {{0x20, 0x01}, 23},                   /* protocol assignments; Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},       /* documentation */
    {{0x3f, 0xff}, 20},                   /* documentation (RFC 9637) */
    {{0x5f}, 16},                         /* segment routing (RFC 9602) */
    {{0xfc}, 7},                          /* unique local */
    {{0xfe, 0x80}, 10},                   /* link-local */
    {{0xfe, 0xc0}, 10},                   /* site-local, gone (RFC 3879) */
    {{0xff}, 8},                          /* multicast */
};

/* Where an IPv6 address holds one of IPv4. */
struct holder {
	struct range range;
	size_t at;
};
static const struct holder holders[] = {
    {{{[10] = 0xff, [11] = 0xff}, 96}, 12}, /* mapped (RFC 4291) */
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},   /* translated (RFC 6052) */
    {{{0x20, 0x02}, 16}, 2},                /* 6to4 (RFC 3056) */
};

static bool in_range(const struct range *r, const uint8_t *bytes)
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return memcmp(r->bytes, bytes, whole) == 0 &&
	       (rest == 0 || ((r->bytes[whole] ^ bytes[whole]) & mask) == 0);
}

static bool in_any(const struct range *r, size_t n, const uint8_t *bytes)
{
	for (size_t i = 0; i < n; i++) {
		if (in_range(&r[i], bytes))
			return true;
	}
	return false;
}

bool address_is_private(const struct host_address *a)
{
	if (a->family == AF_INET)
		return in_any(v4, GW_ARRAY_LEN(v4), a->bytes);
	for (size_t i = 0; i < GW_ARRAY_LEN(holders); i++) {
		if (in_range(&holders[i].range, a->bytes))
			return in_any(v4, GW_ARRAY_LEN(v4), a->bytes + holders[i].at);
	}
	return in_any(v6, GW_ARRAY_LEN(v6), a->bytes);
}
