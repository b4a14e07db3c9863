/*
 * A small reader of MIME, written apart from the one that is tested: the leaves of a message, each
 * decoded, one after the other behind its length. By recursion over the whole text, outermost parts
 * first.
 */
#ifndef GW_TESTS_LEAVES_H
#define GW_TESTS_LEAVES_H

#include "base/buf.h"

#include <stdlib.h>

struct reader {
	struct buf *out;
	size_t n;       /* leaves */
	unsigned depth; /* left */
};

static inline size_t reader_line(struct span s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] == '\r' && s.p[i + 1] == '\n')
			return i + 2;
	}
	return s.n;
}

static inline struct span reader_text(struct span line)
{
	if (line.n >= 2 && line.p[line.n - 2] == '\r' && line.p[line.n - 1] == '\n')
		line.n -= 2;
	return line;
}

static inline struct span reader_trim(struct span s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) && s.p[0] != '\0')
		s = span_skip(s, 1);
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1] != '\0')
		s.n--;
	return s;
}

/* A name with blanks behind it; with a CR or LF in it, it is none. */
static inline struct span reader_name(struct span s)
{
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The first field of that name, with its folds; p == NULL: none. */
static inline struct span reader_field(struct span head, const char *name)
{
	struct span want = span_str(name);

	while (head.n > 0) {
		size_t n = reader_line(head);

		while (n < head.n && (head.p[n] == ' ' || head.p[n] == '\t'))
			n += reader_line(span_skip(head, n));
		if (head.p[0] != ' ' && head.p[0] != '\t') {
			struct span field = span_first(head, n);
			ptrdiff_t colon = span_find(field, ':');

			if (colon > 0 &&
			    span_eq_case(reader_name(span_first(field, (size_t)colon)), want))
				return reader_trim(span_skip(field, (size_t)colon + 1));
		}
		head = span_skip(head, n);
	}
	return SPAN_NONE;
}

static inline size_t reader_comment(struct span s)
{
	unsigned depth = 0;
	size_t n;

	for (n = 0; n < s.n; n++) {
		if (s.p[n] == '\\' && depth > 0)
			n++;
		else if (s.p[n] == '(')
			depth++;
		else if (s.p[n] == ')' && depth > 0)
			depth--;
		else if (depth == 0 && (s.p[n] == '\0' || !strchr(" \t\r\n", s.p[n])))
			break;
	}
	return n < s.n ? n : s.n;
}

static inline struct span reader_token(struct span *s, const char *ends)
{
	struct span token;
	size_t n = 0;

	*s = span_skip(*s, reader_comment(*s));
	while (n < s->n &&
	       (s->p[n] == '\0' || (!strchr(ends, s->p[n]) && !strchr(" \t\r\n", s->p[n]))))
		n++;
	token = span_first(*s, n);
	*s = span_skip(*s, n);
	*s = span_skip(*s, reader_comment(*s));
	return token;
}

static inline bool reader_sign(struct span *s, uint8_t c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	*s = span_skip(*s, reader_comment(*s));
	return true;
}

/* The boundary of that Content-Type; false: none. */
static inline bool reader_boundary(struct span value, char *to, size_t size)
{
	while (value.n > 0) {
		struct span name;
		size_t n = 0;

		(void)reader_token(&value, ";");
		(void)reader_sign(&value, ';');
		name = reader_token(&value, "=;(");
		if (!reader_sign(&value, '='))
			continue;
		if (value.n > 0 && value.p[0] == '"') {
			value = span_skip(value, 1);
			while (value.n > 0 && value.p[0] != '"') {
				if (value.p[0] == '\\' && value.n > 1)
					value = span_skip(value, 1);
				if (value.p[0] != '\r' && value.p[0] != '\n' && n + 1 < size)
					to[n++] = (char)value.p[0];
				value = span_skip(value, 1);
			}
			value = span_skip(value, 1);
			value = span_skip(value, reader_comment(value));
		} else {
			struct span token = reader_token(&value, ";(");

			n = token.n < size ? token.n : size - 1;
			memcpy(to, token.p, n);
		}
		if (!span_eq_case(name, SPAN("boundary")) || n == 0)
			continue;
		while (n > 0 && (to[n - 1] == ' ' || to[n - 1] == '\t'))
			n--;
		to[n] = '\0';
		if (n == 0)
			return false;
		for (size_t i = 0; i < n; i++) {
			if (to[i] < ' ' || to[i] > 126)
				return false; /* no boundary that could be converted */
		}
		return to[0] != ' ' && n <= 256;
	}
	return false;
}

static inline int reader_hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline void reader_qp_line(struct span line, bool hard, struct buf *out)
{
	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '=' && i + 2 < line.n + 0 && reader_hex(line.p[i + 1]) >= 0 &&
		    reader_hex(line.p[i + 2]) >= 0) {
			buf_add_byte(out,
			    (uint8_t)(reader_hex(line.p[i + 1]) * 16 + reader_hex(line.p[i + 2])));
			i += 2;
		} else if (line.p[i] == '=' && i + 1 == line.n) {
			return;
		} else {
			buf_add_byte(out, line.p[i]);
		}
	}
	if (hard)
		buf_add_str(out, "\r\n");
}

