#include "config/schema.h"

#include "config/config.h"

#define FIELD(type, member) offsetof(struct type, member)
#define NOFIELD 0

const struct option options[OPT_COUNT] = {
#define OPTION(ID, SCOPE, NAME, ARGS, TYPE, DEFAULT, MIN, MAX, COUNT, OPENS, RELOAD, WHERE, DOC, \
    EXAMPLE, SINCE) \
	[OPT_##ID] = { \
	    .id = OPT_##ID, \
	    .scope = SCOPE_##SCOPE, \
	    .name = NAME, \
	    .args = ARGS, \
	    .type = TYPE_##TYPE, \
	    .fallback = DEFAULT, \
	    .min = MIN, \
	    .max = MAX, \
	    .count = COUNT_##COUNT, \
	    .opens = SCOPE_##OPENS, \
	    .reload = RELOAD_##RELOAD, \
	    .field = WHERE, \
	    .doc = DOC, \
	    .example = EXAMPLE, \
	    .since = SINCE, \
	},
#include "config/options.def"
#undef OPTION
};

/* A row without prose, example or version does not compile. */
#define OPTION(ID, SCOPE, NAME, ARGS, TYPE, DEFAULT, MIN, MAX, COUNT, OPENS, RELOAD, WHERE, DOC, \
    EXAMPLE, SINCE) \
	_Static_assert(sizeof("" DOC) > 20, #ID ": a setting needs a sentence of documentation"); \
	_Static_assert(sizeof("" EXAMPLE) > sizeof(NAME), #ID ": a setting needs an example"); \
	_Static_assert(sizeof("" SINCE) > 3, #ID ": since which version?");
#include "config/options.def"
#undef OPTION

const struct error_row config_errors[CE_COUNT] = {
#define ERROR(ID, NUMBER, SEVERITY, SENTENCE, WHY, FIX) \
	[CE_##ID] = {NUMBER, SEVERITY_##SEVERITY, SENTENCE, WHY, FIX},
#include "config/errors.def"
#undef ERROR
};

#define ERROR(ID, NUMBER, SEVERITY, SENTENCE, WHY, FIX) \
	_Static_assert(sizeof("" SENTENCE) > 5 && sizeof("" WHY) > 10 && sizeof("" FIX) > 5, \
	    #ID ": an error needs a sentence, a reason and a fix");
#include "config/errors.def"
#undef ERROR

const struct option *option_find(enum option_scope scope, struct span name)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope == scope && span_eq(name, span_str(options[i].name)))
			return &options[i];
	}
	return NULL;
}

const char *scope_name(enum option_scope scope)
{
	switch (scope) {
	case SCOPE_LOG: return "log";
	case SCOPE_LISTEN: return "listen";
	case SCOPE_LIMITS: return "limits";
	case SCOPE_CONNECTIONS: return "limits.connections";
	case SCOPE_DOMAIN: return "domain";
	case SCOPE_VMTA: return "vmta";
	case SCOPE_SHAPE: return "shape";
	case SCOPE_SHAPE_CONNECTIONS: return "shape.connections";
	case SCOPE_SHAPE_MESSAGES: return "shape.messages";
	case SCOPE_RESOLVER: return "resolver";
	case SCOPE_HISTORY: return "history";
	case SCOPE_DSN: return "dsn";
	case SCOPE_SRS: return "srs";
	case SCOPE_PLAN: return "plan";
	case SCOPE_PULL: return "pull";
	case SCOPE_IDENTIFY: return "identify";
	case SCOPE_STORE: return "store";
	case SCOPE_TOP:
	case SCOPE_NONE:
	case SCOPE_COUNT: break;
	}
	return "";
}

bool scope_is_tail(enum option_scope scope)
{
	return scope == SCOPE_CONNECTIONS || scope == SCOPE_SHAPE_CONNECTIONS ||
	       scope == SCOPE_SHAPE_MESSAGES;
}

enum { NEAR_MAX = 32 };

static size_t least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between two words: insert, delete, replace, swap of neighbours. */
static size_t distance(struct span a, struct span b)
{
	size_t row[3][NEAR_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[1][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *above = row[i % 3], *here = row[(i + 1) % 3], *twice = row[(i + 2) % 3];

		here[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = ascii_lower(a.p[i - 1]) == ascii_lower(b.p[j - 1]);

			here[j] = least(above[j] + 1, here[j - 1] + 1, above[j - 1] + !same);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && twice[j - 2] + 1 < here[j])
				here[j] = twice[j - 2] + 1;
		}
	}
	return row[(a.n + 1) % 3][b.n];
}

const char *nearest_word(struct span word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t best_d = word.n <= 3 ? 2 : word.n <= 6 ? 3 : 4; /* one less is accepted */

	if (word.n == 0 || word.n > NEAR_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct span w = span_str(words[i]);
		size_t d;

		if (w.n > NEAR_MAX)
			continue;
		d = distance(word, w);
		if (d < best_d && d < w.n) {
			best = words[i];
			best_d = d;
		}
	}
	return best;
}

void schema_hint_unknown(enum option_scope scope, struct span name, struct buf *out)
{
	const char *words[OPT_COUNT];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope == scope)
			words[n++] = options[i].name;
	}
	near = nearest_word(name, words, n);
	if (near != NULL)
		buf_addf(out, "did you mean '%s'? ", near);
	buf_add_str(out, "settings allowed here:");
	for (size_t i = 0; i < n; i++)
		buf_addf(out, " %s", words[i]);
}
