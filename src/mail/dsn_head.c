/* The header of the message that a report is about, copied in a form that does no harm. */
#include "mail/dsn-private.h"

#include "mail/header.h"

enum { NAME_MAX_OCTETS = 512, LINE_MAX_OCTETS = 900 };

static void add_crlf(struct buf *out)
{
	buf_add_str(out, "\r\n");
}

/* In one piece, tabs included. */
static void copy_short(struct buf *out, struct span line)
{
	while (line.n > 0) {
		ptrdiff_t tab = span_find(line, '\t');
		struct span piece = tab < 0 ? line : span_first(line, (size_t)tab);

		fold_clean_utf8(out, piece, piece.n);
		if (tab >= 0)
			buf_add_byte(out, '\t');
		line = span_skip(line, piece.n + 1);
	}
}

/* Adds one line of a field; a blank line within a field would end the header for some readers. */
static void copy_line(struct buf *out, struct span line, size_t column)
{
	struct fold f;

	if (column + line.n <= LINE_MAX_OCTETS) {
		copy_short(out, line);
	} else {
		f = fold_begin(out, column + 1, " ");
		f.utf8 = true;
		buf_add_byte(out, ' ');
		fold_add(&f, line);
	}
	add_crlf(out);
}

static void copy_field(struct buf *out, const struct header_field *f, size_t end)
{
	struct span rest = f->value;
	struct span line = header_line(&rest);
	size_t column = f->name.n + 1;

	buf_add_span(out, f->name);
	buf_add_byte(out, ':');
	copy_line(out, fold_is_blank(line) ? SPAN_NONE : line, column);
	while (rest.n > 0 && buf_len(out) < end && !buf_failed(out)) {
		line = span_first(header_line(&rest), end - buf_len(out));
		if (!fold_is_blank(line))
			copy_line(out, line, 0);
	}
}

/*
 * Only lines that are fields are copied, and none that begins like a boundary:
 * whoever guesses the boundary cannot write it.
 */
void dsn_copy_head(struct span head, struct buf *out)
{
	struct header_walk w = header_walk_of(head);
	struct header_field f;
	size_t end = buf_len(out) + DSN_HEAD_MAX;
	int got;

	while ((got = header_next(&w, &f)) != 0 && buf_len(out) < end && !buf_failed(out)) {
		if (got < 0 || f.name.n > NAME_MAX_OCTETS || span_starts(f.name, SPAN("--")))
			continue;
		f.value = span_first(f.value, end - buf_len(out));
		copy_field(out, &f, end);
	}
}