static inline void reader_qp(struct span s, struct buf *out)
{
	while (s.n > 0) {
		struct span line = span_first(s, reader_line(s)), text = reader_text(line);

		reader_qp_line(text, text.n < line.n, out);
		s = span_skip(s, line.n);
	}
}

static inline void reader_base64(struct span s, struct buf *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
		const char *at = s.p[i] == '\0' ? NULL : strchr(digits, s.p[i]);

		if (at == NULL)
			continue;
		bits = bits << 6 | (uint32_t)(at - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_add_byte(out, (uint8_t)(bits >> n));
		}
	}
}

static inline void reader_leaf(struct reader *r, struct span encoding, struct span body)
{
	uint32_t length;
	struct buf plain;

	buf_init(&plain, 64 << 20);
	if (span_eq_case(encoding, SPAN("quoted-printable")))
		reader_qp(body, &plain);
	else if (span_eq_case(encoding, SPAN("base64")))
		reader_base64(body, &plain);
	else
		buf_add_span(&plain, body);
	length = (uint32_t)buf_len(&plain);
	buf_add(r->out, &length, sizeof(length));
	buf_add_span(r->out, buf_view(&plain));
	buf_fini(&plain);
	r->n++;
}

static inline int reader_delimiter(struct span line, struct span boundary)
{
	bool ends;

	line = reader_text(line);
	if (line.n >= 1000 || !span_starts(line, SPAN("--")))
		return 0;
	line = span_skip(line, 2);
	if (!span_starts(line, boundary))
		return 0;
	line = span_skip(line, boundary.n);
	ends = span_starts(line, SPAN("--"));
	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	if (line.n == 0)
		return 1;
	return ends && line.n == 2 ? 2 : 0;
}

static inline void reader_entity(struct reader *r, struct span s, bool digest);

/* false: there is no part in it. */
static inline bool reader_parts(
    struct reader *r, struct span body, struct span boundary, bool digest)
{
	size_t at = 0, begin = 0;
	bool in_part = false;

	while (at < body.n) {
		size_t n = reader_line(span_skip(body, at));
		int what = reader_delimiter(span_first(span_skip(body, at), n), boundary);

		if (what == 1 || (what == 2 && in_part)) {
			if (in_part)
				reader_entity(r,
				    span_first(span_skip(body, begin),
					at > begin + 2 ? at - 2 - begin : 0),
				    digest);
			in_part = true;
			begin = at + n;
			if (what == 2)
				return true;
		}
		at += n;
	}
	if (in_part)
		reader_entity(r, span_skip(body, begin), digest);
	return in_part;
}

static inline void reader_entity(struct reader *r, struct span s, bool digest)
{
	struct span head, body, type, encoding, main, sub;
	char boundary[4096];
	size_t at = 0;

	while (at < s.n) {
		size_t n = reader_line(span_skip(s, at));

		at += n;
		if (n == 2 && s.p[at - 2] == '\r' && s.p[at - 1] == '\n')
			break;
	}
	head = span_first(s, at);
	body = span_skip(s, at);
	type = reader_field(head, "Content-Type");
	encoding = reader_field(head, "Content-Transfer-Encoding");
	encoding = reader_token(&encoding, ";(");
	if (type.p == NULL && digest)
		type = SPAN("message/rfc822");
	main = reader_token(&type, "/;(");
	if (reader_sign(&type, '/'))
		sub = reader_token(&type, ";(");
	else
		main = sub = SPAN_NONE; /* RFC 2045 section 5.2: text */
	if (r->depth == 0) {
		reader_leaf(r, encoding, body);
		return;
	}
	r->depth--;
	if (span_eq_case(main, SPAN("multipart")) &&
	    reader_boundary(type, boundary, sizeof(boundary)) &&
	    reader_parts(r, body, span_str(boundary), span_eq_case(sub, SPAN("digest")))) {
	} else if (span_eq_case(main, SPAN("message")) &&
		   (span_eq_case(sub, SPAN("rfc822")) || span_eq_case(sub, SPAN("news"))) &&
		   !span_eq_case(encoding, SPAN("base64")) &&
		   !span_eq_case(encoding, SPAN("quoted-printable"))) {
		reader_entity(r, body, false);
	} else {
		reader_leaf(r, encoding, body);
	}
	r->depth++;
}

/* Appends the leaves; how many there are. */
static inline size_t read_leaves(struct span message, struct buf *out)
{
	struct reader r = {.out = out, .depth = 60};

	reader_entity(&r, message, false);
	return r.n;
}

#endif
