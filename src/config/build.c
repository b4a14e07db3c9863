#include "config/build.h"

#include "config/words.h"

#include <stdio.h>
#include <stdlib.h>

bool build_extra(struct builder *b, const struct option *row, const struct word *w)
{
	if (w == NULL)
		return false;
	report(b->r, CE_WORD_EXTRA, w, textf(b->r, "write: %s %s", row->name, row->args), w->text,
	    row->name);
	return true;
}

/* "KIND NAME" in one text, which is put into the map only if it is new. */
struct key {
	char text[WORD_LENGTH + 32];
};

static struct span key_of(struct key *k, const char *kind, const char *name)
{
	snprintf(k->text, sizeof(k->text), "%s %s", kind, name);
	return span_str(k->text);
}

size_t build_number(const struct builder *b, const char *kind, const char *name)
{
	struct key k;

	return (size_t)(uintptr_t)map_get(&b->named, key_of(&k, kind, name)) - 1;
}

void build_set_number(struct builder *b, const char *kind, const char *name, size_t number)
{
	struct key k;
	const char *key = must_dup(&b->r->arena, key_of(&k, kind, name));

	map_put(&b->named, span_str(key), (void *)(uintptr_t)(number + 1));
}

const struct place *build_said(const struct builder *b, const char *kind, const char *name)
{
	struct key k;

	return map_get(&b->once, key_of(&k, kind, name));
}

bool is_builtin(const struct place *at)
{
	return at->file != NULL && is_builtin_name(at->file);
}

const struct place *build_once(
    struct builder *b, const char *kind, const char *name, const struct place *at)
{
	struct key k;
	struct span key = key_of(&k, kind, name);
	struct place *first = map_get(&b->once, key);

	if (first != NULL)
		return first;
	first = must_alloc(&b->r->arena, sizeof(*first));
	*first = *at;
	map_put(&b->once, span_str(must_dup(&b->r->arena, key)), first);
	return NULL;
}

/* ---- values of the simple types */

static void store_number(void *to, enum option_type type, uint64_t n)
{
	if (type == TYPE_NUMBER || type == TYPE_LIMIT)
		*(uint32_t *)to = (uint32_t)n;
	else if (type == TYPE_DURATION)
		*(int64_t *)to = (int64_t)n;
	else if (type == TYPE_RATE)
		*(struct rate *)to = (struct rate){(uint32_t)n, (uint32_t)(n >> 32)};
	else
		*(uint64_t *)to = n;
}

static void store_value(
    struct builder *b, void *base, const struct option *row, const struct word *w)
{
	void *to = (uint8_t *)base + row->field;
	const char *text;
	uint64_t n;
	bool on;

	switch (row->type) {
	case TYPE_NUMBER:
	case TYPE_LIMIT:
	case TYPE_SIZE:
	case TYPE_DURATION:
	case TYPE_RATE:
		if (value_number(&b->v, row, row->type, w, &n))
			store_number(to, row->type, n);
		break;
	case TYPE_YESNO:
	case TYPE_ONOFF:
		if (value_bool(&b->v, row, w, &on))
			*(bool *)to = on;
		break;
	default:
		text = value_text(&b->v, row, w);
		if (text != NULL)
			*(const char **)to = text;
		break;
	}
}

/* A tail like "per-ip 20": pairs of a name and a value. */
void build_tail(
    struct builder *b, struct block *outer, const struct option *row, const struct word *rest)
{
	struct block k = {.scope = row->opens, .label = row->name, .base = outer->base};

	/* Inside of a list there is no place for the origins of single words. */
	if (outer->base == b->c)
		k.origin = &b->x->origin[0];

	while (rest != NULL) {
		struct word pair[2] = {*rest};
		struct stmt s = {.words = pair, .n_words = 1};

		pair[0].next = NULL;
		rest = rest->next;
		if (rest != NULL) {
			pair[1] = *rest;
			pair[1].next = NULL;
			pair[0].next = &pair[1];
			s.n_words = 2;
			rest = rest->next;
		}
		build_settings(b, &k, &s);
	}
}

static bool opens_block(const struct option *row)
{
	return row->opens != SCOPE_NONE && !scope_is_tail(row->opens);
}

static bool block_optional(const struct option *row)
{
	return row->opens == SCOPE_LOG || row->opens == SCOPE_LISTEN;
}

/* "history off" has no block. */
static bool block_or_off(const struct option *row, const struct stmt *s)
{
	return row->id == OPT_HISTORY && s->n_words > 1;
}

static void simple(
    struct builder *b, struct block *k, const struct option *row, const struct stmt *s)
{
	const struct word *value = s->words->next;

