#include "mail/encoded_word.h"

#include "base/utf8.h"

#include <stdio.h>

enum { LINE_MAX = 76, RUN_MAX = 1 << 20, LEAST_TEXT = 12 };

static const char hex[] = "0123456789ABCDEF";

/* ---- octets --------------------------------------------------------------------------------- */

bool has_high(struct span s)
{
	uint8_t high = 0;

	for (size_t i = 0; i < s.n; i++)
		high |= s.p[i];
	return high & 0x80;
}

bool is_utf8_piece(struct span s)
{
	size_t tail = 0;

	while (tail < 4 && tail < s.n && (s.p[s.n - 1 - tail] & 0xc0) == 0x80)
		tail++;
	/* A character that begins there and is not whole is cut off. */
	if (tail < s.n && s.p[s.n - 1 - tail] >= 0xc2) {
		struct span last = span_skip(s, s.n - 1 - tail);
		size_t whole = last.p[0] < 0xe0 ? 2 : last.p[0] < 0xf0 ? 3 : 4;

		if (last.n < whole && last.p[0] < 0xf5)
			s = span_first(s, s.n - last.n);
	}
	return utf8_valid(s);
}

static const char *charset_of(struct span s)
{
	return utf8_valid(s) ? "utf-8" : "unknown-8bit";
}

/* ---- one encoded word, RFC 2047 section 2 ---------------------------------------------------- */

/* What may stand as it is in any place where an encoded word may (section 5, rule 3). */
static bool is_plain(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '!' || c == '*' || c == '+' ||
	       c == '-' || c == '/';
}

static size_t q_cost(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += is_plain(s.p[i]) || s.p[i] == ' ' ? 1 : 3;
	return n;
}

static size_t b_cost(struct span s)
{
	return (s.n + 2) / 3 * 4;
}

static void put_q(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		uint8_t triple[3] = {'=', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};

		if (c == ' ')
			buf_add_byte(out, '_');
		else if (is_plain(c))
			buf_add_byte(out, c);
		else
			buf_add(out, triple, 3);
	}
}

