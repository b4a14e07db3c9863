#include "config/recipients-private.h"

#include "config/includes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLE_MEMORY = 512 << 20, NAME_LENGTH = 256, SEED = 0x72637074 };

/* ---- building -------------------------------------------------------------------------------- */

bool table_fail(struct table_reader *t, const uint8_t *at, const char *fmt, ...)
{
	va_list ap;

	if (t->failed)
		return false;
	t->failed = true;
	t->e->line = t->line;
	t->e->file = t->included;
	t->e->column = at != NULL ? (unsigned)(at - t->line_start) + 1 : 1;
	va_start(ap, fmt);
	vsnprintf(t->e->text, sizeof(t->e->text), fmt, ap);
	va_end(ap);
	return false;
}

void *table_alloc(struct table_reader *t, size_t n)
{
	void *p = arena_alloc(&t->r->arena, n);

	if (p == NULL)
		table_fail(t, NULL, "the table is too large");
	return p;
}

static bool add_pattern(struct table_reader *t, struct entry *x, const uint8_t *at)
{
	struct recipients *r = t->r;

	if (++r->n_patterns > RECIPIENTS_PATTERN_MAX)
		return table_fail(t, at, "there are more than %d patterns", RECIPIENTS_PATTERN_MAX);
	*r->patterns_end = x;
	r->patterns_end = &x->next;
	return true;
}

bool table_add(struct table_reader *t, struct entry *x, bool pattern, const uint8_t *at)
{
	struct map *m = x->whole ? &t->r->whole : x->rule.alias ? &t->r->aliases : &t->r->names;
	struct span key = span_str(x->rule.pattern);
	const struct entry *first;

	if (pattern)
		return add_pattern(t, x, at);
	first = map_get(m, key);
	if (first != NULL)
		return table_fail(t, at, "'%.64s' stands here twice, first in line %u",
		    x->rule.pattern, first->rule.place.line);
	map_put(m, key, x);
	*t->r->all_end = x;
	t->r->all_end = &x->next;
	return true;
}

/* ---- look-ups -------------------------------------------------------------------------------- */

static struct entry *find(const struct recipients *r, struct span local)
{
	uint8_t lower[NAME_LENGTH];
	struct span key = {lower, local.n};
	struct entry *x;

	if (local.n > sizeof(lower))
		return NULL;
	for (size_t i = 0; i < local.n; i++)
		lower[i] = ascii_lower(local.p[i]);
	x = map_get(&r->names, key);
	return x != NULL ? x : map_get(&r->aliases, key);
}

const struct recipient_rule *recipients_find(const struct recipients *r, struct span local)
{
	const struct entry *x = find(r, local);

	return x != NULL ? &x->rule : NULL;
}

const struct recipient_rule *recipients_find_at(
    const struct recipients *r, struct span local, struct span domain)
{
	uint8_t key[2 * NAME_LENGTH];
	const struct entry *x;

	if (local.n + 1 + domain.n > sizeof(key))
		return NULL;
	for (size_t i = 0; i < local.n; i++)
		key[i] = ascii_lower(local.p[i]);
	key[local.n] = '@';
	memcpy(key + local.n + 1, domain.p, domain.n);
	x = map_get(&r->whole, span_of(key, local.n + 1 + domain.n));
	return x != NULL ? &x->rule : NULL;
}

