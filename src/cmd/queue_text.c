#include "cmd/queue_text.h"

#include "cmd/answer.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	NAME_WIDTH = 24,
	ROWS_MAX = 50,
	LINE_SPARE = 16384, /* octets one line may take, escapes included */
	REPLY_MIN = 20,
};

/* ---- the table ---------------------------------------------------------------------------- */

static const char *const age_keys[] = {"under_5m", "under_30m", "under_2h", "under_8h", "older"};
static const unsigned age_widths[] = {6, 7, 8, 7, 6};

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
	if (!span_eq(group, SPAN("*")) && group.n > 0) {
		buf_add_span(&b, span_first(group, 1024));
		buf_add_byte(&b, ' ');
	}
	buf_add_span(&b, span_first(name, 2048));
	terminal_left(out, buf_view(&b), NAME_WIDTH);
	buf_fini(&b);
}

static void put_reason(struct buf *out, struct span reply, size_t columns, size_t used)
{
	size_t room = columns > used + REPLY_MIN ? columns - used : columns ? REPLY_MIN : 0;

	if (reply.n == 0)
		return;
	buf_add_str(out, "  ");
	terminal_text(out, span_first(reply, 1024), room);
}

static void put_site(struct buf *out, const json_t *site, int64_t now, size_t columns)
{
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
	put_reason(out, answer_text(site, "last_reply"), columns,
	    terminal_width(span_skip(buf_view(out), start)) + 2);
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

	for (size_t i = 0; i < n; i++) {
		total += answer_number(site[i], "recipients");
		for (size_t k = 0; k < GW_ARRAY_LEN(age_keys); k++)
			age[k] += answer_number(site[i], age_keys[k]);
	}
	terminal_left(out, SPAN("TOTAL"), NAME_WIDTH);
	put_count(out, total, 7, false);
	put_ages(out, age, false);
	buf_addf(out, "%14s", "");
	put_oldest(out, answer_time(summary, "oldest"), now);
	buf_add_byte(out, '\n');
}

static void put_held(struct buf *out, const json_t *summary)
{
	int64_t n = answer_number(summary, "held");
	char text[TERMINAL_SHORT];

	if (n > 0)
		buf_addf(out,
		    "%s recipient%s held: sent, they ended a process twice (godwit queue list "
		    "state:held)\n",
		    terminal_count(n, text), n == 1 ? " is" : "s are");
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
	    "30m-2h", "2h-8h", ">8h", "state", "oldest", "last reply");
	put_total(out, summary, site, n, now);
	shown = n < ROWS_MAX ? n : ROWS_MAX;
	for (size_t i = 0; i < shown && buf_space(out) > LINE_SPARE; i++)
		put_site(out, site[i], now, columns);
	if (n > shown)
		buf_addf(out, "... and %zu more destinations (--json shows all)\n", n - shown);
	put_held(out, summary);
	free(site);
}

/* ---- messages ----------------------------------------------------------------------------- */

static bool is_open(const json_t *rcpt)
{
	struct span state = answer_text(rcpt, "state");

	return span_eq(state, SPAN("ready")) || span_eq(state, SPAN("active")) ||
	       span_eq(state, SPAN("deferred")) || span_eq(state, SPAN("held")) ||
	       span_eq(state, SPAN("suspended")) || span_eq(state, SPAN("maybe"));
}

size_t queue_open_recipients(const json_t *message)
{
	const json_t *list = json_object_get(message, "recipients");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		n += is_open(json_array_get(list, i));
	return n;
}

static void put_from(struct buf *out, const json_t *message, size_t width)
{
	struct span from = answer_text(message, "from");

	terminal_left(out, from.n ? from : SPAN("<>"), width);
}

static void put_next(struct buf *out, const json_t *rcpt, int64_t now)
{
	int64_t due = answer_time(rcpt, "due");
	char text[TERMINAL_SHORT] = "-";

	if (due >= 0)
		terminal_age(due - now, text);
	buf_addf(out, "%7s", text);
}

void queue_list_head(struct buf *out)
{
	buf_addf(out, "%-26s %7s %7s  %-24s  %-24s  %-9s %5s %7s  %s\n", "ID", "AGE", "SIZE",
	    "FROM", "TO", "STATE", "TRIES", "NEXT", "LAST REPLY");
}

static void put_message_start(struct buf *out, const json_t *message, int64_t now, bool first)
{
	char age[TERMINAL_SHORT], size[TERMINAL_SHORT];

	if (!first) {
		buf_addf(out, "%26s %7s %7s  %24s  ", "", "", "", "");
		return;
	}
	terminal_left(out, answer_text(message, "id"), MSGID_TEXT);
	buf_addf(out, " %7s %7s  ", terminal_age(now - answer_time(message, "accepted"), age),
	    terminal_size(answer_number(message, "size"), size));
	put_from(out, message, 24);
	buf_add_str(out, "  ");
}

