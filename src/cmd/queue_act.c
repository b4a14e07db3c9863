/* godwit queue retry, drop, hold, release: of one message, of what matches, or of all. */
#include "cmd/queue.h"

#include "cmd/flags.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"

/* What is meant: an id, a query, or all (both empty). */
struct selection {
	char id[MSGID_TEXT + 1];
	char query[QUEUE_WORDS_MAX];
};

static int select_words(
    struct queue_cmd *q, const char *verb, int argc, char **argv, struct selection *s)
{
	int code;

	s->id[0] = '\0';
	if (argc == 0)
		return flags_usage(
		    "queue", "queue %s wants an id, a query like to:bob, or the word all", verb);
	code = queue_words(argc, argv, s->query, sizeof(s->query));
	if (code != CMD_OK)
		return code;
	if (strcmp(s->query, "all") == 0) {
		s->query[0] = '\0';
		return CMD_OK;
	}
	if (strchr(s->query, ':') != NULL)
		return CMD_OK;
	if (argc > 1)
		return flags_usage("queue", "'%s' is neither one id nor a query", s->query);
	s->query[0] = '\0';
	return queue_resolve(q, argv[0], s->id);
}

static const char *done_word(const char *verb)
{
	if (strcmp(verb, "retry") == 0)
		return "retried";
	if (strcmp(verb, "hold") == 0)
		return "held";
	return strcmp(verb, "drop") == 0 ? "dropped" : "released";
}

static int post(
    struct queue_cmd *q, const char *verb, const struct selection *s, bool dry, json_t **answer)
{
	json_t *body = s->id[0] != '\0'      ? json_pack("{s:s}", "id", s->id)
		       : s->query[0] != '\0' ? json_pack("{s:s}", "q", s->query)
					     : json_pack("{s:b}", "all", 1);
	char path[32];

	if (body == NULL)
		return flags_usage("queue", "the query is not UTF-8");
	if (dry)
		json_object_set_new(body, "dry_run", json_true());
	snprintf(path, sizeof(path), "/v1/queue/%s", verb);
	return http_post(q->http, path, body, answer);
}

static int count(struct queue_cmd *q, const char *verb, const struct selection *s, int64_t *n)
{
	json_t *answer;
	int code = post(q, verb, s, true, &answer);

	if (code != CMD_OK)
		return code;
	*n = json_integer_value(json_object_get(answer, "matched"));
	json_decref(answer);
	return CMD_OK;
}

static void print_meant(const struct selection *s)
{
	struct buf out;

	buf_init(&out, 8 * QUEUE_WORDS_MAX);
	buf_add_str(&out, s->id[0] == '\0' && s->query[0] == '\0' ? " of all messages" : " of ");
	terminal_text(&out, span_str(s->id[0] != '\0' ? s->id : s->query), 0);
	buf_add_byte(&out, '\n');
	terminal_print(&out);
	buf_fini(&out);
}

static int dry_run(struct queue_cmd *q, const char *verb, const struct selection *s)
{
	char number[32];
	int64_t n;
	int code = count(q, verb, s, &n);

	if (code != CMD_OK)
		return code;
	if (q->g.json) {
		printf("{\"matched\":%lld}\n", (long long)n);
		return CMD_OK;
	}
	printf("would %s %s recipient%s", verb, progress_count(n, number, sizeof(number)),
	    n == 1 ? "" : "s");
	fflush(stdout);
	print_meant(s);
	return CMD_OK;
}

static int confirm_drop(struct queue_cmd *q, const struct selection *s)
{
	char question[256], number[32];
	int64_t n;
	int code = count(q, "drop", s, &n);

	if (code != CMD_OK || n == 0)
		return code;
	progress_count(n, number, sizeof(number));
	snprintf(question, sizeof(question),
	    "Drop %s recipient%s of %.150s? This cannot be undone.", number, n == 1 ? "" : "s",
	    s->id[0] != '\0'      ? s->id
	    : s->query[0] != '\0' ? "what matches"
				  : "all messages");
	if (terminal_confirm(question))
		return CMD_OK;
	fprintf(stderr, "nothing was dropped (%s recipient%s; --yes drops without asking)\n",
	    number, n == 1 ? "" : "s");
	return CMD_NO;
}

static int act(struct queue_cmd *q, const char *verb, const struct selection *s)
{
	char number[32];
	json_t *answer;
	int64_t n;
	int code = post(q, verb, s, false, &answer);

	if (code != CMD_OK)
		return code;
	n = json_integer_value(json_object_get(answer, done_word(verb)));
	if (q->g.json)
		queue_print_json(answer);
	else if (!q->g.quiet)
		printf("%s: %s recipient%s\n", done_word(verb),
		    progress_count(n, number, sizeof(number)), n == 1 ? "" : "s");
	json_decref(answer);
	return CMD_OK;
}

int queue_act(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	struct selection s;
	int code = select_words(q, verb, argc, argv, &s);

	if (code != CMD_OK)
		return code;
	if (q->dry)
		return dry_run(q, verb, &s);
	if (strcmp(verb, "drop") == 0 && !q->g.yes)
		code = confirm_drop(q, &s);
	return code == CMD_OK ? act(q, verb, &s) : code;
}
