#include "cmd/trace_text.h"

#include "cmd/answer.h"
#include "cmd/cmd.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"

#include <stdio.h>
#include <stdlib.h>

enum { WHEN_WIDTH = 8, WORD_WIDTH = 10, RCPT_MAX = 50000, SHORT_MAX = 1024 };

#define SECOND INT64_C(1000000)

static void put_text(struct buf *out, const json_t *from, const char *key, const char *before)
{
	struct span s = answer_text(from, key);

	if (s.n == 0)
		return;
	buf_add_str(out, before);
	terminal_text(out, span_first(s, SHORT_MAX), 0);
}

static void put_when(struct buf *out, int64_t after)
{
	char text[TERMINAL_SHORT], age[TERMINAL_SHORT];

	if (after < 60 * SECOND)
		snprintf(text, sizeof(text), "%s%lld.%03lld", after < 0 ? "" : "+",
		    (long long)(after / SECOND), (long long)(llabs(after) / 1000 % 1000));
	else
		snprintf(text, sizeof(text), "+%s", terminal_age(after, age));
	buf_addf(out, "  %-*s", WHEN_WIDTH, text);
}

static void put_word(struct buf *out, const char *word)
{
	buf_addf(out, "%-*s ", WORD_WIDTH, word);
}

/* ---- the head ------------------------------------------------------------------------------- */

static void put_sender(struct buf *out, const json_t *m)
{
	buf_add_str(out, "  from ");
	if (answer_text(m, "from").n > 0)
		put_text(out, m, "from", "");
	else
		buf_add_str(out, "<>");
}

static void put_head(const json_t *m, struct buf *out)
{
	char size[TERMINAL_SHORT];

	terminal_text(out, answer_text(m, "id"), MSGID_TEXT);
	put_sender(out, m);
	buf_addf(out, "  %s", terminal_size(answer_number(m, "size"), size));
	put_text(out, m, "account", "  account ");
	put_text(out, m, "class", "  class ");
	put_text(out, m, "envid", "  envid ");
	buf_add_byte(out, '\n');
}

static void put_accepted(const json_t *m, struct buf *out)
{
	size_t n = json_array_size(json_object_get(m, "recipients")) +
		   (size_t)answer_number(m, "recipients_omitted");

	put_when(out, 0);
	put_word(out, "accepted");
	if (span_eq(answer_text(m, "origin"), SPAN("system")))
		buf_add_str(out, "made here");
	put_text(out, m, "client_ip", "from ");
	put_text(out, m, "listener", ", listener ");
	put_text(out, m, "account", ", login ");
	buf_addf(out, "  %zu recipient%s\n", n, n == 1 ? "" : "s");
}

/* ---- events --------------------------------------------------------------------------------- */

static bool is_event(const json_t *e, const char *name)
{
	return span_eq(answer_text(e, "event"), span_str(name));
}

static void put_reply(const json_t *e, struct buf *out)
{
	if (answer_number(e, "code") > 0)
		buf_addf(out, "  %lld", (long long)answer_number(e, "code"));
	put_text(out, e, "esc", answer_number(e, "code") > 0 ? " " : "  ");
	put_text(out, e, "reply", answer_text(e, "esc").n > 0 ? " " : "  ");
}

static void put_line(struct buf *out, const char *word, const json_t *e, const char *key)
{
	if (answer_text(e, key).n == 0)
		return;
	buf_addf(out, "  %-*s", WHEN_WIDTH, "");
	put_word(out, word);
	put_text(out, e, key, "");
	buf_add_byte(out, '\n');
}

static void put_event(const json_t *e, int64_t accepted, struct buf *out)
{
	char name[32];
	int64_t attempt = answer_number(e, "attempt");

	span_to_cstr(answer_text(e, "event"), name, sizeof(name));
	put_when(out, answer_time(e, "time") - accepted);
	put_word(out, is_event(e, "past_dot") ? "sending" : is_event(e, "carried") ? "was" : name);
	if (attempt > 0)
		buf_addf(out, " attempt %lld", (long long)attempt);
	put_text(out, e, "vmta", "  ");
	put_text(out, e, "host", answer_text(e, "vmta").n > 0 ? " -> " : "  ");
	put_text(out, e, "tls", "  ");
	put_reply(e, out);
	buf_add_byte(out, '\n');
	put_line(out, "class", e, "class");
	put_line(out, "rule", e, "rule");
	put_line(out, "report", e, "report");
}

