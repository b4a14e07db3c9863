/*
 * godwit config: check, show, diff and explain. Files of the machine are looked at here, not by
 * the parser.
 */
#include "cmd/cmd.h"
#include "cmd/answer.h"
#include "cmd/config_diff.h"
#include "cmd/config_files.h"
#include "cmd/flags.h"
#include "cmd/http.h"

#include "config/config.h"
#include "config/schema.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FOUND_ERRORS = 1, NOT_FOUND = 66 };

static const char default_path[] = "/etc/godwit/godwit.conf";

static int print(struct buf *b, FILE *to)
{
	struct span s = buf_view(b);
	bool good = !buf_failed(b) && (s.n == 0 || fwrite(s.p, 1, s.n, to) == s.n);

	buf_fini(b);
	return good && fflush(to) == 0 ? DONE : FOUND_ERRORS;
}

/* Loads and checks, with files also what it names; what there is to say goes to standard error
 * unless quiet. */
static struct config *load(const char *path, bool quiet, bool files, struct config_diags *d)
{
	struct config *c = NULL;
	struct buf bundle, text;

	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	buf_init(&text, 1 << 20);
	if (config_bundle_load(path, &bundle, d) == 0)
		c = config_parse(buf_view(&bundle), 1, d);
	if (c != NULL && files && !config_files_good(c, d))
		config_free(&c);
	config_diags_format(d, &text);
	if (!quiet)
		print(&text, stderr);
	buf_fini(&text);
	buf_fini(&bundle);
	return c;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static const char *code_text(const struct config_diag *m)
{
	static char text[16];

	snprintf(text, sizeof(text), "%c%04u", m->error ? 'E' : 'W', m->code);
	return text;
}

static json_t *message(const struct config_diag *m)
{
	return json_pack("{s:s?, s:i, s:i, s:s, s:s, s:s, s:s}", "file", m->place.file, "line",
	    (int)m->place.line, "column", (int)m->place.column, "severity",
	    m->error ? "error" : "warning", "code", code_text(m), "text", m->text, "hint", m->hint);
}

/* One object: the verdict and all messages. */
static void print_json(const char *path, const struct config_diags *d)
{
	json_t *list = json_array();
	json_t *all;

	for (size_t i = 0; i < d->n; i++)
		json_array_append_new(list, message(&d->d[i]));
	all = json_pack("{s:s, s:b, s:i, s:i, s:o}", "file", path, "good", d->errors == 0, "errors",
	    (int)d->errors, "warnings", (int)d->warnings, "messages", list);
	if (all != NULL)
		json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static int check(const struct cmd_globals *g, const char *path)
{
	struct config_diags d;
	struct config *c;
	bool good;

	config_diags_init(&d);
	c = load(path, g->json, true, &d);
	good = c != NULL;
	if (g->json)
		print_json(path, &d);
	else if (!g->quiet)
		fprintf(good ? stdout : stderr, "%s: %s (%zu error%s, %zu warning%s)\n", path,
		    good ? "good" : "not usable", d.errors, plural(d.errors), d.warnings,
		    plural(d.warnings));
	config_free(&c);
	config_diags_fini(&d);
	return good ? DONE : FOUND_ERRORS;
}

static int show(const char *path, bool origin, bool json)
{
	int rc = FOUND_ERRORS;
	struct config_diags d;
	struct config *c;
	struct buf out;

	config_diags_init(&d);
	c = load(path, false, false, &d);
	if (c != NULL) {
		buf_init(&out, 64 << 20);
		config_show(c, origin, json, &out);
		rc = print(&out, stdout);
	}
	config_free(&c);
	config_diags_fini(&d);
	return rc;
}

static int explain(const char *what)
{
	struct buf out;
	int rc = DONE;

	buf_init(&out, 1 << 20);
	if (what == NULL) {
		schema_list(&out);
		return print(&out, stdout);
	}
	if (schema_explain(span_str(what), &out) < 0) {
		fprintf(stderr, "config explain: no setting or code '%s' (%.*s)\n", what,
		    SPAN_ARG(buf_view(&out)));
		buf_clear(&out);
		rc = NOT_FOUND;
	}
	return print(&out, stdout) == DONE ? rc : FOUND_ERRORS;
}

/* ---- diff ------------------------------------------------------------------------------------ */

static json_t *change_json(const struct config_change *c)
{
	char kind[2] = {(char)c->kind, '\0'};

	return json_pack("{s:s, s:s#, s:s#, s:s#, s:s#, s:b}", "change", kind, "block",
	    (const char *)c->block.p != NULL ? (const char *)c->block.p : "", (int)c->block.n,
	    "old", c->old.p != NULL ? (const char *)c->old.p : "", (int)c->old.n, "new",
	    c->now.p != NULL ? (const char *)c->now.p : "", (int)c->now.n, "place",
	    c->at.p != NULL ? (const char *)c->at.p : "", (int)c->at.n, "restart", (int)c->restart);
}

static int print_changes(const struct cmd_globals *g, const struct config_change *list, size_t n)
{
	struct buf out;

	for (size_t i = 0; i < n && g->json; i++) {
		json_t *c = change_json(&list[i]);

		if (c != NULL)
			json_dumpf(c, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(c);
	}
	if (g->json || g->quiet)
		return DONE;
	buf_init(&out, 64 << 20);
	config_diff_text(list, n, &out);
	return print(&out, stdout);
}

/* What runs, from the server. */
static int get_running(const struct cmd_globals *g, json_t **answer)
{
	struct http *http;
	int code = http_open(&http, "config diff", g);

	if (code == CMD_OK)
		code = http_get(http, "/v1/config", answer);
	http_free(&http);
	return code;
}

static int diff(const struct cmd_globals *g, const char *path)
{
	struct config_change *list;
	struct config_diags d;
	json_t *running = NULL;
	struct config *c;
	struct buf text;
	size_t n;
	int rc = FOUND_ERRORS;

	config_diags_init(&d);
	c = load(path, false, false, &d);
	if (c != NULL)
		rc = get_running(g, &running);
	if (running != NULL) {
		buf_init(&text, 64 << 20);
		config_show(c, true, false, &text);
		n = config_diff(answer_text(running, "text"), buf_view(&text), &list);
		rc = print_changes(g, list, n);
		free(list);
		buf_fini(&text);
	}
	json_decref(running);
	config_free(&c);
	config_diags_fini(&d);
	return rc;
}

static int docs(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	schema_docs(&out);
	return print(&out, stdout);
}

static int not_there(const char *verb)
{
	static const char *const verbs[] = {"check", "show", "diff", "explain"};
	const char *near = nearest_word(span_str(verb), verbs, GW_ARRAY_LEN(verbs));

	if (near != NULL)
		return flags_usage("config", "there is no '%s': did you mean '%s'?", verb, near);
	return flags_usage("config", "there is no '%s': check, show, diff or explain", verb);
}

static int run(const struct cmd_globals *g, const char *verb, const char *word, bool origin)
{
	const char *path = word != NULL ? word : g->config != NULL ? g->config : default_path;

	if (strcmp(verb, "check") == 0)
		return check(g, path);
	if (strcmp(verb, "show") == 0)
		return show(path, origin, g->json);
	if (strcmp(verb, "diff") == 0)
		return diff(g, path);
	if (strcmp(verb, "explain") == 0)
		return explain(word);
	return strcmp(verb, "docs") == 0 && word == NULL ? docs() : not_there(verb);
}

int cmd_config(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	bool origin = false;
	const struct flag rows[] = {{"--origin", FLAG_ON, &origin}};
	struct flags f = {"config", rows, GW_ARRAY_LEN(rows), &own, false};
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc < 2)
		return flags_usage("config", "check, show, diff or explain?");
	if (argc > 3)
		return flags_usage("config", "'%s' is one word too many", argv[3]);
	if (origin && strcmp(argv[1], "show") != 0)
		return flags_usage("config", "--origin is for show");
	return run(&own, argv[1], argc == 3 ? argv[2] : NULL, origin);
}
