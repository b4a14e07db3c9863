/* godwit queue: what waits, and what an operator does with it. */
#include "cmd/flags.h"

#include "base/clock.h"
#include "cmd/http.h"
#include "cmd/progress.h"
#include "cmd/queue_text.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"

#include <stdlib.h>

enum { LIST_DEFAULT = 100, PAGE_MAX = 1000, TEXT_MAX = 8 << 20, PATH_MAX_BYTES = 16384 };

struct queue_cmd {
	struct cmd_globals g;
	struct http *http;
	uint64_t limit;
};

static void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

/* ---- summary ------------------------------------------------------------------------------ */

static int summary(struct queue_cmd *q)
{
	json_t *answer;
	struct buf out;
	int code = http_get(q->http, "/v1/queue", &answer);

	if (code != CMD_OK)
		return code;
	if (q->g.json) {
		print_json(answer);
	} else {
		buf_init(&out, TEXT_MAX);
		queue_table(answer, terminal_columns(), &out);
		terminal_print(&out);
		buf_fini(&out);
	}
	json_decref(answer);
	return CMD_OK;
}

/* ---- pages -------------------------------------------------------------------------------- */

/* One page of messages; *next is the cursor of the one behind it, "" at the end. */
static int get_page(struct queue_cmd *q, const char *filter, uint64_t limit,
    char next[MSGID_TEXT + 1], json_t **page)
{
	const char *cursor;
	struct buf path;
	char number[24];
	int code;

	snprintf(number, sizeof(number), "%d", (int)(limit < PAGE_MAX ? limit : PAGE_MAX));
	buf_init(&path, PATH_MAX_BYTES);
	buf_add_str(&path, "/v1/queue/messages");
	http_parameter(&path, "limit", number);
	if (next[0] != '\0')
		http_parameter(&path, "cursor", next);
	if (filter[0] != '\0')
		http_parameter(&path, "q", filter);
	buf_add_byte(&path, '\0');
	if (buf_failed(&path)) {
		buf_fini(&path);
		return flags_usage("queue list", "the query is too long");
	}
	code = http_get(q->http, (const char *)buf_view(&path).p, page);
	buf_fini(&path);
	cursor = json_string_value(json_object_get(*page, "next"));
	snprintf(next, MSGID_TEXT + 1, "%s", cursor ? cursor : "");
	return code;
}

/* ---- list --------------------------------------------------------------------------------- */

static void print_page(const struct queue_cmd *q, const json_t *data, size_t n)
{
	int64_t now = clock_wall();
	struct buf out;

	buf_init(&out, TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *message = json_array_get(data, i);

		if (q->g.json)
			print_json(message);
		else
			queue_list_row(message, now, terminal_columns(), &out);
		if (buf_len(&out) > TEXT_MAX / 2)
			terminal_print(&out);
	}
	terminal_print(&out);
	buf_fini(&out);
}

static void print_list_head(const struct queue_cmd *q, size_t n)
{
	struct buf out;

	if (q->g.json)
		return;
	buf_init(&out, 4096);
	if (n > 0)
		queue_list_head(&out);
	else
		buf_add_str(&out, "no message matches\n");
	terminal_print(&out);
	buf_fini(&out);
}

static int list(struct queue_cmd *q, const char *filter)
{
	char next[MSGID_TEXT + 1] = "";
	uint64_t left = q->limit ? q->limit : LIST_DEFAULT;
	bool first = true;

	do {
		json_t *page, *data;
		int code = get_page(q, filter, left, next, &page);
		size_t n;

		if (code != CMD_OK)
			return code;
		data = json_object_get(page, "data");
		n = json_array_size(data);
		if (first)
			print_list_head(q, n);
		print_page(q, data, n);
		first = false;
		left -= n < left ? n : left;
		json_decref(page);
	} while (next[0] != '\0' && left > 0);
	if (next[0] != '\0' && !q->g.json && !q->g.quiet)
		fputs("... there is more: --limit N shows it\n", stderr);
	return CMD_OK;
}

