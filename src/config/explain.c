/* What the tables say of a setting or a code, for godwit config explain and docs/options.md. */
#include "config/parse.h"

#include <stdio.h>

/* ---- settings */

/* "limits.recipients"; what stands at the top has its own name only. */
static void full_name(const struct option *row, char *name, size_t size)
{
	const char *in = scope_name(row->scope);

	snprintf(name, size, "%s%s%s", in, in[0] ? "." : "", row->name);
}

static bool has_range(const struct option *row)
{
	return row->type == TYPE_NUMBER || row->type == TYPE_SIZE || row->type == TYPE_DURATION ||
	       row->id == OPT_SHAPE_RETRY;
}

static void add_type(const struct option *row, struct buf *out)
{
	enum option_type type = row->id == OPT_SHAPE_RETRY ? TYPE_DURATION : row->type;

	buf_add_str(out, type_name(type));
	if (!has_range(row))
		return;
	buf_add_str(out, ", ");
	format_number(type, row->min, out);
	buf_add_str(out, " to ");
	format_number(type, row->max, out);
}

static const char *default_of(const struct option *row)
{
	if (row->id == OPT_PER_NET)
		return "4 times per-ip";
	if (row->id == OPT_ADMIN)
		return "postmaster@ and the hostname";
	if (row->id == OPT_HOSTNAME || row->id == OPT_LISTEN || row->id == OPT_DELIVER)
		return "none, must be set";
	return row->fallback ? row->fallback : "none";
}

static const char *reload_of(const struct option *row)
{
	return row->reload == RELOAD_LIVE ? "takes effect at a reload"
					  : "takes effect when the server is started again";
}

static void explain_option(const struct option *row, struct buf *out)
{
	char name[64];

	full_name(row, name, sizeof(name));
	buf_addf(out, "%s %s\n    %s\n", name, row->args, row->doc);
	if (row->type != TYPE_OWN || has_range(row)) {
		buf_add_str(out, "    type      ");
		add_type(row, out);
		buf_add_byte(out, '\n');
	}
	buf_addf(out, "    default   %s\n", default_of(row));
	buf_addf(out, "    may stand %s; %s\n", row->count == COUNT_ONCE ? "once" : "several times",
	    reload_of(row));
	buf_addf(out, "    example   %s\n    since     %s\n", row->example, row->since);
}

/* The name whole, or its last part alone. */
static size_t explain_matching(struct span what, struct buf *out)
{
	char name[64];
	size_t n = 0;

	for (size_t i = 0; i < OPT_COUNT; i++) {
		full_name(&options[i], name, sizeof(name));
		if (!span_eq(what, span_str(name)) && !span_eq(what, span_str(options[i].name)))
			continue;
		if (n++ > 0)
			buf_add_byte(out, '\n');
		explain_option(&options[i], out);
	}
	return n;
}

/* ---- codes */

/* The sentence with X, Y, ... for what is filled in. */
static void add_pattern(const char *sentence, struct buf *out)
{
	for (const char *s = sentence; *s != '\0'; s++) {
		if (s[0] == '%' && s[1] >= '1' && s[1] <= '3') {
			buf_add_byte(out, (uint8_t)('X' + (s[1] - '1')));
			s++;
		} else if (s[0] == '%' && s[1] == '4') {
			buf_add_byte(out, 'W');
			s++;
		} else {
			buf_add_byte(out, (uint8_t)*s);
		}
	}
}

static char letter_of(const struct error_row *e)
{
	return e->severity == SEVERITY_ERROR ? 'E' : 'W';
}

static void explain_error(const struct error_row *e, struct buf *out)
{
	buf_addf(out, "%c%04u %s: ", letter_of(e), e->number,
	    e->severity == SEVERITY_ERROR ? "error" : "warning");
	add_pattern(e->sentence, out);
	buf_addf(out, "\n    why  %s\n    fix  %s\n", e->why, e->fix);
}

