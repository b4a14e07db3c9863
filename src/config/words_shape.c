/* "shape": groups of destinations and how they are treated. */
#include "config/words.h"

#include <stdio.h>

/* ---- inside the block ------------------------------------------------------------------------ */

/* What is built in yields to what the user says, so they are told apart. */
static const char *kind_of_pattern(enum option_id id, bool builtin)
{
	if (id == OPT_SHAPE_MX)
		return builtin ? "built-in mx" : "mx";
	return builtin ? "built-in pattern" : "pattern";
}

static size_t read_patterns(
    struct builder *b, const struct option *row, const struct word *w, const char **list)
{
	const struct place *first;
	char at[PLACE_TEXT];
	size_t n = 0;

	for (; w != NULL; w = w->next) {
		const char *pattern = value_pattern(&b->v, w);

		if (pattern == NULL)
			continue;
		first = build_once(
		    b, kind_of_pattern(row->id, is_builtin(&w->place)), pattern, &w->place);
		if (first != NULL)
			report(
			    b->r, CE_SHAPE_PATTERN_TWICE, w, NULL, pattern, place_text(first, at));
		else
			list[n++] = pattern;
	}
	return n;
}

static void own_patterns(
    struct builder *b, const struct option *row, const struct word *w, struct shape *g)
{
	const char **list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));
	size_t n = read_patterns(b, row, w, list);

	if (row->id == OPT_SHAPE_MX) {
		g->mx = list;
		g->n_mx = n;
	} else {
		g->domain = list;
		g->n_domain = n;
	}
}

/* [CLASS] DURATION...; what is said of a class goes before what is said of all. */
static void own_retry(
    struct builder *b, const struct option *row, const struct word *w, struct shape *g)
{
	int64_t *list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));
	struct retries r = {.step = list};
	unsigned class = 0;
	char first[PLACE_TEXT];
	uint64_t n;

	while (class < PRIORITY_COUNT && !words_is(w, priority_word((enum priority) class)))
		class ++;
	if (b->retry_said[class].line > 0) {
		report(
		    b->r, CE_DUPLICATE, w, NULL, "retry", place_text(&b->retry_said[class], first));
		return;
	}
	b->retry_said[class] = w->place;
	if (class < PRIORITY_COUNT && !words_next(b, row, w))
		return;
	for (w = class < PRIORITY_COUNT ? w->next : w; w != NULL; w = w->next) {
		if (value_number(&b->v, row, TYPE_DURATION, w, &n))
			list[r.n++] = (int64_t)n;
	}
	for (unsigned p = 0; p < PRIORITY_COUNT && r.n > 0; p++) {
		if (class == p || (class == PRIORITY_COUNT && b->retry_said[p].line == 0))
			g->retry[p] = r;
	}
}

void words_in_shape(
    struct builder *b, struct shape *g, const struct option *row, const struct word *w)
{
	const struct word *rest = w;

	if (row->id == OPT_SHAPE_RETRY)
		own_retry(b, row, w, g);
	else if (row->id == OPT_SHAPE_ON)
		words_on_reply(b, row, w, g);
	else if (row->id != OPT_SHAPE_TLS)
		own_patterns(b, row, w, g);
	else if (words_tls_out(b, row, &rest, &g->tls))
		build_extra(b, row, rest);
}

/* ---- the statement --------------------------------------------------------------------------- */

static void check_patterns(
    struct builder *b, const struct shape *g, const struct block *k, const struct word *w)
{
	static const enum option_id ids[] = {OPT_SHAPE_DOMAIN, OPT_SHAPE_MX};
	bool star = strcmp(g->name, "*") == 0, none = true;

	for (size_t i = 0; i < GW_ARRAY_LEN(ids); i++) {
		const struct place *at = &k->seen[ids[i]];

		none = none && at->line == 0;
		if (star && at->line > 0)
			report_at(b->r, CE_SHAPE_STAR, at, (unsigned)strlen(options[ids[i]].name),
			    NULL, "");
	}
	if (!star && none && g->n_domain == 0 && g->n_mx == 0)
		report(b->r, CE_REQUIRED_IN, w, "add: mx PATTERN... (or domain PATTERN...)",
		    k->label, "mx");
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

	snprintf(label, sizeof(label), "shape %.40s", w->text);
	memset(b->retry_said, 0, sizeof(b->retry_said));
	b->rules = NULL;
	build_settings(b, &k, s->block);
	check_patterns(b, g, &k, w);
}

/* False after a report. */
static bool may_be_said(struct builder *b, const struct word *w)
{
	const struct place *first;
	char at[PLACE_TEXT];

	if (!words_is(w, "*") && !words_name_good(w->text)) {
		report(b->r, CE_SHAPE_NAME, w, NULL, w->text);
		return false;
	}
	first =
	    build_once(b, is_builtin(&w->place) ? "built-in shape" : "shape", w->text, &w->place);
	if (first != NULL)
		report(b->r, CE_SHAPE_TWICE, w, NULL, w->text, place_text(first, at));
	return first == NULL;
}

/*
 * "shape *" comes first, then what is built in (see build_order() in parse.c); the groups start as
 * copies of "*", and one that is built in goes on where the user has one of that name.
 */
void words_shape(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	bool star = words_is(w, "*");
	size_t number = build_number(b, "shape", w->text);
	struct shape *g = &b->star;
	struct place *origin = b->star_origin;

	if (build_extra(b, row, w->next) || !may_be_said(b, w))
		return;
	if (!star && number == SIZE_MAX) {
		number = b->c->n_shape++;
		build_set_number(b, "shape", w->text, number);
		b->shape[number] = b->star;
		b->shape[number].name = must_dup(&b->c->arena, span_str(w->text));
		memcpy(b->x->shape_origin[number], b->star_origin, sizeof(b->star_origin));
	}
	if (!star) {
		g = &b->shape[number];
		origin = b->x->shape_origin[number];
	}
	g->place = s->words->place;
	read_shape(b, g, origin, s);
}

/* ---- what is built in makes room ------------------------------------------------------------- */

static size_t without_users(
    struct builder *b, enum option_id id, const char *const *from, size_t n, const char **to)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (build_said(b, kind_of_pattern(id, false), from[i]) == NULL)
			to[kept++] = from[i];
	}
	return kept;
}

static void settle_list(
    struct builder *b, size_t number, enum option_id id, const char *const **list, size_t *n)
{
	const char **to;

	if (!is_builtin(&b->x->shape_origin[number][id - OPT_SHAPE_DOMAIN]))
		return;
	to = must_alloc(&b->c->arena, *n * sizeof(*to));
	*n = without_users(b, id, *list, *n, to);
	*list = to;
}

void words_shapes_settle(struct builder *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->c->n_shape; i++) {
		struct shape *g = &b->shape[i];

		settle_list(b, i, OPT_SHAPE_DOMAIN, &g->domain, &g->n_domain);
		settle_list(b, i, OPT_SHAPE_MX, &g->mx, &g->n_mx);
		/* Nothing is left for it. */
		if (g->n_domain + g->n_mx == 0 && is_builtin(&g->place))
			continue;
		b->shape[kept] = *g;
		memmove(b->x->shape_origin[kept++], b->x->shape_origin[i], sizeof(b->star_origin));
	}
	b->c->n_shape = kept;
}