/* '*' takes as little as it can and one octet more each time what follows does not fit. */
static bool fits(const char *pattern, struct span s)
{
	const char *star = NULL;
	size_t i = 0, back = 0;

	while (i < s.n) {
		if (*pattern == '*') {
			star = ++pattern;
			back = i;
		} else if (*pattern == '?' ||
			   (*pattern != '\0' && (uint8_t)*pattern == ascii_lower(s.p[i]))) {
			pattern++;
			i++;
		} else if (star != NULL) {
			pattern = star;
			i = ++back;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

const struct recipient_rule *recipients_match(const struct recipients *r, struct span local)
{
	if (local.n > NAME_LENGTH)
		return NULL;
	for (const struct entry *x = r->patterns; x != NULL; x = x->next) {
		if (fits(x->rule.pattern, local))
			return &x->rule;
	}
	return NULL;
}

size_t recipients_count(const struct recipients *r)
{
	return map_len(&r->names) + r->n_patterns;
}

size_t recipients_alias_count(const struct recipients *r)
{
	return map_len(&r->aliases) + map_len(&r->whole);
}

/* ---- the whole: what leads where ------------------------------------------------------------- */

struct walk {
	const struct recipients *r;
	struct recipients_error *e;
	const char *file;
};

static bool walk_fail(struct walk *w, const struct entry *x, const char *what)
{
	w->e->line = x->rule.place.line;
	w->e->column = x->rule.place.column;
	w->e->file = NULL;
	snprintf(w->e->text, sizeof(w->e->text), "'%.64s' %s", x->rule.pattern, what);
	w->file = x->rule.place.file;
	return false;
}

static bool walk_entry(struct walk *w, struct entry *x, unsigned depth);

/* One target: the names behind it count for the entry. */
static bool walk_target(struct walk *w, struct entry *x, const char *to, unsigned depth)
{
	struct span name = span_str(to);
	struct entry *next = span_find(name, '@') < 0 ? find(w->r, name) : NULL;

	if (next == NULL || next == x || next->rule.action != RECIPIENT_EXPAND) {
		x->addresses++;
		return true;
	}
	if (next->state == ENTRY_OPEN)
		return walk_fail(w, x, "leads back to itself through others");
	if (!walk_entry(w, next, depth + 1))
		return false;
	x->addresses += next->addresses;
	if (x->depth < next->depth + 1)
		x->depth = next->depth + 1;
	return true;
}

static bool walk_entry(struct walk *w, struct entry *x, unsigned depth)
{
	if (x->state == ENTRY_DONE)
		return true;
	x->state = ENTRY_OPEN;
	if (depth > RECIPIENTS_DEPTH_MAX)
		return walk_fail(w, x, "is behind too many other names (10 at most)");
	for (size_t i = 0; i < x->rule.n_to; i++) {
		if (!walk_target(w, x, x->rule.to[i], depth))
			return false;
		if (x->addresses > RECIPIENTS_EXPAND_MAX)
			return walk_fail(w, x, "stands for more than 1000 addresses");
	}
	if (x->depth > RECIPIENTS_DEPTH_MAX)
		return walk_fail(w, x, "leads through more than 10 other names");
	x->state = ENTRY_DONE;
	return true;
}

static bool walk_all(struct walk *w)
{
	for (struct entry *x = w->r->all; x != NULL; x = x->next) {
		if (!walk_entry(w, x, 0))
			return false;
	}
	for (struct entry *x = w->r->patterns; x != NULL; x = x->next) {
		if (!walk_entry(w, x, 0))
			return false;
	}
	return true;
}

/* ---- from text ------------------------------------------------------------------------------- */

static struct recipients *empty(void)
{
	struct recipients *r = gw_calloc(1, sizeof(*r));

	arena_init(&r->arena, TABLE_MEMORY);
	/* What strangers ask for is looked up, never stored: the keys are the administrator's. */
	map_init(&r->names, SEED);
	map_init(&r->aliases, SEED);
	map_init(&r->whole, SEED);
	r->all_end = &r->all;
	r->patterns_end = &r->patterns;
	return r;
}

static bool read_one(struct recipients *r, struct span text, const char *file,
    void (*read)(struct table_reader *t, struct span text), struct recipients_error *e)
{
	struct table_reader t = {.r = r, .e = e, .line = 1};
	const char *first;
	size_t at = 0;
	struct span copy = arena_dup(&r->arena, span_str(file != NULL ? file : ""));

	if (file == NULL)
		return true;
	t.file = (const char *)copy.p;
	if (includes_is_bundle(text)) {
		t.files = text;
		if (!includes_file(text, &at, &first, &text))
			return table_fail(&t, NULL, "the file did not come whole");
	}
	t.line_start = text.p;
	if (text.n > RECIPIENTS_TEXT_MAX)
		table_fail(&t, NULL, "the file is larger than %d MiB", RECIPIENTS_TEXT_MAX >> 20);
	else
		read(&t, text);
	return !t.failed;
}

struct recipients *recipients_parse(struct span table, const char *table_name, struct span aliases,
    const char *aliases_name, struct recipients_error *e, const char **which)
{
	struct recipients *r = empty();
	struct walk w = {.r = r, .e = e};

	e->file = NULL;
	*which = table_name;
	if (read_one(r, table, table_name, table_read, e)) {
		*which = aliases_name;
		if (read_one(r, aliases, aliases_name, aliases_read, e)) {
			if (walk_all(&w))
				return r;
			*which = table_name != NULL && strcmp(w.file, table_name) == 0
				     ? table_name
				     : aliases_name;
		}
	}
	if (e->file != NULL)
		*which = e->file;
	recipients_free(&r);
	return NULL;
}

void recipients_free(struct recipients **pr)
{
	struct recipients *r = *pr;

	if (r == NULL)
		return;
	map_fini(&r->names);
	map_fini(&r->aliases);
	map_fini(&r->whole);
	arena_reset(&r->arena);
	free(r);
	*pr = NULL;
}
