/*
 * The tables of recipients: what stands in front of the first NUL is a recipients file, what is
 * behind it an aliases file. Invariants: a table or the place of a mistake, never both; a place
 * lies inside its file; every target is an address or a local part; a name that is in the table is
 * found in any case; no chain of names inside one table is endless.
 */
#include "base/span.h"
#include "config/recipients.h"
#include "mail/address.h"

#include <stdlib.h>

static void check(bool good)
{
	if (!good)
		abort();
}

static unsigned lines(struct span s)
{
	unsigned n = 1;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void check_target(const char *to)
{
	char text[600];
	struct address a;
	struct span s = span_str(to);
	bool whole = s.n > 0 && s.p[s.n - 1] != '"' && span_find(s, '@') >= 0;

	check(s.n + 3 < sizeof(text));
	memcpy(text, to, s.n + 1);
	memcpy(text + s.n, "@x", whole ? 0 : 3);
	check(address_parse(span_str(text), &a) == 0);
	check(a.kind == ADDRESS_DOMAIN || a.kind == ADDRESS_LITERAL);
}

static void check_rule(const struct recipient_rule *x)
{
	check(x->place.line > 0 && x->place.column > 0);
	check((x->action == RECIPIENT_EXPAND) == (x->n_to > 0));
	check((x->action == RECIPIENT_REJECT) == (x->reply != NULL));
	for (size_t i = 0; i < x->n_to; i++)
		check_target(x->to[i]);
}

/* Follows the names of the table itself; the parser has promised that this ends. */
static size_t follow(const struct recipients *r, const struct recipient_rule *x, unsigned depth)
{
	size_t n = 0;

	check(depth <= RECIPIENTS_DEPTH_MAX + 1);
	for (size_t i = 0; i < x->n_to; i++) {
		struct span s = span_str(x->to[i]);
		const struct recipient_rule *next =
		    span_find(s, '@') < 0 ? recipients_find(r, s) : NULL;

		n += next == NULL || next == x ? 1 : follow(r, next, depth + 1);
	}
	return n > 0 ? n : 1;
}

static void look_up(const struct recipients *r, struct span in)
{
	while (in.n > 0) {
		size_t n = 0;
		const struct recipient_rule *x;

		while (n < in.n && strchr(" \t\r\n:,#", in.p[n]) == NULL)
			n++;
		x = recipients_find(r, span_first(in, n));
		if (x == NULL)
			x = recipients_match(r, span_first(in, n));
		if (x != NULL) {
			check_rule(x);
			check(follow(r, x, 0) <= RECIPIENTS_EXPAND_MAX);
		}
		in = span_skip(in, n + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), table = in, aliases = SPAN_NONE;
	struct recipients_error e = {0};
	const char *which = NULL;
	struct recipients *r;
	ptrdiff_t nul = span_find(in, 0);

	if (nul >= 0) {
		table = span_first(in, (size_t)nul);
		aliases = span_skip(in, (size_t)nul + 1);
	}
	r = recipients_parse(table, "t", aliases, "a", &e, &which);
	if (r == NULL) {
		check(which != NULL && e.text[0] != '\0' && e.line > 0 && e.column > 0);
		check(e.line <= lines(which[0] == 't' ? table : aliases));
		return 0;
	}
	look_up(r, table);
	look_up(r, aliases);
	recipients_free(&r);
	return 0;
}
