#include "mail/convert-private.h"

#include "mail/content_type.h"
#include "mail/encoded_word.h"

/* A longer line is no boundary: nobody writes such, and blanks at its end would hide the rest. */
enum { PIECE = 4096, BOUNDARY_LINE = 1000 };

void convert_init(struct convert *c, unsigned mode)
{
	*c = (struct convert){.mode = mode};
	buf_init(&c->out, CONVERT_OUT);
	buf_init(&c->levels, CONVERT_DEPTH * sizeof(struct convert_level));
	buf_init(&c->held, CONVERT_HEAD + CONVERT_WINDOW);
	buf_init(&c->line, BOUNDARY_LINE);
	convert_begin_header(c, true);
}

void convert_fini(struct convert *c)
{
	buf_fini(&c->out);
	buf_fini(&c->levels);
	buf_fini(&c->held);
	buf_fini(&c->line);
}

void convert_stop(struct convert *c, const char *why)
{
	if (c->verdict != CONVERT_FINE)
		return;
	c->verdict = CONVERT_IMPOSSIBLE;
	c->why = why;
	buf_clear(&c->held);
	buf_clear(&c->line);
}

void convert_emit(struct convert *c, struct span s)
{
	buf_add_span(&c->out, s);
}

/* ---- levels --------------------------------------------------------------------------------- */

static size_t count_levels(const struct convert *c)
{
	return buf_len(&c->levels) / sizeof(struct convert_level);
}

/* Nothing is ever dropped at the front of that buffer: it is as aligned as memory is. */
static const struct convert_level *level_at(const struct convert *c, size_t i)
{
	return (const struct convert_level *)(const void *)buf_view(&c->levels).p + i;
}

const struct convert_level *convert_top(const struct convert *c)
{
	size_t n = count_levels(c);

	return n > 0 ? level_at(c, n - 1) : NULL;
}

bool convert_is_open(const struct convert *c, uint64_t boundary)
{
	for (size_t i = count_levels(c); i-- > 0;) {
		if (!level_at(c, i)->is_message && level_at(c, i)->boundary == boundary)
			return true;
	}
	return false;
}

bool convert_push_level(struct convert *c, const struct convert_entity *e)
{
	struct convert_level l = {.boundary = e->boundary,
	    .is_message = e->kind == ENTITY_MESSAGE,
	    .sealed = e->kind == ENTITY_SEALED_MULTIPART,
	    .digest = e->digest};

	if (count_levels(c) == CONVERT_DEPTH)
		return false;
	buf_add(&c->levels, &l, sizeof(l));
	return true;
}

void convert_pop_level(struct convert *c)
{
	buf_cut(&c->levels, buf_len(&c->levels) - sizeof(struct convert_level));
}

void convert_begin_header(struct convert *c, bool message)
{
	c->in_header = true;
	c->entity = (struct convert_entity){.message = message};
	c->line_at = c->head = 0;
	buf_clear(&c->held);
}

/* ---- boundaries, RFC 2046 section 5.1.1 -------------------------------------------------------
 */

struct found {
	size_t level;
	bool own, ends;
};

/* The boundary of an outer level ends the inner ones. In front of the first part of a multipart its
 * own end says nothing: it has none yet. */
static bool find_level(const struct convert *c, struct span line, struct found *f)
{
	struct span text = span_skip(line, 2);
	uint64_t whole, without;
	size_t n = count_levels(c);
	bool ends;

	while (text.n > 0 && ascii_isblank(text.p[text.n - 1]))
		text.n--;
	ends = text.n >= 2 && text.p[text.n - 1] == '-' && text.p[text.n - 2] == '-';
	whole = content_type_boundary(text);
	without = ends ? content_type_boundary(span_first(text, text.n - 2)) : 0;
	for (size_t i = n; i-- > 0;) {
		const struct convert_level *l = level_at(c, i);

		*f = (struct found){.level = i, .own = c->in_preamble && i + 1 == n};
		f->ends = ends && l->boundary == without && !f->own;
		if (!l->is_message && (l->boundary == whole || f->ends))
			return true;
	}
	return false;
}

static void after_boundary(struct convert *c)
{
	const struct convert_level *l = convert_top(c);

	if (l->sealed)
		convert_sealed_part(c);
	else
		convert_begin_header(c, false);
}

/* line: in c->line. */
static bool take_boundary(struct convert *c, struct span end)
{
	struct span line = buf_view(&c->line);
	struct found f;

	if (!span_starts(line, SPAN("--")) || !find_level(c, line, &f))
		return false;
	convert_end_body(c, true, f.own);
	buf_cut(&c->levels, (f.level + !f.ends) * sizeof(struct convert_level));
	convert_emit(c, buf_view(&c->line));
	convert_emit(c, end);
	buf_clear(&c->line);
	c->line_open = false;
	if (f.ends)
		convert_between(c);
	else
		after_boundary(c);
	return true;
}

