#include "config/words.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- targets: KIND ARGUMENT, in "deliver" and behind "via" */

static const char *const target_words[] = {"maildir", "lmtp", "relay", "reject"};

static void bad_keyword(
    struct builder *b, const struct word *w, const char *const *words, size_t n, const char *list)
{
	const char *near = nearest_word(span_str(w->text), words, n);

	report(b->r, CE_KEYWORD, w, near ? textf(b->r, "did you mean '%s'?", near) : NULL, w->text,
	    list);
}

bool words_is(const struct word *w, const char *text)
{
	return w != NULL && strcmp(w->text, text) == 0;
}

bool words_choose(
    struct builder *b, const struct word *w, const char *const *words, size_t n, size_t *which)
{
	char list[200] = "";
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (words_is(w, words[i])) {
			*which = i;
			return true;
		}
		used += (size_t)snprintf(
		    list + used, sizeof(list) - used, "%s%s", i ? " " : "", words[i]);
		gw_assert(used < sizeof(list));
	}
	bad_keyword(b, w, words, n, list);
	return false;
}

bool words_next(struct builder *b, const struct option *row, const struct word *w)
{
	if (w->next != NULL)
		return true;
	report(
	    b->r, CE_VALUE_MISSING, w, textf(b->r, "write: %s %s", row->name, row->args), w->text);
	return false;
}

static bool read_argument(struct builder *b, const struct word *w, struct target *t)
{
	switch (t->kind) {
	case TARGET_MAILDIR: t->path = value_maildir(&b->v, w); return t->path != NULL;
	case TARGET_REJECT: t->reply = value_reply(&b->v, w); return t->reply != NULL;
	case TARGET_LMTP: return value_endpoint(&b->v, w, ENDPOINT_LMTP, &t->at);
	case TARGET_RELAY: return value_endpoint(&b->v, w, ENDPOINT_RELAY, &t->at);
	}
	return false;
}

bool words_target(
    struct builder *b, const struct option *row, const struct word *w, struct target *t)
{
	size_t kind = 0;

	while (kind < GW_ARRAY_LEN(target_words) && !words_is(w, target_words[kind]))
		kind++;
	if (kind == GW_ARRAY_LEN(target_words)) {
		bad_keyword(b, w, target_words, kind, "maildir lmtp relay reject");
		return false;
	}
	*t = (struct target){.kind = (enum target_kind)kind, .place = w->place};
	if (!words_next(b, row, w) || !read_argument(b, w->next, t))
		return false;
	return !build_extra(b, row, w->next->next);
}

/* ---- the settings */

static void own_log(struct builder *b, const struct option *row, const struct stmt *s)
{
	static const char *const kinds[] = {"journal", "stderr", "file", "json"};
	const struct word *w = s->words->next;
	struct block k = {
	    .scope = SCOPE_LOG, .label = "log", .base = b->c, .origin = &b->x->origin[0]};

	build_settings(b, &k, s->block);
	b->c->log_json = words_is(w, "json");
	if (b->c->log_json && words_is(w->next, "file"))
		w = w->next;
	if (words_is(w, "file")) {
		if (!words_next(b, row, w))
			return;
		w = w->next;
		b->c->log_path = value_path(&b->v, w);
	} else if (!words_is(w, "journal") && !words_is(w, "stderr") && !words_is(w, "json")) {
		bad_keyword(b, w, kinds, GW_ARRAY_LEN(kinds), "journal stderr file json");
		return;
	}
	build_extra(b, row, w->next);
}

static void own_trust(struct builder *b, const struct word *w)
{
	for (; w != NULL; w = w->next) {
		if (value_cidr(&b->v, w, &b->trust[b->c->n_trust]))
			b->c->n_trust++;
	}
}

/* "to any" or "to domain PATTERN"; the word behind it, NULL after a report. */
static const struct word *read_destination(
    struct builder *b, const struct option *row, const struct word *w, struct route *r)
{
	static const char *const destinations[] = {"any", "domain"};

	if (!words_is(w, "to")) {
		report(b->r, CE_KEYWORD, w,
		    "write: route to any via ... or route to domain PATTERN via ...", w->text,
		    "to");
		return NULL;
	}
	if (!words_next(b, row, w))
		return NULL;
	w = w->next;
	if (words_is(w, "domain") && words_next(b, row, w)) {
		w = w->next;
		r->domain = value_pattern(&b->v, w);
		if (r->domain == NULL)
			return NULL;
	} else if (!words_is(w, "any")) {
		if (!words_is(w, "domain"))
			bad_keyword(b, w, destinations, 2, "any domain");
		return NULL;
	}
	return words_next(b, row, w) ? w->next : NULL;
}

