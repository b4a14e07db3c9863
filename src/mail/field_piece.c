#include "mail/field_piece.h"

bool piece_blank(uint8_t c)
{
	return ascii_isblank(c) || c == '\r' || c == '\n';
}

bool piece_one_of(uint8_t c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

size_t piece_blanks(struct span s)
{
	size_t n = 0;

	while (n < s.n && piece_blank(s.p[n]))
		n++;
	return n;
}

/* A comment with those in it; one without an end goes to the end. */
static size_t comment_length(struct span s)
{
	unsigned depth = 0;

	for (size_t n = 0; n < s.n; n++) {
		if (s.p[n] == '\\')
			n++;
		else if (s.p[n] == '(')
			depth++;
		else if (s.p[n] == ')' && --depth == 0)
			return n + 1;
	}
	return s.n;
}

size_t piece_quoted(struct span s)
{
	for (size_t n = 1; n < s.n; n++) {
		if (s.p[n] == '\\')
			n++;
		else if (s.p[n] == '"')
			return n + 1;
	}
	return s.n;
}

size_t piece_length(struct span s, const char *ends)
{
	size_t n = 0;

	if (piece_blank(s.p[0]))
		return piece_blanks(s);
	if (s.p[0] == '(')
		return comment_length(s);
	if (s.p[0] == '"')
		return piece_quoted(s);
	while (n < s.n && !piece_blank(s.p[n]) && !piece_one_of(s.p[n], "(\"") &&
	       !piece_one_of(s.p[n], ends))
		n++;
	return n > 0 ? n : 1;
}

struct span piece_take(struct span *s, const char *ends)
{
	struct span piece = span_first(*s, piece_length(*s, ends));

	*s = span_skip(*s, piece.n);
	return piece;
}

void piece_plain(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			buf_add_byte(out, s.p[i]);
	}
}

struct span piece_unquoted(struct span s)
{
	s = span_skip(s, 1);
	if (s.n > 0 && s.p[s.n - 1] == '"')
		s.n--;
	return s;
}

struct span piece_trimmed(struct span s)
{
	while (s.n > 0 && piece_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}
