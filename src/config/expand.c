/*
 * Variables of the environment inside a word. They are put in behind the lexer: a value cannot
 * bring a statement.
 */
#include "config/parse.h"

#include <stdio.h>

/* "${NAME}" or "${NAME:-default}" without the braces, taken apart. */
struct use {
	struct span name, fallback;
	bool has_fallback;
};

static bool name_valid(struct span s)
{
	if (s.n == 0 || s.n > 64 || ascii_isdigit(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_isalpha(s.p[i]) && !ascii_isdigit(s.p[i]) && s.p[i] != '_')
			return false;
	}
	return true;
}

static struct use split(struct span inner)
{
	struct use u = {.name = inner};

	for (size_t i = 0; i + 1 < inner.n; i++) {
		if (inner.p[i] == ':' && inner.p[i + 1] == '-') {
			u.name = span_first(inner, i);
			u.fallback = span_skip(inner, i + 2);
			u.has_fallback = true;
			break;
		}
	}
	return u;
}

/* A value can become part of one word and nothing more. */
static bool value_valid(const char *s)
{
	if (strlen(s) > WORD_LENGTH || strstr(s, "${") != NULL)
		return false;
	for (; *s != '\0'; s++) {
		if ((uint8_t)*s < ' ' || *s == '"' || *s == 0x7f)
			return false;
	}
	return true;
}

static const char *look_up(struct reader *r, const char *name)
{
	const char *value = bundle_variable(r->bundle, name);

	if (value == NULL && r->environment != NULL) {
		value = r->environment(name);
		if (value != NULL)
			bundle_add_variable(r->bundle, must_dup(&r->arena, span_str(name)), value);
	}
	return value;
}

/* Adds the value of one use; false after a report. */
static bool add_value(struct reader *r, struct span inner, const struct word *w, struct buf *out)
{
	struct use u = split(inner);
	char name[80];
	const char *value;

	span_to_cstr(u.name, name, sizeof(name));
	if (!name_valid(u.name)) {
		report(r, CE_VAR_NAME, w, NULL, name);
		return false;
	}
	value = look_up(r, name);
	if (value != NULL && !value_valid(value)) {
		report(r, CE_VAR_VALUE, w, NULL, name);
		return false;
	}
	if (value == NULL && !u.has_fallback) {
		report(r, CE_VAR_UNSET, w,
		    textf(r, "set it in the environment, or write ${%s:-default}", name), name);
		return false;
	}
	if (value == NULL || (value[0] == '\0' && u.has_fallback))
		buf_add_span(out, u.fallback);
	else
		buf_add_str(out, value);
	return true;
}

/* How many octets stand in front of the next "${". */
static size_t before_use(struct span s)
{
	const uint8_t *at = s.n > 0 ? memmem(s.p, s.n, "${", 2) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

static bool expand(struct reader *r, struct span raw, const struct word *w, struct buf *out)
{
	while (raw.n > 0) {
		size_t plain = before_use(raw);
		ptrdiff_t end;

		buf_add_span(out, span_first(raw, plain));
		raw = span_skip(raw, plain);
		if (raw.n == 0)
			break;
		end = span_find(raw, '}');
		if (end < 0) {
			report(r, CE_VAR_OPEN, w, NULL, "");
			return false;
		}
		if (!add_value(r, span_skip(span_first(raw, (size_t)end), 2), w, out))
			return false;
		raw = span_skip(raw, (size_t)end + 1);
	}
	return true;
}

/* Words are UTF-8 without control characters (a tab in a string is one too many). */
static bool check_text(struct reader *r, struct span s, const struct word *w)
{
	char octet[8];

	while (s.n > 0) {
		size_t n = printable(s);

		if (n == 0) {
			snprintf(octet, sizeof(octet), "\\x%02x", s.p[0]);
			report(r, CE_CHARACTER, w, NULL, octet);
			return false;
		}
		s = span_skip(s, n);
	}
	return true;
}

const char *expand_word(struct reader *r, struct span raw, const struct word *w)
{
	struct span text = SPAN_NONE;
	struct buf out;

	buf_init(&out, WORD_LENGTH);
	if (expand(r, raw, w, &out) && check_text(r, buf_view(&out), w)) {
		if (!buf_failed(&out))
			text = arena_dup(&r->arena, buf_view(&out));
		if (text.p == NULL)
			report(r, CE_TOO_LARGE, w, NULL, "");
	}
	buf_fini(&out);
	return (const char *)text.p;
}
