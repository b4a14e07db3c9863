/* "domain": what is ours, and who is known there. */
#include "config/words.h"

#include <stdio.h>

/* ---- inside the block ---------------------------------------------------------------------- */

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

/* SIZE|off, "messages N" and "defer" in any order behind it. */
static void own_quota(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	static const struct option messages = {.name = "messages", .min = 1, .max = UINT32_MAX};
	static const char *const words[] = {"messages", "defer"};
	struct quota q = {0};
	size_t which;

	if (!words_is(w, "off") && !value_number(&b->v, row, TYPE_SIZE, w, &q.octets))
		return;
	for (w = w->next; w != NULL; w = w->next) {
		if (!words_choose(b, w, words, GW_ARRAY_LEN(words), &which))
			return;
		q.defer = q.defer || which == 1;
		if (which == 1)
			continue;
		if (!words_next(b, row, w) ||
		    !value_number(&b->v, &messages, TYPE_NUMBER, w->next, &q.messages))
			return;
		w = w->next;
	}
	d->quota = q;
}

static const char *const folder_words[] = {
    [FOLDER_OFF] = "off", [FOLDER_EXISTING] = "existing", [FOLDER_MAKE] = "yes"};

const char *folder_word(enum folder_wish wish)
{
	return folder_words[wish];
}

static void own_folder(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	size_t wish;

	if (!build_extra(b, row, w->next) &&
	    words_choose(b, w, folder_words, GW_ARRAY_LEN(folder_words), &wish))
		d->folder = (enum folder_wish)wish;
}

static void own_forward(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d)
{
	if (!build_extra(b, row, w->next))
		d->forward = value_maildir(&b->v, w);
}

void words_srs_secret(struct builder *b, const struct option *row, const struct word *w)
{
	if (build_extra(b, row, w->next))
		return;
	b->c->srs.secret_path = words_secret_path(b, w);
	b->c->srs.secret = must_dup(&b->c->arena, span_str(w->text));
	b->c->srs.secret_place = w->place;
}

void words_in_domain(
    struct builder *b, struct domain *d, const struct option *row, const struct word *w)
{
	if (row->id == OPT_DELIVER)
		words_target(b, w, &d->deliver);
	else if (row->id == OPT_DOMAIN_RECIPIENTS)
		words_recipients(b, row, w, d);
	else if (row->id == OPT_DOMAIN_QUOTA)
		own_quota(b, row, w, d);
	else if (row->id == OPT_DOMAIN_FOLDER)
		own_folder(b, row, w, d);
	else if (row->id == OPT_DOMAIN_FORWARD)
		own_forward(b, row, w, d);
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
		    "add: deliver maildir PATH (or lmtp, pipe, relay, reject)", k->label,
		    "deliver");
	else if (d->forward != NULL && d->deliver.kind != TARGET_MAILDIR)
		report_at(b->r, CE_FORWARD, &k->seen[OPT_DOMAIN_FORWARD], 7, NULL, d->name);
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