/* "451 4.3.0 ", as far as there are codes. */
static void put_codes(struct buf *out, const json_t *rcpt)
{
	int64_t code = answer_number(rcpt, "code");
	struct span esc = answer_text(rcpt, "esc");

	if (code != 0)
		buf_addf(out, "%d ", (int)code);
	if (esc.n == 0)
		return;
	terminal_text(out, esc, 0);
	buf_add_byte(out, ' ');
}

static void put_reply(struct buf *out, const json_t *rcpt, size_t columns, size_t start)
{
	struct span reply = answer_text(rcpt, "reply");
	struct buf b;

	if (answer_number(rcpt, "code") == 0 && reply.n == 0)
		return;
	buf_init(&b, 2048);
	put_codes(&b, rcpt);
	buf_add_span(&b, span_first(reply, 1024));
	put_reason(out, buf_view(&b), columns, terminal_width(span_skip(buf_view(out), start)) + 2);
	buf_fini(&b);
}

void queue_list_row(const json_t *message, int64_t now, size_t columns, struct buf *out)
{
	const json_t *list = json_object_get(message, "recipients");
	bool first = true;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *rcpt = json_array_get(list, i);
		size_t start = buf_len(out);

		if (buf_space(out) < LINE_SPARE)
			return;
		put_message_start(out, message, now, first);
		terminal_left(out, answer_text(rcpt, "to"), 24);
		buf_add_str(out, "  ");
		terminal_left(out, answer_text(rcpt, "state"), 9);
		buf_addf(out, " %5d ", (int)answer_number(rcpt, "attempts"));
		put_next(out, rcpt, now);
		put_reply(out, rcpt, columns, start);
		buf_add_byte(out, '\n');
		first = false;
	}
}

static void put_rcpt(struct buf *out, const json_t *rcpt, int64_t now)
{
	int64_t due = answer_time(rcpt, "due"), since = answer_time(rcpt, "since");
	char text[TERMINAL_SHORT];

	buf_add_str(out, "  to    ");
	terminal_text(out, answer_text(rcpt, "to"), 0);
	buf_add_str(out, "  ");
	terminal_text(out, answer_text(rcpt, "state"), 0);
	if (answer_number(rcpt, "attempts") > 0)
		buf_addf(out, ", %d tries", (int)answer_number(rcpt, "attempts"));
	if (due >= 0)
		buf_addf(out, ", next in %s", terminal_age(due - now, text));
	if (since >= 0)
		buf_addf(out, " for %s", terminal_age(now - since, text));
	if (answer_text(rcpt, "site").n > 0) {
		buf_add_str(out, ", to ");
		terminal_text(out, answer_text(rcpt, "site"), 0);
	}
	buf_add_byte(out, '\n');
	if (answer_text(rcpt, "reply").n == 0)
		return;
	buf_add_str(out, "        said  ");
	put_codes(out, rcpt);
	terminal_text(out, answer_text(rcpt, "reply"), 0);
	buf_add_byte(out, '\n');
}

void queue_message(const json_t *message, int64_t now, struct buf *out)
{
	const json_t *list = json_object_get(message, "recipients");
	char age[TERMINAL_SHORT], size[TERMINAL_SHORT];

	terminal_text(out, answer_text(message, "id"), 0);
	buf_addf(out, "  %s  accepted %s ago  %zu of %zu recipients open\n  from  ",
	    terminal_size(answer_number(message, "size"), size),
	    terminal_age(now - answer_time(message, "accepted"), age),
	    queue_open_recipients(message), json_array_size(list));
	put_from(out, message, 0);
	buf_add_byte(out, '\n');
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (buf_space(out) > LINE_SPARE)
			put_rcpt(out, json_array_get(list, i), now);
	}
}

/* ---- ids ---------------------------------------------------------------------------------- */

int queue_prefix(const char *text, char *prefix, char *first)
{
	char whole[MSGID_TEXT + 1], canonical[MSGID_TEXT + 1];
	size_t n = strlen(text);
	struct msgid id;

	if (n < QUEUE_PREFIX_MIN || n > MSGID_TEXT)
		return GW_EFORMAT;
	memset(whole, '0', MSGID_TEXT);
	memcpy(whole, text, n);
	if (msgid_parse(span_of(whole, MSGID_TEXT), &id) < 0)
		return GW_EFORMAT;
	msgid_format(&id, canonical);
	snprintf(prefix, MSGID_TEXT + 1, "%.*s", (int)n, canonical);
	/* One less than the smallest that matches: a cursor stands before what it lets follow. */
	for (size_t i = sizeof(id.b); i-- > 0 && id.b[i]-- == 0;)
		continue;
	msgid_format(&id, first);
	return 0;
}

bool queue_prefix_matches(const char *prefix, const char *id)
{
	return strncmp(prefix, id, strlen(prefix)) == 0;
}
