/* godwit limits: who is near a limit in a time, and how somebody stands with all of them. */
#include "base/span.h"
#include "cmd/answer.h"
#include "cmd/flags.h"
#include "cmd/http.h"
#include "cmd/terminal.h"

#include <stdio.h>
#include <time.h>

enum { PATH_MAX_BYTES = 4096, TEXT_MAX = 8 << 20, NAME_WIDTH = 36, LINE_SPARE = 4096, LEFT = 12 };

/* ---- text -------------------------------------------------------------------------------------
 */

static void put_amount(struct buf *out, const json_t *limit, int64_t n)
{
	char text[TERMINAL_SHORT];
	bool octets = span_eq(answer_text(limit, "what"), SPAN("octets"));

	buf_add_str(out, octets ? terminal_size(n, text) : terminal_count(n, text));
}

/* "2026-11-22 23:00:05", by the clock of who asks. */
static void put_local(struct buf *out, int64_t when)
{
	time_t seconds = (time_t)(when / 1000000);
	char text[40] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_add_str(out, text);
}

static void put_entry(struct buf *out, const json_t *limit, const json_t *entry, int64_t now)
{
	int64_t opens = answer_time(entry, "opens"), held = answer_number(entry, "held");
	struct span subject = answer_text(entry, "subject");
	char text[TERMINAL_SHORT];

	buf_add_str(out, "    ");
	terminal_left(out, subject.n > 0 ? subject : SPAN("everybody"), NAME_WIDTH);
	buf_add_str(out, "  ");
	put_amount(out, limit, answer_number(entry, "used"));
	buf_add_str(out, " of ");
	put_amount(out, limit, answer_number(limit, "n"));
	if (json_is_true(json_object_get(entry, "full"))) {
		buf_add_str(out, "  FULL");
		if (opens > 0) {
			buf_add_str(out, ", opens ");
			put_local(out, opens);
			buf_addf(
			    out, " (in %s)", terminal_age(opens > now ? opens - now : 0, text));
		}
	}
	if (held > 0)
		buf_addf(out, "  %s held", terminal_count(held, text));
	buf_add_byte(out, '\n');
}

/* "limit account messages 1000/d over hold" as it stands in the configuration. */
static void put_head(struct buf *out, const json_t *limit)
{
	struct span plan = answer_text(limit, "plan"), only = answer_text(limit, "only");
	int64_t subjects = answer_number(limit, "subjects"), full = answer_number(limit, "full");

	if (plan.n > 0) {
		buf_add_str(out, "plan ");
		terminal_text(out, plan, LEFT * 4);
	} else {
		terminal_text(out, answer_text(limit, "key"), LEFT);
	}
	buf_add_byte(out, ' ');
	if (only.n > 0) {
		terminal_text(out, only, 0);
		buf_add_byte(out, ' ');
	}
	terminal_text(out, answer_text(limit, "what"), LEFT);
	buf_add_byte(out, ' ');
	terminal_text(out, answer_text(limit, "rate"), LEFT * 4);
	if (json_is_true(json_object_get(limit, "calendar")))
		buf_add_str(out, " calendar");
	buf_add_str(out, " over ");
	terminal_text(out, answer_text(limit, "over"), LEFT);
	buf_add_str(out, " (");
	terminal_text(out, answer_text(limit, "place"), 0);
	buf_addf(out, ")  %lld counted, %lld full\n", (long long)subjects, (long long)full);
}

static void table(const json_t *answer, struct buf *out)
{
	const json_t *limits = json_object_get(answer, "limits");
	int64_t now = answer_time(answer, "now");
	char text[TERMINAL_SHORT];

	if (json_array_size(limits) == 0)
		buf_add_str(
		    out, "no limit in a time concerns this (godwit config explain limit)\n");
	for (size_t i = 0; i < json_array_size(limits); i++) {
		const json_t *limit = json_array_get(limits, i);
		const json_t *nearest = json_object_get(limit, "nearest");

		if (buf_space(out) < LINE_SPARE)
			return;
		put_head(out, limit);
		for (size_t k = 0; k < json_array_size(nearest); k++) {
			if (buf_space(out) > LINE_SPARE)
				put_entry(out, limit, json_array_get(nearest, k), now);
		}
	}
	if (json_is_false(json_object_get(answer, "complete")))
		buf_add_str(out, "... there are too many to look at all of them: name one\n");
	if (answer_number(answer, "not_limited") > 0)
		buf_addf(out,
		    "%s messages were not limited: there is no room to count more subjects\n",
		    terminal_count(answer_number(answer, "not_limited"), text));
}

static bool any_full(const json_t *answer)
{
	const json_t *limits = json_object_get(answer, "limits");

	for (size_t i = 0; i < json_array_size(limits); i++) {
		if (answer_number(json_array_get(limits, i), "full") > 0)
			return true;
	}
	return false;
}

/* ---- the verb ---------------------------------------------------------------------------------
 */

static int ask(struct http *h, const char *subject, uint64_t most, json_t **answer)
{
	struct buf path;
	char number[24];
	int code;

	buf_init(&path, PATH_MAX_BYTES);
	buf_add_str(&path, "/v1/limits");
	snprintf(number, sizeof(number), "%llu", (unsigned long long)most);
	http_parameter(&path, "limit", number);
	if (subject != NULL)
		http_parameter(&path, "q", subject);
	buf_add_byte(&path, '\0');
	code = buf_failed(&path) ? flags_usage("limits", "this is too long")
				 : http_get(h, (const char *)buf_view(&path).p, answer);
	buf_fini(&path);
	return code;
}

static void print(const json_t *answer, bool json)
{
	struct buf out;

	if (json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	buf_init(&out, TEXT_MAX);
	table(answer, &out);
	terminal_print(&out);
	buf_fini(&out);
}

int cmd_limits(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	uint64_t most = 10;
	const struct flag rows[] = {{"--limit", FLAG_NUMBER, &most}};
	struct flags f = {"limits", rows, GW_ARRAY_LEN(rows), &own, false};
	struct http *http;
	json_t *answer;
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 2)
		return flags_usage("limits", "it takes one SUBJECT at most");
	code = http_open(&http, "limits", &own);
	if (code == CMD_OK)
		code = ask(http, argc == 2 ? argv[1] : NULL, most, &answer);
	http_free(&http);
	if (code != CMD_OK)
		return code;
	if (!own.quiet)
		print(answer, own.json);
	code = argc == 2 && any_full(answer) ? CMD_NO : CMD_OK;
	json_decref(answer);
	return code;
}
