#include "smtp/xtext.h"

#include "base/utf8.h"

static int hex_digit(uint8_t c)
{
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int xtext_decode(struct span in, struct buf *out)
{
	while (in.n > 0) {
		int c = in.p[0];

		/* RFC 3461 section 4: "+" and "=" do not stand for themselves, nor does a blank. */
		if (c == '=' || c <= ' ' || c > '~')
			return GW_EFORMAT;
		if (c == '+') {
			int high = in.n > 2 ? hex_digit(in.p[1]) : -1;
			int low = in.n > 2 ? hex_digit(in.p[2]) : -1;

			if (high < 0 || low < 0)
				return GW_EFORMAT;
			c = high * 16 + low;
			in = span_skip(in, 2);
		}
		if (c < ' ' || c > '~' || buf_add_byte(out, (uint8_t)c) != 0)
			return GW_EFORMAT;
		in = span_skip(in, 1);
	}
	return 0;
}

void xtext_encode(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c <= ' ' || c > '~' || c == '+' || c == '=')
			buf_addf(out, "+%02X", c);
		else
			buf_add_byte(out, c);
	}
}

/* ---- ORCPT ----------------------------------------------------------------------------------- */

/* The length of "type;", where the type is an atom; 0: there is none. */
static size_t type_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && (ascii_isalpha(s.p[n]) || ascii_isdigit(s.p[n]) ||
			      (s.p[n] != 0 && strchr("!#$%&'*-/?^_`{|}~", s.p[n]) != NULL)))
		n++;
	return n > 0 && n < s.n && s.p[n] == ';' ? n + 1 : 0;
}

static bool is_utf8_type(struct span s)
{
	return span_starts_case(s, SPAN("utf-8;"));
}

/*
 * The octets of an EmbeddedUnicodeChar, \x{HEX}, into *point; 0: it is none. Only what cannot stand
 * for itself is written so, with capitals and no zero more than the form needs.
 */
static size_t take_embedded(struct span s, uint32_t *point)
{
	enum { DIGITS_MAX = 6 };
	size_t n = 3;
	uint32_t c = 0;

	if (!span_starts(s, SPAN("\\x{")))
		return 0;
	while (n < s.n && n < 3 + DIGITS_MAX && hex_digit(s.p[n]) >= 0)
		c = c * 16 + (uint32_t)hex_digit(s.p[n++]);
	if (n < 5 || n >= s.n || s.p[n] != '}' || (n > 5 && s.p[3] == '0'))
		return 0;
	*point = c;
	return n + 1;
}

/* RFC 6533 section 3: an octet that stands for itself in such an address. */
static bool is_qchar(uint32_t c)
{
	return c > ' ' && c < 127 && c != '+' && c != '=' && c != '\\';
}

/* One character of such an address as it is sent. */
static size_t take_utf8_char(struct span in, bool utf8, uint32_t *point)
{
	size_t n = in.p[0] == '\\' ? take_embedded(in, point) : utf8_take(in, point);

	if (n == 0 || !utf8_visible(*point))
		return 0;
	if (in.p[0] == '\\')
		return n;
	return is_qchar(*point) || (utf8 && *point > 127) ? n : 0;
}

static int utf8_address_decode(struct span in, bool utf8, struct buf *out)
{
	while (in.n > 0) {
		uint32_t point;
		size_t n = take_utf8_char(in, utf8, &point);

		if (n == 0 || utf8_put(out, point) != 0)
			return GW_EFORMAT;
		in = span_skip(in, n);
	}
	return 0;
}

int orcpt_decode(struct span in, bool utf8, struct buf *out)
{
	size_t type = type_length(in);
	struct span address = span_skip(in, type);

	if (type == 0 || address.n == 0 || buf_add_span(out, span_first(in, type)) != 0)
		return GW_EFORMAT;
	if (is_utf8_type(in))
		return utf8_address_decode(address, utf8, out);
	return xtext_decode(address, out);
}

static int utf8_address_encode(struct span in, bool utf8, struct buf *out)
{
	while (in.n > 0) {
		uint32_t c;
		size_t n = utf8_take(in, &c);

		if (n == 0 || !utf8_visible(c))
			return GW_EFORMAT;
		if (is_qchar(c) || (utf8 && c > 127))
			buf_add_span(out, span_first(in, n));
		else
			buf_addf(out, "\\x{%02X}", (unsigned)c);
		in = span_skip(in, n);
	}
	return 0;
}

int orcpt_encode(struct span orcpt, bool utf8, struct buf *out)
{
	size_t type = type_length(orcpt), before = buf_len(out);
	struct span address = span_skip(orcpt, type);
	int err = 0;

	/* No form is shorter than what it stands for. */
	if (type == 0 || address.n == 0 || orcpt.n > XTEXT_ORCPT_MAX)
		return GW_EFORMAT;
	buf_add_span(out, span_first(orcpt, type));
	if (is_utf8_type(orcpt))
		err = utf8_address_encode(address, utf8, out);
	else if (utf8_beyond_ascii(address))
		err = GW_EFORMAT;
	else
		xtext_encode(address, out);
	if (err == 0 && (buf_failed(out) || buf_len(out) - before > XTEXT_ORCPT_MAX))
		err = GW_EFORMAT;
	if (err != 0 && !buf_failed(out))
		buf_cut(out, before);
	return err;
}
