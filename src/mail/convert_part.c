/*
 * The body of a part that is converted: as it is, quoted-printable or base64, chosen as it goes
 * by.
 */
#include "mail/convert-private.h"

#include "mail/encoded_word.h"

/* ---- what octets are --------------------------------------------------------------------------
 */

/* A CR or LF among octets that are no end of a line is alone. */
static bool has_no_lines(struct span s)
{
	return s.n > 0 && (memchr(s.p, '\0', s.n) != NULL || memchr(s.p, '\r', s.n) != NULL ||
			      memchr(s.p, '\n', s.n) != NULL);
}

static void count_line(struct convert *c, struct span s)
{
	c->line_length += s.n;
}

static bool is_too_long(const struct convert *c)
{
	return c->line_length > CONVERT_LINE;
}

/* The peer does not take this, where nothing may be changed. */
static bool is_beyond(const struct convert *c, struct span s)
{
	return ((c->mode & CONVERT_7BIT) && has_high(s)) ||
	       ((c->mode & CONVERT_BINARY) && (has_no_lines(s) || is_too_long(c)));
}

/* ---- ways ----------------------------------------------------------------------------------- */

static void pass(struct convert *c, struct span s)
{
	if (is_beyond(c, s))
		convert_stop(c, c->sealed_why);
	else
		convert_emit(c, s);
}

static void clean(struct convert *c, struct span s)
{
	uint8_t *room = buf_room(&c->out, s.n);

	if (room == NULL || s.n == 0)
		return;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t o = s.p[i];
		bool bad = ((c->mode & CONVERT_7BIT) && o > 127) ||
			   ((c->mode & CONVERT_BINARY) && (o == '\0' || o == '\r' || o == '\n'));

		room[i] = bad ? '?' : o;
		c->changed |= bad;
	}
	buf_commit(&c->out, s.n);
}

static void mend(struct convert *c, struct span s)
{
	if ((c->mode & CONVERT_BINARY) && (has_no_lines(s) || is_too_long(c))) {
		convert_stop(c, "a part of it is not what it says it is");
		return;
	}
	c->changed |= has_high(s);
	transfer_add(&c->transfer, s, &c->out);
}

static void encode(struct convert *c, struct span s)
{
	if (c->eol_due)
		transfer_eol(&c->transfer, &c->out);
	c->eol_due = false;
	transfer_add(&c->transfer, s, &c->out);
}

static void encode_eol(struct convert *c)
{
	if (c->eol_due)
		transfer_eol(&c->transfer, &c->out);
	c->eol_due = true;
}

/* The CRLF in front of a boundary is that's; without one the last line gets an end that says that
 * it has none. */
static void end_encoding(struct convert *c, bool at_boundary)
{
	if (!at_boundary && c->eol_due)
		encode_eol(c);
	transfer_end(&c->transfer, &c->out);
	if (at_boundary ? c->eol_due : c->transfer.column > 0) {
		if (!at_boundary && c->transfer.kind == TRANSFER_QP)
			convert_emit(c, SPAN("="));
		convert_emit(c, SPAN("\r\n"));
	}
	c->eol_due = false;
}

/* ---- what was held back -----------------------------------------------------------------------
 */

/* Content again, by lines. */
static void replay(struct convert *c, struct span s)
{
	while (s.n > 0 && c->verdict == CONVERT_FINE) {
		size_t n = 0;
		bool line = false;

		while (n < s.n && !line) {
			ptrdiff_t cr = span_find(span_skip(s, n), '\r');

			n = cr < 0 ? s.n : n + (size_t)cr;
			line = n + 1 < s.n && s.p[n + 1] == '\n';
			n += n < s.n && !line;
		}
		if (n > 0)
			convert_body(c, span_first(s, n));
		if (line)
			convert_body_eol(c);
		s = span_skip(s, n + (line ? 2 : 0));
	}
}

/* The body goes another way from here on, what there is of it too. */
static void go(struct convert *c, enum convert_way way)
{
	struct span body = span_skip(buf_view(&c->held), c->head);

	c->way = way;
	c->eol_due = false;
	c->line_length = 0;
	replay(c, body);
	buf_clear(&c->held);
	buf_trim(&c->held);
	c->head = 0;
}

