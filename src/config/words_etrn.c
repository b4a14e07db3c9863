/* "etrn": who may set the queue going for whom. */
#include "config/words.h"

#include "mail/etrn.h"

#include <stdio.h>

static const char *const whose[] = {"from", "account"};

static bool is_whose(const struct word *w)
{
	return words_is(w, whose[0]) || words_is(w, whose[1]);
}

/* "#bulk": the group of that name; else a domain or a pattern. */
static const char *read_name(struct builder *b, const struct word *w)
{
	if (w->text[0] != '#')
		return value_pattern(&b->v, w);
	if (words_name_good(w->text + 1))
		return must_dup(&b->c->arena, span_str(w->text));
	report(b->r, CE_ETRN_GROUP, w, NULL, w->text);
	return NULL;
}

/* False after a report. Moves *w behind them. */
static bool read_names(struct builder *b, const struct word **w, struct etrn_rule *e)
{
	const char **list = must_alloc(&b->c->arena, words_count(*w) * sizeof(*list));

	e->name = list;
	for (; *w != NULL && !is_whose(*w); *w = (*w)->next) {
		const char *name = read_name(b, *w);

		if (name == NULL)
			return false;
		list[e->n_name++] = name;
	}
	return true;
}

static bool read_from(struct builder *b, const struct word **w, struct etrn_rule *e)
{
	struct cidr *list = must_alloc(&b->c->arena, words_count(*w) * sizeof(*list));

	e->from = list;
	e->n_from = 0;
	for (; *w != NULL && !is_whose(*w); *w = (*w)->next) {
		if (!value_cidr(&b->v, *w, &list[e->n_from]))
			return false;
		e->n_from++;
	}
	return true;
}

static bool read_accounts(struct builder *b, const struct word **w, struct etrn_rule *e)
{
	const char **list = must_alloc(&b->c->arena, words_count(*w) * sizeof(*list));

	e->account = list;
	e->n_account = 0;
	for (; *w != NULL && !is_whose(*w); *w = (*w)->next)
		list[e->n_account++] = must_dup(&b->c->arena, span_str((*w)->text));
	return true;
}

static bool read_who(
    struct builder *b, const struct option *row, const struct word *w, struct etrn_rule *e)
{
	while (w != NULL) {
		const struct word *word = w;
		bool from = words_is(w, "from");

		if ((from ? e->from != NULL : e->account != NULL)) {
			build_extra(b, row, w);
			return false;
		}
		if (!words_next(b, row, w))
			return false;
		w = w->next;
		if (!(from ? read_from(b, &w, e) : read_accounts(b, &w, e)))
			return false;
		if ((from ? e->n_from : e->n_account) == 0) {
			report(b->r, CE_ETRN_NOBODY, word, NULL, "");
			return false;
		}
	}
	return true;
}

void words_etrn(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	struct etrn_rule e = {.place = s->words->place};

	if (!read_names(b, &w, &e) || !read_who(b, row, w, &e))
		return;
	if (e.n_name == 0 || e.n_from + e.n_account == 0)
		report(b->r, CE_ETRN_NOBODY, s->words, NULL, "");
	else
		b->etrn[b->c->n_etrn++] = e;
}
