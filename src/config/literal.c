#include "config/literal.h"

#include "config/parse.h"

enum { SET_MAX = 64, RUN_MAX = 24, NESTED_MAX = 8, SCRATCH = 64 << 20 };

/* ---- which grams are in a text ----------------------------------------------------------------
 */

static uint16_t gram_of(const uint8_t *p)
{
	uint32_t three = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

	return (uint16_t)(three * UINT32_C(0x9e3779b1) >> 20);
}

void gram_set_fill(struct gram_set *s, struct span lower)
{
	*s = (struct gram_set){0};
	for (size_t i = 0; i + GRAM <= lower.n; i++) {
		uint16_t g = gram_of(lower.p + i);

		s->word[g / 64] |= UINT64_C(1) << g % 64;
	}
}

static bool has(const struct gram_set *s, uint16_t g)
{
	return s->word[g / 64] >> g % 64 & 1;
}

static bool set_may(const struct literal_set *l, const struct gram_set *s)
{
	for (size_t i = 0; i < l->n; i++) {
		const uint16_t *g = l->one[i].gram;

		if (has(s, g[0]) && has(s, g[1]) && has(s, g[2]))
			return true;
	}
	return l->n == 0;
}

bool literals_may(const struct literals *l, const struct gram_set *s)
{
	return set_may(&l->set[0], s) && set_may(&l->set[1], s);
}

/* ---- which texts a pattern needs --------------------------------------------------------------
 * A part of a regular expression needs a set of texts, one of which must be there: a run of plain
 * characters needs itself, a choice what all its sides need together, a sequence what its parts
 * need, of which the best two are kept. What may be missing needs nothing.
 */

struct run {
	uint8_t p[RUN_MAX];
	size_t n;
};
struct set {
	struct run *one;
	size_t n, shortest; /* 0: needs nothing */
};
struct needs {
	struct set best[LITERAL_SETS];
};

struct parser {
	struct span rest;
	struct arena *scratch;
	bool lost; /* something that is not understood */
};

static bool eat(struct parser *p, const char *text)
{
	if (!span_starts(p->rest, span_str(text)))
		return false;
	p->rest = span_skip(p->rest, strlen(text));
	return true;
}

static uint8_t take(struct parser *p)
{
	uint8_t c = p->rest.p[0];

	p->rest = span_skip(p->rest, 1);
	return c;
}

static bool is_better(const struct set *a, const struct set *b)
{
	return a->shortest > b->shortest || (a->shortest == b->shortest && a->n < b->n);
}

static void keep_better(struct needs *needs, struct set s)
{
	for (size_t i = 0; i < LITERAL_SETS && s.shortest > 0; i++) {
		struct set other = needs->best[i];

		if (!is_better(&s, &other))
			continue;
		needs->best[i] = s;
		s = other;
	}
}

static void end_run(struct parser *p, struct run *run, struct needs *needs)
{
	struct set s = {.n = 1, .shortest = run->n};

	if (run->n == 0)
		return;
	s.one = must_alloc(p->scratch, sizeof(*run));
	*s.one = *run;
	keep_better(needs, s);
	run->n = 0;
}

/* "{2}", "{1,3}", "{0,}": true if it is one; least: 0 if what stands before it may be missing. */
static bool eat_count(struct parser *p, bool *least)
{
	size_t i = 1;

	if (p->rest.n == 0 || p->rest.p[0] != '{')
		return false;
	while (i < p->rest.n && (ascii_isdigit(p->rest.p[i]) || p->rest.p[i] == ','))
		i++;
	if (i == 1 || i == p->rest.n || p->rest.p[i] != '}')
		return false;
	*least = p->rest.p[1] != '0' && p->rest.p[1] != ',';
	p->rest = span_skip(p->rest, i + 1);
	return true;
}

enum times { ONCE, SOME, PERHAPS };
static enum times eat_quantifier(struct parser *p)
{
	enum times t = ONCE;
	bool least;

	if (p->rest.n == 0 || strchr("?*+{", p->rest.p[0]) == NULL)
		return ONCE;
	if (eat(p, "?") || eat(p, "*"))
		t = PERHAPS;
	else if (eat(p, "+"))
		t = SOME;
	else if (eat_count(p, &least))
		t = least ? SOME : PERHAPS;
	if (t != ONCE && !eat(p, "?")) /* lazy, or */
		(void)eat(p, "+");     /* possessive */
	return t;
}

static void skip_class(struct parser *p)
{
	(void)eat(p, "^");
	(void)eat(p, "]"); /* stands for itself in front */
	while (p->rest.n > 0) {
		uint8_t c = take(p);

		if (c == ']')
			return;
		if (c == '[' && p->rest.n > 0 && strchr(":.=", p->rest.p[0]) != NULL)
			p->lost = true;
		if (c == '\\' && p->rest.n > 0 && (ascii_lower(take(p)) == 'q'))
			p->lost = true;
	}
}

