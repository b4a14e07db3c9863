/*
 * Fields with addresses for a host that takes ASCII alone: names and comments are encoded,
 * addresses cannot be.
 */
#include "mail/ascii_field-private.h"
#include "mail/field_piece.h"
#include "mail/idna.h"

/* ---- comments -------------------------------------------------------------------------------- */

/* Words between parentheses; those with high octets without their escapes. */
static void add_comment_text(struct words *w, struct span text)
{
	struct buf plain;

	if (!has_high(text)) {
		words_raw(w, text);
		return;
	}
	buf_init(&plain, PIECE_MAX);
	piece_plain(&plain, text);
	words_text(w, has_high(text) && span_find(text, '\\') >= 0 ? buf_view(&plain) : text);
	buf_fini(&plain);
}

void ascii_comment(struct words *w, struct span s)
{
	if (!has_high(s)) {
		words_raw(w, s);
		return;
	}
	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] != '(' && s.p[n] != ')')
			n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
		add_comment_text(w, span_first(s, n));
		words_raw(w, span_first(span_skip(s, n), 1));
		s = span_skip(s, n + 1);
	}
}

/* ---- addresses, RFC 5322 section 3.4 --------------------------------------------------------- */

/* A phrase: atoms, quoted strings, comments. */
static void add_phrase(struct words *w, struct span s)
{
	struct buf plain;
	struct span blanks = SPAN_NONE;

	buf_init(&plain, PIECE_MAX);
	while (s.n > 0) {
		struct span piece = piece_take(&s, "");

		if (piece_blank(piece.p[0])) {
			blanks = piece;
			continue;
		}
		if (piece.p[0] == '(') {
			words_raw(w, blanks);
			ascii_comment(w, piece);
		} else if (piece.p[0] == '"' && has_high(piece)) {
			buf_clear(&plain);
			piece_plain(&plain, piece_unquoted(piece));
			words_word(w, blanks, buf_view(&plain));
		} else {
			words_word(w, blanks, piece);
		}
		blanks = SPAN_NONE;
	}
	words_raw(w, blanks);
	buf_fini(&plain);
}

/* An address without its blanks and comments. */
static void collect_address(struct span s, struct buf *out)
{
	while (s.n > 0) {
		struct span piece = piece_take(&s, "");

		if (!piece_blank(piece.p[0]) && piece.p[0] != '(')
			buf_add_span(out, piece);
	}
}

static struct span domain_of(struct span address)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	return at > 0 ? span_skip(address, at) : SPAN_NONE;
}

/* The address in ASCII; false: it has no such form. */
static bool add_ascii_address(struct span address, struct buf *out)
{
	struct span domain = domain_of(address);
	struct span local = span_first(address, address.n - domain.n);

	if (has_high(local) || domain.n == 0)
		return false;
	buf_add_span(out, local);
	if (has_high(domain))
		return domain_to_ascii(domain, out) == 0;
	buf_add_span(out, domain);
	return true;
}

static void add_comments(struct words *w, struct span s)
{
	while (s.n > 0) {
		struct span piece = piece_take(&s, "");

		if (piece.p[0] == '(') {
			words_raw(w, SPAN(" "));
			ascii_comment(w, piece);
		}
	}
}

/* Where the "<" of a mailbox is. */
static size_t find_angle(struct span s)
{
	struct span rest = s;

	while (rest.n > 0 && rest.p[0] != '<')
		piece_take(&rest, "<");
	return s.n - rest.n;
}

/* An address that cannot be written shows in the name of a group without members; a group in a
 * group there is not, and there it shows in a comment. */
static void add_nobody(struct words *w, struct span phrase, struct span address, bool in_group)
{
	struct span name = piece_trimmed(phrase);

	add_phrase(w, name);
	if (in_group) {
		words_raw(w, SPAN(" ("));
		words_encode(w, address);
		words_raw(w, SPAN(")"));
		return;
	}
	words_word(w, name.n > 0 ? SPAN(" ") : phrase, address);
	words_raw(w, SPAN(" :;"));
}

/* Something with an address: a name and <address>, or the address alone. */
static void add_mailbox(struct words *w, struct span s, bool in_group)
{
	size_t at = find_angle(s);
	bool angle = at < s.n;
	struct span blanks = span_first(s, piece_blanks(s));
	struct span phrase = angle ? span_first(s, at) : blanks;
	struct span rest = span_skip(s, angle ? at + 1 : blanks.n), address;
	struct buf plain, ascii;
	ptrdiff_t end = angle ? span_find(rest, '>') : -1;

	buf_init(&plain, PIECE_MAX);
	buf_init(&ascii, PIECE_MAX);
	collect_address(end >= 0 ? span_first(rest, (size_t)end) : rest, &plain);
	address = buf_view(&plain);
	if (add_ascii_address(address, &ascii)) {
		add_phrase(w, phrase);
		words_raw(w, angle ? SPAN("<") : SPAN_NONE);
		words_raw(w, buf_view(&ascii));
		words_raw(w, angle ? SPAN(">") : SPAN_NONE);
	} else {
		add_nobody(w, phrase, address, in_group);
	}
	add_comments(w, end >= 0 ? span_first(rest, (size_t)end) : rest);
	if (end >= 0)
		add_phrase(w, span_skip(rest, (size_t)end + 1));
	buf_fini(&plain);
	buf_fini(&ascii);
}

static bool has_at(struct span s)
{
	while (s.n > 0) {
		struct span piece = piece_take(&s, "@<");

		if (piece.p[0] == '@' || piece.p[0] == '<')
			return true;
	}
	return false;
}

/* Up to "," or ";" or, for the name of a group, ":"; not within "<>", where routes have those. */
static size_t element_length(struct span s)
{
	struct span rest = s;
	bool angle = false;

	while (rest.n > 0) {
		uint8_t c = rest.p[0];

		if (!angle && piece_one_of(c, ",;:"))
			break;
		angle = c == '<' || (angle && c != '>');
		piece_take(&rest, "<>,;:");
	}
	return s.n - rest.n;
}

void ascii_addresses(struct words *w, struct span s)
{
	bool in_group = false;

	while (s.n > 0) {
		size_t n = element_length(s);
		struct span element = span_first(s, n), sign = span_first(span_skip(s, n), 1);

		s = span_skip(s, n + sign.n);
		if (!has_high(element))
			words_raw(w, element);
		else if (has_at(element))
			add_mailbox(w, element, in_group);
		else
			add_phrase(w, element);
		words_raw(w, sign);
		if (sign.n > 0 && sign.p[0] != ',')
			in_group = sign.p[0] == ':';
	}
}
