/* Diagnostics: kept while files are read, then written with their line and a caret. */
#include "config/parse.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	DIAG_MEMORY = 1 << 20,
	SHOWN_LINE = 200,
	SHOWN_CARET = 100,
	SHOWN_ARG = 120,
	SENTENCE = 1024
};

void config_diags_init(struct config_diags *d)
{
	*d = (struct config_diags){0};
	arena_init(&d->arena, DIAG_MEMORY);
}

void config_diags_fini(struct config_diags *d)
{
	arena_reset(&d->arena);
	*d = (struct config_diags){0};
}

void reader_init(struct reader *r, struct bundle *b, struct config_diags *d)
{
	*r = (struct reader){.bundle = b, .diags = d};
	arena_init(&r->arena, TREE_MEMORY);
}

void reader_fini(struct reader *r)
{
	arena_reset(&r->arena);
}

void *must_alloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p == NULL)
		die("out of memory (configuration)");
	return p;
}

const char *must_dup(struct arena *a, struct span s)
{
	struct span copy = arena_dup(a, s);

	if (copy.p == NULL)
		die("out of memory (configuration)");
	return (const char *)copy.p;
}

const char *textf(struct reader *r, const char *fmt, ...)
{
	char text[SENTENCE];
	va_list ap;
	struct span copy;

	if (r->diags->errors >= CONFIG_DIAG_MAX)
		return "";
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	copy = arena_dup(&r->arena, span_str(text));
	return copy.p ? (const char *)copy.p : "";
}

const char *place_text(const struct place *at, char *buf)
{
	if (at->file == NULL)
		return "the default";
	if (at->line == 0)
		snprintf(buf, PLACE_TEXT, "%s", at->file);
	else
		snprintf(buf, PLACE_TEXT, "%s:%u", at->file, at->line);
	return buf;
}

size_t printable(struct span s)
{
	size_t n;

	if (s.p[0] < 0x80)
		return s.p[0] >= ' ' && s.p[0] != 0x7f ? 1 : 0;
	n = s.p[0] >= 0xf0 ? 4 : s.p[0] >= 0xe0 ? 3 : 2;
	if (s.p[0] < 0xc2 || s.p[0] > 0xf4 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	}
	return s.p[0] == 0xc2 && s.p[1] < 0xa0 ? 0 : n; /* C1 controls */
}

void add_shown(struct buf *out, struct span s, size_t max)
{
	bool cut = s.n > max;

	s = span_first(s, max);
	while (s.n > 0) {
		size_t n = s.p[0] == '\t' ? 1 : printable(s); /* tabs keep the caret in line */

		if (n == 0)
			buf_add_byte(out, '?');
		else
			buf_add(out, s.p, n);
		s = span_skip(s, n ? n : 1);
	}
	if (cut)
		buf_add_str(out, "...");
}

static const char *keep(struct config_diags *d, struct buf *b)
{
	struct span copy = arena_dup(&d->arena, buf_view(b));

	buf_clear(b);
	return copy.p ? (const char *)copy.p : "";
}

static void add_sentence(struct buf *out, const char *s, const char *const *args)
{
	size_t n = 0;

	while (args[n] != NULL)
		n++;
	for (; *s != '\0'; s++) {
		if (s[0] == '%' && s[1] >= '1' && s[1] <= '9') {
			size_t i = (size_t)(s[1] - '1');

			gw_assert(i < n);
			add_shown(out, span_str(args[i]), SHOWN_ARG);
			s++;
		} else {
			buf_add_byte(out, (uint8_t)*s);
		}
	}
}

/* The line of a place in its file; empty if there is none. */
static struct span source_line(const struct bundle *b, const struct place *at)
{
	struct span rest = SPAN_NONE;
	ptrdiff_t end;

	for (size_t i = 0; b != NULL && i < b->n_source; i++) {
		if (b->source[i].name == at->file)
			rest = b->source[i].text;
	}
	if (at->line == 0)
		return SPAN_NONE;
	for (unsigned line = 1; line < at->line && rest.n > 0; line++) {
		end = span_find(rest, '\n');
		rest = span_skip(rest, end < 0 ? rest.n : (size_t)end + 1);
	}
	end = span_find(rest, '\n');
	rest = end < 0 ? rest : span_first(rest, (size_t)end);
	if (rest.n > 0 && rest.p[rest.n - 1] == '\r')
		rest.n--;
	return rest;
}

/* A free place in the list, or that of a warning if an error comes late; NULL: only counted. */
static struct config_diag *slot(struct config_diags *d, bool error)
{
	if (error)
		d->errors++;
	else
		d->warnings++;
	if (d->n < CONFIG_DIAG_MAX)
		return &d->d[d->n++];
	for (size_t i = CONFIG_DIAG_MAX; error && i > 0; i--) {
		if (!d->d[i - 1].error)
			return &d->d[i - 1];
	}
	return NULL;
}

