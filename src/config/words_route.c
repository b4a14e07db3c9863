/* "route": for whom it is, and what is done. */
#include "config/words.h"

#include "mail/address.h"

enum condition {
	TO_ANY,
	TO_DOMAIN,
	TO_ADDRESS,
	FROM_DOMAIN,
	FROM_ADDRESS,
	FROM_ACCOUNT,
	LARGER_THAN,
	CONDITIONS
};

static const char *const starts[] = {"to", "from", "larger-than", "via"};
static const char *const to_words[] = {"any", "domain", "address"};
static const char *const from_words[] = {"domain", "address", "account"};

static const char *const kinds[CONDITIONS] = {[TO_ANY] = "to any",
    [TO_DOMAIN] = "to domain",
    [TO_ADDRESS] = "to address",
    [FROM_DOMAIN] = "from domain",
    [FROM_ADDRESS] = "from address",
    [FROM_ACCOUNT] = "from account",
    [LARGER_THAN] = "larger-than"};

static const char *keep_lower(struct builder *b, struct span s)
{
	char *copy = (char *)(uintptr_t)must_dup(&b->c->arena, s);

	for (size_t i = 0; i < s.n; i++)
		copy[i] = (char)ascii_lower(s.p[i]);
	return copy;
}

/* The address as queries have it, in lower case; NULL after a report. */
static const char *read_address(struct builder *b, const struct word *w)
{
	const char *kept = value_address(&b->v, w);
	struct address a;
	struct buf text;

	if (kept == NULL || address_parse(span_str(kept), &a) < 0)
		return NULL;
	buf_init(&text, 2 * WORD_LENGTH);
	address_canonical(&a, &text);
	kept = keep_lower(b, buf_view(&text));
	buf_fini(&text);
	return kept;
}

static bool read_value(
    struct builder *b, const struct word *w, enum condition kind, struct route *r)
{
	switch (kind) {
	case TO_DOMAIN: return (r->domain = value_pattern(&b->v, w)) != NULL;
	case FROM_DOMAIN: return (r->from_domain = value_pattern(&b->v, w)) != NULL;
	case TO_ADDRESS: return (r->address = read_address(b, w)) != NULL;
	case FROM_ADDRESS: return (r->from_address = read_address(b, w)) != NULL;
	case FROM_ACCOUNT: r->from_account = keep_lower(b, span_str(w->text)); return true;
	case LARGER_THAN:
		return value_number(&b->v, &options[OPT_ROUTE], TYPE_SIZE, w, &r->larger_than);
	case TO_ANY:
	case CONDITIONS: break;
	}
	r->any = true;
	return true;
}

/* What was left out in front of this word: "to", "via", or nothing that we could guess. */
static const char *left_out(struct builder *b, const struct word *w)
{
	static const char *const actions[] = {
	    "mx", "vmta", "relay", "lmtp", "maildir", "odmr", "reject"};

	if (words_is(w, "any"))
		return "write: to any via ...";
	if (words_is(w, "account"))
		return "write: from account NAME via ...";
	if (words_is(w, "domain") || words_is(w, "address"))
		return textf(b->r, "write: to %s (or from %s)", w->text, w->text);
	for (size_t i = 0; i < GW_ARRAY_LEN(actions); i++) {
		if (words_is(w, actions[i]))
			return textf(b->r, "write: via %s ...", w->text);
	}
	return NULL;
}

/* Which condition begins here? Moves *w to its last word but the value. */
static bool read_kind(
    struct builder *b, const struct option *row, const struct word **w, enum condition *kind)
{
	bool to = words_is(*w, "to");
	size_t which;

	if (words_is(*w, "larger-than")) {
		*kind = LARGER_THAN;
		return true;
	}
	if (!to && !words_is(*w, "from")) {
		words_bad_hint(b, *w, starts, GW_ARRAY_LEN(starts), left_out(b, *w));
		return false;
	}
	if (!words_next(b, row, *w))
		return false;
	*w = (*w)->next;
	if (!words_choose(b, *w, to ? to_words : from_words, 3, &which))
		return false;
	*kind = (enum condition)((to ? TO_ANY : FROM_DOMAIN) + (int)which);
	return true;
}

/* Whether both are about the same, so that one of them is for nothing. */
static bool said_twice(
    struct builder *b, const struct place *seen, enum condition kind, const struct word *first)
{
	bool any = seen[TO_ANY].line > 0 && (kind == TO_DOMAIN || kind == TO_ADDRESS);
	bool other = kind == TO_ANY && (seen[TO_DOMAIN].line > 0 || seen[TO_ADDRESS].line > 0);

	if (seen[kind].line == 0 && !any && !other)
		return false;
	report(b->r, CE_CONDITION_TWICE, first, NULL, any || other ? "to any" : kinds[kind]);
	return true;
}

/* The conditions up to "via"; the word behind it, NULL after a report. */
static const struct word *read_conditions(
    struct builder *b, const struct option *row, const struct word *w, struct route *r)
{
	struct place seen[CONDITIONS] = {{0}};
	bool none = true;

	while (!words_is(w, "via")) {
		const struct word *first = w;
		enum condition kind;

		if (!read_kind(b, row, &w, &kind) || said_twice(b, seen, kind, first))
			return NULL;
		seen[kind] = first->place;
		if (kind != TO_ANY) {
			if (!words_next(b, row, w))
				return NULL;
			w = w->next;
			if (!read_value(b, w, kind, r))
				return NULL;
		} else {
			r->any = true;
		}
		none = false;
		if (w->next == NULL) {
			report(b->r, CE_VALUE_MISSING, w, "write: via and what is done", w->text);
			return NULL;
		}
		w = w->next;
	}
	if (none) {
		words_bad(b, w, starts, 3);
		return NULL;
	}
	return words_next(b, row, w) ? w->next : NULL;
}

void words_route(struct builder *b, const struct option *row, const struct stmt *s)
{
	struct route r = {.place = s->words->place};
	const struct word *w = read_conditions(b, row, s->words->next, &r);

	if (w != NULL && words_target(b, w, &r.target))
		b->route[b->c->n_route++] = r;
}
