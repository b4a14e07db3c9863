/*
 * The lexer and the four rules of the grammar: text becomes statements, each word with its place.
 */
#include "config/parse.h"

#include <stdio.h>

enum token { TOKEN_WORD, TOKEN_END_STATEMENT, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END_FILE };

struct lexer {
	struct reader *r;
	struct span rest;
	struct place at;    /* of rest */
	struct place start; /* of the token */
	unsigned width;
	struct span raw; /* a word without its quotes */
	bool bad;        /* the word is damaged and was reported */
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void step(struct lexer *l)
{
	uint8_t c = l->rest.p[0];

	l->rest = span_skip(l->rest, 1);
	if (c == '\n') {
		l->at.line++;
		l->at.column = 1;
	} else if ((c & 0xc0) != 0x80) {
		l->at.column++;
	}
}

static void skip_blank(struct lexer *l)
{
	while (l->rest.n > 0) {
		uint8_t c = l->rest.p[0];

		if (c == '#') {
			while (l->rest.n > 0 && l->rest.p[0] != '\n')
				step(l);
		} else if (is_space(c)) {
			step(l);
		} else {
			break;
		}
	}
}

static bool ends_word(uint8_t c)
{
	return is_space(c) || c == '\n' || c == ';' || c == '{' || c == '}' || c == '"';
}

static void lex_bare(struct lexer *l)
{
	const uint8_t *begin = l->rest.p;
	bool variable = false;

	while (l->rest.n > 0) {
		uint8_t c = l->rest.p[0];

		if (span_starts(l->rest, SPAN("${"))) {
			variable = true;
			step(l);
		} else if (variable && c == '}') {
			variable = false;
		} else if (variable ? is_space(c) || c == '"' || c == '\n' : ends_word(c)) {
			break;
		}
		step(l);
	}
	l->raw = span_of(begin, (size_t)(l->rest.p - begin));
}

static void lex_string(struct lexer *l)
{
	const uint8_t *begin;

	step(l);
	begin = l->rest.p;
	while (l->rest.n > 0 && l->rest.p[0] != '"' && l->rest.p[0] != '\n')
		step(l);
	l->raw = span_of(begin, (size_t)(l->rest.p - begin));
	l->bad = l->rest.n == 0 || l->rest.p[0] == '\n';
	if (l->bad)
		report_at(l->r, CE_STRING_OPEN, &l->start, 1, NULL, "");
	else
		step(l);
}

/* A string and a bare word side by side: nearly always a forgotten space or quote. */
static void check_glued(struct lexer *l, bool string)
{
	if (l->rest.n == 0 || l->bad ||
	    (l->rest.p[0] != '"' && (!string || ends_word(l->rest.p[0]))))
		return;
	report_at(l->r, CE_WORD_GLUED, &l->at, 1, NULL, "");
	l->bad = true;
}

static enum token lex(struct lexer *l)
{
	uint8_t c;

	skip_blank(l);
	l->start = l->at;
	l->width = 1;
	l->bad = false;
	if (l->rest.n == 0)
		return TOKEN_END_FILE;
	c = l->rest.p[0];
	if (c == '\n' || c == ';' || c == '{' || c == '}') {
		step(l);
		return c == '{' ? TOKEN_OPEN : c == '}' ? TOKEN_CLOSE : TOKEN_END_STATEMENT;
	}
	if (c == '"')
		lex_string(l);
	else
		lex_bare(l);
	l->width = l->at.line == l->start.line ? l->at.column - l->start.column : 1;
	check_glued(l, c == '"');
	return TOKEN_WORD;
}

/* ---- statements */

static void *tree_alloc(struct lexer *l, size_t n)
{
	void *p = arena_alloc(&l->r->arena, n);

	if (p == NULL) {
		if (!l->r->broken)
			report_at(l->r, CE_TOO_LARGE, &l->start, 1, NULL, "");
		l->r->broken = true;
		l->rest = span_skip(l->rest, l->rest.n);
	}
	return p;
}

static void add_word(struct lexer *l, struct stmt *s, struct word ***end)
{
	struct word *w = tree_alloc(l, sizeof(*w));

	if (w == NULL)
		return;
	*w = (struct word){.place = l->start, .width = l->width};
	w->text = l->bad ? NULL : expand_word(l->r, l->raw, w);
	**end = w;
	*end = &w->next;
	s->n_words++;
}

static struct stmt *read_block(struct lexer *l, const struct place *open, unsigned depth);

static void read_inner(struct lexer *l, struct stmt *s, unsigned depth)
{
	struct place open = l->start;
	char text[16];

	if (s->n_words == 0)
		report_at(l->r, CE_BLOCK_NAMELESS, &open, 1, NULL, "");
	if (depth >= BLOCK_DEPTH) {
		snprintf(text, sizeof(text), "%d", BLOCK_DEPTH);
		report_at(l->r, CE_BLOCK_DEEP, &open, 1, NULL, text);
		l->r->broken = true;
		l->rest = span_skip(l->rest, l->rest.n);
		return;
	}
	if (s->n_words == 0)
		l->r->broken = true;
	s->has_block = true;
	s->block = read_block(l, &open, depth + 1);
}

/* One statement; the token that ended it. */
static enum token read_statement(struct lexer *l, struct stmt *s, unsigned depth)
{
	struct word **end = &s->words;

