#include "mail/fold.h"

#include "base/utf8.h"

enum { COLUMN_WISH = 76, COLUMN_MAX = 900 };

/* The octets of the first character if it may stay, else 0. */
static size_t kept(struct span s, bool utf8)
{
	uint32_t point;
	size_t n;

	if (s.p[0] < 128 || !utf8)
		return s.p[0] >= ' ' && s.p[0] < 127;
	n = utf8_take(s, &point);
	return n > 0 && utf8_visible(point) ? n : 0;
}

/* Appends what stays of the beginning in one piece, up to the character that reaches max octets, or
 * '?' for the first one. Returns the octets of the text that this was. */
static size_t add_run(struct buf *out, struct span s, size_t max, bool utf8)
{
	size_t n = 0;

	for (size_t more; n < s.n && n < max; n += more) {
		more = kept(span_skip(s, n), utf8);
		if (more == 0)
			break;
	}
	if (n > 0)
		buf_add(out, s.p, n);
	else
		buf_add_byte(out, '?');
	return n > 0 ? n : 1;
}

struct fold fold_begin(struct buf *out, size_t column, const char *indent)
{
	return (struct fold){.out = out, .indent = indent, .column = column};
}

static void new_line(struct fold *f)
{
	buf_add_str(f->out, "\r\n");
	buf_add_str(f->out, f->indent);
	f->column = strlen(f->indent);
	f->blank = false;
}

static void add_word(struct fold *f, struct span word)
{
	if (f->blank && f->column + 1 + word.n > COLUMN_WISH)
		new_line(f);
	if (f->blank) {
		buf_add_byte(f->out, ' ');
		f->column++;
		f->blank = false;
	}
	f->begun = true;
	for (size_t n; word.n > 0; word = span_skip(word, n)) {
		if (f->column >= COLUMN_MAX)
			new_line(f);
		n = add_run(f->out, word, COLUMN_MAX - f->column, f->utf8);
		f->column += n;
	}
}

void fold_add(struct fold *f, struct span text)
{
	while (text.n > 0) {
		size_t n = 0;

		while (n < text.n && !fold_is_space(text.p[n]))
			n++;
		if (n > 0)
			add_word(f, span_first(text, n));
		else
			f->blank = f->begun;
		text = span_skip(text, n > 0 ? n : 1);
	}
}

void fold_clean(struct buf *out, struct span text, size_t max)
{
	text = span_first(text, max);
	for (size_t n; text.n > 0; text = span_skip(text, n))
		n = add_run(out, text, text.n, false);
}

void fold_clean_utf8(struct buf *out, struct span text, size_t max)
{
	text = span_first(text, max);
	for (size_t n; text.n > 0; text = span_skip(text, n))
		n = add_run(out, text, text.n, true);
}