static void put_b(struct buf *out, struct span s)
{
	static const char digit[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (; s.n > 0; s = span_skip(s, 3)) {
		unsigned v = (unsigned)s.p[0] << 16 | (s.n > 1 ? (unsigned)s.p[1] << 8 : 0) |
			     (s.n > 2 ? s.p[2] : 0);
		uint8_t group[4] = {(uint8_t)digit[v >> 18], (uint8_t)digit[v >> 12 & 63],
		    s.n > 1 ? (uint8_t)digit[v >> 6 & 63] : '=',
		    s.n > 2 ? (uint8_t)digit[v & 63] : '='};

		buf_add(out, group, 4);
	}
}

struct coding {
	const char *charset;
	bool base64, utf8;
};

/* Who reads the source sees more in Q: that, as long as it is short or not much longer. */
static struct coding coding_of(struct span text)
{
	enum { SHORT = 30 };
	size_t q = q_cost(text);
	bool base64 = q > SHORT && 3 * b_cost(text) < 2 * q;

	return (struct coding){charset_of(text), base64, utf8_valid(text)};
}

/* As many whole characters as fit into room octets, at least one. */
static struct span take_fitting(struct span *text, const struct coding *k, size_t room)
{
	struct span taken = span_first(*text, 0);
	uint32_t point;

	while (taken.n < text->n) {
		struct span more = span_skip(*text, taken.n);

		more = span_first(*text, taken.n + (k->utf8 ? utf8_take(more, &point) : 1));
		if (taken.n > 0 && (k->base64 ? b_cost(more) : q_cost(more)) > room)
			break;
		taken = more;
	}
	*text = span_skip(*text, taken.n);
	return taken;
}

void words_encode(struct words *w, struct span text)
{
	struct coding k = coding_of(text);
	size_t frame = strlen(k.charset) + 7; /* "=?", "?Q?", "?=" */

	while (text.n > 0) {
		size_t used = w->column + frame, before;
		struct span part = take_fitting(
		    &text, &k, used + LEAST_TEXT < LINE_MAX ? LINE_MAX - used : LEAST_TEXT);

		before = buf_len(w->out);
		buf_addf(w->out, "=?%s?%c?", k.charset, k.base64 ? 'B' : 'Q');
		if (k.base64)
			put_b(w->out, part);
		else
			put_q(w->out, part);
		buf_add_str(w->out, "?=");
		w->column += buf_len(w->out) - before;
		if (text.n > 0) {
			buf_add_str(w->out, "\r\n ");
			w->column = 1;
		}
	}
	w->was_encoded = true;
}

/* ---- a field -------------------------------------------------------------------------------- */

void words_begin(struct words *w, struct buf *out, size_t column)
{
	*w = (struct words){.out = out, .column = column, .last = ' '};
	buf_init(&w->run, RUN_MAX);
}

void words_fini(struct words *w)
{
	buf_fini(&w->run);
}

static bool is_blank(uint8_t c)
{
	return ascii_isblank(c) || c == '\r' || c == '\n';
}

static void put(struct words *w, struct span s)
{
	buf_add_span(w->out, s);
	if (s.n > 0)
		w->last = s.p[s.n - 1];
	for (size_t i = 0; i < s.n; i++)
		w->column = s.p[i] == '\n' ? 0 : w->column + 1;
}

static void unfold(struct buf *to, struct span blanks)
{
	for (size_t i = 0; i < blanks.n; i++) {
		if (ascii_isblank(blanks.p[i]))
			buf_add_byte(to, blanks.p[i]);
	}
}

void words_flush(struct words *w)
{
	enum { SHORTEST = 40 };

	if (!w->in_run)
		return;
	w->in_run = false;
	if (w->blanks.n > 0 && ascii_isblank(w->blanks.p[0]) && w->column > 1 &&
	    w->column + w->blanks.n + SHORTEST > LINE_MAX)
		put(w, SPAN("\r\n"));
	put(w, w->blanks);
	if (!is_blank(w->last) && w->last != '(')
		put(w, SPAN(" "));
	words_encode(w, buf_view(&w->run));
	buf_clear(&w->run);
}

void words_raw(struct words *w, struct span s)
{
	words_flush(w);
	if (s.n == 0)
		return;
	/* RFC 2047 section 5: blanks part an encoded word from all but the end of a comment. */
	if (w->was_encoded && !is_blank(s.p[0]) && s.p[0] != ')')
		put(w, SPAN(" "));
	put(w, s);
	w->was_encoded = false;
}

static bool is_encoded(struct span word)
{
	return word.n > 6 && span_starts(word, SPAN("=?")) &&
	       span_eq(span_skip(word, word.n - 2), SPAN("?="));
}

void words_word(struct words *w, struct span blanks, struct span word)
{
	bool encoded = is_encoded(word), high = has_high(word);

	if (high && w->in_run) {
		unfold(&w->run, blanks);
		buf_add_span(&w->run, word);
	} else if (high) {
		w->in_run = true;
		w->blanks = w->was_encoded ? SPAN(" ") : blanks;
		if (w->was_encoded)
			unfold(&w->run, blanks);
		buf_add_span(&w->run, word);
	} else {
		if (encoded && w->in_run) {
			unfold(&w->run, blanks);
			blanks = SPAN(" ");
		}
		words_flush(w);
		if (w->was_encoded && blanks.n == 0)
			blanks = SPAN(" ");
		put(w, blanks);
		put(w, word);
		w->was_encoded = encoded;
	}
}

void words_text(struct words *w, struct span text)
{
	while (text.n > 0) {
		size_t blanks = 0, word;

		while (blanks < text.n && is_blank(text.p[blanks]))
			blanks++;
		for (word = blanks; word < text.n && !is_blank(text.p[word]);)
			word++;
		if (word > blanks)
			words_word(
			    w, span_first(text, blanks), span_skip(span_first(text, word), blanks));
		else
			words_raw(w, span_first(text, blanks));
		text = span_skip(text, word);
	}
	words_flush(w);
}

/* ---- parameters, RFC 2231 -------------------------------------------------------------------- */

static void put_percent(struct words *w, struct span s, bool keep_ascii)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		uint8_t triple[3] = {'%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
		bool plain = ascii_isalpha(c) || ascii_isdigit(c) || c == '-' || c == '.' ||
			     c == '_' || c == '~' || c == '+';

		if (plain || (keep_ascii && c > ' ' && c < 127))
			put(w, span_of(&c, 1));
		else
			put(w, span_of(triple, 3));
	}
}

static void begin_parameter(struct words *w, size_t length)
{
	put(w, w->column + length + 2 > LINE_MAX ? SPAN(";\r\n ") : SPAN("; "));
}

/* A piece with its number, or with its escapes: only what must be is changed. */
static void put_piece(struct words *w, struct span name, struct span value)
{
	bool extended = name.p[name.n - 1] == '*';
	bool first = !extended && span_eq(span_skip(name, name.n - 2), SPAN("*0"));

	begin_parameter(w, name.n + 3 * value.n);
	put(w, name);
	put(w, extended ? SPAN("=") : SPAN("*="));
	if (first) {
		put(w, span_str(charset_of(value)));
		put(w, SPAN("''"));
	}
	put_percent(w, value, extended);
}

static void put_whole(struct words *w, struct span name, struct span value)
{
	const char *charset = charset_of(value);
	size_t frame = name.n + strlen(charset) + 12, each;
	char number[24];

	if (frame + 3 * value.n < LINE_MAX) {
		begin_parameter(w, frame + 3 * value.n);
		put(w, name);
		put(w, SPAN("*="));
		put(w, span_str(charset));
		put(w, SPAN("''"));
		put_percent(w, value, false);
		return;
	}
	each = frame + 30 < LINE_MAX ? (LINE_MAX - frame) / 3 : 10;
	for (unsigned i = 0; value.n > 0; i++, value = span_skip(value, each)) {
		begin_parameter(w, LINE_MAX);
		put(w, name);
		snprintf(number, sizeof(number), "*%u*=", i);
		put(w, span_str(number));
		put(w, i == 0 ? span_str(charset) : SPAN_NONE);
		put(w, i == 0 ? SPAN("''") : SPAN_NONE);
		put_percent(w, span_first(value, each), false);
	}
}

void words_parameter(struct words *w, struct span name, struct span value)
{
	words_flush(w);
	w->was_encoded = false;
	if (name.n > 2 && span_find(name, '*') > 0)
		put_piece(w, name, value);
	else
		put_whole(w, name, value);
}
