/* Host names, addresses with ports, and ranges of addresses. */
#include "config/value.h"

#include "mail/address.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { HOST_LENGTH = 255 };

/* ---- endpoints: HOST:PORT, [v6]:PORT, unix:PATH */

static bool is_ip4(const char *s)
{
	struct in_addr a;

	return inet_pton(AF_INET, s, &a) == 1;
}

static bool is_ip6(const char *s)
{
	struct in6_addr a;

	return inet_pton(AF_INET6, s, &a) == 1;
}

/* What nobody has to write. */
static uint16_t usual_port(enum endpoint_use use)
{
	switch (use) {
	case ENDPOINT_RELAY: return 25;
	case ENDPOINT_SERVER: return 53;
	case ENDPOINT_LISTEN:
	case ENDPOINT_LISTEN_LMTP:
	case ENDPOINT_LMTP: break;
	}
	return 0;
}

sa_family_t config_ip(struct span text, uint8_t bytes[16])
{
	char ip[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(ip))
		return AF_UNSPEC;
	span_to_cstr(text, ip, sizeof(ip));
	if (inet_pton(AF_INET, ip, bytes) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, ip, bytes) == 1 ? AF_INET6 : AF_UNSPEC;
}

/* The port behind the last colon; 0 after a report. */
static uint16_t read_port(
    struct values *v, const struct word *w, enum endpoint_use use, const char *colon)
{
	uint64_t port;

	if (colon == NULL && usual_port(use) != 0)
		return usual_port(use);
	if (colon == NULL || colon[1] == '\0') {
		report(v->r, CE_PORT, w,
		    w->text[0] == '/' ? textf(v->r, "write unix:%s", w->text) : NULL, w->text);
		return 0;
	}
	if (span_to_u64(span_str(colon + 1), &port) < 0 || port < 1 || port > UINT16_MAX) {
		report(v->r, CE_PORT_RANGE, w, NULL, colon + 1);
		return 0;
	}
	return (uint16_t)port;
}

static bool is_listen(enum endpoint_use use)
{
	return use == ENDPOINT_LISTEN || use == ENDPOINT_LISTEN_LMTP;
}

static bool host_good(enum endpoint_use use, const char *host, bool bracketed)
{
	if (bracketed)
		return is_ip6(host);
	if (is_ip4(host))
		return true;
	return use != ENDPOINT_SERVER && !is_listen(use) && domain_valid(span_str(host)) &&
	       !looks_like_address(span_str(host));
}

static enum config_error wrong_host(enum endpoint_use use)
{
	if (use == ENDPOINT_SERVER)
		return CE_SERVER_ADDRESS;
	return is_listen(use) ? CE_LISTEN_ADDRESS : CE_HOST;
}

/* One spelling for one host: lower case, IPv6 in its short form. */
static void canonical(char *host, bool ip6)
{
	struct in6_addr a;

	if (ip6 && inet_pton(AF_INET6, host, &a) == 1)
		inet_ntop(AF_INET6, &a, host, HOST_LENGTH);
	for (char *s = host; *s != '\0'; s++)
		*s = (char)ascii_lower((uint8_t)*s);
}

static bool read_host_port(
    struct values *v, const struct word *w, enum endpoint_use use, struct endpoint *out)
{
	const char *end = w->text[0] == '[' ? strchr(w->text, ']') : NULL;
	const char *colon = strchr(end ? end : w->text, ':');
	struct span name;
	char host[HOST_LENGTH + 1];

	if (end == NULL && colon != NULL && strchr(colon + 1, ':') != NULL) {
		report(v->r, CE_BRACKETS, w, NULL, w->text);
		return false;
	}
	/* What stands between the bracket and the colon belongs to neither. */
	if (end != NULL && end[1] != '\0' && colon != end + 1) {
		report(v->r, CE_PORT, w, NULL, w->text);
		return false;
	}
	out->port = read_port(v, w, use, colon);
	if (out->port == 0)
		return false;
	name = end ? span_of(w->text + 1, (size_t)(end - w->text) - 1)
		   : span_of(w->text, colon ? (size_t)(colon - w->text) : strlen(w->text));
	span_to_cstr(name, host, sizeof(host));
	if (name.n > HOST_LENGTH || !host_good(use, host, end != NULL)) {
		report(v->r, wrong_host(use), w, NULL, name.n > 0 ? host : w->text);
		return false;
	}
	canonical(host, end != NULL);
	out->host = must_dup(v->keep, span_str(host));
	return true;
}