static void own_route(struct builder *b, const struct option *row, const struct stmt *s)
{
	struct route r = {.place = s->words->place};
	const struct word *w = read_destination(b, row, s->words->next, &r);

	if (w == NULL)
		return;
	if (!words_is(w, "via"))
		report(b->r, CE_KEYWORD, w, "write: via relay HOST:PORT (or lmtp, maildir, reject)",
		    w->text, "via");
	else if (words_next(b, row, w) && words_target(b, row, w->next, &r.target))
		b->route[b->c->n_route++] = r;
}

/* ---- shape groups */

static bool shape_name_good(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return n > 0 && n <= 32;
}

static void read_shape(
    struct builder *b, struct shape *g, struct place *origin, const struct stmt *s)
{
	const struct word *w = s->words->next;
	char label[64];
	struct block k = {.scope = SCOPE_SHAPE,
	    .label = label,
	    .base = g,
	    .origin = origin,
	    .first = OPT_SHAPE_DOMAIN};
	const struct place *domains = &k.seen[OPT_SHAPE_DOMAIN];

	snprintf(label, sizeof(label), "shape %.40s", w->text);
	build_settings(b, &k, s->block);
	if (strcmp(g->name, "*") == 0 && domains->line > 0)
		report_at(b->r, CE_SHAPE_STAR, domains, 6, NULL, "");
	else if (strcmp(g->name, "*") != 0 && domains->line == 0)
		report(b->r, CE_REQUIRED_IN, w, "add: domain PATTERN...", k.label, "domain");
}

/* "shape *" comes first (see parse.c); the other groups start as copies of it. */
static void own_shape(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	bool is_star = words_is(w, "*");
	struct shape *g = is_star ? &b->star : &b->shape[b->c->n_shape];
	struct place *origin = is_star ? b->star_origin : b->x->shape_origin[b->c->n_shape];
	const struct place *first;
	char at[PLACE_TEXT];

	if (build_extra(b, row, w->next))
		return;
	if (!is_star && !shape_name_good(w->text)) {
		report(b->r, CE_SHAPE_NAME, w, NULL, w->text);
		return;
	}
	first = build_once(b, "shape", w->text, &s->words->place);
	if (first != NULL) {
		report(b->r, CE_SHAPE_TWICE, w, NULL, w->text, place_text(first, at));
		return;
	}
	*g = b->star;
	g->name = must_dup(&b->c->arena, span_str(w->text));
	g->place = s->words->place;
	memcpy(origin, b->star_origin, is_star ? 0 : sizeof(b->star_origin));
	if (!is_star)
		b->c->n_shape++;
	read_shape(b, g, origin, s);
}

size_t words_count(const struct word *w)
{
	size_t n = 0;

	for (; w != NULL; w = w->next)
		n++;
	return n;
}

static void own_shape_domain(struct builder *b, struct shape *g, const struct word *w)
{
	const char **list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));
	const struct place *first;
	char at[PLACE_TEXT];

	g->n_domain = 0;
	g->domain = list;
	for (; w != NULL; w = w->next) {
		const char *pattern = value_pattern(&b->v, w);

		if (pattern == NULL)
			continue;
		first = build_once(b, "pattern", pattern, &w->place);
		if (first != NULL)
			report(
			    b->r, CE_SHAPE_PATTERN_TWICE, w, NULL, pattern, place_text(first, at));
		else
			list[g->n_domain++] = pattern;
	}
}

static void own_retry(
    struct builder *b, const struct option *row, struct shape *g, const struct word *w)
{
	int64_t *list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));
	uint64_t n;

	g->retry = list;
	g->n_retry = 0;
	for (; w != NULL; w = w->next) {
		if (value_number(&b->v, row, TYPE_DURATION, w, &n))
			list[g->n_retry++] = (int64_t)n;
	}
}

void build_own(struct builder *b, struct block *k, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	switch (row->id) {
	case OPT_LISTEN: words_listen(b, row, s); break;
	case OPT_TLS: words_tls(b, row, w); break;
	case OPT_USERS: words_users(b, row, w); break;
	case OPT_LISTEN_TLS:
	case OPT_LISTEN_AUTH:
	case OPT_LISTEN_BANNER:
	case OPT_LISTEN_FROM: words_in_listen(b, k->base, row, w); break;
	case OPT_LOG: own_log(b, row, s); break;
	case OPT_TRUST: own_trust(b, w); break;
	case OPT_DOMAIN: words_domain(b, row, s); break;
	case OPT_ROUTE: own_route(b, row, s); break;
	case OPT_SHAPE: own_shape(b, row, s); break;
	case OPT_INCLUDE: build_extra(b, row, w->next); break;
	case OPT_DELIVER:
	case OPT_DOMAIN_RECIPIENTS:
	case OPT_DOMAIN_SUBADDRESS: words_in_domain(b, k->base, row, w); break;
	case OPT_SHAPE_DOMAIN: own_shape_domain(b, k->base, w); break;
	case OPT_SHAPE_RETRY: own_retry(b, row, k->base, w); break;
	default: die("%s: no code for this setting", row->name);
	}
}
