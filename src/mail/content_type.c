#include "mail/content_type.h"

#include "base/buf.h"

enum { VALUE_MAX = 4096 };

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* FNV-1a. */
uint64_t content_type_boundary(struct span boundary)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	boundary = span_first(boundary, CONTENT_TYPE_BOUNDARY);
	for (size_t i = 0; i < boundary.n; i++)
		h = (h ^ boundary.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static void skip_space(struct span *s)
{
	size_t n = 0;
	unsigned depth = 0;

	for (; n < s->n; n++) {
		uint8_t c = s->p[n];

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0)
			n++;
		else if (depth == 0 && !is_blank(c))
			break;
	}
	*s = span_skip(*s, n);
}

/* Up to one of those octets, or a blank. */
static struct span take_until(struct span *s, const char *ends)
{
	struct span token;
	size_t n = 0;

	while (n < s->n && !is_blank(s->p[n]) && (s->p[n] == '\0' || !strchr(ends, s->p[n])))
		n++;
	token = span_first(*s, n);
	*s = span_skip(*s, n);
	skip_space(s);
	return token;
}

static bool take(struct span *s, uint8_t c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	skip_space(s);
	return true;
}

/* The value of a parameter as it is meant, in out. */
static void take_value(struct span *s, struct buf *out)
{
	buf_clear(out);
	if (s->n == 0 || s->p[0] != '"') {
		buf_add_span(out, take_until(s, ";("));
		return;
	}
	*s = span_skip(*s, 1);
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\' && s->n > 1)
			*s = span_skip(*s, 1);
		if (s->p[0] != '\r' && s->p[0] != '\n')
			buf_add_byte(out, s->p[0]);
		*s = span_skip(*s, 1);
	}
	*s = span_skip(*s, 1);
	skip_space(s);
}

static bool is_clean(struct span boundary)
{
	for (size_t i = 0; i < boundary.n; i++) {
		if (boundary.p[i] < ' ' || boundary.p[i] > 126)
			return false;
	}
	return boundary.n <= CONTENT_TYPE_BOUNDARY && boundary.n > 0 && boundary.p[0] != ' ';
}

static void find_boundary(struct span s, struct content_type *t)
{
	struct buf value;

	buf_init(&value, VALUE_MAX);
	while (!t->has_boundary && s.n > 0) {
		struct span name;

		take_until(&s, ";");
		take(&s, ';');
		name = take_until(&s, "=;(");
		if (!take(&s, '='))
			continue;
		take_value(&s, &value);
		t->has_boundary = span_eq_case(name, SPAN("boundary")) && buf_len(&value) > 0;
	}
	if (t->has_boundary) {
		t->boundary = content_type_boundary(span_trim(buf_view(&value)));
		t->clean = is_clean(buf_view(&value)) && !buf_failed(&value);
	}
	buf_fini(&value);
}

struct content_type content_type_read(struct span value)
{
	struct content_type t = {SPAN_NONE, SPAN_NONE, 0, false, false};
	struct span type;

	skip_space(&value);
	type = take_until(&value, "/;(");
	if (!take(&value, '/'))
		return t;
	t.type = type;
	t.sub = take_until(&value, ";(");
	find_boundary(value, &t);
	return t;
}

struct span content_encoding_read(struct span value)
{
	skip_space(&value);
	return take_until(&value, ";(");
}
