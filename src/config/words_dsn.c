/* "dsn": which failures the administrator hears of. */
#include "config/words.h"

_Static_assert(REPLY_CLASSES <= 64, "a set of classes is one number");

#define ALL ((UINT64_C(1) << REPLY_CLASSES) - 1)

static bool one_class(struct builder *b, const struct word *w, uint64_t *set)
{
	const char *words[REPLY_CLASSES];
	enum reply_class class = reply_class_of_word(span_str(w->text));

	for (size_t i = 0; i < REPLY_CLASSES; i++)
		words[i] = reply_classes[i].word;
	if (class == REPLY_CLASSES) {
		words_bad(b, w, words, REPLY_CLASSES);
		return false;
	}
	*set |= UINT64_C(1) << class;
	return true;
}

/* copy CLASS...|all|none */
void words_in_dsn(struct builder *b, const struct option *row, const struct word *w)
{
	uint64_t set = 0;

	if (words_is(w, "all") || words_is(w, "none")) {
		if (!build_extra(b, row, w->next))
			b->c->dsn.copy = words_is(w, "all") ? ALL : 0;
		return;
	}
	for (; w != NULL; w = w->next) {
		if (!one_class(b, w, &set))
			return;
	}
	b->c->dsn.copy = set;
}
