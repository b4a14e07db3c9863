/* Filters over the queue, as operators write them: which messages and recipients are meant. */
#include "flow/ask-private.h"
#include "flow/query-private.h"

#include <stdio.h>

static const char *const states[] = {"ready", "active", "unpulled", "deferred", "scheduled",
    "suspended", "limited", "held", "maybe", "untold", "delivered", "failed", "expired", "dropped"};

/* ---- reading ------------------------------------------------------------------------------- */

static struct span *slot_of(struct filter *f, struct span key)
{
	const struct {
		const char *name;
		struct span *slot;
	} keys[] = {{"to", &f->to}, {"from", &f->from}, {"domain", &f->domain},
	    {"group", &f->group}, {"state", &f->state}, {"account", &f->account},
	    {"class", &f->class}};

	for (size_t i = 0; i < GW_ARRAY_LEN(keys); i++) {
		if (span_eq(key, span_str(keys[i].name)))
			return keys[i].slot;
	}
	return NULL;
}

/* The next word, quotes and all: one that has no end goes to the end. */
static struct span next_word(struct span text)
{
	bool quoted = false;
	size_t n = 0;

	for (; n < text.n && (quoted || text.p[n] != ' '); n++)
		quoted ^= text.p[n] == '"';
	return span_first(text, n);
}

static bool unquote(struct span *value)
{
	if (value->n == 0 || value->p[0] != '"')
		return true;
	if (value->n < 2 || value->p[value->n - 1] != '"')
		return false;
	*value = span_of(value->p + 1, value->n - 2);
	return true;
}

static bool is_class(struct span s)
{
	for (unsigned p = 0; p < PRIORITY_COUNT; p++) {
		if (span_eq(s, span_str(priority_word((enum priority)p))))
			return true;
	}
	return false;
}

static bool is_state(struct span s)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(states); i++) {
		if (span_eq_case(s, span_str(states[i])))
			return true;
	}
	return false;
}

/* What is wrong with the word, or NULL. */
static const char *take_word(struct filter *f, struct span word)
{
	ptrdiff_t colon = span_find(word, ':');
	struct span *slot = colon > 0 ? slot_of(f, span_first(word, (size_t)colon)) : NULL;
	struct span value;

	if (slot == NULL)
		return "is not understood";
	value = span_skip(word, (size_t)colon + 1);
	if (!unquote(&value))
		return "has a quote without its end";
	if (value.n == 0)
		return "has nothing behind the colon";
	if (slot->n > 0)
		return "says again what was said already";
	*slot = value;
	if (slot == &f->class && !is_class(value))
		return "is no class: high, normal or bulk";
	if (slot == &f->state && !is_state(value))
		return "is no state: ready, active, unpulled, deferred, scheduled, suspended, "
		       "limited, held, maybe or untold";
	return NULL;
}

struct filter_error filter_parse(struct span text, struct filter *f)
{
	memset(f, 0, sizeof(*f));
	for (text = span_trim(text); text.n > 0; text = span_trim(text)) {
		struct span word = next_word(text);
		const char *why = take_word(f, word);

		if (why != NULL)
			return (struct filter_error){word, why};
		text = span_skip(text, word.n);
	}
	return (struct filter_error){SPAN_NONE, NULL};
}

int filter_problem(struct span text, const struct filter_error *e, struct buf *out)
{
	char detail[160];

	snprintf(detail, sizeof(detail), "column %zu: \"%.*s\" %s",
	    (size_t)(e->word.p - text.p) + 1, SPAN_ARG(span_first(e->word, 64)), e->why);
	return query_problem(out, 400, "Bad query", detail,
	    "words: to: from: domain: group: account: class:(high|normal|bulk) "
	    "state:(ready|active|unpulled|deferred|scheduled|suspended|limited|held|maybe|untold); "
	    "\"...\" around blanks");
}

bool filter_is_empty(const struct filter *f)
{
	return f->from.n + f->to.n + f->domain.n + f->group.n + f->state.n + f->account.n +
		   f->class.n ==
	       0;
}

bool filter_needs_no_reading(const struct filter *f)
{
	return f->from.n + f->to.n + f->domain.n == 0;
}

/* ---- asking -------------------------------------------------------------------------------- */

static bool contains(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++) {
		if (span_eq_case(span_of(s.p + i, part.n), part))
			return true;
	}
	return false;
}

/* The name of the shape, or of the destination as the summary has it. */
static bool is_group(const struct site *s, struct span name)
{
	return s != NULL && (span_eq(span_str(s->group->shape->name), name) ||
				span_eq(span_str(s->group->name), name));
}

bool filter_has_message(const struct filter *f, const struct queued *m)
{
	if (f->from.n && !contains(m->from, f->from))
		return false;
	if (f->class.n && !span_eq(span_str(priority_word(m->priority)), f->class))
		return false;
	return !f->account.n || span_eq_case(m->account, f->account);
}

bool filter_has_rcpt(const struct filter *f, const struct queued_rcpt *r)
{
	ptrdiff_t at = span_find(r->addr, '@');

	if (f->to.n && !contains(r->addr, f->to))
		return false;
	if (f->domain.n && (at < 0 || !span_eq_case(span_skip(r->addr, (size_t)at + 1), f->domain)))
		return false;
	if (f->group.n && !is_group(r->task != NULL ? r->task->site : r->site, f->group))
		return false;
	return !f->state.n || span_eq_case(span_str(query_rcpt_state(r)), f->state);
}

bool filter_has(const struct filter *f, const struct queued *m)
{
	if (!filter_has_message(f, m))
		return false;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (filter_has_rcpt(f, &m->rcpt[i]))
			return true;
	}
	return false;
}

bool filter_has_resting(
    const struct filter *f, const struct parked *p, const struct resting *r, int64_t now)
{
	const struct queued_rcpt q = {.outcome = (enum outcome)r->outcome,
	    .site = r->site,
	    .crowded = r->due <= now,
	    .not_before = resting_not_before(p, r) > now ? parked_release(p) : 0,
	    .by_account = p->by_account && r->outcome <= OUTCOME_DEFERRED};
	const struct filter known = {.group = f->group, .state = f->state};

	/* A site is of one class and one account. What has none cannot be told without reading. */
	if (r->site != NULL && f->class.n &&
	    !span_eq(span_str(priority_word(r->site->priority)), f->class))
		return false;
	if (r->site != NULL && f->account.n && !span_eq_case(site_account(r->site), f->account))
		return false;
	return filter_has_rcpt(&known, &q);
}

bool filter_may_have(const struct filter *f, struct parked *p, int64_t now)
{
	const struct resting *r = parked_rest(p);

	if (f->group.n + f->state.n + f->class.n + f->account.n == 0)
		return true;
	for (uint32_t i = 0; i < p->n_open; i++) {
		if (filter_has_resting(f, p, &r[i], now))
			return true;
	}
	return p->n_open < p->n_rcpt; /* the state of a finished one may be asked for */
}
