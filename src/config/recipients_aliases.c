/* The grammar of aliases(5), with the files that it includes. */
#include "config/recipients-private.h"

#include "config/includes.h"

#include <stdlib.h>

/* What sendmail would run, write or read here is no address. */
static bool alias_target_good(struct table_reader *t, const struct token *w)
{
	uint8_t first = w->text.n > 0 ? w->text.p[0] : 0;

	if (first == '|')
		return table_fail(t, w->at,
		    "programs are not run from aliases; lead to a domain with 'deliver pipe'");
	if (first == '/')
		return table_fail(
		    t, w->at, "an alias cannot be a file; lead to a domain with 'deliver maildir'");
	if (first == ':')
		return table_fail(t, w->at, "write: :include:/PATH");
	if (first == '\\')
		return table_fail(t, w->at,
		    "no backslash is needed: a name among its own targets is taken as it is");
	return true;
}

static bool read_include(struct table_reader *t, const struct token *w, struct targets *to);

static bool read_target(struct table_reader *t, const struct token *w, struct targets *to)
{
	if (w->text.n == 0 && !w->quoted)
		return true;
	if (span_starts(w->text, SPAN(":include:")))
		return read_include(t, w, to);
	return alias_target_good(t, w) && table_add_target(t, to, w);
}

/* The targets on one line: words parted by commas. A line ends with or without one. */
static bool read_targets(struct table_reader *t, struct span rest, struct targets *to)
{
	struct token w;

	while (table_take_word(t, &rest, ",", &w)) {
		if (!read_target(t, &w, to))
			return false;
		rest = span_skip_blanks(rest);
		if (rest.n > 0 && rest.p[0] != ',' && rest.p[0] != '#')
			return table_fail(t, rest.p, "a comma is missing between two addresses");
		rest = rest.n > 0 && rest.p[0] == ',' ? span_skip(rest, 1) : rest;
	}
	return !t->failed;
}

static bool is_comment(struct span line)
{
	struct span s = span_skip_blanks(line);

	return s.n == 0 || s.p[0] == '#';
}

/* ---- :include: ------------------------------------------------------------------------------- */

/* The text of an included file, among those that came along. */
static bool find_file(
    struct table_reader *t, struct span path, const char **name, struct span *text)
{
	size_t at = 0;

	while (includes_file(t->files, &at, name, text)) {
		if (span_eq(span_str(*name), path))
			return true;
	}
	return false;
}

/* Addresses, parted by commas or on lines of their own. */
static void read_list(struct table_reader *t, struct span text, struct targets *to)
{
	struct span line;

	for (t->line = 1; !t->failed && table_next_line(t, &text, &line); t->line++) {
		if (table_line_good(t, line) && !is_comment(line))
			(void)read_targets(t, line, to);
	}
}

static bool read_include(struct table_reader *t, const struct token *w, struct targets *to)
{
	struct table_reader outer = *t;
	struct span path = span_skip(w->text, strlen(":include:")), text;

	if (path.n == 0 || path.p[0] != '/')
		return table_fail(t, w->at, "write :include:/PATH with a path that begins with /");
	if (t->depth == INCLUDE_DEPTH_MAX)
		return table_fail(t, w->at, "files that include files are more than %d deep here",
		    INCLUDE_DEPTH_MAX);
	if (!find_file(t, path, &t->included, &text)) {
		t->included = outer.included;
		return table_fail(
		    t, w->at, "the file %.*s was not read", SPAN_ARG(span_first(path, 100)));
	}
	t->r->included += text.n + INCLUDED_LEAST;
	if (t->r->included > INCLUDED_MAX) {
		t->included = outer.included;
		return table_fail(t, w->at, "too much is included: more than 128 MiB");
	}
	t->depth++;
	read_list(t, text, to);
	if (t->failed)
		return false;
	*t = outer;
	return true;
}

/* ---- names and what is behind them ----------------------------------------------------------- */

/* "NAME:" and the targets behind it. */
static struct entry *read_alias(struct table_reader *t, struct span line, struct targets *to)
{
	struct token name;
	struct entry *x;

	to->n = 0;
	if (!table_take_word(t, &line, ":", &name))
		return NULL;
	line = span_skip_blanks(line);
	if (line.n == 0 || line.p[0] != ':') {
		table_fail(t, name.at, "write: NAME: ADDRESS, ADDRESS");
		return NULL;
	}
	x = table_new_entry(t, &name, true);
	if (x == NULL || !table_add(t, x, false, name.at))
		return NULL;
	return read_targets(t, span_skip(line, 1), to) ? x : NULL;
}

/* No line continues it any more. */
static void end_alias(struct table_reader *t, struct entry **x, const struct targets *to)
{
	unsigned line = t->line;

	if (*x == NULL || t->failed)
		return;
	if (to->n == 0) {
		t->line = (*x)->rule.place.line;
		table_fail(t, NULL, "'%.64s' has no address behind it", (*x)->rule.pattern);
		t->line = line;
	} else {
		(void)!table_set_targets(t, *x, to);
	}
	*x = NULL;
}

void aliases_read(struct table_reader *t, struct span text)
{
	struct targets *to = gw_calloc(1, sizeof(*to));
	struct entry *x = NULL;
	struct span line;

	for (; !t->failed && table_next_line(t, &text, &line); t->line++) {
		if (!table_line_good(t, line) || is_comment(line))
			continue;
		if (!ascii_isblank(line.p[0])) {
			end_alias(t, &x, to);
			x = t->failed ? NULL : read_alias(t, line, to);
		} else if (x != NULL) {
			(void)!read_targets(t, line, to);
		} else {
			table_fail(t, NULL, "this line continues nothing");
		}
	}
	end_alias(t, &x, to);
	free(to);
}
