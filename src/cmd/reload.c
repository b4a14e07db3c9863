/* godwit reload: the configuration files in force, or why not. */
#include "cmd/flags.h"

#include "base/clock.h"
#include "cmd/answer.h"
#include "cmd/http.h"
#include "cmd/terminal.h"

enum { CONFIRM_LEAST = 1, TEXT_ROOM = 1 << 20 };

static void print_diags(const json_t *answer)
{
	struct span text = answer_text(answer, "text");

	/* Its lines have the texts of the files in them. */
	while (text.n > 0) {
		ptrdiff_t at = span_find(text, '\n');
		struct span line = at < 0 ? text : span_first(text, (size_t)at);
		struct buf out;

		buf_init(&out, TEXT_ROOM);
		terminal_text(&out, line, 0);
		fprintf(stderr, "%.*s\n", SPAN_ARG(buf_view(&out)));
		buf_fini(&out);
		text = at < 0 ? SPAN_NONE : span_skip(text, (size_t)at + 1);
	}
}

static void print_done(const json_t *answer, bool keep)
{
	long long generation = (long long)answer_number(answer, "generation");
	long long back = (long long)answer_number(answer, "goes_back");

	if (keep)
		printf("generation %lld stays\n", generation);
	else
		printf("generation %lld active after %.2f s\n", generation,
		    (double)answer_number(answer, "took_usec") / (double)USEC_PER_SEC);
	if (back > 0)
		printf("goes back in %lld s unless \"godwit reload --keep\" follows\n", back);
}

static int show(const struct cmd_globals *g, const json_t *answer, bool keep)
{
	bool active = json_is_true(json_object_get(answer, "active"));

	if (g->json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		return active ? CMD_OK : CMD_NO;
	}
	print_diags(answer);
	if (!active)
		fprintf(stderr, "godwit reload: refused: generation %lld stays in force\n",
		    (long long)answer_number(answer, "generation"));
	else if (!g->quiet)
		print_done(answer, keep);
	return active ? CMD_OK : CMD_NO;
}

static int call(const struct cmd_globals *g, struct http *h, int64_t confirm, bool keep)
{
	json_t *body = json_object(), *answer;
	int code;

	if (confirm > 0)
		json_object_set_new(body, "confirm", json_integer(confirm / USEC_PER_SEC));
	code = http_post(h, keep ? "/v1/reload/keep" : "/v1/reload", body, &answer);
	if (code != CMD_OK)
		return code;
	code = show(g, answer, keep);
	json_decref(answer);
	return code;
}

int cmd_reload(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	int64_t confirm = 0;
	bool keep = false;
	const struct flag rows[] = {{"--confirm", FLAG_TIME, &confirm}, {"--keep", FLAG_ON, &keep}};
	struct flags f = {"reload", rows, GW_ARRAY_LEN(rows), &own, false};
	struct http *http;
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 1)
		return flags_usage("reload", "'%s' is one word too many", argv[1]);
	if (keep && confirm > 0)
		return flags_usage("reload", "--confirm and --keep do not go together");
	if (confirm > 0 && confirm < CONFIRM_LEAST * USEC_PER_SEC)
		return flags_usage("reload", "--confirm wants a second or more");
	code = http_open(&http, "reload", &own);
	if (code == CMD_OK)
		code = call(&own, http, confirm, keep);
	http_free(&http);
	return code;
}
