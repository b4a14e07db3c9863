/* Sizes, durations and rates as people write them. */
#include "config/schema.h"

#include <inttypes.h>

struct named_unit {
	uint64_t factor;
	char letter;
};

/* The largest unit that leaves no rest. */
static void with_unit(uint64_t n, const struct named_unit *u, size_t n_units, struct buf *out)
{
	size_t i = 0;

	while (i + 1 < n_units && (n == 0 || n % u[i].factor != 0))
		i++;
	buf_addf(out, "%" PRIu64 "%c", n / u[i].factor, u[i].letter);
}

void format_size(uint64_t octets, struct buf *out)
{
	static const struct named_unit u[] = {{UINT64_C(1) << 40, 'T'}, {UINT64_C(1) << 30, 'G'},
	    {UINT64_C(1) << 20, 'M'}, {UINT64_C(1) << 10, 'K'}, {1, 'B'}};

	with_unit(octets, u, GW_ARRAY_LEN(u), out);
}

void format_duration(int64_t usec, struct buf *out)
{
	static const struct named_unit u[] = {
	    {86400000000, 'd'}, {3600000000, 'h'}, {60000000, 'm'}, {1000000, 's'}};

	with_unit((uint64_t)usec, u, GW_ARRAY_LEN(u), out);
}

uint64_t rate_pack(uint32_t n, uint32_t seconds)
{
	return (uint64_t)seconds << 32 | n;
}

void format_rate(uint64_t packed, struct buf *out)
{
	static const struct named_unit u[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	uint64_t n = (uint32_t)packed, seconds = packed >> 32;
	size_t i = 0;

	if (n == 0) {
		buf_add_str(out, "off");
		return;
	}
	while (seconds % u[i].factor != 0)
		i++;
	buf_addf(out, "%" PRIu64 "/", n);
	if (seconds != u[i].factor)
		buf_addf(out, "%" PRIu64, seconds / u[i].factor);
	buf_add_byte(out, (uint8_t)u[i].letter);
}

void format_number(enum option_type type, uint64_t value, struct buf *out)
{
	if (type == TYPE_SIZE)
		format_size(value, out);
	else if (type == TYPE_DURATION)
		format_duration((int64_t)value, out);
	else if (type == TYPE_RATE)
		format_rate(value, out);
	else if (type == TYPE_LIMIT && value == 0)
		buf_add_str(out, "off");
	else
		buf_addf(out, "%" PRIu64, value);
}

const char *type_name(enum option_type type)
{
	switch (type) {
	case TYPE_NUMBER: return "count";
	case TYPE_LIMIT: return "count or off";
	case TYPE_SIZE: return "size (number and B, K, M, G or T)";
	case TYPE_DURATION: return "duration (number and s, m, h or d)";
	case TYPE_RATE: return "rate (number, a slash and a time: s, m, h, d, or 10s)";
	case TYPE_YESNO: return "yes or no";
	case TYPE_ONOFF: return "on or off";
	case TYPE_HOSTNAME:
	case TYPE_DOMAIN: return "domain name";
	case TYPE_ADDRESS: return "mail address";
	case TYPE_PATH: return "absolute path";
	case TYPE_SOCKET_PATH: return "absolute path, at most 107 characters";
	case TYPE_USER: return "user name";
	case TYPE_LANGUAGE: return "language tag or auto";
	case TYPE_BLOCK: return "block";
	case TYPE_OWN: break;
	}
	return "words";
}
