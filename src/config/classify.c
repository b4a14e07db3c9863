#include "config/classify.h"

#include "config/literal.h"
#include "config/pattern.h"
#include "config/words.h"
#include "mail/change.h"

#include <stdio.h>

/* ---- what the patterns see ------------------------------------------------------------------- */

enum { HEAD = 20, LOWER = HEAD + PATTERN_LOOKED_AT };
struct lower {
	uint8_t p[LOWER];
	size_t n;
};

static bool in_address(uint8_t c)
{
	return c > ' ' && strchr("<>()[]{}\"',;:=@", c) == NULL;
}

static bool in_domain(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '.' || c == '-' || c == '_' || c > 127;
}

/* An address leaves its '@'. Returns how much of the text is behind that and belongs to it. */
static size_t add_at(struct lower *l, size_t head, struct span behind)
{
	size_t n = 0;

	while (l->n > head && in_address(l->p[l->n - 1]))
		l->n--;
	while (n < behind.n && in_domain(behind.p[n]))
		n++;
	return n;
}

static void add_text(struct lower *l, struct span text)
{
	size_t head = l->n;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = ascii_lower(text.p[i]);

		if (c <= ' ' || c == 127)
			c = ' ';
		if (c == ' ' && l->p[l->n - 1] == ' ')
			continue;
		if (c == '@')
			i += add_at(l, head, span_skip(text, i + 1));
		l->p[l->n++] = c;
	}
}

static void lower_fill(struct lower *l, uint16_t code, const uint8_t esc[3], struct span text)
{
	int n =
	    snprintf((char *)l->p, HEAD, "%03u %u.%u.%u ", code % 1000U, esc[0], esc[1], esc[2]);

	l->n = (size_t)n;
	add_text(l, span_first(text, PATTERN_LOOKED_AT));
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The rules that are built in, read when they are asked for the first time; NULL: they are
 * included. */
static const struct config *built_in(const struct config *c)
{
	static const char text[] = "hostname localhost\nlisten mx 127.0.0.1:25\n"
				   "domain localhost { deliver maildir /m }\n"
				   "include " BUILTIN_PREFIX "replies\n";
	struct config_index *x = c->index;
	struct config_diags d;
	struct buf bundle;

	if (x->has_replies || x->replies != NULL)
		return x->replies;
	config_diags_init(&d);
	buf_init(&bundle, sizeof(text) + 64);
	if (config_bundle_text("replies", span_str(text), &bundle) == 0)
		x->replies = config_parse(buf_view(&bundle), c->generation, &d);
	buf_fini(&bundle);
	config_diags_fini(&d);
	if (x->replies == NULL)
		die("the rules for replies that are built in cannot be read");
	return x->replies;
}

struct quest {
	struct pattern_search search;
	struct gram_set grams;
	struct span lower;
	size_t tried;
};

static const struct classify_rule *find_in(struct quest *q, const struct config *c)
{
	for (size_t i = 0; i < c->n_classify && q->tried < CLASSIFY_TRIED; i++) {
		const struct classify_rule *rule = &c->classify[i];

		if (!literals_may(&rule->needs, &q->grams))
			continue;
		q->tried++;
		if (pattern_found(&q->search, rule->compiled, q->lower))
			return rule;
	}
	return NULL;
}

static const struct classify_rule *find_rule(const struct config *c, struct span lower)
{
	const struct classify_rule *found = NULL;
	const struct config *behind = built_in(c);
	struct quest q = {.lower = lower};

	gram_set_fill(&q.grams, lower);
	if (pattern_search_init(&q.search)) {
		found = find_in(&q, c);
		if (found == NULL && behind != NULL)
			found = find_in(&q, behind);
	}
	pattern_search_fini(&q.search);
	return found;
}

/*
 * Reads "5.7.26" that stands for itself. Returns its length, or 0. Exchange Online has details
 * beyond 255, which are stored as 255: no such detail is in a table.
 */
static size_t read_status(struct span s, uint8_t esc[3])
{
	unsigned part[3] = {0};
	size_t i = 0;

	for (size_t k = 0; k < 3; k++) {
		size_t digits = 0;

		if (k > 0 && (i == s.n || s.p[i++] != '.'))
			return 0;
		while (i < s.n && ascii_isdigit(s.p[i]) && digits++ < 3)
			part[k] = part[k] * 10 + (s.p[i++] - '0');
		if (digits == 0)
			return 0;
	}
	if ((part[0] != 4 && part[0] != 5) ||
	    (i < s.n && (ascii_isdigit(s.p[i]) || ascii_isalpha(s.p[i]) ||
			    (s.p[i] == '.' && i + 1 < s.n && ascii_isdigit(s.p[i + 1])))))
		return 0;
	for (size_t k = 0; k < 3; k++)
		esc[k] = (uint8_t)(part[k] > 255 ? 255 : part[k]);
	return i;
}

/* Hosts that say "550 #5.1.0 ..." or "550 [5.7.1] ..." mean it. */
static bool find_status(struct span text, uint8_t esc[3])
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t before = i > 0 ? text.p[i - 1] : ' ';

		if (!ascii_isdigit(before) && !ascii_isalpha(before) && before != '.' &&
		    read_status(span_skip(text, i), esc) > 0)
			return true;
	}
	return false;
}

