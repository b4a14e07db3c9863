/* godwit queue: what waits, and what an operator does with it. */
#include "cmd/queue.h"

#include "base/clock.h"
#include "cmd/flags.h"
#include "cmd/queue_text.h"
#include "cmd/terminal.h"

#include <stdlib.h>

enum { LIST_DEFAULT = 100, PAGE_MAX = 1000, TEXT_MAX = 8 << 20, PATH_MAX_BYTES = 16384 };

void queue_print_json(const json_t *j)
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
		queue_print_json(answer);
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
			queue_print_json(message);
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

int queue_words(int argc, char **argv, char *to, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < argc; i++) {
		int more = snprintf(to + n, size - n, "%s%s", i > 0 ? " " : "", argv[i]);

		if (more < 0 || (size_t)more >= size - n)
			return flags_usage("queue", "this is too long");
		n += (size_t)more;
	}
	to[n] = '\0';
	return CMD_OK;
}

static int list_words(struct queue_cmd *q, int argc, char **argv)
{
	char filter[QUEUE_WORDS_MAX];
	int code = queue_words(argc, argv, filter, sizeof(filter));

	return code == CMD_OK ? list(q, filter) : code;
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

int queue_resolve(struct queue_cmd *q, const char *text, char id[MSGID_TEXT + 1])
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
	int code = queue_resolve(q, text, id);

	if (code == CMD_OK)
		code = get_message(q, id, &m);
	if (code != CMD_OK)
		return code;
	if (q->g.json) {
		queue_print_json(m);
	} else {
		buf_init(&out, TEXT_MAX);
		queue_message(m, clock_wall(), &out);
		terminal_print(&out);
		buf_fini(&out);
	}
	json_decref(m);
	return CMD_OK;
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int do_list(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	(void)verb;
	return list_words(q, argc, argv);
}

static int do_show(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	(void)verb;
	return argc == 1 ? show(q, argv[0]) : flags_usage("queue", "queue show wants one id");
}

/* What each verb does, and which flags it knows besides the global ones. */
enum { HAS_LIMIT = 1, HAS_DRY = 2, HAS_FOR = 4, HAS_REASON = 8, HAS_CLEAR = 16 };
static const struct {
	const char *name;
	int (*run)(struct queue_cmd *q, const char *verb, int argc, char **argv);
	unsigned has;
} verbs[] = {
    {"list", do_list, HAS_LIMIT},
    {"show", do_show, 0},
    {"retry", queue_act, HAS_DRY},
    {"drop", queue_act, HAS_DRY},
    {"hold", queue_act, HAS_DRY},
    {"release", queue_act, HAS_DRY},
    {"pause", queue_order, HAS_FOR | HAS_REASON},
    {"slow", queue_order, HAS_FOR | HAS_REASON},
    {"resume", queue_order, 0},
    {"rules", queue_rules, 0},
    {"hosts", queue_hosts, HAS_CLEAR},
};

static const char *stray_flag(const struct queue_cmd *q, unsigned has)
{
	if (q->limit > 0 && !(has & HAS_LIMIT))
		return "--limit";
	if (q->dry && !(has & HAS_DRY))
		return "--dry-run";
	if (q->time > 0 && !(has & HAS_FOR))
		return "--for";
	if (q->reason != NULL && !(has & HAS_REASON))
		return "--reason";
	return q->clear != NULL && !(has & HAS_CLEAR) ? "--clear" : NULL;
}

static int run(struct queue_cmd *q, size_t verb, int argc, char **argv)
{
	const char *stray = stray_flag(q, verbs[verb].has);
	int code;

	if (stray != NULL)
		return flags_usage("queue", "queue %s has no %s", verbs[verb].name, stray);
	code = http_open(&q->http, "queue", &q->g);
	if (code == CMD_OK)
		code = verbs[verb].run(q, verbs[verb].name, argc, argv);
	http_free(&q->http);
	return code;
}

static int run_summary(struct queue_cmd *q)
{
	const char *stray = stray_flag(q, 0);
	int code;

	if (stray != NULL)
		return flags_usage("queue", "queue has no %s without a verb", stray);
	code = http_open(&q->http, "queue", &q->g);
	if (code == CMD_OK)
		code = summary(q);
	http_free(&q->http);
	return code;
}

int cmd_queue(const struct cmd_globals *g, int argc, char **argv)
{
	struct queue_cmd q = {.g = *g};
	const struct flag rows[] = {{"--limit", FLAG_NUMBER, &q.limit},
	    {"--dry-run", FLAG_ON, &q.dry}, {"--for", FLAG_TIME, &q.time},
	    {"--reason", FLAG_TEXT, &q.reason}, {"--clear", FLAG_TEXT, &q.clear}};
	struct flags f = {"queue", rows, GW_ARRAY_LEN(rows), &q.g, false};
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc < 2)
		return run_summary(&q);
	for (size_t i = 0; i < GW_ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, argv[1]) == 0)
			return run(&q, i, argc - 2, argv + 2);
	}
	return flags_usage("queue",
	    "there is no 'queue %s'; list, show, retry, drop, hold, release, pause, slow, resume, "
	    "rules, hosts are there",
	    argv[1]);
}
