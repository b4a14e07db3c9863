#include "config/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

enum { STEPS = 1000, DEPTH = 500, HEAP_KIB = 256 };

struct reply_pattern {
	struct reply_pattern *next;
	pcre2_code *code;
};

const struct reply_pattern *pattern_compile(struct builder *b, const struct word *w, bool any_case)
{
	struct reply_pattern *p = must_alloc(&b->c->arena, sizeof(*p));
	uint32_t how = PCRE2_NEVER_UTF | (any_case ? PCRE2_CASELESS : 0);
	struct place at = w->place;
	PCRE2_UCHAR why[160];
	char where[24];
	PCRE2_SIZE offset = 0;
	int error = 0;

	p->code = pcre2_compile((PCRE2_SPTR)w->text, strlen(w->text), how, &error, &offset, NULL);
	if (p->code == NULL) {
		pcre2_get_error_message(error, why, sizeof(why));
		snprintf(where, sizeof(where), "%zu", (size_t)offset);
		report_at(b->r, CE_REGEX, &at, w->width, NULL, w->text, (const char *)why, where);
		return NULL;
	}
	p->next = b->x->patterns;
	b->x->patterns = p;
	return p;
}

void patterns_free(struct config_index *x)
{
	for (; x->patterns != NULL; x->patterns = x->patterns->next)
		pcre2_code_free(x->patterns->code);
}

bool pattern_search_init(struct pattern_search *s)
{
	s->context = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	if (s->context == NULL || s->data == NULL)
		return false;
	pcre2_set_match_limit(s->context, STEPS);
	pcre2_set_depth_limit(s->context, DEPTH);
	pcre2_set_heap_limit(s->context, HEAP_KIB);
	return true;
}

void pattern_search_fini(struct pattern_search *s)
{
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
}

bool pattern_found(const struct pattern_search *s, const struct reply_pattern *p, struct span text)
{
	static const uint8_t empty = 0;
	const uint8_t *begin = text.n > 0 ? text.p : &empty;

	return pcre2_match(p->code, begin, text.n, 0, 0, s->data, s->context) >= 0;
}