static void by_codes(uint16_t code, struct span text, struct classified *out)
{
	out->by = CLASSIFIED_STATUS;
	if (out->esc[0] == 0)
		(void)find_status(text, out->esc);
	out->class = reply_class_of_status(out->esc);
	if (out->class != REPLY_OTHER)
		return;
	out->by = CLASSIFIED_CODE;
	out->class = reply_class_of_code(code);
	if (out->class == REPLY_OTHER)
		out->by = CLASSIFIED_NOTHING;
}

void classify_explain(const struct config *c, uint16_t code, const uint8_t esc[3], struct span text,
    struct classified *out)
{
	const struct change_rcpt r = {.code = code, .esc = {esc[0], esc[1], esc[2]}};
	struct lower lower;

	*out = (struct classified){
	    .class = REPLY_OTHER, .by = CLASSIFIED_NOTHING, .esc = {esc[0], esc[1], esc[2]}};
	if (change_unsure(&r)) {
		out->class = REPLY_UNSURE;
		out->by = CLASSIFIED_OURSELVES;
		return;
	}
	lower_fill(&lower, code, esc, text);
	out->rule = find_rule(c, span_of(lower.p, lower.n));
	if (out->rule == NULL) {
		by_codes(code, span_of(lower.p, lower.n), out);
		return;
	}
	out->class = out->rule->class;
	out->by = CLASSIFIED_RULE;
}

enum reply_class classify_reply(
    const struct config *c, uint16_t code, const uint8_t esc[3], struct span text)
{
	struct classified out;

	classify_explain(c, code, esc, text, &out);
	return out.class;
}

/* A blank, or the dash of a line that others follow. */
static struct span skip_gap(struct span s)
{
	return span_skip_blanks(s.n > 0 && s.p[0] == '-' ? span_skip(s, 1) : s);
}

void classify_split(struct span line, uint16_t *code, uint8_t esc[3], struct span *text)
{
	struct span s = span_trim(line);
	size_t n;

	*code = 0;
	memset(esc, 0, 3);
	if (s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '5' && ascii_isdigit(s.p[1]) &&
	    ascii_isdigit(s.p[2]) && (s.n == 3 || s.p[3] == ' ' || s.p[3] == '-')) {
		*code = (uint16_t)((s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + s.p[2] - '0');
		s = skip_gap(span_skip(s, 3));
	}
	n = read_status(s, esc);
	if (n == 0 || esc[1] == 255 || esc[2] == 255) { /* as the client reads them */
		memset(esc, 0, 3);
		n = 0;
	}
	*text = n > 0 ? skip_gap(span_skip(s, n)) : s;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_class(struct builder *b, const struct word *w, enum reply_class *out)
{
	const char *words[REPLY_CLASSES];
	size_t which;

	for (size_t i = 0; i < REPLY_CLASSES; i++)
		words[i] = reply_classes[i].word;
	if (!words_choose(b, w, words, REPLY_CLASSES, &which))
		return false;
	*out = (enum reply_class)which;
	return true;
}

/* classify CLASS REGEX */
void words_classify(struct builder *b, const struct option *row, const struct word *w)
{
	struct classify_rule *rule = &b->classify[b->c->n_classify];
	char most[16];

	b->x->has_replies = b->x->has_replies || is_builtin(&w->place);
	if (b->c->n_classify == CLASSIFY_RULES) {
		snprintf(most, sizeof(most), "%d", CLASSIFY_RULES);
		report(b->r, CE_MANY, w, NULL, most, "rules for classes");
		return;
	}
	*rule = (struct classify_rule){.place = w->place};
	if (!read_class(b, w, &rule->class) || !words_next(b, row, w) ||
	    build_extra(b, row, w->next->next))
		return;
	rule->pattern = must_dup(&b->c->arena, span_str(w->next->text));
	rule->compiled = pattern_compile(b, w->next, true);
	if (rule->compiled == NULL)
		return;
	rule->needs = literals_of(rule->pattern, &b->c->arena);
	b->c->n_classify++;
}
