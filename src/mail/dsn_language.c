#include "mail/dsn_language.h"

#include "mail/fold.h"
#include "mail/header.h"

enum { LIST_MAX = 100 /* elements looked at */ };

static const char *const tags[DSN_LANGUAGES] = {
    [DSN_ENGLISH] = "en", [DSN_GERMAN] = "de", [DSN_FRENCH] = "fr", [DSN_SPANISH] = "es"};

const char *dsn_language_tag(enum dsn_language language)
{
	return (unsigned)language < DSN_LANGUAGES ? tags[language] : "";
}

enum dsn_language dsn_language_of(struct span tag)
{
	ptrdiff_t end = span_find(tag, '-');
	struct span primary = end < 0 ? tag : span_first(tag, (size_t)end);
	unsigned i = 0;

	while (i < DSN_LANGUAGES && !span_eq_case(primary, span_str(tags[i])))
		i++;
	return (enum dsn_language)i;
}

/* Folds included. */
static struct span trimmed(struct span s)
{
	while (s.n > 0 && fold_is_space(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && fold_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static struct span take_until(struct span *in, uint8_t end)
{
	ptrdiff_t at = span_find(*in, end);
	struct span s = at < 0 ? *in : span_first(*in, (size_t)at);

	*in = span_skip(*in, s.n + 1);
	return trimmed(s);
}

/* "0.8" in thousandths; what is none counts as not wished for. */
static unsigned quality(struct span q)
{
	unsigned value = 0, scale = 1000;

	if (q.n == 0 || q.n > 5 || (q.p[0] != '0' && q.p[0] != '1') || (q.n > 1 && q.p[1] != '.'))
		return 0;
	for (size_t i = 0; i < q.n; i++) {
		if (i == 1)
			continue;
		if (q.p[i] < '0' || q.p[i] > '9')
			return 0;
		value += (unsigned)(q.p[i] - '0') * scale;
		scale /= 10;
	}
	return value > 1000 ? 1000 : value;
}

/* One element: a tag and perhaps ";q=0.8". */
static unsigned read_element(struct span element, enum dsn_language *language)
{
	struct span tag = take_until(&element, ';');
	struct span name = take_until(&element, '=');

	*language = dsn_language_of(tag);
	return name.n == 1 && (name.p[0] | 0x20) == 'q' ? quality(trimmed(element)) : 1000;
}

/* The most wished for of ours in a list; the first of equals. */
static enum dsn_language best_of(struct span list)
{
	enum dsn_language best = DSN_LANGUAGES, one;
	unsigned wish = 0;

	for (unsigned i = 0; list.n > 0 && i < LIST_MAX; i++) {
		unsigned q = read_element(take_until(&list, ','), &one);

		if (one < DSN_LANGUAGES && q > wish) {
			best = one;
			wish = q;
		}
	}
	return best;
}

enum dsn_language dsn_language_of_head(struct span head)
{
	enum dsn_language l = best_of(header_get(head, SPAN("Content-Language")));

	if (l == DSN_LANGUAGES)
		l = best_of(header_get(head, SPAN("Accept-Language")));
	return l < DSN_LANGUAGES ? l : DSN_ENGLISH;
}

enum dsn_language dsn_language_chosen(const char *setting, struct span head)
{
	enum dsn_language l = dsn_language_of(span_str(setting));

	return l < DSN_LANGUAGES ? l : dsn_language_of_head(head);
}