void report_place(struct reader *r, enum config_error e, const struct place *at, unsigned width,
    const char *hint, const char *const *args)
{
	const struct error_row *row = &config_errors[e];
	struct config_diag *g = slot(r->diags, row->severity == SEVERITY_ERROR);
	struct span line;
	struct buf b;

	if (g == NULL)
		return;
	buf_init(&b, 4096);
	*g = (struct config_diag){.error = row->severity == SEVERITY_ERROR,
	    .code = row->number,
	    .place = *at,
	    .width = width};
	add_shown(&b, span_str(at->file ? at->file : "configuration"), 1024);
	g->place.file = keep(r->diags, &b);
	add_sentence(&b, row->sentence, args);
	g->text = keep(r->diags, &b);
	add_shown(&b, span_str(hint ? hint : row->fix), SENTENCE);
	g->hint = keep(r->diags, &b);
	line = width > 0 ? source_line(r->bundle, at) : SPAN_NONE;
	if (line.n > 0 && at->column <= SHOWN_LINE) {
		add_shown(&b, line, SHOWN_LINE);
		g->line = keep(r->diags, &b);
	}
	buf_fini(&b);
}

void config_diags_unusable(
    struct config_diags *d, const struct place *statement, const char *path, const char *why)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_FILE_UNUSABLE, statement, 0, NULL, path, why);
}

void config_diags_content(struct config_diags *d, const struct place *at, const char *text)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_FILE_CONTENT, at, 0, NULL, text);
}

void config_diags_elsewhere(
    struct config_diags *d, const struct place *at, const char *vmta, const char *address)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_SOURCE_ELSEWHERE, at, 0, NULL, vmta, address);
}

void config_diags_pipe(
    struct config_diags *d, const struct place *at, const char *domain, const char *why)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_PIPE_NOT_RUN, at, 0, NULL, domain, why);
}

void config_diags_plan(
    struct config_diags *d, const struct place *at, const char *account, const char *plan)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_PLAN_UNKNOWN, at, 0, NULL, account, plan);
}

void config_diags_account(
    struct config_diags *d, const struct place *at, const char *account, const char *users)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_ACCOUNT_UNKNOWN, at, 0, NULL, account, users);
}

void config_diags_tenant(
    struct config_diags *d, const struct place *at, const char *tenant, const char *users)
{
	struct reader r = {.diags = d};

	report_at(&r, CE_TENANT_UNKNOWN, at, 0, NULL, tenant, users);
}

void config_diags_unread(
    struct config_diags *d, const char *setting, const char *path, const char *why)
{
	struct reader r = {.diags = d};
	static const struct place nowhere = {0};

	report_at(&r, CE_FILE_UNREAD, &nowhere, 0, NULL, path, setting, why);
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((uint8_t)*s & 0xc0) != 0x80;
	return n;
}

/* Spaces up to the column, tabs where the line has tabs, then the marks. */
static void add_caret(const struct config_diag *g, struct buf *out)
{
	const char *s = g->line;
	size_t left = characters(g->line) + 1;
	size_t marks;

	for (unsigned i = 1; i < g->place.column && *s != '\0'; i++) {
		buf_add_byte(out, *s == '\t' ? '\t' : ' ');
		for (s++; ((uint8_t)*s & 0xc0) == 0x80; s++)
			;
		left--;
	}
	marks = g->width < left ? g->width : left;
	if (marks > SHOWN_CARET)
		marks = SHOWN_CARET;
	for (size_t i = 0; i < (marks ? marks : 1); i++)
		buf_add_byte(out, '^');
}

static void format_one(const struct config_diag *g, struct buf *out)
{
	buf_add_str(out, g->place.file);
	if (g->place.line > 0)
		buf_addf(out, ":%u:%u", g->place.line, g->place.column);
	buf_addf(out, ": %s: %s [%c%04u]\n", g->error ? "error" : "warning", g->text,
	    g->error ? 'E' : 'W', g->code);
	if (g->line != NULL) {
		buf_addf(out, "%6u | %s\n       | ", g->place.line, g->line);
		add_caret(g, out);
		buf_add_byte(out, '\n');
	}
	if (g->hint != NULL)
		buf_addf(out, "       = hint: %s\n", g->hint);
}

void config_diags_format(const struct config_diags *d, struct buf *out)
{
	for (size_t i = 0; i < d->n; i++)
		format_one(&d->d[i], out);
	if (d->errors + d->warnings > d->n)
		buf_addf(out, "... and %zu more\n", d->errors + d->warnings - d->n);
}