void convert_pass_head(struct convert *c, const char *why)
{
	c->sealed_why = why;
	c->head = 0;
	if ((c->mode & CONVERT_HEADER) && has_high(buf_view(&c->held)))
		convert_stop(c, why);
	go(c, WAY_PASS);
}

static void start_passing(struct convert *c, const char *why)
{
	c->sealed_why = why;
	go(c, WAY_PASS);
}

/* What its label must say when it goes as it is; NULL: what it says. */
static const char *fitting_label(const struct convert *c, bool high)
{
	enum convert_label label = c->entity.label;

	if (label == LABEL_BINARY || (label == LABEL_8BIT && (c->mode & CONVERT_7BIT))) {
		if (c->mode & CONVERT_7BIT)
			return "7bit";
		if (c->mode & CONVERT_BINARY)
			return high ? "8bit" : "7bit";
	}
	return NULL;
}

static void start_encoding(struct convert *c)
{
	bool qp = c->entity.text && !c->not_lines;

	c->changed = true;
	convert_write_head(c, qp ? "quoted-printable" : "base64");
	transfer_begin(&c->transfer, qp ? TRANSFER_QP : TRANSFER_BASE64);
	go(c, WAY_ENCODE);
}

/* It is encoded already, or says so. */
static void start_encoded(struct convert *c)
{
	enum convert_label label = c->entity.label;
	enum convert_way way = WAY_PASS;

	if ((c->mode & CONVERT_7BIT) && label == LABEL_QP) {
		way = WAY_MEND;
		transfer_begin(&c->transfer, TRANSFER_MEND_QP);
	} else if ((c->mode & CONVERT_7BIT) && label == LABEL_BASE64) {
		way = WAY_CLEAN; /* RFC 2045 section 6.8: what is no digit is ignored */
	}
	c->sealed_why = label == LABEL_OTHER ? "a part of it is in an encoding that is not known"
					     : "a part of it is not what it says it is";
	convert_write_head(c, NULL);
	go(c, way);
}

/* A part as such, though it may have said that it has parts. RFC 2045 section 6.4 allows those no
 * encoding: where there are some nobody heeds it, where there are none everybody does. */
static void start_leaf(struct convert *c)
{
	c->in_preamble = false;
	if (convert_is_encoded(&c->entity))
		start_encoded(c);
	else
		start_encoding(c);
}

/* ---- looking -------------------------------------------------------------------------------- */

static void window_is_full(struct convert *c)
{
	if (c->entity.kind == ENTITY_MULTIPART && c->bad) {
		convert_pop_level(c);
		start_leaf(c);
	} else if (c->entity.kind == ENTITY_MULTIPART) {
		convert_write_head(c, fitting_label(c, true));
		start_passing(c, "text in front of its first part is too long");
	} else if (c->bad || (c->mode & CONVERT_7BIT) || c->entity.label == LABEL_BINARY) {
		start_encoding(c);
	} else {
		convert_write_head(c, NULL);
		start_passing(c, "a part of it is not what it says it is");
	}
}

static void note(struct convert *c, struct span s)
{
	c->high = c->high || has_high(s);
	c->not_lines = c->not_lines || has_no_lines(s);
	c->bad = c->bad || ((c->mode & CONVERT_7BIT) && c->high) || c->not_lines || is_too_long(c);
}

static size_t room_to_look(const struct convert *c)
{
	return CONVERT_WINDOW - (buf_len(&c->held) - c->head);
}

static void look(struct convert *c, struct span s)
{
	struct span part = span_first(s, room_to_look(c));

	c->line_length += part.n;
	note(c, part);
	buf_add_span(&c->held, part);
	if (part.n == s.n)
		return;
	window_is_full(c);
	convert_body(c, span_skip(s, part.n));
}

static void look_eol(struct convert *c)
{
	if (room_to_look(c) < 2) {
		window_is_full(c);
		convert_body_eol(c);
		return;
	}
	buf_add(&c->held, "\r\n", 2);
	c->line_length = 0;
}

/* The part is here, all of it. own: it is the preamble of a multipart that has parts indeed. */
static void seen_all(struct convert *c, bool own)
{
	bool several = c->entity.kind == ENTITY_MULTIPART && own;

	if (c->bad && !several) {
		start_leaf(c);
		return;
	}
	convert_write_head(c, fitting_label(c, several || c->high));
	go(c, several ? WAY_CLEAN : WAY_PASS);
}