bool value_endpoint(
    struct values *v, const struct word *w, enum endpoint_use use, struct endpoint *out)
{
	*out = (struct endpoint){0};
	if (strncmp(w->text, "unix:", 5) != 0)
		return read_host_port(v, w, use, out);
	if (use == ENDPOINT_RELAY) {
		report(v->r, CE_UNIX_RELAY, w, NULL, w->text + 5);
		return false;
	}
	if (use != ENDPOINT_LMTP && use != ENDPOINT_LISTEN_LMTP) {
		report(v->r, wrong_host(use), w, NULL, w->text);
		return false;
	}
	out->unix_path = value_socket_path(v, w, w->text + 5);
	return out->unix_path != NULL;
}

/* ---- ranges of addresses */

static bool read_prefix(const char *s, unsigned max, unsigned *out)
{
	uint64_t n = max;

	if (s != NULL &&
	    (s[0] == '\0' || strlen(s) > 3 || span_to_u64(span_str(s), &n) < 0 || n > max))
		return false;
	*out = (unsigned)n;
	return true;
}

/* Clears what lies behind the prefix; true if there was anything. */
static bool mask(struct cidr *c, size_t octets)
{
	bool had = false;

	for (size_t i = 0; i < octets; i++) {
		unsigned in = c->bits > i * 8 ? c->bits - (unsigned)(i * 8) : 0;
		uint8_t m = in >= 8 ? 0xff : (uint8_t)(0xff << (8 - in));

		had = had || (c->bytes[i] & ~m) != 0;
		c->bytes[i] &= m;
	}
	return had;
}

static void from_mapped(struct cidr *c)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (c->family != AF_INET6 || c->bits < 96 || memcmp(c->bytes, prefix, 12) != 0)
		return;
	c->family = AF_INET;
	c->bits -= 96;
	memmove(c->bytes, c->bytes + 12, 4);
	memset(c->bytes + 4, 0, 12);
}

bool value_cidr(struct values *v, const struct word *w, struct cidr *out)
{
	const char *slash = strchr(w->text, '/');
	char ip[64], start[INET6_ADDRSTRLEN];

	*out = (struct cidr){.place = w->place, .family = AF_INET};
	span_to_cstr(
	    span_of(w->text, slash ? (size_t)(slash - w->text) : strlen(w->text)), ip, sizeof(ip));
	if (strchr(ip, ':') != NULL)
		out->family = AF_INET6;
	if (inet_pton(out->family, ip, out->bytes) != 1) {
		report(v->r, CE_RANGE_ADDRESS, w, NULL, w->text);
		return false;
	}
	if (!read_prefix(slash ? slash + 1 : NULL, out->family == AF_INET ? 32 : 128, &out->bits)) {
		report(v->r, CE_RANGE_PREFIX, w, NULL, w->text);
		return false;
	}
	if (mask(out, out->family == AF_INET ? 4 : 16)) {
		inet_ntop(out->family, out->bytes, start, sizeof(start));
		report(
		    v->r, CE_RANGE_HOST, w, textf(v->r, "write %s/%u", start, out->bits), w->text);
		return false;
	}
	from_mapped(out);
	return true;
}

const char *cidr_text(const struct cidr *c, char *text)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(c->family, c->bytes, ip, sizeof(ip));
	if (c->bits == (c->family == AF_INET ? 32 : 128))
		snprintf(text, CIDR_TEXT, "%s", ip);
	else
		snprintf(text, CIDR_TEXT, "%s/%u", ip, c->bits);
	return text;
}
