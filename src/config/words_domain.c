/* "domain": what is ours, and who is known there. */
#include "config/words.h"

#include <stdio.h>

static const char *const ways[] = {
    [RECIPIENTS_ANY] = "any", [RECIPIENTS_USERS] = "users", [RECIPIENTS_FILE] = "file"};

const char *recipients_word(enum recipients_kind k)
{
	return ways[k];
}

/* ---- inside the block ---------------------------------------------------------------------- */

static void own_recipients(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	size_t way;

	if (!words_choose(b, w, ways, GW_ARRAY_LEN(ways), &way))
		return;
	d->recipients = (enum recipients_kind)way;
	d->recipients_place = w->place;
	if (way != RECIPIENTS_FILE) {
		build_extra(b, row, w->next);
		return;
	}
	if (words_next(b, row, w) && !build_extra(b, row, w->next->next)) {
		d->recipients_file = value_path(&b->v, w->next);
		d->recipients_place = w->next->place;
	}
}

/* RFC 5321 section 4.1.2: a character of an atom, but none that names are made of. */
static void own_subaddress(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	if (build_extra(b, row, w->next))
		return;
	if (words_is(w, "off"))
		d->subaddress = 0;
	else if (w->text[1] == '\0' && strchr("+-=_.!#$&'*/?^`|~", w->text[0]) != NULL)
		d->subaddress = w->text[0];
	else
		report(b->r, CE_SUBADDRESS, w, NULL, w->text);
}

void words_in_domain(
    struct builder *b, struct domain *d, const struct option *row, const struct word *w)
{
	if (row->id == OPT_DELIVER)
		words_target(b, row, w, &d->deliver);
	else if (row->id == OPT_DOMAIN_RECIPIENTS)
		own_recipients(b, row, w, d);
	else
		own_subaddress(b, row, w, d);
}

/* ---- the statement -------------------------------------------------------------------------- */

static void add_domain(
    struct builder *b, const struct block *k, const struct domain *d, const struct word *w)
{
	char at[PLACE_TEXT];
	const struct place *first = build_once(b, "domain", d->name, &d->place);

	if (first != NULL)
		report(b->r, CE_DOMAIN_TWICE, w, NULL, d->name, place_text(first, at));
	else if (k->seen[OPT_DELIVER].line == 0)
		report(b->r, CE_REQUIRED_IN, w,
		    "add: deliver maildir PATH (or lmtp, relay, reject)", k->label, "deliver");
	else
		b->domain[b->c->n_domain++] = *d;
}

void words_domain(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	struct domain d = {.place = s->words->place, .name = value_pattern(&b->v, w)};
	char label[300];
	struct block k = {.scope = SCOPE_DOMAIN, .label = label, .base = &d};

	if (build_extra(b, row, w->next))
		return;
	snprintf(label, sizeof(label), "domain %.256s", w->text);
	build_defaults(b, SCOPE_DOMAIN, &d);
	build_settings(b, &k, s->block);
	d.aliases_place = k.seen[OPT_DOMAIN_ALIASES];
	d.catch_all_place = k.seen[OPT_DOMAIN_CATCH_ALL];
	if (d.name != NULL)
		add_domain(b, &k, &d, w);
}
