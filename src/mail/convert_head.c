/* The header of a part that is converted: what it says of the encoding, read, and written anew. */
#include "mail/convert-private.h"

#include "mail/ascii_field.h"
#include "mail/content_type.h"
#include "mail/encoded_word.h"

enum { SUB = 0x1a };

static const struct span type_name = SPAN("Content-Type");
static const struct span encoding_name = SPAN("Content-Transfer-Encoding");

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_one_of(struct span s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq_case(s, span_str(words[i])))
			return true;
	}
	return false;
}
#define IS_ONE_OF(s, words) is_one_of(s, words, GW_ARRAY_LEN(words))

/* RFC 2045 section 6.4; a word that is none of an encoding, as "8-bit" is not, is read by everybody
 * as if it were not there. */
static enum convert_label label_of(struct span word)
{
	static const char *const others[] = {"uuencode", "uue", "yencode"};

	if (span_eq_case(word, SPAN("8bit")))
		return LABEL_8BIT;
	if (span_eq_case(word, SPAN("binary")))
		return LABEL_BINARY;
	if (span_eq_case(word, SPAN("quoted-printable")))
		return LABEL_QP;
	if (span_eq_case(word, SPAN("base64")))
		return LABEL_BASE64;
	if (span_starts_case(word, SPAN("x-")) || IS_ONE_OF(word, others))
		return LABEL_OTHER;
	return LABEL_NONE;
}

bool convert_is_encoded(const struct convert_entity *e)
{
	return e->label == LABEL_QP || e->label == LABEL_BASE64 || e->label == LABEL_OTHER;
}

static void read_message(struct convert_entity *e, struct span sub)
{
	static const char *const messages[] = {"rfc822", "news"};
	static const char *const sealed[] = {"partial", "external-body"};

	/* RFC 6532 section 3.7: it may be in any encoding, as it has octets above 127 by its
	 * nature. The others are text. */
	e->text = !span_eq_case(sub, SPAN("global"));
	if (IS_ONE_OF(sub, sealed)) {
		e->kind = ENTITY_SEALED;
		e->why = "a part of a message, or one that is elsewhere, may not be changed";
	} else if (IS_ONE_OF(sub, messages) && !convert_is_encoded(e)) {
		e->kind = ENTITY_MESSAGE;
	}
}

static void read_multipart(struct convert_entity *e, const struct content_type *t)
{
	static const char *const sealed[] = {"signed", "encrypted"};

	e->text = true;
	if (IS_ONE_OF(t->sub, sealed)) {
		e->kind = t->has_boundary ? ENTITY_SEALED_MULTIPART : ENTITY_SEALED;
		e->why = "a signed or encrypted part of it may not be changed";
	} else if (t->has_boundary && t->clean) {
		e->kind = ENTITY_MULTIPART;
		e->digest = span_eq_case(t->sub, SPAN("digest"));
	}
	e->boundary = t->boundary;
}

static void read_type(struct convert_entity *e, struct span value)
{
	static const char *const opaque[] = {"pkcs7-mime", "x-pkcs7-mime"};
	struct content_type t = content_type_read(value);

	if (t.type.n == 0 || span_eq_case(t.type, SPAN("text"))) {
		e->text = true;
	} else if (span_eq_case(t.type, SPAN("multipart"))) {
		read_multipart(e, &t);
	} else if (span_eq_case(t.type, SPAN("message"))) {
		read_message(e, t.sub);
	} else if (span_eq_case(t.type, SPAN("application")) && IS_ONE_OF(t.sub, opaque)) {
		e->kind = ENTITY_SEALED;
		e->why = "a signed or encrypted part of it may not be changed";
	}
}

struct convert_entity convert_read_head(struct span head, bool message, bool digest)
{
	struct span type = header_get(head, type_name);
	struct span encoding = header_get(head, encoding_name);
	struct convert_entity e = {.message = message, .has_type = type.p != NULL};

	if (encoding.p != NULL)
		e.label = label_of(content_encoding_read(encoding));
	if (e.has_type)
		read_type(&e, type);
	else if (digest) /* RFC 2046 section 5.1.5 */
		read_message(&e, SPAN("rfc822"));
	else
		e.text = true;
	return e;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct writer {
	struct convert *c;
	const char *label;
	struct span head, body;
	bool labelled, to_ascii;
};

static void write_label(struct writer *w)
{
	if (!w->labelled && w->label != NULL)
		buf_addf(&w->c->out, "Content-Transfer-Encoding: %s\r\n", w->label);
	w->labelled = true;
	w->c->changed = true;
}

/* What an encoded part needs and does not have. RFC 1428 names the charset of what has none. */
static void add_missing(struct writer *w)
{
	const struct convert_entity *e = &w->c->entity;
	struct buf *out = &w->c->out;

	if (w->label == NULL || w->labelled)
		return;
	if (header_count(w->head, encoding_name) > 0)
		return;
	if (e->message && header_count(w->head, SPAN("MIME-Version")) == 0)
		buf_add_str(out, "MIME-Version: 1.0\r\n");
	if (!e->has_type && e->kind != ENTITY_MESSAGE)
		buf_addf(out, "Content-Type: text/plain; charset=%s\r\n",
		    is_utf8_piece(w->body) ? "utf-8" : "unknown-8bit");
	write_label(w);
}

/* What begins like a boundary must not become one, neither by a fold nor by what stands for its
 * octets above 127: they are SUB, which no boundary has. */
static bool write_dashes(struct writer *w, struct span s)
{
	uint8_t *room = span_starts(s, SPAN("--")) ? buf_room(&w->c->out, s.n) : NULL;

	if (room == NULL)
		return false;
	for (size_t i = 0; i < s.n; i++)
		room[i] = s.p[i] > 127 ? SUB : s.p[i];
	buf_commit(&w->c->out, s.n);
	return true;
}

static void write_field(struct writer *w, const struct header_field *f)
{
	if (w->label != NULL && span_eq_case(f->name, encoding_name)) {
		write_label(w);
	} else if (w->to_ascii && has_high(f->whole)) {
		if (!write_dashes(w, f->whole))
			ascii_field(f, &w->c->out);
		w->c->changed = true;
	} else {
		convert_emit(w->c, f->whole);
	}
}

/* Readers differ in whether a header goes on behind such a line. */
static void write_line(struct writer *w, struct span line)
{
	add_missing(w);
	if (w->to_ascii && has_high(line)) {
		if (!write_dashes(w, line))
			ascii_line(line, &w->c->out);
		w->c->changed = true;
	} else {
		convert_emit(w->c, line);
	}
}

static bool is_lines(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
		    (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return false;
	}
	return true;
}

void convert_write_head(struct convert *c, const char *label)
{
	struct span held = buf_view(&c->held);
	struct writer w = {.c = c,
	    .label = label,
	    .head = span_first(held, c->head),
	    .body = span_skip(held, c->head),
	    .to_ascii = c->mode & (CONVERT_7BIT | CONVERT_HEADER)};
	struct header_walk walk = header_walk_of(w.head);
	struct header_field f;

	if ((c->mode & CONVERT_BINARY) && !is_lines(w.head)) {
		convert_stop(c, "a header in it does not consist of lines");
		return;
	}
	for (;;) {
		struct span before = walk.rest;
		int got = header_next(&walk, &f);

		if (got == 0)
			break;
		if (got > 0)
			write_field(&w, &f);
		else
			write_line(&w, span_first(before, before.n - walk.rest.n));
	}
	add_missing(&w);
	convert_emit(c, walk.rest);
}
