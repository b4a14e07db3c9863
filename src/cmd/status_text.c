#include "cmd/status_text.h"

#include "cmd/answer.h"
#include "cmd/terminal.h"

#include <time.h>

/* "1 message", "12.3k messages" */
static void put_count(
    struct buf *out, const json_t *from, const char *key, const char *one, const char *many)
{
	int64_t n = answer_number(from, key);
	char text[TERMINAL_SHORT];

	buf_addf(out, "%s %s", terminal_count(n, text), n == 1 ? one : many);
}

static void put_head(const json_t *s, int64_t now, struct buf *out)
{
	const json_t *listen = json_object_get(s, "listen");
	char age[TERMINAL_SHORT];

	buf_add_str(out, "godwit ");
	terminal_text(out, answer_text(s, "version"), 40);
	buf_add_str(out, "  ");
	terminal_text(out, answer_text(s, "hostname"), 255);
	if (answer_time(s, "started") >= 0)
		buf_addf(out, "  up %s", terminal_age(now - answer_time(s, "started"), age));
	buf_addf(out, "  generation %lld\n  listen   ", (long long)answer_number(s, "generation"));
	for (size_t i = 0; i < json_array_size(listen); i++) {
		const json_t *at = json_array_get(listen, i);

		buf_add_byte(out, ' ');
		terminal_text(out, span_of(json_string_value(at), json_string_length(at)), 200);
	}
	buf_add_byte(out, '\n');
}

static void put_in(const json_t *c, struct buf *out)
{
	char size[TERMINAL_SHORT];

	buf_add_str(out, "  in        ");
	put_count(out, c, "connections", "connection", "connections");
	buf_add_str(out, ", ");
	put_count(out, c, "messages_received_total", "message accepted", "messages accepted");
	buf_addf(out, " (%s), ", terminal_size(answer_number(c, "received_bytes_total"), size));
	put_count(out, c, "rejects_total", "refusal\n", "refusals\n");
}

static void put_out(const json_t *c, struct buf *out)
{
	buf_add_str(out, "  out       ");
	put_count(out, c, "sender_connections", "connection, ", "connections, ");
	put_count(out, c, "delivered_recipients_total", "recipient delivered, ",
	    "recipients delivered, ");
	put_count(out, c, "deferred_recipients_total", "deferral, ", "deferrals, ");
	put_count(out, c, "bounced_recipients_total", "bounced\n", "bounced\n");
}

static void put_queue(const json_t *q, int64_t now, struct buf *out)
{
	char age[TERMINAL_SHORT];

	buf_add_str(out, "  queue     ");
	if (!json_is_object(q)) {
		buf_add_str(out, "does NOT answer: it is being restarted\n");
		return;
	}
	put_count(out, q, "messages", "message, ", "messages, ");
	put_count(out, q, "recipients", "recipient", "recipients");
	if (answer_number(q, "messages") > 0 && answer_time(q, "oldest") >= 0)
		buf_addf(out, ", oldest %s", terminal_age(now - answer_time(q, "oldest"), age));
	if (answer_number(q, "held") > 0)
		buf_addf(out, ", %lld %s", (long long)answer_number(q, "held"),
		    answer_number(q, "limited") > 0 ? "held" : "HELD");
	buf_add_str(out,
	    json_is_true(json_object_get(q, "accepting")) ? "\n" : "; new mail is NOT accepted\n");
}

/* Nothing, unless somebody is at a limit. */
static void put_limits(const json_t *q, struct buf *out)
{
	int64_t full = answer_number(q, "limits_full"), held = answer_number(q, "limited");

	if (full == 0 && held == 0)
		return;
	buf_addf(out, "  limits    %lld at a limit", (long long)full);
	if (held > 0) {
		buf_add_str(out, ", ");
		put_count(out, q, "limited", "message held until there is room",
		    "messages held until there is room");
	}
	buf_add_str(out, " (godwit limits)\n");
}

/* One line for each certificate, and what is wrong with it in capitals. */
static void put_certificate(const json_t *x, int64_t now, struct buf *out)
{
	struct span state = answer_text(x, "state");
	int64_t left = answer_time(x, "expires") - now;
	char age[TERMINAL_SHORT];

	buf_add_str(out, "  tls       ");
	if (span_eq(state, SPAN("self-signed"))) {
		buf_add_str(out, "SELF-SIGNED: nobody can log in; add: tls file CERTIFICATE KEY\n");
		return;
	}
	terminal_text(out, answer_text(x, "file"), 200);
	if (!span_eq(state, SPAN("refused"))) {
		buf_add_str(out, "  ");
		terminal_text(out, answer_text(x, "names"), 120);
		if (left > 0)
			buf_addf(out, "  expires in %s", terminal_age(left, age));
		else
			buf_add_str(out, "  EXPIRED");
	}
	if (answer_text(x, "reason").n > 0) {
		buf_add_str(out,
		    span_eq(state, SPAN("kept")) ? "; a newer one is REFUSED: " : "  REFUSED: ");
		terminal_text(out, answer_text(x, "reason"), 200);
	}
	buf_add_byte(out, '\n');
}

static void put_certificates(const json_t *s, int64_t now, struct buf *out)
{
	const json_t *list = json_object_get(s, "certificates");

	for (size_t i = 0; i < json_array_size(list); i++)
		put_certificate(json_array_get(list, i), now, out);
}

