/* What an account may: senders, and where it logs in from. */
#include "auth/accounts-private.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* ---- ranges of addresses ----------------------------------------------------------------------
 */

static bool bits_match(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/* Nothing lies behind the prefix. */
static bool is_start(const struct account_range *r)
{
	static const uint8_t zero[16];
	uint8_t tail[16] = {0};
	unsigned whole = r->bits / 8;

	for (unsigned i = whole; i < 16; i++)
		tail[i] = i > whole ? r->bytes[i] : r->bytes[i] & (0xff >> (r->bits % 8));
	return memcmp(tail, zero, sizeof(tail)) == 0;
}

static bool read_address(struct span ip, struct account_range *out)
{
	char text[INET6_ADDRSTRLEN];

	if (ip.n == 0 || ip.n >= sizeof(text) || memchr(ip.p, '\0', ip.n) != NULL)
		return false;
	span_to_cstr(ip, text, sizeof(text));
	if (strchr(text, ':') == NULL) {
		memcpy(out->bytes, mapped, sizeof(mapped));
		return inet_pton(AF_INET, text, out->bytes + sizeof(mapped)) == 1;
	}
	return inet_pton(AF_INET6, text, out->bytes) == 1;
}

const char *account_range_parse(struct span text, struct account_range *out)
{
	ptrdiff_t slash = span_find(text, '/');
	struct span ip = slash < 0 ? text : span_first(text, (size_t)slash);
	struct span prefix = slash < 0 ? SPAN_NONE : span_skip(text, (size_t)slash + 1);
	bool dotted = span_find(ip, ':') < 0;
	uint64_t bits = dotted ? 32 : 128, most = bits;

	*out = (struct account_range){.bits = 0};
	if (!read_address(ip, out))
		return "it is no address, and no range like 10.0.0.0/8 or 2001:db8::/32";
	if (slash >= 0 && (prefix.n > 3 || span_to_u64(prefix, &bits) < 0 || bits > most))
		return "what follows the / is no length of a prefix";
	out->bits = (unsigned)bits + (dotted ? 96 : 0);
	out->ip4 = out->bits >= 96 && memcmp(out->bytes, mapped, sizeof(mapped)) == 0;
	return is_start(out) ? NULL : "it has bits behind its prefix";
}

bool account_may_come_from(const struct account *a, const uint8_t ip[16])
{
	bool ip4 = memcmp(ip, mapped, sizeof(mapped)) == 0;

	for (size_t i = 0; i < a->n_from; i++) {
		struct account_range r;

		if (account_range_parse(a->from[i], &r) == NULL && r.ip4 == ip4 &&
		    bits_match(r.bytes, ip, r.bits))
			return true;
	}
	return a->n_from == 0;
}

/* ---- senders ----------------------------------------------------------------------------------
 */

/* The local part itself, or with "+" and something behind it. */
static bool same_person(struct span local, struct span want)
{
	return span_starts_case(local, want) && (local.n == want.n || local.p[want.n] == '+');
}

static bool address_match(const struct address *want, const struct address *is)
{
	struct buf a, b;
	bool same;

	if (want->kind != is->kind || !span_eq_case(want->domain, is->domain))
		return false;
	buf_init(&a, want->local.n);
	buf_init(&b, is->local.n);
	address_local_plain(want, &a);
	address_local_plain(is, &b);
	same = same_person(buf_view(&b), buf_view(&a));
	buf_fini(&a);
	buf_fini(&b);
	return same;
}

/* "*.x" is every name below x, any other name itself. */
static bool domain_match(struct span pattern, struct span domain)
{
	size_t tail;

	if (!span_starts(pattern, SPAN("*.")))
		return span_eq_case(pattern, domain);
	tail = pattern.n - 1;
	return domain.n > tail &&
	       span_eq_case(span_skip(pattern, 1), span_skip(domain, domain.n - tail));
}

static bool pattern_match(struct span pattern, const struct address *is)
{
	struct address want;

	if (span_eq(pattern, SPAN("*")))
		return true;
	if (span_starts(pattern, SPAN("*@")))
		return is->kind == ADDRESS_DOMAIN &&
		       domain_match(span_skip(pattern, 2), is->domain);
	return address_parse(pattern, &want) == 0 && address_match(&want, is);
}

bool account_may_send_as(
    const struct account *a, const struct address *from, bool header, struct span *why)
{
	bool own_header = header && a->n_header_as > 0;
	const struct span *list = own_header ? a->header_as : a->as;
	size_t n = own_header ? a->n_header_as : a->n_as;

	*why = SPAN_NONE;
	if (from->kind == ADDRESS_NULL)
		return !header;
	if (n == 0) {
		list = &a->name;
		n = span_find(a->name, '@') >= 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (pattern_match(list[i], from)) {
			*why = list[i];
			return true;
		}
	}
	return false;
}
