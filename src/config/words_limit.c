/* "limit" and "plan": how much mail somebody may send in a time. */
#include "config/words.h"

#include "config/show.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const key_words[LIMIT_KEYS] = {[LIMIT_BY_ADDRESS] = "address",
    [LIMIT_BY_NET] = "net",
    [LIMIT_BY_ACCOUNT] = "account",
    [LIMIT_BY_TENANT] = "tenant",
    [LIMIT_BY_LISTENER] = "listener",
    [LIMIT_BY_ALL] = "all"};
static const char *const what_words[LIMIT_WHATS] = {[LIMIT_OF_MESSAGES] = "messages",
    [LIMIT_OF_RECIPIENTS] = "recipients",
    [LIMIT_OF_OCTETS] = "octets"};
static const char *const over_words[] = {
    [LIMIT_REFUSE] = "refuse", [LIMIT_DELAY] = "delay", [LIMIT_HOLD] = "hold"};
static const char calendar_letters[LIMIT_CALENDARS] = {
    [LIMIT_HOUR] = 'h', [LIMIT_DAY] = 'd', [LIMIT_MONTH] = 'M'};

const char *limit_key_word(enum limit_key key)
{
	return key_words[key];
}

const char *limit_what_word(enum limit_what what)
{
	return what_words[what];
}

const char *limit_over_word(enum limit_over over)
{
	return over_words[over];
}

/* ---- what stands behind the key ---------------------------------------------------------------
 */

/* Where limits go: those of the statements, or of the plan that is being read. */
struct list {
	struct limit_rule *rule;
	size_t *n;
	const char *label; /* "plan home", or "" */
};

/* "calendar" and "over ACTION" behind the rates. */
static bool read_tail(struct builder *b, const struct option *row, const struct word *w,
    bool *calendar, enum limit_over *over)
{
	static const char *const words[] = {"calendar", "over"};
	bool said_over = false;
	size_t which;

	for (; w != NULL; w = w->next) {
		if (!words_choose(b, w, words, GW_ARRAY_LEN(words), &which))
			return false;
		if (which == 0 ? *calendar : said_over) {
			build_extra(b, row, w);
			return false;
		}
		if (which == 0) {
			*calendar = true;
			continue;
		}
		said_over = true;
		if (!words_next(b, row, w) ||
		    !words_choose(b, w->next, over_words, GW_ARRAY_LEN(over_words), &which))
			return false;
		*over = (enum limit_over)which;
		w = w->next;
	}
	return true;
}

/* "account boss@example.com messages" in a plan or outside: what can be unlimited or not. */
static const char *subject_of(struct builder *b, const struct list *l, const struct limit_rule *r)
{
	return textf(b->r, "%s %s %s %s", l->label, key_words[r->key], r->only ? r->only : "*",
	    what_words[r->what]);
}

static bool is_unlimited(const struct word *w)
{
	return words_is(w, "unlimited") || words_is(w, "off");
}

/* It is said that there is no limit: where there is one, that is a mistake. */
static void read_unlimited(struct builder *b, const struct option *row, const struct word *w,
    const struct list *l, const struct limit_rule *r)
{
	const char *subject = subject_of(b, l, r);
	const struct place *first = build_said(b, "limit", subject);
	char at[PLACE_TEXT];

	if (build_extra(b, row, w->next))
		return;
	build_once(b, "unlimited", subject, &w->place);
	if (first != NULL)
		report(
		    b->r, CE_LIMIT_CONFLICT, w, NULL, what_words[r->what], place_text(first, at));
}

static void add_rule(
    struct builder *b, const struct word *w, const struct list *l, const struct limit_rule *r)
{
	const char *subject = subject_of(b, l, r);
	const struct place *first = build_said(b, "unlimited", subject);
	char at[PLACE_TEXT], most[16];

