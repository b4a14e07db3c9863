#include "mail/ascii_field.h"

#include "mail/ascii_field-private.h"
#include "mail/content_type.h"
#include "mail/field_piece.h"
#include "mail/idna.h"

/* ---- parameters ------------------------------------------------------------------------------ */

static size_t parameter_length(struct span s)
{
	struct span rest = s;

	while (rest.n > 0 && rest.p[0] != ';')
		piece_take(&rest, ";");
	return s.n - rest.n;
}

static struct span trim(struct span s)
{
	return piece_trimmed(span_skip(s, piece_blanks(s)));
}

static bool is_token(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] > 126 ||
		    piece_one_of(name.p[i], "()<>@,;:\\\"/[]?="))
			return false;
	}
	return name.n > 0;
}

/* How much of it is the value: the quoted string, or what looks like the writer's wish. Of a
 * boundary only what readers take for it. */
static size_t value_length(struct span name, struct span value)
{
	size_t n = 0;

	if (value.p[0] == '"')
		return piece_quoted(value);
	if (!span_eq_case(name, SPAN("boundary")))
		return value.n;
	while (n < value.n && !piece_blank(value.p[n]) && value.p[n] != '(')
		n++;
	return n;
}

static void add_value_of(struct words *w, struct span name, struct span value)
{
	struct buf plain;

	buf_init(&plain, PIECE_MAX);
	if (value.p[0] == '"')
		piece_plain(&plain, piece_unquoted(value));
	else
		buf_add_span(&plain, value);
	words_parameter(w, name, buf_view(&plain));
	buf_fini(&plain);
}

/* Begins with ';'. */
static void add_parameter(struct words *w, struct span s, bool pieces)
{
	ptrdiff_t is = span_find(s, '=');
	struct span name = is < 0 ? SPAN_NONE : trim(span_skip(span_first(s, (size_t)is), 1));
	struct span value = is < 0 ? SPAN_NONE : trim(span_skip(s, (size_t)is + 1));
	bool first = pieces && name.n > 2 && span_eq(span_skip(name, name.n - 2), SPAN("*0"));
	size_t n = is_token(name) && value.n > 0 ? value_length(name, value) : 0;

	if (n > 0 && (first || has_high(span_first(value, n)))) {
		add_value_of(w, name, span_first(value, n));
		words_text(w, span_skip(value, n));
		return;
	}
	if (n > 0) /* what is behind it may be encoded, it must not */
		n += (size_t)(value.p - s.p);
	words_raw(w, span_first(s, n > 0 ? n : 1));
	words_text(w, span_skip(s, n > 0 ? n : 1));
}

/* Is a piece (RFC 2231 section 3) of a value to be encoded? Then the first one says the charset. */
static bool has_high_pieces(struct span s)
{
	while (s.n > 0) {
		size_t n = 1 + parameter_length(span_skip(s, 1));
		struct span one = span_first(s, n);
		ptrdiff_t is = span_find(one, '='), star = span_find(one, '*');

		if (has_high(one) && star >= 0 && star < is)
			return true;
		s = span_skip(s, n);
	}
	return false;
}

/* What comes first must stay a word, and the same one for who looks at its beginning: high octets
 * in it, which no type has, become '_'. */
static void add_main(struct words *w, struct span s)
{
	while (s.n > 0) {
		struct span piece = piece_take(&s, "");

		if (piece.p[0] == '(') {
			ascii_comment(w, piece);
			continue;
		}
		for (size_t i = 0; i < piece.n; i++)
			words_raw(w, piece.p[i] > 127 ? SPAN("_") : span_of(piece.p + i, 1));
	}
}

static void add_parameters(struct words *w, struct span s)
{
	size_t n = parameter_length(s);
	bool pieces = has_high_pieces(span_skip(s, n));

	add_main(w, span_first(s, n));
	for (s = span_skip(s, n); s.n > 0; s = span_skip(s, n)) {
		n = 1 + parameter_length(span_skip(s, 1));
		add_parameter(w, span_first(s, n), pieces);
	}
}

/* ---- Received -------------------------------------------------------------------------------- */

/* What stays of a word in it. */
static void add_trace_word(struct words *w, struct span word)
{
	struct buf ascii;

	buf_init(&ascii, PIECE_MAX);
	if (has_high(word) && domain_to_ascii(word, &ascii) == 0)
		words_raw(w, buf_view(&ascii));
	else
		words_word(w, SPAN_NONE, word);
	words_flush(w);
	buf_fini(&ascii);
}

/* Is this "for" and an address that cannot stay? RFC 6857 section 3.2.4: both go. */
static bool is_lost_for(struct span word, struct span rest)
{
	struct span next;

	if (!span_eq_case(word, SPAN("for")) || piece_blanks(rest) == rest.n)
		return false;
	rest = span_skip(rest, piece_blanks(rest));
	next = span_first(rest, piece_length(rest, ";"));
	return has_high(next);
}

