#include "mail/mime.h"

#include "mail/content_type.h"
#include "mail/header.h"

enum found { FOUND_NOTHING, FOUND_LEAF, FOUND_MULTIPART, FOUND_DIGEST, FOUND_MESSAGE };

/* A level that is open. Boundaries are compared by their hash: the sender of two that collide fools
 * only himself. */
struct level {
	uint64_t hash;
	uint64_t kind; /* enum found */
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum found judge_type(struct span value, uint64_t *hash)
{
	static const struct span messages[] = {SPAN("rfc822"), SPAN("global"), SPAN("news")};
	struct content_type t = content_type_read(value);

	if (span_eq_case(t.type, SPAN("multipart")) && t.has_boundary) {
		*hash = t.boundary;
		return span_eq_case(t.sub, SPAN("digest")) ? FOUND_DIGEST : FOUND_MULTIPART;
	}
	for (size_t i = 0; span_eq_case(t.type, SPAN("message")) && i < GW_ARRAY_LEN(messages);
	     i++) {
		if (span_eq_case(t.sub, messages[i]))
			return FOUND_MESSAGE;
	}
	return FOUND_LEAF;
}

/* Readers differ in which of two they believe: the one that opens a level. */
static void note_field(struct mime_scan *s, struct span name, struct span value)
{
	if (s->found > FOUND_LEAF || !span_eq_case(span_trim(name), SPAN("Content-Type")))
		return;
	s->found = (uint8_t)judge_type(value, &s->hash);
}

/* ---- levels --------------------------------------------------------------------------------- */

static size_t count_open(const struct mime_scan *s)
{
	return buf_len(&s->open) / sizeof(struct level);
}

/* Nothing is ever dropped at the front of that buffer: it is as aligned as memory is. */
static const struct level *levels(const struct mime_scan *s)
{
	return (const struct level *)(const void *)buf_view(&s->open).p;
}

static void stop(struct mime_scan *s, enum mime_verdict verdict)
{
	s->verdict = verdict;
	s->state = MIME_OFF;
}

static void close_to(struct mime_scan *s, size_t n)
{
	buf_cut(&s->open, n * sizeof(struct level));
	s->state = n > 0 ? MIME_BODY : MIME_OFF;
}

static void begin_header(struct mime_scan *s, bool of_part)
{
	s->state = MIME_HEADER;
	s->of_part = of_part;
	s->found = FOUND_NOTHING;
	buf_clear(&s->field);
}

static void end_header(struct mime_scan *s)
{
	size_t open = count_open(s);
	struct level l = {s->hash, s->found};

	/* RFC 2046 section 5.1.5: a part of a digest is a message unless it says what it is. */
	if (s->found == FOUND_NOTHING && s->of_part && levels(s)[open - 1].kind == FOUND_DIGEST)
		l.kind = FOUND_MESSAGE;
	if (l.kind <= FOUND_LEAF) {
		close_to(s, open);
		return;
	}
	if (open >= s->max_depth) {
		stop(s, MIME_TOO_DEEP);
		return;
	}
	buf_add(&s->open, &l, sizeof(l));
	if (open + 1 > s->depth)
		s->depth = (uint32_t)open + 1;
	s->state = MIME_BODY;
	if (l.kind == FOUND_MESSAGE)
		begin_header(s, false);
}

/* RFC 2046 section 5.1.1: a boundary of an outer level ends the inner ones. */
static bool take_boundary(struct mime_scan *s, struct span line)
{
	struct span text = span_trim(span_skip(line, 2));
	bool ends = text.n >= 2 && text.p[text.n - 1] == '-' && text.p[text.n - 2] == '-';
	uint64_t whole = content_type_boundary(text);
	uint64_t without = ends ? content_type_boundary(span_first(text, text.n - 2)) : 0;
	const struct level *open = levels(s);

	for (size_t i = count_open(s); i-- > 0;) {
		const struct level *l = &open[i];

		if (l->kind == FOUND_MESSAGE)
			continue;
		if (l->hash == whole) {
			close_to(s, i + 1);
			begin_header(s, true);
			if (s->parts++ == s->max_parts)
				stop(s, MIME_TOO_MANY);
			return true;
		}
		if (ends && l->hash == without) {
			close_to(s, i);
			return true;
		}
	}
	return false;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void end_field(struct mime_scan *s)
{
	struct span field = buf_view(&s->field);
	ptrdiff_t colon = span_find(field, ':');

	if (colon >= 0)
		note_field(
		    s, span_first(field, (size_t)colon), span_skip(field, (size_t)colon + 1));
	buf_clear(&s->field);
}

static void add_some(struct buf *b, struct span s)
{
	buf_add_span(b, span_first(s, buf_space(b)));
}

static void take_header_line(struct mime_scan *s, struct span line)
{
	bool goes_on = line.n > 0 && is_blank(line.p[0]);

	if (!goes_on)
		end_field(s);
	if (line.n == 0)
		end_header(s);
	else if (goes_on ? buf_len(&s->field) > 0 : span_starts_case(line, SPAN("Content-Type")))
		add_some(&s->field, line);
}

static void take_line(struct mime_scan *s, struct span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (span_starts(line, SPAN("--")) && take_boundary(s, line))
		return;
	if (s->state == MIME_HEADER)
		take_header_line(s, line);
}

/* May this be the beginning of a line that says something? */
static bool is_of_interest(const struct mime_scan *s, struct span begin)
{
	return s->state == MIME_HEADER || span_starts(SPAN("--"), span_first(begin, 2));
}

/* A piece of one line; true: its end is there. */
static bool take_piece(struct mime_scan *s, struct span *data)
{
	ptrdiff_t lf = span_find(*data, '\n');
	struct span piece = lf < 0 ? *data : span_first(*data, (size_t)lf);

	*data = span_skip(*data, piece.n + (lf >= 0));
	if (!s->skip && buf_len(&s->line) == 0)
		s->skip = !is_of_interest(s, piece);
	if (!s->skip) {
		add_some(&s->line, piece);
		s->skip = !is_of_interest(s, buf_view(&s->line));
	}
	return lf >= 0;
}

/* Most of what comes: whole lines of a body that begin with something else. */
static struct span skip_lines(struct span data)
{
	while (data.n > 0 && data.p[0] != '-') {
		ptrdiff_t lf = span_find(data, '\n');

		if (lf < 0)
			break;
		data = span_skip(data, (size_t)lf + 1);
	}
	return data;
}

void mime_scan_feed(struct mime_scan *s, struct span data)
{
	while (data.n > 0 && s->state != MIME_OFF) {
		if (s->state == MIME_BODY && !s->skip && buf_len(&s->line) == 0)
			data = skip_lines(data);
		if (!take_piece(s, &data))
			return;
		if (!s->skip)
			take_line(s, buf_view(&s->line));
		s->skip = false;
		buf_clear(&s->line);
	}
}

void mime_scan_start(struct mime_scan *s, struct span head)
{
	struct header_walk w = header_walk_of(head);
	struct header_field f;
	int got;

	begin_header(s, false);
	while ((got = header_next(&w, &f)) != 0) {
		if (got > 0)
			note_field(s, f.name, f.value);
	}
	end_header(s);
}

void mime_scan_init(struct mime_scan *s, uint32_t max_depth, uint32_t max_parts)
{
	*s = (struct mime_scan){.max_depth = max_depth, .max_parts = max_parts};
	buf_init(&s->open, max_depth * sizeof(struct level));
	buf_init(&s->line, MIME_LINE_KEPT);
	buf_init(&s->field, MIME_LINE_KEPT);
}

void mime_scan_fini(struct mime_scan *s)
{
	buf_fini(&s->open);
	buf_fini(&s->line);
	buf_fini(&s->field);
	s->state = MIME_OFF;
}