	build_once(b, "limit", subject, &w->place);
	if (first != NULL) {
		report(
		    b->r, CE_LIMIT_CONFLICT, w, NULL, what_words[r->what], place_text(first, at));
		return;
	}
	subject = textf(b->r, "%s %" PRIu64 "/%u.%d", subject, r->n, r->seconds, (int)r->calendar);
	first = build_once(b, "rate", subject, &w->place);
	if (first != NULL) {
		report(b->r, CE_LIMIT_TWICE, w, NULL, w->text, place_text(first, at));
	} else if (*l->n == CONFIG_LIMITS_MAX) {
		snprintf(most, sizeof(most), "%d", CONFIG_LIMITS_MAX);
		report(b->r, CE_LIMIT_MANY, w, NULL, most);
	} else {
		l->rule[(*l->n)++] = *r;
	}
}

/* WHAT RATE... [calendar] [over ACTION] */
static void read_limit(struct builder *b, const struct option *row, const struct word *w,
    struct limit_rule base, const struct list *l)
{
	const struct word *rate, *tail;
	bool calendar = false;
	size_t what;

	if (!words_choose(b, w, what_words, LIMIT_WHATS, &what) || !words_next(b, row, w))
		return;
	base.what = (enum limit_what)what;
	rate = tail = w->next;
	if (is_unlimited(rate)) {
		read_unlimited(b, row, rate, l, &base);
		return;
	}
	while (tail != NULL && !words_is(tail, "calendar") && !words_is(tail, "over"))
		tail = tail->next;
	if (rate == tail) {
		report(b->r, CE_VALUE_MISSING, w, textf(b->r, "write: %s %s", row->name, row->args),
		    w->text);
		return;
	}
	if (!read_tail(b, row, tail, &calendar, &base.over))
		return;
	for (; rate != tail; rate = rate->next) {
		struct limit_rule r = base;

		r.place = rate->place;
		if (words_limit_rate(b, rate, calendar, &r))
			add_rule(b, rate, l, &r);
	}
}

/* ---- limit ------------------------------------------------------------------------------------
 */

static bool takes_name(enum limit_key key)
{
	return key == LIMIT_BY_ACCOUNT || key == LIMIT_BY_TENANT || key == LIMIT_BY_LISTENER;
}

static const char *lower(struct builder *b, const char *text)
{
	size_t n = strlen(text);
	char *copy = must_alloc(&b->c->arena, n + 1);

	for (size_t i = 0; i <= n; i++)
		copy[i] = (char)ascii_lower((uint8_t)text[i]);
	return copy;
}

static bool is_what(const struct word *w)
{
	for (size_t i = 0; w != NULL && i < LIMIT_WHATS; i++) {
		if (words_is(w, what_words[i]))
			return true;
	}
	return false;
}

/* "message 10/d": nearly one of the words, and the amount follows. It is nobody's name. */
static bool is_meant(const struct word *w)
{
	return strchr(w->next->text, '/') != NULL &&
	       nearest_word(span_str(w->text), what_words, LIMIT_WHATS) != NULL;
}

/* Settings of "limits {...}" that are looked for here, and words that are no key. */
static bool read_key(struct builder *b, const struct word *w, enum limit_key *key)
{
	size_t which;

	for (size_t i = 0; i < LIMIT_KEYS; i++) {
		if (words_is(w, key_words[i])) {
			*key = (enum limit_key)i;
			return true;
		}
	}
	if (option_find(SCOPE_LIMITS, span_str(w->text)) != NULL && !is_what(w))
		report(b->r, CE_LIMIT_BLOCK, w, textf(b->r, "write: limits { %s ... }", w->text),
		    w->text);
	else if (is_what(w))
		report(b->r, CE_LIMIT_KEY, w,
		    textf(b->r, "write: limit account %s N/TIME", w->text), w->text);
	else if (words_choose(b, w, key_words, LIMIT_KEYS, &which))
		return true;
	return false;
}

void words_limit(struct builder *b, const struct option *row, const struct word *w)
{
	struct limit_rule rule = {.place = w->place};
	struct list list = {b->limit, &b->c->n_limit, ""};

	if (!read_key(b, w, &rule.key) || !words_next(b, row, w))
		return;
	w = w->next;
	if (takes_name(rule.key) && !is_what(w) && w->next != NULL && !is_meant(w)) {
		rule.only = lower(b, w->text);
		w = w->next;
	}
	read_limit(b, row, w, rule, &list);
}

/* ---- plan -------------------------------------------------------------------------------------
 */