/* E0141, W0301; also e141 and 141. */
static const struct error_row *find_code(struct span what)
{
	uint64_t number;

	if (what.n > 0 && (ascii_lower(what.p[0]) == 'e' || ascii_lower(what.p[0]) == 'w'))
		what = span_skip(what, 1);
	if (span_to_u64(what, &number) < 0)
		return NULL;
	for (size_t i = 0; i < CE_COUNT; i++) {
		if (config_errors[i].number == number)
			return &config_errors[i];
	}
	return NULL;
}

int schema_explain(struct span what, struct buf *out)
{
	const struct error_row *e = find_code(what);
	const char *words[OPT_COUNT], *near;

	struct source file;
	char name[64];

	span_to_cstr(what, name, sizeof(name));
	if (builtin_find(name, &file)) {
		buf_add_span(out, file.text);
		return 0;
	}
	if (e != NULL) {
		explain_error(e, out);
		return 0;
	}
	if (explain_matching(what, out) > 0)
		return 0;
	for (size_t i = 0; i < OPT_COUNT; i++)
		words[i] = options[i].name;
	near = nearest_word(what, words, OPT_COUNT);
	if (near != NULL)
		buf_addf(out, "did you mean '%s'?", near);
	else
		buf_add_str(out, "godwit config explain lists all settings");
	return GW_ENOENT;
}

void schema_list(struct buf *out)
{
	char name[64];

	for (size_t i = 0; i < OPT_COUNT; i++) {
		full_name(&options[i], name, sizeof(name));
		buf_addf(out, "%-26s %s\n", name, options[i].args);
	}
}

/* ---- docs/options.md */

static void docs_option(const struct option *row, struct buf *out)
{
	char name[64];

	full_name(row, name, sizeof(name));
	buf_addf(out, "### %s\n\n`%s %s`\n\n%s\n\n", name, row->name, row->args, row->doc);
	if (row->type != TYPE_OWN || has_range(row)) {
		buf_add_str(out, "- Type: ");
		add_type(row, out);
		buf_add_byte(out, '\n');
	}
	if (row->fallback != NULL)
		buf_addf(out, "- Default: `%s`\n", row->fallback);
	else
		buf_addf(out, "- Default: %s\n", default_of(row));
	buf_addf(out, "- May stand %s; %s\n", row->count == COUNT_ONCE ? "once" : "several times",
	    reload_of(row));
	buf_addf(out, "- Example: `%s`\n- Since %s\n\n", row->example, row->since);
}

static void docs_errors(struct buf *out)
{
	buf_add_str(out, "## Messages\n\n| Code | Message | Why | Fix |\n|---|---|---|---|\n");
	for (size_t i = 0; i < CE_COUNT; i++) {
		const struct error_row *e = &config_errors[i];

		buf_addf(out, "| %c%04u | ", letter_of(e), e->number);
		add_pattern(e->sentence, out);
		buf_addf(out, " | %s | %s |\n", e->why, e->fix);
	}
}

void schema_docs(struct buf *out)
{
	buf_add_str(out,
	    "# Settings\n\n"
	    "Generated by `godwit config docs` from src/config/options.def and errors.def; edit "
	    "those.\n\n"
	    "A statement is a line of words; `;` ends it too, and `{ }` holds the settings inside "
	    "it. A word in double quotes may have spaces. `#` starts a comment where a word could "
	    "start. `${NAME}` and `${NAME:-default}` are replaced inside a word.\n\n");
	for (enum option_scope s = SCOPE_TOP; s < SCOPE_COUNT; s++) {
		if (s == SCOPE_TOP)
			buf_add_str(out, "## Top level\n\n");
		else if (s != SCOPE_CONNECTIONS)
			buf_addf(out, "## Inside %s\n\n", scope_name(s));
		for (size_t i = 0; i < OPT_COUNT; i++) {
			if (options[i].scope == s)
				docs_option(&options[i], out);
		}
	}
	docs_errors(out);
}
