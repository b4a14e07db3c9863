#include "cmd/flags.h"

#include "base/span.h"
#include "cmd/commands.h"
#include "config/schema.h"

#include <stdarg.h>

enum { FLAGS_MAX = 32 };

/* ---- values ------------------------------------------------------------------------------- */

int flag_number(const char *text, uint64_t k, uint64_t *out)
{
	struct span s = span_str(text);
	uint64_t unit = 1, n;

	if (s.n > 1 && ascii_isalpha(s.p[s.n - 1])) {
		switch (ascii_lower(s.p[--s.n])) {
		case 'k': unit = k; break;
		case 'm': unit = k * k; break;
		case 'g': unit = k * k * k; break;
		default: return GW_EFORMAT;
		}
	}
	if (span_to_u64(s, &n) < 0 || n > (uint64_t)INT64_MAX / unit)
		return GW_EFORMAT;
	*out = n * unit;
	return 0;
}

int flag_time(const char *text, int64_t *out)
{
	struct span s = span_str(text);
	uint64_t unit, n;

	if (s.n < 2)
		return GW_EFORMAT;
	switch (s.p[s.n - 1]) {
	case 's': unit = 1; break;
	case 'm': unit = 60; break;
	case 'h': unit = 3600; break;
	case 'd': unit = 86400; break;
	default: return GW_EFORMAT;
	}
	if (span_to_u64(span_first(s, s.n - 1), &n) < 0 || n == 0 || n > 366 * 86400 / unit)
		return GW_EFORMAT;
	*out = (int64_t)(n * unit * 1000000);
	return 0;
}

/* What was wanted, or NULL if the value is good. */
static const char *take_value(const struct flag *f, const char *value)
{
	struct flag_list *list;

	switch (f->kind) {
	case FLAG_ON: break;
	case FLAG_TEXT: *(const char **)f->to = value; break;
	case FLAG_LIST:
		list = f->to;
		if (list->n == FLAG_LIST_MAX)
			return "at most 64 times";
		list->value[list->n++] = value;
		break;
	case FLAG_NUMBER:
		return flag_number(value, 1000, f->to) < 0 ? "a number like 100 or 20k" : NULL;
	case FLAG_SIZE:
		return flag_number(value, 1024, f->to) < 0 ? "a size like 500 or 10k" : NULL;
	case FLAG_TIME: return flag_time(value, f->to) < 0 ? "a time like 30s or 5m" : NULL;
	}
	return NULL;
}

/* ---- messages ----------------------------------------------------------------------------- */

static const char *space(const char *verb)
{
	return verb[0] != '\0' ? " " : "";
}

int flags_usage(const char *verb, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "godwit%s%s: ", space(verb), verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n(godwit help%s%s shows the usage)\n", space(verb), verb);
	return CMD_USAGE;
}

static int unknown_flag(
    const char *verb, const struct flag *all, size_t n, const char *arg, size_t length)
{
	const char *names[FLAGS_MAX], *near;

	for (size_t i = 0; i < n; i++)
		names[i] = all[i].name;
	near = nearest_word(span_of(arg, length), names, n);
	if (near != NULL)
		return flags_usage(
		    verb, "there is no flag %.*s: did you mean %s?", (int)length, arg, near);
	return flags_usage(verb, "there is no flag %.*s", (int)length, arg);
}

/* ---- reading ------------------------------------------------------------------------------ */

struct reading {
	const char *verb;
	struct flag all[FLAGS_MAX];
	size_t n;
	int argc, at;
	char **argv;
	int code;
};

static void add_rows(struct reading *r, const struct flag *rows, size_t n)
{
	gw_assert(r->n + n <= FLAGS_MAX);
	for (size_t i = 0; i < n; i++)
		r->all[r->n++] = rows[i];
}

static void add_globals(struct reading *r, struct cmd_globals *g)
{
	const struct flag rows[] = {
	    {"--config", FLAG_TEXT, &g->config},
	    {"--json", FLAG_ON, &g->json},
	    {"--quiet", FLAG_ON, &g->quiet},
	    {"--no-color", FLAG_ON, &g->no_color},
	    {"--yes", FLAG_ON, &g->yes},
	    {"--timeout", FLAG_TIME, &g->timeout},
	};

	add_rows(r, rows, GW_ARRAY_LEN(rows));
}

static const struct flag *find(const struct reading *r, const char *arg, size_t length)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strlen(r->all[i].name) == length && memcmp(r->all[i].name, arg, length) == 0)
			return &r->all[i];
	}
	return NULL;
}

/* The flag at argv[at], with its value; moves at. */
static bool take_flag(struct reading *r)
{
	const char *arg = r->argv[r->at], *eq = strchr(arg, '='), *value = NULL, *wanted;
	size_t length = eq ? (size_t)(eq - arg) : strlen(arg);
	const struct flag *f = find(r, arg, length);

	if (f == NULL) {
		r->code = unknown_flag(r->verb, r->all, r->n, arg, length);
		return false;
	}
	if (f->kind == FLAG_ON && eq == NULL) {
		*(bool *)f->to = true;
		return true;
	}
	if (eq != NULL && f->kind != FLAG_ON)
		value = eq + 1;
	else if (f->kind != FLAG_ON && r->at + 1 < r->argc)
		value = r->argv[++r->at];
	if (value == NULL) {
		r->code = flags_usage(r->verb,
		    f->kind == FLAG_ON ? "%s takes no value" : "%s needs a value", f->name);
		return false;
	}
	wanted = take_value(f, value);
	if (wanted != NULL)
		r->code = flags_usage(r->verb, "%s wants %s, not '%s'", f->name, wanted, value);
	return wanted == NULL;
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static bool is_flag(const char *arg)
{
	return arg[0] == '-' && arg[1] != '\0';
}

bool flags_read(const struct flags *f, int *argc, char **argv, int *code)
{
	struct reading r = {.verb = f->verb, .argc = *argc, .at = 1, .argv = argv};
	bool words_only = false;
	int words = 1;

	add_rows(&r, f->flag, f->n);
	add_globals(&r, f->globals);
	for (; r.at < r.argc; r.at++) {
		char *arg = argv[r.at];

		if (!words_only && strcmp(arg, "--") == 0) {
			words_only = true;
		} else if (!words_only && is_help(arg)) {
			*code = command_help(f->verb);
			return false;
		} else if (!words_only && is_flag(arg)) {
			if (!take_flag(&r)) {
				*code = r.code;
				return false;
			}
		} else {
			argv[words++] = arg;
			words_only = words_only || f->first_word_ends;
		}
	}
	*argc = words;
	return true;
}
