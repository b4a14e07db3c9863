/* "identify": who need not log in to be an account. */
#include "config/words.h"

enum { ACCOUNT_OCTETS = 255 };

static void own_domains(struct builder *b, const struct word *w, struct identify *i)
{
	const char **list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));

	i->domain = list;
	for (; w != NULL; w = w->next) {
		list[i->n_domain] = value_domain(&b->v, w);
		if (list[i->n_domain] != NULL)
			i->n_domain++;
	}
}

void words_in_identify(
    struct builder *b, struct identify *i, const struct option *row, const struct word *w)
{
	if (row->id == OPT_IDENTIFY_IP)
		i->ip = words_ranges(b, w, &i->n_ip);
	else if (row->id == OPT_IDENTIFY_HELO)
		own_domains(b, w, i);
	else if (!build_extra(b, row, w->next))
		i->account = must_dup(&b->c->arena, span_first(span_str(w->text), ACCOUNT_OCTETS));
}

/* Whoever has a name below it could prove it: names without ranges are worth what it costs to get
 * one. */
static void check_domains(struct builder *b, const struct block *k, const struct identify *i)
{
	for (size_t n = 0; i->n_ip == 0 && n < i->n_domain; n++) {
		if (strchr(i->domain[n], '.') == NULL)
			report_at(b->r, CE_IDENTIFY_TOP, &k->seen[OPT_IDENTIFY_HELO], 11, NULL,
			    i->domain[n]);
	}
}

/* Is all of it there? A list that was written and has nothing good in it was reported. */
static bool is_whole(struct builder *b, const struct block *k, const struct identify *i)
{
	bool by = k->seen[OPT_IDENTIFY_IP].line > 0 || k->seen[OPT_IDENTIFY_HELO].line > 0;

	if (!by || i->account == NULL)
		report_at(b->r, CE_IDENTIFY_HALF, &i->place, (unsigned)strlen(i->name), NULL,
		    i->name, !by ? "ip" : "account");
	return by && i->account != NULL;
}

void words_identify(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	struct identify i = {.name = must_dup(&b->c->arena, span_str(w->text)), .place = w->place};
	struct block k = {.scope = SCOPE_IDENTIFY, .base = &i};
	const struct place *first;
	char at[PLACE_TEXT];

	if (build_extra(b, row, w->next))
		return;
	if (!words_name_good(w->text)) {
		report(b->r, CE_IDENTIFY_NAME, w, NULL, w->text);
		return;
	}
	first = build_once(b, "identify", w->text, &w->place);
	if (first != NULL) {
		report(b->r, CE_IDENTIFY_TWICE, w, NULL, w->text, place_text(first, at));
		return;
	}
	k.label = textf(b->r, "identify %s", i.name);
	build_settings(b, &k, s->block);
	check_domains(b, &k, &i);
	if (is_whole(b, &k, &i))
		b->identify[b->c->n_identify++] = i;
}
