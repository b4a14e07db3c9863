#include "cmd/config_diff.h"

#include "cmd/terminal.h"
#include "config/schema.h"

#include <stdlib.h>

/* ---- lines ----------------------------------------------------------------------------------- */

struct line {
	struct span block, text, place;
	bool used;
};

struct lines {
	struct line *v;
	size_t n;
};

static struct span take_line(struct span *rest)
{
	ptrdiff_t at = span_find(*rest, '\n');
	struct span line = at < 0 ? *rest : span_first(*rest, (size_t)at);

	*rest = at < 0 ? SPAN_NONE : span_skip(*rest, (size_t)at + 1);
	return line;
}

/* The place stands behind the last "# ". */
static void part(struct span line, struct line *out)
{
	out->text = span_trim(line);
	for (size_t i = line.n; i > 2; i--) {
		if (line.p[i - 2] == '#' && line.p[i - 1] == ' ' && line.p[i - 3] == ' ') {
			out->text = span_trim(span_first(line, i - 2));
			out->place = span_trim(span_skip(line, i));
			return;
		}
	}
}

static void add(struct lines *all, const struct line *x)
{
	all->v = gw_realloc(all->v, (all->n + 1) * sizeof(*all->v));
	all->v[all->n++] = *x;
}

static struct lines split(struct span text)
{
	struct lines all = {NULL, 0};
	struct span block = SPAN_NONE;

	while (text.n > 0) {
		struct span line = take_line(&text);
		struct line x = {.block = block};

		if (line.n > 0 && line.p[line.n - 1] == '{' && line.p[0] != ' ') {
			block = span_trim(span_first(line, line.n - 1));
			continue;
		}
		if (line.n > 0 && line.p[0] == '}') {
			block = SPAN_NONE;
			continue;
		}
		part(line, &x);
		if (x.text.n > 0)
			add(&all, &x);
	}
	return all;
}

/* ---- what belongs together ---------------------------------------------------------------------
 */

static struct span first_word(struct span s)
{
	ptrdiff_t at = span_find(s, ' ');

	return at < 0 ? s : span_first(s, (size_t)at);
}

/* What a line is about: all before its block, else its first word. */
static struct span subject(const struct line *x)
{
	ptrdiff_t at = span_find(x->text, '{');

	return at > 0 ? span_first(x->text, (size_t)at) : first_word(x->text);
}

static struct line *find(struct lines *in, const struct line *x, bool whole)
{
	for (size_t i = 0; i < in->n; i++) {
		struct line *y = &in->v[i];

		if (y->used || !span_eq(y->block, x->block))
			continue;
		if (whole ? span_eq(y->text, x->text) : span_eq(subject(y), subject(x)))
			return y;
	}
	return NULL;
}

static void drop_same(struct lines *a, struct lines *b)
{
	for (size_t i = 0; i < a->n; i++) {
		struct line *y = find(b, &a->v[i], true);

		if (y != NULL)
			y->used = a->v[i].used = true;
	}
}

/* ---- classes -----------------------------------------------------------------------------------
 */

/* "log journal { subject on }": what stands before the brace, and what behind it. */
static struct span before_brace(struct span text)
{
	ptrdiff_t at = span_find(text, '{');

	return span_trim(at < 0 ? text : span_first(text, (size_t)at));
}

static struct span behind_brace(struct span text)
{
	ptrdiff_t at = span_find(text, '{');

	return at < 0 ? SPAN_NONE : span_trim(span_skip(text, (size_t)at + 1));
}

/* What differs: a row of a block, or the statement itself. other NULL: all of it. */
static const struct option *row_of(const struct line *x, const struct line *other)
{
	struct span block = first_word(x->block), inside;
	const struct option *top =
	    option_find(SCOPE_TOP, block.n > 0 ? block : first_word(x->text));

	if (top == NULL)
		return NULL;
	if (block.n > 0)
		return option_find(top->opens, first_word(x->text));
	if (other == NULL || !span_eq(before_brace(x->text), before_brace(other->text)))
		return top;
	inside = behind_brace(x->text);
	return option_find(
	    top->opens, first_word(inside.n > 0 ? inside : behind_brace(other->text)));
}

static bool needs_restart(const struct line *x, const struct line *other)
{
	const struct option *row = row_of(x, other);

	return row != NULL && row->reload == RELOAD_RESTART;
}

static void put(
    struct config_change **list, size_t *n, const struct line *old, const struct line *now)
{
	struct config_change c = {.kind = old == NULL   ? CHANGE_ADDED
					  : now == NULL ? CHANGE_REMOVED
							: CHANGE_OTHER};

	c.block = now != NULL ? now->block : old->block;
	c.restart = needs_restart(now != NULL ? now : old, now != NULL ? old : NULL);
	if (old != NULL) {
		c.old = old->text;
		c.was_at = old->place;
	}
	if (now != NULL) {
		c.now = now->text;
		c.at = now->place;
	}
	*list = gw_realloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = c;
}

size_t config_diff(struct span running, struct span file, struct config_change **out)
{
	struct lines a = split(running), b = split(file);
	size_t n = 0;

	*out = NULL;
	drop_same(&a, &b);
	for (size_t i = 0; i < b.n; i++) {
		struct line *old;

		if (b.v[i].used)
			continue;
		old = find(&a, &b.v[i], false);
		if (old != NULL)
			old->used = true;
		put(out, &n, old, &b.v[i]);
	}
	for (size_t i = 0; i < a.n; i++) {
		if (!a.v[i].used)
			put(out, &n, &a.v[i], NULL);
	}
	free(a.v);
	free(b.v);
	return n;
}

/* ---- text --------------------------------------------------------------------------------------
 */

static void put_place(struct buf *out, struct span place)
{
	if (place.n == 0)
		return;
	buf_add_str(out, "   ");
	terminal_text(out, place, 0);
}

static void put_change(const struct config_change *c, struct buf *out)
{
	struct span text = c->kind == CHANGE_ADDED ? c->now : c->old;

	buf_addf(out, "%c ", (int)c->kind);
	if (c->block.n > 0) {
		terminal_text(out, c->block, 0);
		buf_add_str(out, ": ");
	}
	terminal_text(out, text, 0);
	if (c->kind == CHANGE_OTHER) {
		buf_add_str(out, " -> ");
		terminal_text(out, c->now, 0);
	}
	put_place(out, c->kind == CHANGE_REMOVED ? c->was_at : c->at);
	buf_add_str(out, c->restart ? "   (at the next start)\n" : "\n");
}

void config_diff_text(const struct config_change *list, size_t n, struct buf *out)
{
	size_t restart = 0;

	for (size_t i = 0; i < n; i++) {
		put_change(&list[i], out);
		restart += list[i].restart;
	}
	if (n == 0)
		buf_add_str(out, "nothing would change\n");
	else if (restart == 0)
		buf_add_str(out, "nothing needs a restart; open sessions go on\n");
	else
		buf_addf(
		    out, "%zu of %zu take effect when the server is started again\n", restart, n);
}
