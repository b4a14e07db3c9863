/* The file of "dsn { texts }": texts that go before those of the program in reports. */
#include "config/words.h"

#include "mail/dsn_texts.h"

/* The loader put it behind the file with the statement, like one that is included. */
static const struct source *find(const struct bundle *bundle, const struct word *name)
{
	for (size_t i = 1; i < bundle->n_source; i++) {
		const struct source *s = &bundle->source[i];

		if (s->parent > 0 && s->line == name->place.line &&
		    s->column == name->place.column &&
		    strcmp(bundle->source[s->parent - 1].name, name->place.file) == 0)
			return s;
	}
	return NULL;
}

void words_texts(struct builder *b, const struct word *name)
{
	const struct source *s = find(b->r->bundle, name);
	struct dsn_texts_error e = {0};
	struct place at;

	/* A text in memory comes without files, and is judged without them. */
	if (b->r->bundle->no_include)
		return;
	if (s == NULL) {
		report(b->r, CE_FILE_UNUSABLE, name->next, NULL, name->next->text,
		    "it did not come with the configuration");
		return;
	}
	b->c->dsn.texts = dsn_texts_parse(s->text, &b->c->arena, &e);
	at = (struct place){s->name, e.line, e.column};
	if (b->c->dsn.texts == NULL)
		report_at(b->r, CE_FILE_CONTENT, &at, 1, NULL, e.text);
}