/* The words of the query, as they were written. */
static int list_words(struct queue_cmd *q, int argc, char **argv)
{
	struct buf filter;
	int code;

	buf_init(&filter, 4096);
	for (int i = 0; i < argc; i++) {
		if (i > 0)
			buf_add_byte(&filter, ' ');
		buf_add_str(&filter, argv[i]);
	}
	buf_add_byte(&filter, '\0');
	code = buf_failed(&filter) ? flags_usage("queue list", "the query is too long")
				   : list(q, (const char *)buf_view(&filter).p);
	buf_fini(&filter);
	return code;
}

/* ---- one message by its id ------------------------------------------------------------------ */

static int ambiguous(const char *prefix)
{
	fprintf(stderr, "godwit queue: more than one message starts with %s: give more of the id\n",
	    prefix);
	return CMD_USAGE;
}

/* Looks for the prefix in one page: how many match, the last one into id. */
static size_t scan_page(const json_t *page, const char *prefix, char id[MSGID_TEXT + 1])
{
	const json_t *data = json_object_get(page, "data");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(data); i++) {
		const char *x = json_string_value(json_object_get(json_array_get(data, i), "id"));

		if (x == NULL || !queue_prefix_matches(prefix, x))
			continue;
		snprintf(id, MSGID_TEXT + 1, "%s", x);
		n++;
	}
	return n;
}

/* Messages that were moved by the log stand out of order: the search goes on to the end. */
static int find_prefix(
    struct queue_cmd *q, const char *prefix, char next[MSGID_TEXT + 1], char id[MSGID_TEXT + 1])
{
	size_t n = 0;

	do {
		json_t *page;
		int code = get_page(q, "", PAGE_MAX, next, &page);

		if (code != CMD_OK)
			return code;
		n += scan_page(page, prefix, id);
		json_decref(page);
	} while (next[0] != '\0' && n < 2);
	if (n > 1)
		return ambiguous(prefix);
	if (n == 1)
		return CMD_OK;
	fprintf(stderr,
	    "godwit queue: no message in the queue starts with %s (godwit queue list)\n", prefix);
	return CMD_NOT_FOUND;
}

/* The whole id of what the user wrote. */
static int resolve(struct queue_cmd *q, const char *text, char id[MSGID_TEXT + 1])
{
	char prefix[MSGID_TEXT + 1], next[MSGID_TEXT + 1];

	if (queue_prefix(text, prefix, next) < 0)
		return flags_usage("queue",
		    "'%s' is no id: its first %d characters or more are wanted", text,
		    QUEUE_PREFIX_MIN);
	if (strlen(prefix) == MSGID_TEXT) {
		snprintf(id, MSGID_TEXT + 1, "%s", prefix);
		return CMD_OK;
	}
	return find_prefix(q, prefix, next, id);
}

static int get_message(struct queue_cmd *q, const char *id, json_t **message)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/queue/messages/%s", id);
	return http_get(q->http, path, message);
}

static int show(struct queue_cmd *q, const char *text)
{
	char id[MSGID_TEXT + 1];
	struct buf out;
	json_t *m;
	int code = resolve(q, text, id);

	if (code == CMD_OK)
		code = get_message(q, id, &m);
	if (code != CMD_OK)
		return code;
	if (q->g.json) {
		print_json(m);
	} else {
		buf_init(&out, TEXT_MAX);
		queue_message(m, clock_wall(), &out);
		terminal_print(&out);
		buf_fini(&out);
	}
	json_decref(m);
	return CMD_OK;
}

/* ---- retry, drop, release
 * ------------------------------------------------------------------------- */

/* Recipients that would be dropped, into *n. */
static int count_selection(struct queue_cmd *q, const char *id, int64_t *n)
{
	json_t *j;
	int code = id ? get_message(q, id, &j) : http_get(q->http, "/v1/queue", &j);

	if (code != CMD_OK)
		return code;
	*n = id ? (int64_t)queue_open_recipients(j)
		: json_integer_value(json_object_get(j, "recipients"));
	json_decref(j);
	return CMD_OK;
}

