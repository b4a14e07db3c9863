/*
 * "godwit queue" of messages: one in a line, one in full, and the look-up of ids by their first
 * characters.
 */
#include "cmd/queue_text.h"

#include "cmd/answer.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"
#include "mail/reply_class.h"

#include <stdio.h>
#include <stdlib.h>

/* Octets one line may take, escapes included. */
enum { LINE_SPARE = 16384 };

/* ---- messages ----------------------------------------------------------------------------- */

static bool is_open(const json_t *rcpt)
{
	struct span state = answer_text(rcpt, "state");

	return span_eq(state, SPAN("ready")) || span_eq(state, SPAN("active")) ||
	       span_eq(state, SPAN("deferred")) || span_eq(state, SPAN("held")) ||
	       span_eq(state, SPAN("scheduled")) || span_eq(state, SPAN("suspended")) ||
	       span_eq(state, SPAN("unpulled")) || span_eq(state, SPAN("maybe")) ||
	       span_eq(state, SPAN("limited")) || span_eq(state, SPAN("untold"));
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
	buf_addf(out, "%-26s %7s %7s  %-6s  %-16s  %-24s  %-24s  %-9s %5s %7s  %s\n", "ID", "AGE",
	    "SIZE", "CLASS", "ACCOUNT", "FROM", "TO", "STATE", "TRIES", "NEXT", "LAST REPLY");
}

static void put_message_start(struct buf *out, const json_t *message, int64_t now, bool first)
{
	char age[TERMINAL_SHORT], size[TERMINAL_SHORT];

	if (!first) {
		buf_addf(out, "%26s %7s %7s  %6s  %16s  %24s  ", "", "", "", "", "", "");
		return;
	}
	terminal_left(out, answer_text(message, "id"), MSGID_TEXT);
	buf_addf(out, " %7s %7s  ", terminal_age(now - answer_time(message, "accepted"), age),
	    terminal_size(answer_number(message, "size"), size));
	terminal_left(out, answer_text(message, "class"), 6);
	buf_add_str(out, "  ");
	terminal_left(out, answer_text(message, "account"), 16);
	buf_add_str(out, "  ");
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
	terminal_last(
	    out, buf_view(&b), columns, terminal_width(span_skip(buf_view(out), start)) + 2);
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

/* "        via   TLS 1.3/verified, from bulk-a, by /etc/godwit/godwit.conf:48:1" */
static void put_via(struct buf *out, const json_t *rcpt)
{
	static const struct {
		const char *key, *word;
	} parts[] = {{"tls", "TLS "}, {"vmta", "from "}, {"rule", "by "}};
	bool first = true;

	for (size_t i = 0; i < GW_ARRAY_LEN(parts); i++) {
		struct span text = answer_text(rcpt, parts[i].key);

		if (text.n == 0)
			continue;
		buf_add_str(out, first ? "        via   " : ", ");
		buf_add_str(out, parts[i].word);
		terminal_text(out, text, 0);
		first = false;
	}
	if (!first)
		buf_add_byte(out, '\n');
}

/* "        class full: The mailbox is full." */
static void put_meaning(struct buf *out, const json_t *rcpt)
{
	enum reply_class class = reply_class_of_word(answer_text(rcpt, "class"));

	if (answer_text(rcpt, "class").n == 0)
		return;
	buf_add_str(out, "        class ");
	terminal_text(out, answer_text(rcpt, "class"), 0);
	if (class < REPLY_CLASSES)
		buf_addf(out, ": %s", reply_classes[class].means);
	buf_add_byte(out, '\n');
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
		buf_addf(out, ", %d %s", (int)answer_number(rcpt, "attempts"),
		    answer_number(rcpt, "attempts") == 1 ? "try" : "tries");
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
	put_meaning(out, rcpt);
	put_via(out, rcpt);
}

static void put_class(struct buf *out, const json_t *message)
{
	struct span account = answer_text(message, "account");

	if (answer_text(message, "class").n > 0) {
		buf_add_str(out, "  class ");
		terminal_text(out, answer_text(message, "class"), 0);
	}
	if (account.n == 0)
		return;
	buf_add_str(out, "  account ");
	terminal_text(out, account, 0);
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
	put_class(out, message);
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
