/* godwit pull: the hosts that keep mail for us, and one of them asked now. */
#include "cmd/flags.h"

#include "base/clock.h"
#include "cmd/answer.h"
#include "cmd/http.h"
#include "cmd/terminal.h"

#include <stdio.h>
#include <time.h>

enum { TEXT_MAX = 1 << 20, LOOK_EVERY = 200 * 1000000 /* nanoseconds */ };
#define PATIENCE INT64_C(600000000)

struct pull_cmd {
	struct cmd_globals g;
	struct http *http;
	int64_t time; /* how long it is waited for */
};

/* ---- what there is --------------------------------------------------------------------------- */

static void put_when(struct buf *out, const json_t *row, int64_t now)
{
	int64_t due = answer_time(row, "due");
	char age[TERMINAL_SHORT];

	if (span_eq(answer_text(row, "state"), SPAN("active")))
		buf_addf(out, "%9s  ", "now");
	else
		buf_addf(out, "%9s  ", due > 0 ? terminal_age(due - now, age) : "-");
}

static void put_outcome(struct buf *out, const json_t *row)
{
	int64_t code = answer_number(row, "code");

	if (answer_number(row, "last") == 0) {
		buf_add_str(out, "-\n");
		return;
	}
	terminal_text(out, answer_text(row, "result"), 0);
	buf_add_str(out, ": ");
	if (code != 0)
		buf_addf(out, "%lld ", (long long)code);
	terminal_text(out, answer_text(row, "reply"), 160);
	buf_add_byte(out, '\n');
}

static void print_all(const json_t *list)
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	buf_addf(&out, "%-24s  %-4s  %-30s  %9s  %s\n", "NAME", "KIND", "HOST", "NEXT", "LAST");
	for (size_t i = 0; i < json_array_size(list) && buf_len(&out) < TEXT_MAX / 2; i++) {
		const json_t *row = json_array_get(list, i);

		terminal_left(&out, answer_text(row, "name"), 24);
		buf_add_str(&out, "  ");
		terminal_left(&out, answer_text(row, "kind"), 4);
		buf_add_str(&out, "  ");
		terminal_left(&out, answer_text(row, "host"), 30);
		buf_add_str(&out, "  ");
		put_when(&out, row, clock_wall());
		put_outcome(&out, row);
	}
	terminal_print(&out);
	buf_fini(&out);
}

static void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
}

static int list_all(struct pull_cmd *p)
{
	json_t *answer;
	int code = http_get(p->http, "/v1/pulls", &answer);

	if (code != CMD_OK)
		return code;
	if (p->g.json)
		print_json(answer);
	else
		print_all(json_object_get(answer, "pulls"));
	json_decref(answer);
	return CMD_OK;
}

/* ---- one of them, now -------------------------------------------------------------------------
 */

static const json_t *row_of(const json_t *answer, const char *name)
{
	const json_t *list = json_object_get(answer, "pulls");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);

		if (span_eq(answer_text(row, "name"), span_str(name)))
			return row;
	}
	return NULL;
}

static int say(const struct pull_cmd *p, const json_t *row)
{
	bool failed = span_eq(answer_text(row, "result"), SPAN("failed"));
	struct buf out;

	if (p->g.json) {
		print_json(row);
	} else if (!p->g.quiet) {
		buf_init(&out, 8192);
		put_outcome(&out, row);
		if (answer_number(row, "octets") > 0)
			buf_addf(&out, "%lld octets in %.1f s\n",
			    (long long)answer_number(row, "octets"),
			    (double)answer_number(row, "milliseconds") / 1000);
		terminal_print(&out);
		buf_fini(&out);
	}
	return failed ? CMD_NO : CMD_OK;
}

/* Nobody knows of it: the queue was restarted, or there is no such statement any more. */
static int interrupted(void)
{
	fprintf(stderr, "godwit pull: it was interrupted; what came until then is in the queue\n");
	return CMD_NO;
}

/* 0: not over yet; else the exit code and one. */
static int look(const struct pull_cmd *p, const char *name, int64_t number)
{
	json_t *answer;
	const json_t *row;
	int code = http_get(p->http, "/v1/pulls", &answer);

	if (code != CMD_OK)
		return code + 1;
	row = row_of(answer, name);
	if (row != NULL && answer_number(row, "last") >= number)
		code = say(p, row) + 1;
	else if (row == NULL || !span_eq(answer_text(row, "state"), SPAN("active")))
		code = interrupted() + 1;
	json_decref(answer);
	return code;
}

static int wait_for(const struct pull_cmd *p, const char *name, int64_t number)
{
	const struct timespec while_ = {.tv_nsec = LOOK_EVERY};
	int64_t until = clock_now() + p->time;
	int code;

	while ((code = look(p, name, number)) == 0 && clock_now() < until)
		nanosleep(&while_, NULL);
	if (code > 0)
		return code - 1;
	fprintf(stderr, "godwit pull: it is not over yet; godwit pull shows what becomes of it\n");
	return CMD_NO;
}

static int pull_now(const struct pull_cmd *p, const char *name)
{
	json_t *body = json_pack("{s:s}", "pull", name), *answer;
	int64_t number;
	int code;

	if (body == NULL)
		return flags_usage("pull", "this is not UTF-8");
	code = http_post(p->http, "/v1/pull", body, &answer);
	if (code != CMD_OK)
		return code;
	number = answer_number(answer, "number");
	json_decref(answer);
	return wait_for(p, name, number);
}

int cmd_pull(const struct cmd_globals *g, int argc, char **argv)
{
	struct pull_cmd p = {.g = *g, .time = PATIENCE};
	const struct flag own[] = {{"--for", FLAG_TIME, &p.time}};
	int code;

	if (!flags_read(&(struct flags){.verb = "pull", .flag = own, .n = 1, .globals = &p.g},
		&argc, argv, &code))
		return code;
	if (argc > 2)
		return flags_usage("pull", "'%s' is one word too many", argv[2]);
	code = http_open(&p.http, "pull", &p.g);
	if (code == CMD_OK)
		code = argc == 1 ? list_all(&p) : pull_now(&p, argv[1]);
	http_free(&p.http);
	return code;
}
