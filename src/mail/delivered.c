#include "mail/delivered.h"

#include "mail/address.h"

enum { PLAIN_MAX = 1024 };

void delivered_scan_init(struct delivered_scan *s, struct span rcpt)
{
	*s = (struct delivered_scan){.rcpt = rcpt};
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s = span_first(s, s.n - 1);
	return s;
}

/* Some write the address in angle brackets. */
static struct span without_brackets(struct span s)
{
	if (s.n > 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		return span_of(s.p + 1, s.n - 2);
	return s;
}

/* Case does not count here: who gets mail as Alice and as alice has it twice. */
static bool is_rcpt(const struct delivered_scan *s, struct span value)
{
	struct address a;
	struct buf b;
	bool same;

	if (address_parse(value, &a) < 0)
		return span_eq_case(value, s->rcpt);
	buf_init(&b, PLAIN_MAX);
	address_canonical(&a, &b);
	same = span_eq_case(buf_view(&b), s->rcpt);
	buf_fini(&b);
	return same;
}

static void judge(struct delivered_scan *s)
{
	static const struct span name = {(const uint8_t *)"Delivered-To", 12};
	struct span field = span_of(s->field, s->n);
	ptrdiff_t colon;

	if (s->n <= name.n || s->n > sizeof(s->field))
		return;
	colon = span_find(field, ':');
	if (colon < (ptrdiff_t)name.n ||
	    !span_eq_case(trim(span_first(field, (size_t)colon)), name))
		return;
	if (is_rcpt(s, without_brackets(trim(span_skip(field, (size_t)colon + 1)))))
		s->found = true;
}

/* The first octet of a line says whether the field before it goes on. */
static void begin_line(struct delivered_scan *s, uint8_t c)
{
	s->in_line = true;
	if (is_blank(c))
		return;
	judge(s);
	s->n = 0;
	if (c == '\r' || c == '\n')
		s->done = true;
}

static void take(struct delivered_scan *s, uint8_t c)
{
	if (c == '\n') {
		s->in_line = false;
		return;
	}
	if (c == '\r' || s->n > sizeof(s->field))
		return;
	if (s->n < sizeof(s->field))
		s->field[s->n] = (char)c;
	s->n++;
}

void delivered_scan_feed(struct delivered_scan *s, struct span data)
{
	for (size_t i = 0; i < data.n && !s->done; i++) {
		if (!s->in_line)
			begin_line(s, data.p[i]);
		if (!s->done)
			take(s, data.p[i]);
	}
}
