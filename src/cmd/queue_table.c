/*
 * "godwit queue" in tables: the summary, a row for each destination with how old what waits for it
 * is; what operators and rules ordered; hosts that are bad.
 */
#include "cmd/queue_text.h"

#include "cmd/answer.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	NAME_WIDTH = 24,
	ROWS_MAX = 50,
	LINE_SPARE = 16384, /* octets one line may take, escapes included */
};

static const char *const age_keys[] = {"under_5m", "under_30m", "under_2h", "under_8h", "older"};
static const unsigned age_widths[] = {6, 7, 8, 7, 6};

/* ---- the table ---------------------------------------------------------------------------- */

static void put_count(struct buf *out, int64_t n, unsigned width, bool dash)
{
	char text[TERMINAL_SHORT];

	if (n == 0 && dash)
		snprintf(text, sizeof(text), "-");
	else
		terminal_count(n, text);
	buf_addf(out, "%*s", width, text);
}

static void put_ages(struct buf *out, const int64_t *age, bool dash)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(age_keys); i++)
		put_count(out, age[i], age_widths[i], dash);
}

static void put_oldest(struct buf *out, int64_t oldest, int64_t now)
{
	char text[TERMINAL_SHORT] = "";

	if (oldest >= 0)
		terminal_age(now - oldest, text);
	buf_addf(out, "%9s", text);
}

/* "mx google.example", and before it the group if it has a name of its own. */
static void put_site_name(struct buf *out, const json_t *site)
{
	struct span group = answer_text(site, "group"), name = answer_text(site, "site");
	struct buf b;

	buf_init(&b, 4096);
	if (!span_eq(group, SPAN("*")) && group.n > 0 && !span_starts(name, group)) {
		buf_add_span(&b, span_first(group, 1024));
		buf_add_byte(&b, ' ');
	}
	buf_add_span(&b, span_first(name, 2048));
	terminal_left(out, buf_view(&b), NAME_WIDTH);
	buf_fini(&b);
}

/* "(godwit.conf:47)" and " for another 12m05s", as far as they are known. */
static void put_behind(struct buf *out, const json_t *site, int64_t now)
{
	struct span place = answer_text(site, "limit_place");
	int64_t until = answer_time(site, "limit_until");
	char text[TERMINAL_SHORT];

	if (place.n > 0) {
		buf_add_str(out, " (");
		buf_add_span(out, span_first(place, 256));
		buf_add_byte(out, ')');
	}
	if (until > now)
		buf_addf(out, ", for another %s", terminal_age(until - now, text));
}

static void put_ruling(struct buf *out, const json_t *site)
{
	struct span limit = answer_text(site, "limit"), why = answer_text(site, "why");

	if (span_eq(answer_text(site, "state"), SPAN("slowed")) && limit.n > 0) {
		buf_add_span(out, span_first(limit, 256));
		buf_add_str(out, ", ");
	}
	buf_add_str(out, span_eq(answer_text(site, "by"), SPAN("rule")) ? "rule on " : "by ");
	buf_add_span(out, span_first(why, 256));
}

/* Why most of it waits: what a rule or an operator said, our own limit, or the last reply. */
static void put_why(struct buf *out, const json_t *site, int64_t now)
{
	struct span limit = answer_text(site, "limit"), state = answer_text(site, "state");

	if (answer_text(site, "why").n > 0) {
		put_ruling(out, site);
	} else if (limit.n > 0 && span_eq(state, SPAN("limited"))) {
		buf_add_str(out, "our limit: ");
		buf_add_span(out, span_first(limit, 256));
	} else {
		buf_add_span(out, span_first(answer_text(site, "last_reply"), 1024));
		return;
	}
	put_behind(out, site, now);
}