/* An event and where it stands: those of one recipient together, in their order. */
struct place {
	int64_t rcpt;
	size_t at;
	const json_t *event;
};

static int by_rcpt(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->rcpt != y->rcpt)
		return x->rcpt < y->rcpt ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static struct place *sorted_events(const json_t *story, size_t *n)
{
	const json_t *events = json_object_get(story, "events");
	struct place *p;

	*n = json_array_size(events);
	p = gw_calloc(*n + 1, sizeof(*p));
	for (size_t i = 0; i < *n; i++) {
		const json_t *e = json_array_get(events, i);

		p[i] = (struct place){answer_number(e, "rcpt"), i, e};
	}
	qsort(p, *n, sizeof(*p), by_rcpt);
	p[*n].rcpt = -1;
	return p;
}

/* ---- what comes next ------------------------------------------------------------------------ */

/* What the queue says of this recipient, or NULL: it is through. */
static const json_t *in_queue(const json_t *story, size_t i, struct span to)
{
	const json_t *list = json_object_get(json_object_get(story, "queue"), "recipients");
	const json_t *r = json_array_get(list, i);

	return r != NULL && span_eq(answer_text(r, "to"), to) ? r : NULL;
}

static void put_next(const json_t *r, int64_t now, struct buf *out)
{
	struct span state = answer_text(r, "state");
	int64_t due = answer_time(r, "due");
	char age[TERMINAL_SHORT];

	if (r == NULL || span_eq(state, SPAN("delivered")) || span_eq(state, SPAN("failed")) ||
	    span_eq(state, SPAN("expired")) || span_eq(state, SPAN("dropped")))
		return;
	buf_addf(out, "  %-*s", WHEN_WIDTH, "");
	put_word(out, "next");
	if (span_eq(state, SPAN("held")))
		buf_add_str(out, "held: godwit queue release, or drop");
	else if (span_eq(state, SPAN("untold")))
		buf_add_str(out, "failed: its sender is told in a summary");
	else if (due > now)
		buf_addf(out, "attempt %lld in %s", (long long)answer_number(r, "attempts") + 1,
		    terminal_age(due - now, age));
	else
		terminal_text(out, span_first(state, 64), 0);
	put_text(out, r, "site", "  ");
	buf_add_byte(out, '\n');
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void put_rcpt(const json_t *story, size_t i, struct span to, int64_t now,
    const struct place **p, struct buf *out)
{
	int64_t accepted = answer_time(story, "accepted");

	buf_addf(out, "%2zu ", i + 1);
	terminal_text(out, span_first(to, SHORT_MAX), 0);
	buf_add_byte(out, '\n');
	while ((*p)->rcpt >= 0 && (*p)->rcpt < (int64_t)i)
		++*p;
	for (; (*p)->rcpt == (int64_t)i; ++*p)
		put_event((*p)->event, accepted, out);
	put_next(in_queue(story, i, to), now, out);
}

static void put_omitted(const json_t *story, const char *key, const char *what, struct buf *out)
{
	int64_t n = answer_number(story, key);

	if (n > 0)
		buf_addf(out, "... and %lld more %s\n", (long long)n, what);
}

/* The history lacks it: the queue alone knows. */
static void only_queue(const json_t *story, int64_t now, struct buf *out)
{
	const json_t *m = json_object_get(story, "queue");
	const json_t *list = json_object_get(m, "recipients");
	struct place none = {.rcpt = -1};
	const struct place *p = &none;

	put_head(m, out);
	buf_add_str(out, "  the history does not have it (yet); this is what the queue says\n");
	for (size_t i = 0; i < json_array_size(list); i++)
		put_rcpt(story, i, answer_text(json_array_get(list, i), "to"), now, &p, out);
}

void trace_message(const json_t *story, int64_t now, struct buf *out)
{
	const json_t *list = json_object_get(story, "recipients");
	struct place *events;
	const struct place *p;
	size_t n;

	if (json_object_get(story, "id") == NULL) {
		only_queue(story, now, out);
		return;
	}
	put_head(story, out);
	put_accepted(story, out);
	events = sorted_events(story, &n);
	p = events;
	for (size_t i = 0; i < json_array_size(list); i++)
		put_rcpt(story, i, answer_text(json_array_get(list, i), "to"), now, &p, out);
	free(events);
	put_omitted(story, "recipients_omitted", "recipients", out);
	put_omitted(story, "events_omitted", "events", out);
}

/* ---- following ------------------------------------------------------------------------------ */

static bool is_news(int64_t rcpt, size_t nth, unsigned **seen, size_t *n)
{
	if (rcpt < 0 || rcpt >= RCPT_MAX)
		return false;
	if ((size_t)rcpt >= *n) {
		size_t more = (size_t)rcpt + 1;

		*seen = gw_realloc(*seen, more * sizeof(**seen));
		memset(*seen + *n, 0, (more - *n) * sizeof(**seen));
		*n = more;
	}
	if (nth < (*seen)[rcpt])
		return false;
	(*seen)[rcpt] = (unsigned)nth + 1;
	return true;
}

void trace_news(const json_t *story, unsigned **seen, size_t *n, struct buf *out)
{
	const json_t *list = json_object_get(story, "recipients");
	int64_t accepted = answer_time(story, "accepted");
	size_t events, nth = 0;
	struct place *p = sorted_events(story, &events);

	for (size_t i = 0; i < events; i++) {
		nth = i > 0 && p[i].rcpt == p[i - 1].rcpt ? nth + 1 : 0;
		if (!is_news(p[i].rcpt, nth, seen, n))
			continue;
		buf_addf(out, "%2lld ", (long long)p[i].rcpt + 1);
		put_text(out, json_array_get(list, (size_t)p[i].rcpt), "to", "");
		buf_add_byte(out, '\n');
		put_event(p[i].event, accepted, out);
	}
	free(p);
}

int trace_outcome(const json_t *story)
{
	const json_t *list = json_object_get(story, "recipients");

	if (!json_is_true(json_object_get(story, "final")))
		return CMD_NO;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!span_eq(answer_text(json_array_get(list, i), "state"), SPAN("delivered")))
			return CMD_NEVER;
	}
	return CMD_OK;
}

