/* Addresses in reports (RFC 3461 section 4.2, RFC 6533): xtext and its forms for UTF-8. */
#include "mail/dsn-private.h"

#include "base/utf8.h"

/* RFC 6533 section 3, QCHAR: what stands for itself. */
static bool is_qchar(uint32_t c)
{
	return c > ' ' && c < 127 && c != '\\' && c != '+' && c != '=';
}

static int hex_digit(uint8_t c)
{
	if (ascii_isdigit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x{E4}" at the start of s: its octets, or 0. RFC 6533: 2 to 6 digits. */
static size_t take_escape(struct span s, uint32_t *point)
{
	size_t n = 3;
	uint32_t c = 0;

	if (!span_starts(s, SPAN("\\x{")) && !span_starts(s, SPAN("\\X{")))
		return 0;
	for (; n < s.n && n < 9 && hex_digit(s.p[n]) >= 0; n++)
		c = c << 4 | (uint32_t)hex_digit(s.p[n]);
	if (n < 5 || n >= s.n || s.p[n] != '}' || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*point = c;
	return n + 1;
}

/* The first character of an address, escapes undone if it has any; what is no UTF-8 is '?'. */
static size_t take_character(struct span s, bool escaped, uint32_t *point)
{
	size_t n = escaped ? take_escape(s, point) : 0;

	if (n == 0)
		n = utf8_take(s, point);
	if (n == 0)
		*point = '?';
	return n > 0 ? n : 1;
}

/* As it is where that can be seen, else as utf-8-addr-xtext has it. */
static void add_utf8(struct buf *out, struct span addr, bool escaped, bool utf8)
{
	size_t end = buf_len(out) + DSN_VALUE_MAX;
	uint32_t c;

	addr = span_first(addr, DSN_ADDRESS_MAX);
	for (size_t n; addr.n > 0 && buf_len(out) < end && !buf_failed(out);
	     addr = span_skip(addr, n)) {
		n = take_character(addr, escaped, &c);
		if (c < ' ' || c == 127)
			c = '?';
		if (c < 128 ? (utf8 || is_qchar(c)) : (utf8 && utf8_visible(c)))
			utf8_put(out, c);
		else
			buf_addf(out, "\\x{%02X}", (unsigned)c);
	}
}

/* An address of ASCII is never broken: its blanks count. */
void dsn_add_address(struct buf *out, const char *name, struct span addr, bool utf8)
{
	bool beyond = utf8_beyond_ascii(addr);

	/* RFC 3464 section 2.1.2: never empty. */
	if (fold_is_blank(addr))
		addr = SPAN("?");
	buf_addf(out, "%s: %s", name, beyond ? "utf-8;" : "rfc822;");
	if (beyond)
		add_utf8(out, addr, false, utf8);
	else
		fold_clean(out, addr, DSN_ADDRESS_MAX);
	buf_add_str(out, "\r\n");
}

/* RFC 3464 section 2.1.2: an atom. */
static bool type_good(struct span type)
{
	for (size_t i = 0; i < type.n; i++) {
		if (!ascii_isalpha(type.p[i]) && !ascii_isdigit(type.p[i]) && type.p[i] != '-')
			return false;
	}
	return type.n > 0 && type.n <= 64;
}

void dsn_add_original(struct buf *out, struct span orcpt, bool utf8)
{
	ptrdiff_t end = span_find(orcpt, ';');
	struct span type = end < 0 ? SPAN("rfc822") : span_first(orcpt, (size_t)end);
	struct span addr = end < 0 ? orcpt : span_skip(orcpt, (size_t)end + 1);

	if (fold_is_blank(addr) || !type_good(type))
		return;
	if (span_eq_case(type, SPAN("utf-8")) || utf8_beyond_ascii(addr)) {
		buf_add_str(out, "Original-Recipient: utf-8;");
		add_utf8(out, addr, span_eq_case(type, SPAN("utf-8")), utf8);
	} else {
		buf_addf(out, "Original-Recipient: %.*s;", SPAN_ARG(type));
		fold_clean(out, addr, DSN_ADDRESS_MAX);
	}
	buf_add_str(out, "\r\n");
}
