#include "mail/dsn_text.h"

#include "mail/dsn_texts.h"

#include <stdio.h>

/*
 * Of every other language one constant for each row, and then a table that names them all: what is
 * missing is not declared, what is too many is not used.
 */
#define TEXT(id, text) static const char german_##id[] = text;
#define CLASS(id, means, advice) \
	static const char german_means_##id[] = means, german_advice_##id[] = advice;
#include "mail/dsn_text_de.def"
#undef TEXT
#undef CLASS
#define TEXT(id, text) static const char french_##id[] = text;
#define CLASS(id, means, advice) \
	static const char french_means_##id[] = means, french_advice_##id[] = advice;
#include "mail/dsn_text_fr.def"
#undef TEXT
#undef CLASS
#define TEXT(id, text) static const char spanish_##id[] = text;
#define CLASS(id, means, advice) \
	static const char spanish_means_##id[] = means, spanish_advice_##id[] = advice;
#include "mail/dsn_text_es.def"
#undef TEXT
#undef CLASS

static const char *const texts[DSN_LANGUAGES][DSN_TEXTS] = {
#define TEXT(id, key, values, text) \
	[DSN_ENGLISH][DSN_TEXT_##id] = text, [DSN_GERMAN][DSN_TEXT_##id] = german_##id, \
	[DSN_FRENCH][DSN_TEXT_##id] = french_##id, [DSN_SPANISH][DSN_TEXT_##id] = spanish_##id,
#include "mail/dsn_text.def"
#undef TEXT
#define LANGUAGE(language, name, id) \
	[language][DSN_CLASS_MEANS + REPLY_##id] = name##_means_##id, \
				     [language][DSN_CLASS_ADVICE + REPLY_##id] = \
					 name##_advice_##id,
#define REPLY_CLASS(id, word, permanent, means, advice) \
	[DSN_ENGLISH][DSN_CLASS_MEANS + REPLY_##id] = means, \
					[DSN_ENGLISH][DSN_CLASS_ADVICE + REPLY_##id] = advice, \
					LANGUAGE(DSN_GERMAN, german, id) \
					    LANGUAGE(DSN_FRENCH, french, id) \
						LANGUAGE(DSN_SPANISH, spanish, id)
#include "mail/reply_class.def"
#undef REPLY_CLASS
#undef LANGUAGE
};

static const struct {
	const char *key, *values;
} sentences[DSN_SENTENCES] = {
#define TEXT(id, key, values, text) {key, values},
#include "mail/dsn_text.def"
#undef TEXT
};

static const char *const value_names[DSN_VALUES] = {[DSN_VALUE_HOST] = "host",
    [DSN_VALUE_PEER] = "peer",
    [DSN_VALUE_REPLY] = "reply",
    [DSN_VALUE_TIME] = "time",
    [DSN_VALUE_ATTEMPTS] = "attempts",
    [DSN_VALUE_DATE] = "date",
    [DSN_VALUE_SINCE] = "since",
    [DSN_VALUE_ID] = "id",
    [DSN_VALUE_N] = "n",
    [DSN_VALUE_MESSAGES] = "messages",
    [DSN_VALUE_TLS] = "tls",
    [DSN_VALUE_SUBJECT] = "subject",
    [DSN_VALUE_MEANS] = "means",
    [DSN_VALUE_ADVICE] = "advice"};

const char *dsn_text_key(enum dsn_text text, char name[DSN_KEY_MAX])
{
	if (text < DSN_SENTENCES)
		snprintf(name, DSN_KEY_MAX, "%s", sentences[text].key);
	else if (text < DSN_CLASS_ADVICE)
		snprintf(name, DSN_KEY_MAX, "%s.means", reply_classes[text - DSN_CLASS_MEANS].word);
	else
		snprintf(
		    name, DSN_KEY_MAX, "%s.advice", reply_classes[text - DSN_CLASS_ADVICE].word);
	return name;
}

enum dsn_text dsn_text_of_key(struct span key)
{
	char name[DSN_KEY_MAX];
	unsigned i = 0;

	while (i < DSN_TEXTS && !span_eq(key, span_str(dsn_text_key((enum dsn_text)i, name))))
		i++;
	return (enum dsn_text)i;
}

struct span dsn_text_ours(enum dsn_language language, enum dsn_text text)
{
	return span_str(texts[language][text]);
}

struct span dsn_text_get(const struct dsn_tongue *t, enum dsn_text text)
{
	struct span own = t->texts ? dsn_texts_get(t->texts, t->language, text) : SPAN_NONE;

	return own.n > 0 ? own : dsn_text_ours(t->language, text);
}

enum dsn_value dsn_value_of_name(struct span name)
{
	unsigned i = 0;

	while (i < DSN_VALUES && !span_eq(name, span_str(value_names[i])))
		i++;
	return (enum dsn_value)i;
}

bool dsn_text_takes(enum dsn_text text, enum dsn_value value)
{
	struct span list = span_str(text < DSN_SENTENCES ? sentences[text].values : "");

	while (list.n > 0) {
		ptrdiff_t end = span_find(list, ' ');
		struct span name = end < 0 ? list : span_first(list, (size_t)end);

		if (dsn_value_of_name(name) == value)
			return true;
		list = span_skip(list, name.n + 1);
	}
	return false;
}

/* The placeholder at the start of a text, with its braces; 0: there is none. */
static size_t placeholder(struct span text, enum dsn_value *value)
{
	ptrdiff_t end = text.n > 0 && text.p[0] == '{' ? span_find(text, '}') : -1;

	if (end < 0)
		return 0;
	*value = dsn_value_of_name(span_skip(span_first(text, (size_t)end), 1));
	return *value < DSN_VALUES ? (size_t)end + 1 : 0;
}

int dsn_text_next(struct span *text, struct span *literal, enum dsn_value *value)
{
	size_t n = placeholder(*text, value);

	*literal = SPAN_NONE;
	if (n == 0) {
		enum dsn_value other;

		while (n < text->n && (n == 0 || placeholder(span_skip(*text, n), &other) == 0))
			n++;
		*literal = span_first(*text, n);
	}
	*text = span_skip(*text, n);
	return n > 0;
}

void dsn_text_fold(
    struct fold *f, const struct dsn_tongue *t, enum dsn_text text, const struct dsn_values *values)
{
	struct span rest = dsn_text_get(t, text), literal;
	enum dsn_value v;

	while (dsn_text_next(&rest, &literal, &v) > 0) {
		if (literal.n > 0)
			fold_add(f, literal);
		else if (values != NULL)
			fold_add(f, values->v[v]);
	}
}

void dsn_text_add(struct buf *out, const struct dsn_tongue *t, enum dsn_text text,
    const struct dsn_values *values)
{
	struct span rest = dsn_text_get(t, text), literal;
	enum dsn_value v;

	while (dsn_text_next(&rest, &literal, &v) > 0) {
		if (literal.n > 0)
			fold_clean_utf8(out, literal, literal.n);
		else if (values != NULL)
			fold_clean_utf8(out, values->v[v], values->v[v].n);
	}
}