static void put_site(struct buf *out, const json_t *site, int64_t now, size_t columns)
{
	struct buf why;

	int64_t age[GW_ARRAY_LEN(age_keys)];
	size_t start = buf_len(out);

	for (size_t i = 0; i < GW_ARRAY_LEN(age_keys); i++)
		age[i] = answer_number(site, age_keys[i]);
	put_site_name(out, site);
	put_count(out, answer_number(site, "recipients"), 7, false);
	put_ages(out, age, true);
	buf_add_str(out, "   ");
	terminal_left(out, answer_text(site, "state"), 11);
	put_oldest(out, answer_time(site, "oldest"), now);
	buf_init(&why, 4096);
	put_why(&why, site, now);
	terminal_last(
	    out, buf_view(&why), columns, terminal_width(span_skip(buf_view(out), start)) + 2);
	buf_fini(&why);
	buf_add_byte(out, '\n');
}

static int by_recipients(const void *a, const void *b)
{
	int64_t x = answer_number(*(json_t *const *)a, "recipients");
	int64_t y = answer_number(*(json_t *const *)b, "recipients");

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Sites that have something to say, the largest first. */
static json_t **sorted_sites(const json_t *summary, size_t *n)
{
	const json_t *sites = json_object_get(summary, "sites");
	size_t all = json_array_size(sites);
	json_t **list = gw_calloc(all, sizeof(*list));

	*n = 0;
	for (size_t i = 0; i < all; i++) {
		json_t *site = json_array_get(sites, i);

		if (answer_number(site, "recipients") > 0)
			list[(*n)++] = site;
	}
	qsort(list, *n, sizeof(json_t *), by_recipients);
	return list;
}

static void put_total(
    struct buf *out, const json_t *summary, json_t *const *site, size_t n, int64_t now)
{
	int64_t age[GW_ARRAY_LEN(age_keys)] = {0}, total = 0;
	const json_t *ages = json_object_get(summary, "ages");

	for (size_t i = 0; i < n; i++) {
		total += answer_number(site[i], "recipients");
		for (size_t k = 0; k < GW_ARRAY_LEN(age_keys); k++)
			age[k] += answer_number(site[i], age_keys[k]);
	}
	/* Those of destinations that had no room in the answer too. */
	for (size_t k = 0; ages != NULL && k < GW_ARRAY_LEN(age_keys); k++)
		age[k] = answer_number(ages, age_keys[k]);
	if (ages != NULL)
		total = answer_number(ages, "all");
	terminal_left(out, SPAN("TOTAL"), NAME_WIDTH);
	put_count(out, total, 7, false);
	put_ages(out, age, false);
	buf_addf(out, "%14s", "");
	put_oldest(out, answer_time(summary, "oldest"), now);
	buf_add_byte(out, '\n');
}

/* "N recipients ..." and why, if there are any. */
static void put_kept(struct buf *out, int64_t n, const char *why)
{
	char text[TERMINAL_SHORT];

	if (n > 0)
		buf_addf(out, "%s recipient%s %s\n", terminal_count(n, text),
		    n == 1 ? " is" : "s are", why);
}

static void put_held(struct buf *out, const json_t *summary)
{
	int64_t limited = answer_number(summary, "held_by_limits");

	put_kept(out, limited,
	    "held until a limit has room (godwit limits; godwit queue list state:limited)");
	put_kept(out, answer_number(summary, "held") - limited,
	    "held: by an operator, a rule, or since they ended a process twice "
	    "(godwit queue list state:held)");
}

static void put_untold(struct buf *out, const json_t *summary)
{
	int64_t n = answer_number(summary, "untold");
	char text[TERMINAL_SHORT];

	if (n > 0)
		buf_addf(out,
		    "%s recipient%s failed, too many to be reported one by one: a summary follows "
		    "(godwit queue list state:untold)\n",
		    terminal_count(n, text), n == 1 ? "" : "s");
}

static void put_more(struct buf *out, size_t n)
{
	char number[32];

	if (n > 0)
		buf_addf(out, "... and %s more destination%s (--json shows more)\n",
		    progress_count((int64_t)n, number, sizeof(number)), n == 1 ? "" : "s");
}

void queue_table(const json_t *summary, size_t columns, struct buf *out)
{
	int64_t now = answer_time(summary, "now");
	size_t n, shown;
	json_t **site = sorted_sites(summary, &n);

	if (!json_is_true(json_object_get(summary, "accepting")))
		buf_add_str(out, "new mail is NOT accepted now: the spool is full or undecided\n");
	if (answer_number(summary, "messages") == 0) {
		buf_add_str(out, "queue is empty\n");
		free(site);
		return;
	}
	buf_addf(out, "%*s%7s%6s%7s%8s%7s%6s   %-11s%9s  %s\n", NAME_WIDTH, "", "T", "<5m", "5-30m",
	    "30m-2h", "2h-8h", ">8h", "state", "oldest", "reason of most");
	put_total(out, summary, site, n, now);
	shown = n < ROWS_MAX ? n : ROWS_MAX;
	for (size_t i = 0; i < shown && buf_space(out) > LINE_SPARE; i++)
		put_site(out, site[i], now, columns);
	put_more(out, n - shown + (size_t)answer_number(summary, "sites_omitted"));
	put_held(out, summary);
	put_untold(out, summary);
	free(site);
}

/* ---- what stands ---------------------------------------------------------------------------- */

static void put_left(struct buf *out, const json_t *row, int64_t now)
{
	int64_t until = answer_time(row, "until");
	char text[TERMINAL_SHORT] = "resumed";

	if (until > 0)
		terminal_age(until > now ? until - now : 0, text);
	buf_addf(out, "  %8s", text);
}

static void put_rule(const json_t *row, int64_t now, size_t columns, struct buf *out)
{
	size_t start = buf_len(out);

	terminal_left(out, answer_text(row, "kind"), 6);
	terminal_left(out, answer_text(row, "group"), NAME_WIDTH);
	buf_add_str(out, "  ");
	terminal_left(out, answer_text(row, "rate"), 9);
	put_left(out, row, now);
	buf_add_str(out, "  ");
	terminal_left(out, answer_text(row, "owner"), 20);
	terminal_last(out, answer_text(row, "reason"), columns,
	    terminal_width(span_skip(buf_view(out), start)) + 2);
	buf_add_byte(out, '\n');
}

void queue_rules_table(const json_t *answer, int64_t now, size_t columns, struct buf *out)
{
	const json_t *rules = json_object_get(answer, "rules");
	size_t n = json_array_size(rules);

	if (n == 0) {
		buf_add_str(out, "nothing is paused or slowed\n");
		return;
	}
	buf_addf(out, "%-6s%-*s  %-9s  %8s  %-20s  %s\n", "KIND", NAME_WIDTH, "GROUP", "RATE",
	    "UNTIL IN", "OWNER", "REASON");
	for (size_t i = 0; i < n && buf_space(out) > LINE_SPARE; i++)
		put_rule(json_array_get(rules, i), now, columns, out);
}

static void put_host(const json_t *row, int64_t now, size_t columns, struct buf *out)
{
	size_t start = buf_len(out);
	char text[TERMINAL_SHORT] = "-";
	int64_t until = answer_time(row, "until");

	terminal_left(out, answer_text(row, "address"), 40);
	if (until > now)
		terminal_age(until - now, text);
	buf_addf(out, "%9d  %10s", (int)answer_number(row, "failures"), text);
	terminal_last(out, answer_text(row, "why"), columns,
	    terminal_width(span_skip(buf_view(out), start)) + 2);
	buf_add_byte(out, '\n');
}

void queue_hosts_table(const json_t *answer, int64_t now, size_t columns, struct buf *out)
{
	const json_t *hosts = json_object_get(answer, "hosts");
	size_t n = json_array_size(hosts);

	if (n == 0) {
		buf_add_str(out, "no host is known to be bad\n");
		return;
	}
	buf_addf(out, "%-40s%9s  %10s  %s\n", "ADDRESS", "FAILURES", "LAST FOR", "WHY");
	for (size_t i = 0; i < n && buf_space(out) > LINE_SPARE; i++)
		put_host(json_array_get(hosts, i), now, columns, out);
}
