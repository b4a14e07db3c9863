/* "on reply": what a host says, and what is done then. */
#include "config/pattern.h"
#include "config/words.h"

#include <stdio.h>

enum { RULES_MAX = 64 }; /* in one group */

const struct on_reply *on_reply_find(const struct shape *g, struct span text)
{
	const struct on_reply *rule = NULL;
	struct pattern_search s;

	if (g->n_on_reply == 0)
		return NULL;
	text = span_first(text, PATTERN_LOOKED_AT);
	if (pattern_search_init(&s)) {
		for (size_t i = 0; i < g->n_on_reply && rule == NULL; i++) {
			if (pattern_found(&s, g->on_reply[i].compiled, text))
				rule = &g->on_reply[i];
		}
	}
	pattern_search_fini(&s);
	return rule;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_time(
    struct builder *b, const struct option *row, const struct word *w, int64_t *time)
{
	uint64_t n;

	if (!value_number(&b->v, row, TYPE_DURATION, w, &n))
		return false;
	*time = (int64_t)n;
	return true;
}

/* RATE for DURATION */
static bool read_slow(
    struct builder *b, const struct option *row, const struct word *w, struct on_reply *out)
{
	static const char *const words[] = {"for"};
	static const struct option rate = {.name = "slow", .min = 1, .max = 1000000};
	uint64_t packed;
	size_t which;

	if (!value_number(&b->v, &rate, TYPE_RATE, w, &packed) || !words_next(b, row, w) ||
	    !words_choose(b, w->next, words, 1, &which) || !words_next(b, row, w->next))
		return false;
	out->rate = (struct rate){(uint32_t)packed, (uint32_t)(packed >> 32)};
	w = w->next->next;
	return read_time(b, row, w, &out->time) && !build_extra(b, row, w->next);
}

static bool read_action(
    struct builder *b, const struct option *row, const struct word *w, struct on_reply *out)
{
	size_t kind;

	if (!words_choose(b, w, on_reply_words, ON_REPLY_BOUNCE + 1, &kind))
		return false;
	out->kind = (enum on_reply_kind)kind;
	if (out->kind == ON_REPLY_BOUNCE)
		return !build_extra(b, row, w->next);
	if (!words_next(b, row, w))
		return false;
	if (out->kind == ON_REPLY_SLOW)
		return read_slow(b, row, w->next, out);
	return read_time(b, row, w->next, &out->time) && !build_extra(b, row, w->next->next);
}

static bool read_rule(
    struct builder *b, const struct option *row, const struct word *w, struct on_reply *out)
{
	static const char *const words[] = {"reply"};
	const struct word *regex = w->next;
	size_t which;

	*out = (struct on_reply){.place = w->place};
	if (!words_choose(b, w, words, 1, &which) || !words_next(b, row, w) ||
	    !words_next(b, row, regex) || !read_action(b, row, regex->next, out))
		return false;
	out->pattern = must_dup(&b->c->arena, span_str(regex->text));
	out->compiled = pattern_compile(b, regex, false);
	return out->compiled != NULL;
}

void words_on_reply(
    struct builder *b, const struct option *row, const struct word *w, struct shape *g)
{
	struct on_reply *list;
	char most[16];

	/* The first rule that the block says itself ends those of the group it started from. */
	if (b->rules == NULL) {
		b->rules = must_alloc(&b->c->arena, RULES_MAX * sizeof(*list));
		g->on_reply = b->rules;
		g->n_on_reply = 0;
	}
	if (g->n_on_reply == RULES_MAX) {
		snprintf(most, sizeof(most), "%d", RULES_MAX);
		report(b->r, CE_MANY, w, NULL, most, "rules for replies");
		return;
	}
	if (read_rule(b, row, w, &b->rules[g->n_on_reply]))
		g->n_on_reply++;
}
