#include "mail/dsn_texts.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { EVERY_LANGUAGE = DSN_LANGUAGES };

struct dsn_texts {
	/* Those before a language in the file stand last. */
	struct span own[DSN_LANGUAGES + 1][DSN_TEXTS];
};

struct reading {
	struct dsn_texts *t;
	struct arena *a;
	struct dsn_texts_error *e;
	unsigned line;
	struct span whole; /* the line */
	unsigned language; /* enum dsn_language, or EVERY_LANGUAGE */
};

struct span dsn_texts_get(const struct dsn_texts *t, enum dsn_language language, enum dsn_text text)
{
	struct span own = t->own[language][text];

	return own.n > 0 ? own : t->own[EVERY_LANGUAGE][text];
}

/* at: what it is about, within the line. */
gw_printf(3, 4) static bool mistake(struct reading *r, struct span at, const char *format, ...)
{
	va_list list;

	r->e->line = r->line;
	r->e->column = at.p >= r->whole.p ? (unsigned)(at.p - r->whole.p) + 1 : 1;
	va_start(list, format);
	vsnprintf(r->e->text, sizeof(r->e->text), format, list);
	va_end(list);
	return false;
}

/* For a sentence: at most this of what was written. */
static struct span shown(struct span s)
{
	return span_first(s, 40);
}

/* Every brace begins a placeholder that this text takes. */
static bool check_values(struct reading *r, enum dsn_text text, struct span value)
{
	ptrdiff_t open;

	while ((open = span_find(value, '{')) >= 0) {
		struct span at = span_skip(value, (size_t)open);
		ptrdiff_t end = span_find(at, '}');
		struct span name = end < 0 ? at : span_skip(span_first(at, (size_t)end), 1);
		enum dsn_value v = dsn_value_of_name(name);

		if (end < 0)
			return mistake(r, at, "a '{' without its '}'");
		if (v == DSN_VALUES || !dsn_text_takes(text, v))
			return mistake(
			    r, at, "no '{%.*s}' is known for this text", SPAN_ARG(shown(name)));
		value = span_skip(at, (size_t)end + 1);
	}
	return true;
}

static bool take_language(struct reading *r, struct span line)
{
	struct span tag = span_skip(line, 1);

	if (line.p[line.n - 1] != ']')
		return mistake(r, line, "a '[' without its ']'");
	tag.n--;
	r->language = dsn_language_of(tag);
	if (r->language == DSN_LANGUAGES)
		return mistake(
		    r, tag, "no reports are written in the language '%.*s'", SPAN_ARG(shown(tag)));
	return true;
}

static bool take_text(struct reading *r, struct span line)
{
	ptrdiff_t at = span_find(line, '=');
	struct span key = span_trim(span_first(line, at < 0 ? 0 : (size_t)at));
	struct span value = span_trim(span_skip(line, at < 0 ? line.n : (size_t)at + 1));
	enum dsn_text text = dsn_text_of_key(key);
	struct span *own;

	if (at < 0)
		return mistake(r, line, "this is no line of the form 'key = text'");
	if (text == DSN_TEXTS)
		return mistake(r, line, "no text is called '%.*s'", SPAN_ARG(shown(key)));
	own = &r->t->own[r->language][text];
	if (own->n > 0)
		return mistake(r, line, "'%.*s' stands twice", SPAN_ARG(shown(key)));
	if (value.n == 0 || value.n > DSN_TEXTS_ONE_MAX)
		return mistake(r, line, "a text has 1 to %d octets", DSN_TEXTS_ONE_MAX);
	if (!check_values(r, text, value))
		return false;
	*own = arena_dup(r->a, value);
	return own->p != NULL || mistake(r, line, "there is no memory for so much text");
}

static bool take_line(struct reading *r, struct span line)
{
	r->whole = line;
	line = span_trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return true;
	if (!utf8_text(line))
		return mistake(
		    r, line, "this line is not UTF-8, or has characters that nobody sees");
	return line.p[0] == '[' ? take_language(r, line) : take_text(r, line);
}

struct dsn_texts *dsn_texts_parse(struct span file, struct arena *a, struct dsn_texts_error *e)
{
	struct reading r = {
	    .t = arena_alloc(a, sizeof(*r.t)), .a = a, .e = e, .language = EVERY_LANGUAGE};

	if (r.t == NULL || file.n > DSN_TEXTS_FILE_MAX) {
		mistake(&r, SPAN_NONE, "the file is too large");
		return NULL;
	}
	if (span_starts(file, SPAN("\xef\xbb\xbf")))
		file = span_skip(file, 3);
	*r.t = (struct dsn_texts){0};
	while (file.n > 0) {
		ptrdiff_t end = span_find(file, '\n');
		struct span line = end < 0 ? file : span_first(file, (size_t)end);

		r.line++;
		file = span_skip(file, line.n + (end >= 0));
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (!take_line(&r, line))
			return NULL;
	}
	return r.t;
}