/* ---- lines of a header ------------------------------------------------------------------------
 */

/* Too long to be kept, so nothing is known of what follows it. */
static void give_up_header(struct convert *c)
{
	c->in_header = false;
	c->line_open = true;
	convert_pass_head(c, "a header in it is too long");
}

static void add_to_header(struct convert *c, struct span s)
{
	struct span part = span_first(s, CONVERT_HEAD - buf_len(&c->held));

	buf_add_span(&c->held, part);
	if (part.n == s.n)
		return;
	give_up_header(c);
	convert_body(c, span_skip(s, part.n));
}

static bool header_ends_here(struct convert *c, struct span end)
{
	struct span line = span_skip(buf_view(&c->held), c->line_at);

	buf_clear(&c->line);
	if (count_levels(c) == 0 || line.n >= BOUNDARY_LINE || !span_starts(line, SPAN("--")))
		return false;
	buf_add_span(&c->line, line);
	if (!find_level(c, line, &(struct found){0}))
		return false;
	buf_cut(&c->held, c->line_at);
	return take_boundary(c, end);
}

static void end_header_line(struct convert *c)
{
	bool empty = c->line_at == buf_len(&c->held);

	if (header_ends_here(c, SPAN("\r\n")))
		return;
	if (CONVERT_HEAD - buf_len(&c->held) < 2) {
		give_up_header(c);
		convert_body_eol(c);
		c->line_open = false;
		return;
	}
	buf_add(&c->held, "\r\n", 2);
	c->line_at = buf_len(&c->held);
	if (!empty)
		return;
	c->in_header = false;
	c->head = buf_len(&c->held);
	convert_begin_body(c);
}

/* ---- lines of a body --------------------------------------------------------------------------
 */

/* What was kept of a line that is no boundary. */
static void open_line(struct convert *c)
{
	c->line_open = true;
	convert_body(c, buf_view(&c->line));
	buf_clear(&c->line);
}

static void begin_line(struct convert *c, struct span s)
{
	struct span part = span_first(s, buf_space(&c->line)), line;

	buf_add_span(&c->line, part);
	line = buf_view(&c->line);
	if (count_levels(c) > 0 && line.n < BOUNDARY_LINE &&
	    span_starts(SPAN("--"), span_first(line, 2)))
		return;
	open_line(c);
	convert_body(c, span_skip(s, part.n));
}

static void take_text(struct convert *c, struct span s)
{
	if (s.n == 0)
		return;
	if (c->in_header)
		add_to_header(c, s);
	else if (c->line_open)
		convert_body(c, s);
	else if (s.p[0] != '-' && buf_len(&c->line) == 0) {
		c->line_open = true;
		convert_body(c, s);
	} else
		begin_line(c, s);
}

static void take_eol(struct convert *c)
{
	if (c->in_header) {
		end_header_line(c);
		return;
	}
	if (!c->line_open) {
		if (take_boundary(c, SPAN("\r\n")))
			return;
		open_line(c);
	}
	convert_body_eol(c);
	c->line_open = false;
}

/* ---- octets --------------------------------------------------------------------------------- */

static void take(struct convert *c, struct span s)
{
	while (s.n > 0 && c->verdict == CONVERT_FINE) {
		ptrdiff_t cr;

		if (c->held_cr) {
			c->held_cr = false;
			if (s.p[0] == '\n') {
				take_eol(c);
				s = span_skip(s, 1);
				continue;
			}
			take_text(c, SPAN("\r"));
		}
		cr = span_find(s, '\r');
		take_text(c, cr < 0 ? s : span_first(s, (size_t)cr));
		c->held_cr = cr >= 0;
		s = cr < 0 ? SPAN_NONE : span_skip(s, (size_t)cr + 1);
	}
	if (buf_failed(&c->out))
		convert_stop(c, "its header would grow too long");
}

size_t convert_feed(struct convert *c, struct span data)
{
	struct span rest = data;

	gw_assert(!c->ended);
	while (rest.n > 0 && c->verdict == CONVERT_FINE && buf_len(&c->out) < CONVERT_OUT_LOW) {
		take(c, span_first(rest, PIECE));
		rest = span_skip(rest, PIECE);
	}
	if (c->verdict != CONVERT_FINE)
		rest = SPAN_NONE;
	c->taken += data.n - rest.n;
	return data.n - rest.n;
}

void convert_end(struct convert *c)
{
	bool over;

	gw_assert(!c->ended);
	c->ended = true;
	if (c->verdict != CONVERT_FINE)
		return;
	if (c->held_cr)
		take_text(c, SPAN("\r"));
	over = c->in_header ? header_ends_here(c, SPAN_NONE)
			    : !c->line_open && take_boundary(c, SPAN_NONE);
	if (!over && !c->in_header && !c->line_open)
		open_line(c);
	convert_end_body(c, false, false);
	if (buf_failed(&c->out))
		convert_stop(c, "its header would grow too long");
}