/* ---- lists ---------------------------------------------------------------------------------- */

void trace_list_head(struct buf *out)
{
	buf_addf(out, "%-26s  %6s  %-9s  %s\n", "id", "age", "state", "from -> to");
}

/* Whom the line is about: who was asked for, else the first who does not have it. */
static const json_t *most_wanted(const json_t *list, struct span to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *r = json_array_get(list, i);

		if (to.n > 0 ? span_eq_case(answer_text(r, "to"), to)
			     : !span_eq(answer_text(r, "state"), SPAN("delivered")))
			return r;
	}
	return json_array_get(list, 0);
}

void trace_list_row(const json_t *m, int64_t now, struct span to, struct buf *out)
{
	const json_t *list = json_object_get(m, "recipients");
	size_t n = json_array_size(list) + (size_t)answer_number(m, "recipients_omitted");
	const json_t *first = most_wanted(list, to);
	char age[TERMINAL_SHORT];

	terminal_left(out, answer_text(m, "id"), MSGID_TEXT);
	buf_addf(out, "  %6s  ", terminal_age(now - answer_time(m, "accepted"), age));
	terminal_left(out, answer_text(first, "state"), 9);
	buf_add_str(out, "  ");
	if (answer_text(m, "from").n > 0)
		put_text(out, m, "from", "");
	else
		buf_add_str(out, "<>");
	put_text(out, first, "to", " -> ");
	if (n > 1)
		buf_addf(out, " and %zu more", n - 1);
	buf_add_byte(out, '\n');
}
