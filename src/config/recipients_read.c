/* The grammar of the recipients file, and what that of aliases(5) has in common with it. */
#include "config/recipients-private.h"

#include "config/value.h"
#include "base/utf8.h"
#include "mail/address.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX = 64 << 10, LOCAL_MAX = 64, TOKEN_MAX = 512, DOMAIN_ROOM = 256 };

/* ---- lines ----------------------------------------------------------------------------------- */

bool table_next_line(struct table_reader *t, struct span *text, struct span *line)
{
	ptrdiff_t end = span_find(*text, '\n');

	if (text->n == 0)
		return false;
	*line = end < 0 ? *text : span_first(*text, (size_t)end);
	*text = end < 0 ? SPAN_NONE : span_skip(*text, (size_t)end + 1);
	t->line_start = line->p;
	if (line->n > 0 && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

bool table_line_good(struct table_reader *t, struct span line)
{
	if (line.n > LINE_MAX)
		return table_fail(t, NULL, "the line is longer than 64 KiB");
	for (size_t i = 0; i < line.n; i++) {
		if ((line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
			return table_fail(t, line.p + i,
			    "there is a control character in this line; was it saved as text?");
	}
	return true;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void take_plain(struct span *rest, const char *stops, size_t n, struct token *w)
{
	while (n < rest->n && !ascii_isblank(rest->p[n]) && strchr(stops, rest->p[n]) == NULL)
		n++;
	w->text = span_first(*rest, n);
	*rest = span_skip(*rest, n);
}

/* "..." without escapes; the closing quote ends the word, but in "john doe"@example.com. */
static bool take_quoted(
    struct table_reader *t, struct span *rest, const char *stops, struct token *w)
{
	struct span inner = span_skip(*rest, 1);
	ptrdiff_t end = span_find(inner, '"');

	if (end < 0)
		return table_fail(t, rest->p, "the quote is not closed on this line");
	if ((size_t)end + 1 < inner.n && inner.p[end + 1] == '@') {
		take_plain(rest, stops, (size_t)end + 2, w);
		return true;
	}
	w->quoted = true;
	w->text = span_first(inner, (size_t)end);
	*rest = span_skip(inner, (size_t)end + 1);
	return true;
}

bool table_take_word(struct table_reader *t, struct span *rest, const char *stops, struct token *w)
{
	ptrdiff_t quote;

	*rest = span_skip_blanks(*rest);
	*w = (struct token){.at = rest->p};
	if (rest->n == 0 || rest->p[0] == '#')
		return false;
	if (rest->p[0] == '"')
		return take_quoted(t, rest, stops, w);
	take_plain(rest, stops, 0, w);
	quote = span_find(w->text, '"');
	if (quote >= 0)
		return table_fail(t, w->at + quote, "a space is missing in front of this quote");
	return true;
}

/* ---- names and addresses --------------------------------------------------------------------- */

/* A local part as it is meant, in lower case. */
static const char *local_name(struct table_reader *t, const struct token *w)
{
	char *name;

	if (w->text.n == 0 || w->text.n > LOCAL_MAX) {
		table_fail(t, w->at, "a name has 1 to 64 characters");
		return NULL;
	}
	if (!w->quoted && span_find(w->text, '@') >= 0) {
		table_fail(t, w->at, "write the name alone: the domain is that of the block");
		return NULL;
	}
	for (struct span rest = w->text; rest.n > 0;) {
		uint32_t point;
		size_t n = utf8_take(rest, &point);

		if (n == 0 || !utf8_visible(point)) {
			table_fail(t, rest.p, "names are of characters that can be seen, in UTF-8");
			return NULL;
		}
		rest = span_skip(rest, n);
	}
	name = table_alloc(t, w->text.n + 1);
	for (size_t i = 0; name != NULL && i < w->text.n; i++)
		name[i] = (char)ascii_lower(w->text.p[i]);
	return name;
}

static const char *keep(struct table_reader *t, struct span s)
{
	char *copy = table_alloc(t, s.n + 1);

	if (copy != NULL && s.n > 0)
		memcpy(copy, s.p, s.n);
	return copy;
}

/* The canonical address; of one without a domain the local part. */
static const char *canonical(struct table_reader *t, struct span text, bool bare)
{
	struct address a;
	const char *kept = NULL;
	struct buf b, room;

	buf_init(&b, 2 * TOKEN_MAX);
	buf_init(&room, DOMAIN_ROOM);
	if (address_read(text, &room, &a) == 0 && a.kind != ADDRESS_NULL &&
	    a.kind != ADDRESS_BARE) {
		address_canonical(&a, &b);
		kept = keep(t, span_first(buf_view(&b), buf_len(&b) - (bare ? 2 : 0)));
	}
	buf_fini(&room);
	buf_fini(&b);
	return kept;
}

/* Where does the domain of an address begin? A quoted local part may have an '@'. */
static bool has_domain(struct span s)
{
	return s.n > 0 && s.p[s.n - 1] != '"' && span_find(s, '@') >= 0;
}

/* "local@domain" as it is meant, or "@domain", in lower case. */
static const char *whole_name(struct table_reader *t, const struct token *w)
{
	bool all = w->text.p[0] == '@';
	const char *kept = NULL;
	char text[TOKEN_MAX];
	struct address a;
	struct buf b;
	int n = snprintf(text, sizeof(text), "%s%.*s", all ? "x" : "", SPAN_ARG(w->text));

	buf_init(&b, 2 * TOKEN_MAX);
	if (n > 0 && n < TOKEN_MAX && address_parse(span_of(text, (size_t)n), &a) == 0 &&
	    a.kind == ADDRESS_DOMAIN) {
		if (!all)
			address_local_plain(&a, &b);
		buf_add_byte(&b, '@');
		buf_add_span(&b, a.domain);
		kept = keep(t, buf_view(&b));
	}
	buf_fini(&b);
	for (char *c = (char *)(uintptr_t)kept; c != NULL && *c != '\0'; c++)
		*c = (char)ascii_lower((uint8_t)*c);
	if (kept == NULL)
		table_fail(t, w->at, "'%.*s' is neither a name nor an address nor @DOMAIN",
		    SPAN_ARG(span_first(w->text, 100)));
	return kept;
}

static const char *target(struct table_reader *t, const struct token *w)
{
	char text[TOKEN_MAX];
	struct span s = w->text;
	bool bare = !has_domain(s);
	const char *kept = NULL;
	int n;

	if (s.n > 0 && s.n < TOKEN_MAX - 8) {
		n = snprintf(text, sizeof(text), w->quoted && bare ? "\"%.*s\"%s" : "%.*s%s",
		    SPAN_ARG(s), bare ? "@x" : "");
		kept = canonical(t, span_of(text, (size_t)n), bare);
	}
	if (kept == NULL)
		table_fail(t, w->at, "'%.*s' is no address", SPAN_ARG(span_first(s, 100)));
	return kept;
}

/* ---- entries --------------------------------------------------------------------------------- */

bool table_add_target(struct table_reader *t, struct targets *to, const struct token *w)
{
	if (to->n == RECIPIENTS_EXPAND_MAX)
		return table_fail(t, w->at, "there are more than %d addresses behind one name",
		    RECIPIENTS_EXPAND_MAX);
	to->list[to->n] = target(t, w);
	return to->list[to->n++] != NULL;
}

bool table_set_targets(struct table_reader *t, struct entry *x, const struct targets *to)
{
	const char **list = table_alloc(t, to->n * sizeof(*list));

	if (list == NULL)
		return false;
	memcpy(list, to->list, to->n * sizeof(*list));
	x->rule.action = RECIPIENT_EXPAND;
	x->rule.to = list;
	x->rule.n_to = to->n;
	return true;
}

struct entry *table_new_entry(struct table_reader *t, const struct token *name, bool alias)
{
	bool whole = alias && has_domain(name->text) && !name->quoted;
	const char *pattern = whole ? whole_name(t, name) : local_name(t, name);
	struct entry *x = pattern != NULL ? table_alloc(t, sizeof(*x)) : NULL;

	if (x == NULL)
		return NULL;
	x->rule.alias = alias;
	x->rule.pattern = pattern;
	x->whole = whole;
	x->rule.place = (struct place){t->file, t->line, (unsigned)(name->at - t->line_start) + 1};
	return x;
}

/* ---- the recipients file --------------------------------------------------------------------- */

static bool read_to(struct table_reader *t, struct span *rest, struct entry *x)
{
	struct targets *to = gw_calloc(1, sizeof(*to));
	struct token w;
	bool good;

	while (table_take_word(t, rest, ",", &w) && table_add_target(t, to, &w)) {
		if (rest->n > 0 && rest->p[0] == ',')
			table_fail(t, rest->p, "the addresses are parted by spaces here");
	}
	if (to->n == 0)
		table_fail(t, w.at, "write: NAME to ADDRESS...");
	good = !t->failed && table_set_targets(t, x, to);
	free(to);
	return good;
}

static bool read_reply(struct table_reader *t, struct span *rest, struct entry *x)
{
	const struct recipient_rule *rule = &x->rule;
	struct token w;

	if (!table_take_word(t, rest, "", &w))
		return table_fail(t, rest->p, "write: NAME reject \"550 5.1.1 text\"");
	x->rule.reply = keep(t, w.text);
	if (rule->reply == NULL)
		return false;
	if (!reply_text_good(rule->reply))
		return table_fail(t, w.at,
		    "'%.100s' is not a reply like \"550 5.1.1 no such user\"", rule->reply);
	return true;
}

static bool read_action(struct table_reader *t, struct span *rest, struct entry *x)
{
	static const char *const words[] = {[RECIPIENT_TAKE] = "",
	    [RECIPIENT_REJECT] = "reject",
	    [RECIPIENT_DROP] = "drop",
	    [RECIPIENT_HOLD] = "hold",
	    [RECIPIENT_EXPAND] = "to"};
	size_t i = RECIPIENT_REJECT;
	struct token w;

	if (!table_take_word(t, rest, "", &w))
		return !t->failed;
	while (i < GW_ARRAY_LEN(words) && !span_eq(w.text, span_str(words[i])))
		i++;
	if (i == GW_ARRAY_LEN(words))
		return table_fail(t, w.at, "'%.*s' is not one of: reject drop hold to",
		    SPAN_ARG(span_first(w.text, 64)));
	x->rule.action = (enum recipient_action)i;
	if (i == RECIPIENT_EXPAND)
		return read_to(t, rest, x);
	return i != RECIPIENT_REJECT || read_reply(t, rest, x);
}

static bool is_pattern(const struct token *w)
{
	return !w->quoted && (span_find(w->text, '*') >= 0 || span_find(w->text, '?') >= 0);
}

static bool read_recipient(struct table_reader *t, struct span line)
{
	struct token name, more;
	struct entry *x;

	if (!table_take_word(t, &line, "", &name))
		return !t->failed;
	x = table_new_entry(t, &name, false);
	if (x == NULL || !read_action(t, &line, x))
		return false;
	if (table_take_word(t, &line, "", &more))
		return table_fail(
		    t, more.at, "'%.*s' is one word too many", SPAN_ARG(span_first(more.text, 64)));
	return !t->failed && table_add(t, x, is_pattern(&name), name.at);
}

void table_read(struct table_reader *t, struct span text)
{
	struct span line;

	for (; !t->failed && table_next_line(t, &text, &line); t->line++) {
		if (table_line_good(t, line))
			(void)read_recipient(t, line);
	}
}