static struct needs choice(struct parser *p, unsigned depth);

/* Behind "(": what the group needs. */
static struct needs group(struct parser *p, unsigned depth)
{
	static const char *const around[] = {"?=", "?!", "?<=", "?<!"};
	struct needs s, nothing = {0};
	bool looks = false;

	for (size_t i = 0; i < GW_ARRAY_LEN(around) && !looks; i++)
		looks = eat(p, around[i]);
	if (!looks && !eat(p, "?:") && p->rest.n > 0 && strchr("?*", p->rest.p[0]) != NULL)
		p->lost = true;
	s = depth < NESTED_MAX ? choice(p, depth + 1) : nothing;
	if (depth == NESTED_MAX || !eat(p, ")"))
		p->lost = true;
	return looks ? nothing : s;
}

/* A plain character, or 0: something else, which has been passed. */
static uint8_t plain(struct parser *p)
{
	uint8_t c = take(p);

	if (c == '[')
		skip_class(p);
	if (c == '{') /* new versions read more as a count than old ones */
		p->lost = true;
	if (strchr("[.^$", c) != NULL)
		return 0;
	if (c != '\\')
		return ascii_lower(c);
	c = p->rest.n > 0 ? take(p) : '\0';
	if (!ascii_isalpha(c) && !ascii_isdigit(c))
		return c;
	if (strchr("dDwWsSbBhHvVRAZz", c) == NULL)
		p->lost = true;
	return 0;
}

static void one_character(struct parser *p, struct run *run, struct needs *needs)
{
	uint8_t c = plain(p);
	enum times t = eat_quantifier(p);

	if (c != 0 && t != PERHAPS)
		run->p[run->n++] = c;
	if (c == 0 || t != ONCE || run->n == RUN_MAX)
		end_run(p, run, needs);
}

static struct needs sequence(struct parser *p, unsigned depth)
{
	struct needs needs = {0}, inner;
	struct run run = {.n = 0};

	while (p->rest.n > 0 && !p->lost && p->rest.p[0] != '|' && p->rest.p[0] != ')') {
		if (!eat(p, "(")) {
			one_character(p, &run, &needs);
			continue;
		}
		end_run(p, &run, &needs);
		inner = group(p, depth);
		if (eat_quantifier(p) == PERHAPS)
			continue;
		for (size_t i = 0; i < LITERAL_SETS; i++)
			keep_better(&needs, inner.best[i]);
	}
	end_run(p, &run, &needs);
	return needs;
}

/* What the sides of a choice need: the best of one or the best of another, and so on. */
static void join(struct parser *p, struct set *all, const struct set *one)
{
	struct run *list;

	if (one->shortest < all->shortest)
		all->shortest = one->shortest;
	if (all->n + one->n > SET_MAX)
		all->shortest = 0;
	if (all->shortest == 0)
		return;
	list = must_alloc(p->scratch, (all->n + one->n) * sizeof(*list));
	memcpy(list, all->one, all->n * sizeof(*list));
	memcpy(list + all->n, one->one, one->n * sizeof(*list));
	all->one = list;
	all->n += one->n;
}

static struct needs choice(struct parser *p, unsigned depth)
{
	struct needs all = sequence(p, depth);

	while (eat(p, "|")) {
		struct needs one = sequence(p, depth);

		for (size_t i = 0; i < LITERAL_SETS; i++)
			join(p, &all.best[i], &one.best[i]);
	}
	return all;
}

/* The first, the middle and the last three octets. */
static struct literal literal_of(const struct run *run)
{
	size_t last = run->n - GRAM;

	return (struct literal){
	    {gram_of(run->p), gram_of(run->p + last / 2), gram_of(run->p + last)}};
}

static struct literal_set set_of(const struct set *s, struct arena *a)
{
	struct literal_set l = {.n = 0};
	struct literal *list;

	if (s->shortest < GRAM)
		return l;
	l.one = list = must_alloc(a, s->n * sizeof(*list));
	while (l.n < s->n) {
		list[l.n] = literal_of(&s->one[l.n]);
		l.n++;
	}
	return l;
}

struct literals literals_of(const char *pattern, struct arena *a)
{
	struct literals l = {0};
	struct arena scratch;
	struct parser p = {.rest = span_str(pattern), .scratch = &scratch};
	struct needs needs;

	arena_init(&scratch, SCRATCH);
	needs = choice(&p, 0);
	for (size_t i = 0; i < LITERAL_SETS && !p.lost && p.rest.n == 0; i++)
		l.set[i] = set_of(&needs.best[i], a);
	arena_reset(&scratch);
	return l;
}