	store_value(b, k->base, row, value);
	if (scope_is_tail(row->opens))
		build_tail(b, k, row, value->next);
	else
		build_extra(b, row, value->next);
	if (row->id == OPT_DSN_TEXTS)
		words_texts(b, s->words);
}

/* "history off" */
static void build_off(struct builder *b, const struct option *row, const struct word *w)
{
	if (strcmp(w->text, "off") != 0)
		build_extra(b, row, w);
	else
		b->c->history.off = !build_extra(b, row, w->next);
}

/* "limit" and "limits" are easily taken for each other. */
static const char *form_hint(struct builder *b, const struct option *row, const struct stmt *s)
{
	if (row->id == OPT_LIMITS && s->n_words > 1)
		return "how much mail in a time: limit account messages N/TIME";
	if (row->id == OPT_LIMIT && s->has_block)
		return "what one client may ask of the server: limits {...}";
	return textf(b->r, "write: %s %s", row->name, row->args);
}

static void pure_block(struct builder *b, const struct option *row, const struct stmt *s)
{
	struct block k = {
	    .scope = row->opens, .label = row->name, .base = b->c, .origin = &b->x->origin[0]};

	if (row->id == OPT_HISTORY && !s->has_block)
		build_off(b, row, s->words->next);
	else if (row->id == OPT_LIMITS && s->words->next != NULL)
		report(b->r, CE_WORD_EXTRA, s->words->next, form_hint(b, row, s),
		    s->words->next->text, row->name);
	else if (!build_extra(b, row, s->words->next))
		build_settings(b, &k, s->block);
}

/* ---- statements */

static void unknown(struct builder *b, const struct block *k, const struct word *w)
{
	const char *instead = k->scope == SCOPE_LIMITS ? words_limit_instead(b, w) : NULL;
	struct buf hint;

	if (instead != NULL) {
		report(b->r, CE_UNKNOWN, w, instead, w->text, k->label);
		return;
	}
	buf_init(&hint, 4096);
	schema_hint_unknown(k->scope, span_str(w->text), &hint);
	buf_add_byte(&hint, 0);
	report(b->r, CE_UNKNOWN, w, (const char *)buf_view(&hint).p, w->text, k->label);
	buf_fini(&hint);
}

/* Is the statement of the form its row asks for? */
static bool well_formed(struct builder *b, const struct option *row, const struct stmt *s)
{
	enum config_error e;

	if (s->has_block && !opens_block(row))
		e = CE_BLOCK_EXTRA;
	else if (row->type != TYPE_BLOCK && s->n_words < 2)
		e = CE_VALUE_MISSING;
	else if (!s->has_block && opens_block(row) && !block_optional(row) && !block_or_off(row, s))
		e = CE_BLOCK_MISSING;
	else
		return true;
	report(b->r, e, s->words, form_hint(b, row, s), row->name);
	return false;
}

static bool repeated(
    struct builder *b, struct block *k, const struct option *row, const struct word *name)
{
	struct place *seen = &k->seen[row->id];
	char first[PLACE_TEXT];

	if (row->count == COUNT_ONCE && seen->line > 0) {
		report(b->r, CE_DUPLICATE, name, NULL, row->name, place_text(seen, first));
		return true;
	}
	*seen = name->place;
	if (k->origin != NULL)
		k->origin[row->id - k->first] = name->place;
	return false;
}

static void statement(struct builder *b, struct block *k, const struct stmt *s)
{
	const struct option *row;

	if (s->words->text == NULL)
		return;
	row = option_find(k->scope, span_str(s->words->text));
	if (row == NULL) {
		unknown(b, k, s->words);
		return;
	}
	if (repeated(b, k, row, s->words))
		return;
	for (const struct word *w = s->words; w != NULL; w = w->next) {
		if (w->text == NULL)
			return;
	}
	if (!well_formed(b, row, s))
		return;
	if (row->type == TYPE_OWN)
		build_own(b, k, row, s);
	else if (row->type == TYPE_BLOCK)
		pure_block(b, row, s);
	else
		simple(b, k, row, s);
}

void build_settings(struct builder *b, struct block *k, const struct stmt *list)
{
	for (; list != NULL; list = list->next)
		statement(b, k, list);
}

/* Defaults take the same way as what is written; their places have no file. */
void build_defaults(struct builder *b, enum option_scope scope, void *base)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];
		struct block k = {.scope = scope, .base = base};
		struct source src = {0};
		struct buf text;

		if (row->scope != scope || row->fallback == NULL)
			continue;
		buf_init(&text, 256);
		buf_addf(&text, "%s %s", row->name, row->fallback);
		src.text = buf_view(&text);
		build_settings(b, &k, tree_read(b->r, &src));
		buf_fini(&text);
	}
}