/* ---- from the lines -------------------------------------------------------------------------- */

void convert_body(struct convert *c, struct span s)
{
	if (s.n == 0 || c->verdict != CONVERT_FINE)
		return;
	if (c->way != WAY_LOOK)
		count_line(c, s);
	switch (c->way) {
	case WAY_PASS: pass(c, s); break;
	case WAY_LOOK: look(c, s); break;
	case WAY_ENCODE: encode(c, s); break;
	case WAY_MEND: mend(c, s); break;
	case WAY_CLEAN: clean(c, s); break;
	}
}

void convert_body_eol(struct convert *c)
{
	if (c->verdict != CONVERT_FINE)
		return;
	if (c->way != WAY_LOOK)
		c->line_length = 0;
	switch (c->way) {
	case WAY_LOOK: look_eol(c); break;
	case WAY_ENCODE: encode_eol(c); break;
	case WAY_MEND: transfer_eol(&c->transfer, &c->out); break;
	case WAY_PASS:
	case WAY_CLEAN: convert_emit(c, SPAN("\r\n")); break;
	}
}

static void begin_leaf(struct convert *c)
{
	bool fit = !(c->mode & (CONVERT_7BIT | CONVERT_BINARY));

	if (!fit && (c->in_preamble || !convert_is_encoded(&c->entity)))
		c->way = WAY_LOOK;
	else
		start_encoded(c);
}

static void begin_levels(struct convert *c)
{
	struct convert_entity *e = &c->entity;

	if (!convert_push_level(c, e)) {
		e->kind = ENTITY_SEALED;
		e->why = "its parts nest too deeply";
	}
	if (e->kind == ENTITY_MULTIPART) {
		c->in_preamble = true;
		begin_leaf(c);
	} else if (e->kind == ENTITY_MESSAGE) {
		convert_write_head(c, fitting_label(c, true));
		convert_begin_header(c, true);
	} else {
		c->in_preamble = e->kind == ENTITY_SEALED_MULTIPART;
		convert_write_head(c, NULL);
		start_passing(c, e->why);
	}
}

void convert_begin_body(struct convert *c)
{
	const struct convert_level *top = convert_top(c);

	c->bad = c->not_lines = c->high = c->in_preamble = false;
	c->line_length = 0;
	c->entity =
	    convert_read_head(buf_view(&c->held), c->entity.message, top != NULL && top->digest);
	/* RFC 2046 section 5.1.2: what is a boundary of an outer level is no other. */
	if (c->entity.kind == ENTITY_MULTIPART && convert_is_open(c, c->entity.boundary))
		c->entity.kind = ENTITY_LEAF;
	if (c->entity.kind == ENTITY_SEALED_MULTIPART && convert_is_open(c, c->entity.boundary))
		c->entity.kind = ENTITY_SEALED;
	if (c->entity.kind == ENTITY_LEAF) {
		begin_leaf(c);
	} else if (c->entity.kind == ENTITY_SEALED) {
		convert_write_head(c, NULL);
		start_passing(c, c->entity.why);
	} else {
		begin_levels(c);
	}
}

void convert_sealed_part(struct convert *c)
{
	c->in_header = false;
	c->sealed_why = "a signed or encrypted part of it may not be changed";
	c->way = WAY_PASS;
}

void convert_between(struct convert *c)
{
	c->in_header = c->in_preamble = false;
	c->line_length = 0;
	c->way = WAY_CLEAN;
}

void convert_end_body(struct convert *c, bool at_boundary, bool own)
{
	if (c->in_header) {
		c->in_header = false;
		c->head = buf_len(&c->held);
		convert_write_head(c, NULL);
		go(c, WAY_PASS);
	}
	if (c->way == WAY_LOOK)
		seen_all(c, own);
	if (c->way == WAY_ENCODE)
		end_encoding(c, at_boundary);
	else if (c->way == WAY_MEND)
		transfer_end(&c->transfer, &c->out);
	c->in_preamble = false;
	c->line_length = 0;
	c->way = WAY_PASS;
}