	for (;;) {
		enum token t = lex(l);

		if (t == TOKEN_WORD) {
			add_word(l, s, &end);
		} else if (t == TOKEN_OPEN) {
			read_inner(l, s, depth);
			return TOKEN_END_STATEMENT;
		} else {
			return t;
		}
	}
}

/* open: the place of the block's '{', NULL for a file. */
static struct stmt *read_block(struct lexer *l, const struct place *open, unsigned depth)
{
	struct stmt *first = NULL, **end = &first;

	for (;;) {
		struct stmt s = {0}, *kept;
		enum token t = read_statement(l, &s, depth);

		if (s.n_words > 0) {
			kept = tree_alloc(l, sizeof(*kept));
			if (kept == NULL)
				return first;
			*kept = s;
			*end = kept;
			end = &kept->next;
		}
		if (t == TOKEN_CLOSE && open != NULL)
			return first;
		if (t == TOKEN_CLOSE) {
			report_at(l->r, CE_BLOCK_STRAY, &l->start, 1, NULL, "");
			l->r->broken = true;
		}
		if (t == TOKEN_END_FILE) {
			if (open != NULL && !l->r->broken) {
				report_at(l->r, CE_BLOCK_OPEN, open, 1, NULL, "");
				l->r->broken = true;
			}
			return first;
		}
	}
}

struct stmt *tree_read(struct reader *r, const struct source *src)
{
	struct place at = {src->name, 1, 1};
	struct lexer l = {.r = r, .rest = src->text, .at = at, .start = at};

	return read_block(&l, NULL, 0);
}

/* ---- includes */

static struct stmt *read_tree_of(struct reader *r, size_t index, unsigned depth);

bool is_include(const struct stmt *s)
{
	const char *name = s->words->text;

	return name != NULL && strcmp(name, "include") == 0 && s->n_words == 2 && !s->has_block &&
	       s->words->next->text != NULL;
}

static bool has_source(const struct bundle *b, const char *name)
{
	for (size_t i = 0; i < b->n_source; i++) {
		if (strcmp(b->source[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The statements of a file that is part of the program; it can be read once. */
static struct stmt *builtin(struct reader *r, const struct word *include, struct stmt *rest)
{
	const char *name = include->next->text;
	struct stmt *first, **end = &first;
	struct source found;

	if (!builtin_find(name, &found)) {
		report(r, CE_INCLUDE_BUILTIN, include->next, NULL, name);
		return rest;
	}
	if (has_source(r->bundle, name)) {
		report(r, CE_INCLUDE_TWICE, include->next, NULL, name);
		return rest;
	}
	first = tree_read(r, bundle_add_source(r->bundle, found.name, found.text));
	while (*end != NULL)
		end = &(*end)->next;
	*end = rest;
	return first;
}

/* The statements of all files included by the statement at this place. */
static struct stmt *included(
    struct reader *r, size_t index, const struct word *include, unsigned depth, struct stmt *rest)
{
	struct stmt *first = rest, **end = &first;
	const struct bundle *b = r->bundle;

	if (is_builtin_name(include->next->text))
		return builtin(r, include, rest);
	if (b->no_include)
		report(r, CE_INCLUDE_TEXT, include, NULL, "");
	for (size_t i = index + 1; i < b->n_source && depth < INCLUDE_DEPTH; i++) {
		const struct source *s = &b->source[i];

		if (s->parent != index + 1 || s->line != include->place.line ||
		    s->column != include->place.column)
			continue;
		*end = read_tree_of(r, i, depth + 1);
		while (*end != NULL)
			end = &(*end)->next;
		*end = rest;
	}
	return first;
}

static struct stmt *read_tree_of(struct reader *r, size_t index, unsigned depth)
{
	struct stmt *first = tree_read(r, &r->bundle->source[index]);

	for (struct stmt *s = first, *next; s != NULL; s = next) {
		next = s->next;
		if (is_include(s))
			s->next = included(r, index, s->words, depth, next);
	}
	return first;
}

struct stmt *tree_read_all(struct reader *r)
{
	return read_tree_of(r, 0, 0);
}