static int confirm_drop(struct queue_cmd *q, const char *id)
{
	char question[128], number[32];
	int64_t n;
	int code;

	if (q->g.yes)
		return CMD_OK;
	code = count_selection(q, id, &n);
	if (code != CMD_OK)
		return code;
	progress_count(n, number, sizeof(number));
	snprintf(question, sizeof(question), "Drop %s recipient%s of %s? This cannot be undone.",
	    number, n == 1 ? "" : "s", id ? id : "all messages");
	if (terminal_confirm(question))
		return CMD_OK;
	fprintf(stderr, "nothing was dropped (%s recipient%s; --yes drops without asking)\n",
	    number, n == 1 ? "" : "s");
	return CMD_NO;
}

static const char *done_word(const char *verb)
{
	if (strcmp(verb, "retry") == 0)
		return "retried";
	return strcmp(verb, "drop") == 0 ? "dropped" : "released";
}

static int act(struct queue_cmd *q, const char *verb, const char *id)
{
	json_t *body = id ? json_pack("{s:s}", "id", id) : json_pack("{s:b}", "all", 1);
	char path[32], done[16], number[32];
	json_t *answer;
	int64_t n;
	int code;

	snprintf(path, sizeof(path), "/v1/queue/%s", verb);
	code = http_post(q->http, path, body, &answer);
	if (code != CMD_OK)
		return code;
	snprintf(done, sizeof(done), "%s", done_word(verb));
	n = json_integer_value(json_object_get(answer, done));
	if (q->g.json)
		print_json(answer);
	else if (!q->g.quiet)
		printf("%s: %s recipient%s\n", done, progress_count(n, number, sizeof(number)),
		    n == 1 ? "" : "s");
	json_decref(answer);
	return CMD_OK;
}

static int change(struct queue_cmd *q, const char *verb, const char *selection)
{
	bool all = strcmp(selection, "all") == 0;
	char id[MSGID_TEXT + 1];
	int code = all ? CMD_OK : resolve(q, selection, id);

	if (code == CMD_OK && strcmp(verb, "drop") == 0)
		code = confirm_drop(q, all ? NULL : id);
	return code == CMD_OK ? act(q, verb, all ? NULL : id) : code;
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int dispatch(struct queue_cmd *q, int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : NULL;

	if (verb == NULL)
		return summary(q);
	if (strcmp(verb, "list") == 0)
		return list_words(q, argc - 2, argv + 2);
	if (argc != 3)
		return flags_usage("queue", "queue %s wants one id%s", verb,
		    strcmp(verb, "show") == 0 ? "" : ", or the word all");
	if (strcmp(verb, "show") == 0)
		return show(q, argv[2]);
	return change(q, verb, argv[2]);
}

static bool is_known(const char *verb)
{
	static const char *const verbs[] = {"list", "show", "retry", "drop", "release"};

	for (size_t i = 0; i < GW_ARRAY_LEN(verbs); i++) {
		if (strcmp(verb, verbs[i]) == 0)
			return true;
	}
	return false;
}

int cmd_queue(const struct cmd_globals *g, int argc, char **argv)
{
	struct queue_cmd q = {.g = *g};
	const struct flag rows[] = {{"--limit", FLAG_NUMBER, &q.limit}};
	struct flags f = {"queue", rows, GW_ARRAY_LEN(rows), &q.g, false};
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 1 && !is_known(argv[1]))
		return flags_usage("queue",
		    "there is no 'queue %s'; list, show, retry, drop, release are there", argv[1]);
	code = http_open(&q.http, "queue", &q.g);
	if (code == CMD_OK)
		code = dispatch(&q, argc, argv);
	http_free(&q.http);
	return code;
}