static void put_denied(const json_t *s, int64_t now, struct buf *out)
{
	const json_t *list = json_object_get(s, "denied");
	char age[TERMINAL_SHORT];

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *x = json_array_get(list, i);

		buf_add_str(out, "  denied    ");
		terminal_text(out, answer_text(x, "ip"), 64);
		buf_addf(out, " for %s: what it sent ended a process %lld times\n",
		    terminal_age(answer_time(x, "until") - now, age),
		    (long long)answer_number(x, "crashes"));
	}
}

/* The duplicate budget: what was sent without an answer. */
static void put_day(const json_t *day, const char *label, struct buf *out)
{
	buf_addf(out, "  %-10s", label);
	put_count(out, day, "delivered", "delivered, ", "delivered, ");
	put_count(out, day, "maybe", "maybe (tried again), ", "maybe (tried again), ");
	put_count(out, day, "sent_again", "sent again, ", "sent again, ");
	put_count(out, day, "given_up", "maybe (at most once), ", "maybe (at most once), ");
	put_count(out, day, "lost", "lost with a process\n", "lost with a process\n");
}

/* "2026-11-22" of a time. */
static void day_name(int64_t when, char name[16])
{
	time_t seconds = (time_t)(when / 1000000);
	struct tm tm;

	name[0] = '\0';
	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(name, 16, "%Y-%m-%d", &tm);
}

static void put_days(const json_t *days, int64_t now, struct buf *out)
{
	static const char *const labels[] = {"today", "yesterday"};
	char name[16];

	for (size_t k = 0; k < GW_ARRAY_LEN(labels); k++) {
		day_name(now - (int64_t)k * INT64_C(86400000000), name);
		for (size_t i = 0; i < json_array_size(days); i++) {
			const json_t *day = json_array_get(days, i);

			if (span_eq(answer_text(day, "day"), span_str(name)))
				put_day(day, labels[k], out);
		}
	}
}

static void put_spool(const json_t *s, struct buf *out)
{
	char size[TERMINAL_SHORT];

	buf_add_str(out, "  spool     ");
	terminal_text(out, answer_text(s, "directory"), 200);
	buf_addf(out, "  %s free, ", terminal_size(answer_number(s, "free_bytes"), size));
	put_count(out, s, "segments", "segment", "segments");
	if (answer_number(s, "aside") > 0)
		buf_addf(out, ", %lld SET ASIDE", (long long)answer_number(s, "aside"));
	buf_add_byte(out, '\n');
}

static void put_dns(const json_t *d, struct buf *out)
{
	const json_t *servers = json_object_get(d, "servers");
	size_t n = json_array_size(servers);

	if (!json_is_object(d)) /* of an older server */
		return;
	buf_add_str(out, "  dns       asks ");
	for (size_t i = 0; i < n && i < 2; i++) {
		const json_t *s = json_array_get(servers, i);

		buf_add_str(out, i > 0 ? ", " : "");
		terminal_text(out, answer_text(s, "at"), 64);
		buf_add_str(out, " for ");
		terminal_text(out, answer_text(s, "domain"), 64);
	}
	if (n > 2)
		buf_addf(out, " and %zu more", n - 2);
	if (n == 0)
		buf_add_str(out, "the servers of the root");
	buf_add_str(
	    out, json_is_true(json_object_get(d, "validates")) ? "; " : ", validates NOT; ");
	put_count(out, d, "queries", "question, ", "questions, ");
	put_count(out, d, "trouble", "without an answer", "without an answer");
	if (answer_number(d, "bogus") > 0)
		buf_addf(out, ", %lld BOGUS", (long long)answer_number(d, "bogus"));
	buf_add_byte(out, '\n');
}

static void put_process(const json_t *p, int64_t in_force, int64_t now, struct buf *out)
{
	int64_t generation = answer_number(p, "generation");
	char age[TERMINAL_SHORT];

	buf_add_str(out, "  ");
	terminal_left(out, answer_text(p, "role"), 8);
	buf_addf(out, "%2lld", (long long)answer_number(p, "index"));
	if (json_is_true(json_object_get(p, "up")))
		buf_addf(out, "  pid %-8lld up %s", (long long)answer_number(p, "pid"),
		    terminal_age(now - answer_time(p, "started"), age));
	else
		buf_add_str(out, "  DOWN, is being started again");
	if (answer_number(p, "restarts") > 0)
		buf_addf(out, "  restarts %lld", (long long)answer_number(p, "restarts"));
	if (generation != 0 && generation != in_force)
		buf_addf(out, "  still generation %lld", (long long)generation);
	buf_add_byte(out, '\n');
}

void status_text(const json_t *s, struct buf *out)
{
	const json_t *processes = json_object_get(s, "processes");
	int64_t now = answer_time(s, "now");

	put_head(s, now, out);
	put_in(json_object_get(s, "counters"), out);
	put_out(json_object_get(s, "counters"), out);
	put_queue(json_object_get(s, "queue"), now, out);
	put_limits(json_object_get(s, "queue"), out);
	put_days(json_object_get(s, "days"), now, out);
	put_spool(json_object_get(s, "spool"), out);
	put_certificates(s, now, out);
	put_dns(json_object_get(s, "dns"), out);
	put_denied(s, now, out);
	buf_add_str(out, "\n");
	for (size_t i = 0; i < json_array_size(processes); i++)
		put_process(json_array_get(processes, i), answer_number(s, "generation"), now, out);
}

bool status_good(const json_t *s)
{
	const json_t *processes = json_object_get(s, "processes");

	for (size_t i = 0; i < json_array_size(processes); i++) {
		if (!json_is_true(json_object_get(json_array_get(processes, i), "up")))
			return false;
	}
	return json_array_size(processes) > 0 && json_is_object(json_object_get(s, "queue"));
}