static void add_trace(struct words *w, struct span s)
{
	while (s.n > 0) {
		struct span piece = piece_take(&s, ";");

		if (is_lost_for(piece, s)) {
			s = span_skip(s, piece_blanks(s));
			piece_take(&s, ";");
			s = span_skip(s, piece_blanks(s));
		} else if (piece.p[0] == '(') {
			ascii_comment(w, piece);
		} else if (has_high(piece)) {
			add_trace_word(w, piece);
		} else {
			words_raw(w, piece);
		}
	}
}

/* ---- which is which -------------------------------------------------------------------------- */

enum kind { KIND_TEXT, KIND_ADDRESSES, KIND_PARAMETERS, KIND_IDENTIFIERS, KIND_TRACE };

static const struct {
	const char *name;
	enum kind kind;
} fields[] = {
    {"From", KIND_ADDRESSES},
    {"Sender", KIND_ADDRESSES},
    {"Reply-To", KIND_ADDRESSES},
    {"To", KIND_ADDRESSES},
    {"Cc", KIND_ADDRESSES},
    {"Bcc", KIND_ADDRESSES},
    {"Resent-From", KIND_ADDRESSES},
    {"Resent-Sender", KIND_ADDRESSES},
    {"Resent-Reply-To", KIND_ADDRESSES},
    {"Resent-To", KIND_ADDRESSES},
    {"Resent-Cc", KIND_ADDRESSES},
    {"Resent-Bcc", KIND_ADDRESSES},
    {"Disposition-Notification-To", KIND_ADDRESSES},
    {"Mail-Followup-To", KIND_ADDRESSES},
    {"Errors-To", KIND_ADDRESSES},
    {"Content-Type", KIND_PARAMETERS},
    {"Content-Disposition", KIND_PARAMETERS},
    {"Content-Transfer-Encoding", KIND_PARAMETERS},
    {"Message-ID", KIND_IDENTIFIERS},
    {"Resent-Message-ID", KIND_IDENTIFIERS},
    {"In-Reply-To", KIND_IDENTIFIERS},
    {"References", KIND_IDENTIFIERS},
    {"Return-Path", KIND_IDENTIFIERS},
    {"Original-Recipient", KIND_IDENTIFIERS},
    {"Final-Recipient", KIND_IDENTIFIERS},
    {"Received", KIND_TRACE},
};

static enum kind kind_of(struct span name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(fields); i++) {
		if (span_eq_case(name, span_str(fields[i].name)))
			return fields[i].kind;
	}
	return KIND_TEXT;
}

static void add_value(struct words *w, enum kind kind, struct span value)
{
	if (kind == KIND_ADDRESSES)
		ascii_addresses(w, value);
	else if (kind == KIND_PARAMETERS)
		add_parameters(w, value);
	else if (kind == KIND_TRACE)
		add_trace(w, value);
	else
		words_text(w, value);
	words_flush(w);
}

/* Do readers still find the boundary that they found, and no other? Where parameters are written
 * in a way of their own (quotes in the middle, a second boundary), they may not. */
static bool parts_as_before(struct span before, struct span after)
{
	struct content_type a = content_type_read(before), b = content_type_read(after);

	if (!a.has_boundary || !a.clean)
		return !b.has_boundary;
	return b.has_boundary && b.boundary == a.boundary;
}

/* High octets mean nothing to a grammar, and '_' neither: every reader reads it as before. */
static void add_marked(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_add_byte(out, s.p[i] > 127 ? '_' : s.p[i]);
}

static void mark_unless_same(const struct header_field *f, size_t front, struct buf *out, size_t at)
{
	if (parts_as_before(f->value, span_skip(buf_view(out), at + front)))
		return;
	buf_cut(out, at);
	add_marked(out, span_first(f->whole, front + f->value.n));
}

void ascii_field(const struct header_field *f, struct buf *out)
{
	static const struct span renamed = SPAN("Downgraded-");
	enum kind kind = kind_of(f->name);
	size_t at = buf_len(out);
	size_t front = (size_t)(f->value.p - f->whole.p);
	struct words w;

	words_begin(&w, out, 0);
	if (kind == KIND_IDENTIFIERS)
		words_raw(&w, renamed);
	words_raw(&w, span_first(f->whole, front));
	/* An encoded word stands behind a blank, the first one too. */
	if (f->value.n > 0 && !piece_blank(f->value.p[0]))
		words_raw(&w, SPAN(" "));
	add_value(&w, kind, f->value);
	words_fini(&w);
	if (kind == KIND_PARAMETERS)
		mark_unless_same(f, front, out, at);
	buf_add_span(out, span_skip(f->whole, front + f->value.n));
}

void ascii_line(struct span line, struct buf *out)
{
	struct span rest = line, text = header_line(&rest);
	struct words w;

	/* What has folds is more than one line. */
	text = rest.n > 0 ? line : text;
	if (rest.n > 0 && span_eq(span_skip(text, text.n - 2), SPAN("\r\n")))
		text.n -= 2;
	words_begin(&w, out, 0);
	words_text(&w, text);
	words_fini(&w);
	buf_add_span(out, span_skip(line, text.n));
}
