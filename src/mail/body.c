#include "mail/body.h"

enum { BLOCK = 64, WORDS = BLOCK / 8 };

#define TOPS UINT64_C(0x8080808080808080)

void body_scan_init(struct body_scan *s)
{
	*s = (struct body_scan){0};
}

/* One block at a time without a branch in it, so that the compiler can use wide registers. */
static bool has_high(struct span data)
{
	uint64_t high = 0;

	while (data.n >= BLOCK) {
		uint64_t w[WORDS];

		memcpy(w, data.p, BLOCK);
		for (size_t i = 0; i < WORDS; i++)
			high |= w[i];
		data = span_skip(data, BLOCK);
	}
	for (size_t i = 0; i < data.n; i++)
		high |= data.p[i];
	return (high & TOPS) != 0;
}

/* What was seen once need not be looked for again. */
static void scan_octets(struct body_facts *f, struct span data)
{
	f->eight_bit = f->eight_bit || has_high(data);
	f->nul = f->nul || span_find(data, '\0') >= 0;
}

static void add_to_line(struct body_scan *s, size_t n)
{
	s->line = n < UINT32_MAX - s->line ? s->line + (uint32_t)n : UINT32_MAX;
}

static void end_line(struct body_scan *s)
{
	if (s->line > s->facts.longest_line)
		s->facts.longest_line = s->line;
	s->line = 0;
	s->facts.lines++;
}

/* Octets of a line without LF; a CR among them has no LF behind it. */
static void feed_text(struct body_scan *s, struct span text)
{
	add_to_line(s, text.n);
	if (!s->facts.bare_cr && span_find(text, '\r') >= 0)
		s->facts.bare_cr = true;
}

/* What follows a CR that ended the piece before. */
static struct span after_cr(struct body_scan *s, struct span data)
{
	s->after_cr = false;
	if (data.p[0] == '\n') {
		end_line(s);
		return span_skip(data, 1);
	}
	s->facts.bare_cr = true;
	add_to_line(s, 1);
	return data;
}

static void scan_lines(struct body_scan *s, struct span data)
{
	while (data.n > 0) {
		ptrdiff_t lf = span_find(data, '\n');
		struct span text = lf < 0 ? data : span_first(data, (size_t)lf);
		bool cr = text.n > 0 && text.p[text.n - 1] == '\r';

		data = span_skip(data, text.n + (lf >= 0));
		text.n -= cr;
		feed_text(s, text);
		if (lf < 0) {
			s->after_cr = cr;
		} else if (cr) {
			end_line(s);
		} else {
			s->facts.bare_lf = true;
			add_to_line(s, 1);
		}
	}
}

void body_scan_feed(struct body_scan *s, struct span data)
{
	if (data.n == 0)
		return;
	s->facts.size += data.n;
	scan_octets(&s->facts, data);
	if (s->after_cr)
		data = after_cr(s, data);
	scan_lines(s, data);
}

const struct body_facts *body_scan_end(struct body_scan *s)
{
	if (s->after_cr) {
		s->after_cr = false;
		s->facts.bare_cr = true;
		add_to_line(s, 1);
	}
	s->facts.open_end = s->line > 0;
	if (s->line > s->facts.longest_line)
		s->facts.longest_line = s->line;
	return &s->facts;
}
