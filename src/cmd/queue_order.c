/* godwit queue pause, slow, resume, rules, hosts: what is ordered of groups, what stands, and the
 * hosts that could not be reached. */
#include "cmd/queue.h"

#include "base/clock.h"
#include "cmd/flags.h"
#include "cmd/queue_text.h"
#include "cmd/terminal.h"

enum { TEXT_MAX = 8 << 20 };

/* ---- orders --------------------------------------------------------------------------------- */

static json_t *order_body(const struct queue_cmd *q, const char *group, const char *rate)
{
	json_t *body = json_pack("{s:s}", "group", group);

	if (body == NULL)
		return NULL;
	if (rate != NULL)
		json_object_set_new(body, "rate", json_string(rate));
	if (q->time > 0)
		json_object_set_new(body, "for", json_integer(q->time / USEC_PER_SEC));
	if (q->reason != NULL)
		json_object_set_new(body, "reason", json_string(q->reason));
	return body;
}

static void say(const struct queue_cmd *q, const char *word, const char *group, const char *rate)
{
	char age[TERMINAL_SHORT];
	struct buf out;

	buf_init(&out, 4 * QUEUE_WORDS_MAX);
	buf_addf(&out, "%s: ", word);
	terminal_text(&out, span_str(group), 0);
	if (rate != NULL)
		buf_addf(&out, " to %s", rate);
	if (q->time > 0)
		buf_addf(&out, " for %s", terminal_age(q->time, age));
	else if (strcmp(word, "resumed") != 0)
		buf_add_str(&out, " until it is resumed");
	buf_add_byte(&out, '\n');
	terminal_print(&out);
	buf_fini(&out);
}

static const char *done_word(const char *verb)
{
	if (strcmp(verb, "pause") == 0)
		return "paused";
	return strcmp(verb, "slow") == 0 ? "slowed" : "resumed";
}

static int send_order(struct queue_cmd *q, const char *verb, const char *group, const char *rate)
{
	json_t *body = order_body(q, group, rate), *answer;
	char path[32];
	int code;

	if (body == NULL ||
	    (q->reason != NULL && !json_is_string(json_object_get(body, "reason")))) {
		json_decref(body);
		return flags_usage("queue", "this is not UTF-8");
	}
	snprintf(path, sizeof(path), "/v1/queue/%s", verb);
	code = http_post(q->http, path, body, &answer);
	if (code != CMD_OK)
		return code;
	if (q->g.json)
		queue_print_json(answer);
	else if (!q->g.quiet)
		say(q, done_word(verb), group, rate);
	json_decref(answer);
	return CMD_OK;
}

/* The name of a group may have blanks in it, quoted or not. */
int queue_order(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	bool slow = strcmp(verb, "slow") == 0;
	const char *rate = slow && argc > 1 ? argv[argc - 1] : NULL;
	char group[QUEUE_WORDS_MAX];
	int code;

	if (argc < (slow ? 2 : 1))
		return flags_usage("queue", "queue %s wants a group or all%s", verb,
		    slow ? ", and a rate like 10/m" : "");
	code = queue_words(slow ? argc - 1 : argc, argv, group, sizeof(group));
	return code == CMD_OK ? send_order(q, verb, group, rate) : code;
}

/* ---- what stands ------------------------------------------------------------------------------
 */

static void print_table(
    const json_t *answer, void (*put)(const json_t *, int64_t, size_t, struct buf *))
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	put(answer, clock_wall(), terminal_columns(), &out);
	terminal_print(&out);
	buf_fini(&out);
}

static int show(struct queue_cmd *q, const char *path,
    void (*put)(const json_t *, int64_t, size_t, struct buf *))
{
	json_t *answer;
	int code = http_get(q->http, path, &answer);

	if (code != CMD_OK)
		return code;
	if (q->g.json)
		queue_print_json(answer);
	else
		print_table(answer, put);
	json_decref(answer);
	return CMD_OK;
}

int queue_rules(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	if (argc > 0)
		return flags_usage("queue", "queue %s takes no word: '%s'", verb, argv[0]);
	return show(q, "/v1/queue/rules", queue_rules_table);
}

static int forget(struct queue_cmd *q, const char *host)
{
	bool all = strcmp(host, "all") == 0;
	json_t *body = all ? json_pack("{s:b}", "all", 1) : json_pack("{s:s}", "host", host);
	json_t *answer;
	int64_t n;
	int code;

	if (body == NULL)
		return flags_usage("queue", "the address is not UTF-8");
	code = http_post(q->http, "/v1/queue/hosts/clear", body, &answer);
	if (code != CMD_OK)
		return code;
	n = json_integer_value(json_object_get(answer, "forgotten"));
	if (q->g.json)
		queue_print_json(answer);
	else if (!q->g.quiet)
		printf("forgotten: %lld host%s\n", (long long)n, n == 1 ? "" : "s");
	json_decref(answer);
	return n == 0 && !all ? CMD_NOT_FOUND : CMD_OK;
}

int queue_hosts(struct queue_cmd *q, const char *verb, int argc, char **argv)
{
	if (argc > 0)
		return flags_usage("queue", "queue %s takes no word: '%s' (--clear forgets a host)",
		    verb, argv[0]);
	if (q->clear != NULL)
		return forget(q, q->clear);
	return show(q, "/v1/queue/hosts", queue_hosts_table);
}
