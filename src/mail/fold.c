#include "mail/fold.h"

enum { COLUMN_WISH = 76, COLUMN_MAX = 900 };

static uint8_t clean(uint8_t c)
{
	return c >= ' ' && c < 127 ? c : '?';
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
	for (size_t i = 0; i < word.n; i++) {
		if (f->column >= COLUMN_MAX)
			new_line(f);
		buf_add_byte(f->out, clean(word.p[i]));
		f->column++;
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
	for (size_t i = 0; i < text.n; i++)
		buf_add_byte(out, clean(text.p[i]));
}