void words_in_plan(
    struct builder *b, struct plan *p, const struct option *row, const struct word *w)
{
	struct limit_rule rule = {.key = LIMIT_BY_ACCOUNT, .plan = p->name, .place = w->place};
	struct list list = {b->plan_limit, &p->n_limit, textf(b->r, "plan %s", p->name)};
	size_t which;

	/* A plan is for accounts anyway. */
	if (words_is(w, key_words[LIMIT_BY_ACCOUNT]))
		report(b->r, CE_LIMIT_IN_PLAN, w, NULL, w->text);
	else if (is_what(w))
		read_limit(b, row, w, rule, &list);
	else if (words_choose(b, w, what_words, LIMIT_WHATS, &which))
		return;
}

static bool plan_fits(struct builder *b, const struct word *w)
{
	const struct place *first;
	char text[PLACE_TEXT];

	if (!words_name_good(w->text)) {
		report(b->r, CE_PLAN_NAME, w, NULL, w->text);
		return false;
	}
	first = build_once(b, "plan", w->text, &w->place);
	if (first != NULL) {
		report(b->r, CE_PLAN_TWICE, w, NULL, w->text, place_text(first, text));
		return false;
	}
	if (b->c->n_plan < CONFIG_PLANS_MAX)
		return true;
	snprintf(text, sizeof(text), "%d", CONFIG_PLANS_MAX);
	report(b->r, CE_PLAN_MANY, w, NULL, text);
	return false;
}

void words_plan(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	struct plan *p = &b->plan[b->c->n_plan];
	struct limit_rule *keep;
	struct block k = {.scope = SCOPE_PLAN, .base = p};
	char label[64];

	if (build_extra(b, row, w->next) || !plan_fits(b, w))
		return;
	*p = (struct plan){.name = must_dup(&b->c->arena, span_str(w->text)), .place = w->place};
	snprintf(label, sizeof(label), "plan %.40s", w->text);
	k.label = label;
	build_settings(b, &k, s->block);
	keep = must_alloc(&b->c->arena, (p->n_limit + 1) * sizeof(*keep));
	memcpy(keep, b->plan_limit, p->n_limit * sizeof(*keep));
	p->limit = keep;
	b->c->n_plan++;
}

const char *words_limit_instead(struct builder *b, const struct word *w)
{
	bool known = is_what(w);

	for (size_t i = 0; i < LIMIT_KEYS; i++)
		known = known || words_is(w, key_words[i]);
	return known ? textf(b->r, "outside of this block: limit %s%s N/TIME",
			   is_what(w) ? "account " : "",
			   is_what(w) ? w->text : textf(b->r, "%s messages", w->text))
		     : NULL;
}

/* ---- shown ------------------------------------------------------------------------------------
 */

void limit_rate_text(const struct limit_rule *r, struct buf *out)
{
	if (r->what == LIMIT_OF_OCTETS)
		format_size(r->n, out);
	else
		buf_addf(out, "%" PRIu64, r->n);
	buf_add_byte(out, '/');
	if (r->seconds == 0 && r->calendar == LIMIT_MONTH) {
		buf_add_str(out, "month");
	} else if (r->seconds == 0) {
		buf_addf(out, "%c", calendar_letters[r->calendar]);
	} else {
		struct buf time;
		struct span s;

		buf_init(&time, 32);
		format_duration((int64_t)r->seconds * 1000000, &time);
		s = buf_view(&time);
		if (s.n == 2 && s.p[0] == '1')
			s = span_skip(s, 1);
		buf_add_span(out, s);
		buf_fini(&time);
	}
}

void text_limit(struct buf *out, const struct limit_rule *r)
{
	if (r->plan == NULL)
		buf_addf(out, " %s", key_words[r->key]);
	if (r->only != NULL) {
		buf_add_byte(out, ' ');
		text_word(out, span_str(r->only));
	}
	buf_addf(out, " %s ", what_words[r->what]);
	limit_rate_text(r, out);
	if (r->seconds == 0 && r->calendar != LIMIT_MONTH)
		buf_add_str(out, " calendar");
	if (r->over != LIMIT_REFUSE)
		buf_addf(out, " over %s", over_words[r->over]);
}
