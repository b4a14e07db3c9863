/* godwit trace: the story of a message. */
#include "cmd/flags.h"

#include "base/clock.h"
#include "cmd/http.h"
#include "cmd/queue_text.h"
#include "cmd/terminal.h"
#include "cmd/trace_text.h"
#include "mail/msgid.h"

#include <stdlib.h>
#include <time.h>

enum {
	TEXT_MAX = 16 << 20,
	PATH_MAX_BYTES = 16384,
	PAGE_MAX = 1000,
	LIST_DEFAULT = 20,
	POLL_NS = 500 * 1000 * 1000,
};

struct trace_cmd {
	struct cmd_globals g;
	struct http *http;
	const char *to, *from, *since;
	uint64_t limit;
	bool follow;
};

static void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

/* ---- one message ---------------------------------------------------------------------------- */

static int get_story(struct trace_cmd *t, const char *id, json_t **story)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/messages/%s/events", id);
	return http_get(t->http, path, story);
}

static void print_story(const struct trace_cmd *t, const json_t *story)
{
	struct buf out;

	if (t->g.json) {
		print_json(story);
		return;
	}
	buf_init(&out, TEXT_MAX);
	trace_message(story, clock_wall(), &out);
	terminal_print(&out);
	buf_fini(&out);
}

static void print_news(
    const struct trace_cmd *t, const json_t *story, unsigned **seen, size_t *n, bool silent)
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	trace_news(story, seen, n, &out);
	if (!silent && !t->g.json)
		terminal_print(&out);
	buf_fini(&out);
}

/* As JSON only the end is told: one object. */
static int follow(struct trace_cmd *t, const char *id, json_t *story)
{
	struct timespec pause = {.tv_nsec = POLL_NS};
	unsigned *seen = NULL;
	size_t n = 0;
	int code = CMD_OK;

	print_news(t, story, &seen, &n, true);
	while (code == CMD_OK && trace_outcome(story) == CMD_NO) {
		nanosleep(&pause, NULL);
		json_decref(story);
		code = get_story(t, id, &story);
		if (code == CMD_OK)
			print_news(t, story, &seen, &n, false);
	}
	free(seen);
	if (code != CMD_OK)
		return code;
	if (t->g.json)
		print_json(story);
	code = trace_outcome(story);
	json_decref(story);
	return code;
}

static int trace(struct trace_cmd *t, const char *text)
{
	char id[MSGID_TEXT + 1], first[MSGID_TEXT + 1];
	json_t *story;
	int code;

	if (queue_prefix(text, id, first) < 0)
		return flags_usage("trace",
		    "'%s' is no id: its first %d characters or more are wanted", text,
		    QUEUE_PREFIX_MIN);
	code = get_story(t, id, &story);
	if (code != CMD_OK)
		return code;
	if (!t->follow || !t->g.json)
		print_story(t, story);
	if (t->follow)
		return follow(t, id, story);
	json_decref(story);
	return CMD_OK;
}

/* ---- finding -------------------------------------------------------------------------------- */

static void add_word(struct buf *q, const char *key, const char *value)
{
	if (value == NULL)
		return;
	if (buf_len(q) > 0)
		buf_add_byte(q, ' ');
	buf_addf(q, "%s:%s", key, value);
}

static int get_page(struct trace_cmd *t, const char *cursor, uint64_t limit, json_t **page)
{
	struct buf path, q;
	char number[24];
	int code;

	buf_init(&path, PATH_MAX_BYTES);
	buf_init(&q, PATH_MAX_BYTES / 4);
	add_word(&q, "to", t->to);
	add_word(&q, "from", t->from);
	add_word(&q, "since", t->since);
	buf_add_byte(&q, '\0');
	snprintf(number, sizeof(number), "%d", (int)(limit < PAGE_MAX ? limit : PAGE_MAX));
	buf_add_str(&path, "/v1/messages");
	http_parameter(&path, "limit", number);
	if (!buf_failed(&q) && buf_len(&q) > 1)
		http_parameter(&path, "q", (const char *)buf_view(&q).p);
	if (cursor[0] != '\0')
		http_parameter(&path, "cursor", cursor);
	buf_add_byte(&path, '\0');
	if (buf_failed(&path) || buf_failed(&q))
		code = flags_usage("trace", "the addresses are too long");
	else
		code = http_get(t->http, (const char *)buf_view(&path).p, page);
	buf_fini(&path);
	buf_fini(&q);
	return code;
}

static void print_page(const struct trace_cmd *t, const json_t *data, bool first)
{
	int64_t now = clock_wall();
	struct buf out;

	buf_init(&out, TEXT_MAX);
	if (first && !t->g.json && json_array_size(data) > 0)
		trace_list_head(&out);
	for (size_t i = 0; i < json_array_size(data); i++) {
		const json_t *m = json_array_get(data, i);

		if (t->g.json)
			print_json(m);
		else
			trace_list_row(m, now, span_str(t->to), &out);
	}
	terminal_print(&out);
	buf_fini(&out);
}

static int nothing(const struct trace_cmd *t)
{
	if (!t->g.json && !t->g.quiet)
		fputs("godwit trace: no message of the history matches\n", stderr);
	return CMD_NOT_FOUND;
}

static int find(struct trace_cmd *t)
{
	uint64_t left = t->limit ? t->limit : LIST_DEFAULT, found = 0;
	char cursor[MSGID_TEXT + 1] = "";

	do {
		const char *next;
		json_t *page, *data;
		int code = get_page(t, cursor, left, &page);

		if (code != CMD_OK)
			return code;
		data = json_object_get(page, "data");
		print_page(t, data, found == 0);
		found += json_array_size(data);
		left -= json_array_size(data) < left ? json_array_size(data) : left;
		next = json_string_value(json_object_get(page, "next"));
		snprintf(cursor, sizeof(cursor), "%s", next ? next : "");
		json_decref(page);
	} while (cursor[0] != '\0' && left > 0);
	if (found == 0)
		return nothing(t);
	if (cursor[0] != '\0' && !t->g.json && !t->g.quiet)
		fputs("... there is more: --limit N shows it\n", stderr);
	return CMD_OK;
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int dispatch(struct trace_cmd *t, int argc, char **argv)
{
	bool finds = t->to != NULL || t->from != NULL || t->since != NULL;

	int64_t since;

	if (t->since != NULL && flag_time(t->since, &since) < 0)
		return flags_usage(
		    "trace", "--since wants a time like 30s or 2h, not '%s'", t->since);
	if (argc > 2 || (argc == 2) == finds)
		return flags_usage(
		    "trace", "one id, or --to ADDRESS, --from ADDRESS, --since TIME");
	if (finds ? t->follow : t->limit > 0)
		return flags_usage(
		    "trace", "%s", finds ? "--follow wants one id" : "--limit is for lists");
	return finds ? find(t) : trace(t, argv[1]);
}

int cmd_trace(const struct cmd_globals *g, int argc, char **argv)
{
	struct trace_cmd t = {.g = *g};
	const struct flag rows[] = {{"--to", FLAG_TEXT, &t.to}, {"--from", FLAG_TEXT, &t.from},
	    {"--since", FLAG_TEXT, &t.since}, {"--limit", FLAG_NUMBER, &t.limit},
	    {"--follow", FLAG_ON, &t.follow}};
	struct flags f = {"trace", rows, GW_ARRAY_LEN(rows), &t.g, false};
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	code = http_open(&t.http, "trace", &t.g);
	if (code == CMD_OK)
		code = dispatch(&t, argc, argv);
	http_free(&t.http);
	return code;
}
