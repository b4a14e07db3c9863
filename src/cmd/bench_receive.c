/* The sink's side of SMTP and LMTP: it takes everything, and writes down what came. */
#include "cmd/bench_sink.h"

#include "base/clock.h"

enum { RCPTS_MAX = 1000 };

static void reply(struct taker *t, const char *text)
{
	buf_add_str(&t->out, text);
}

void taker_greet(struct sink *k, struct taker *t)
{
	reply(t, k->opt.lmtp ? "220 sink.example LMTP\r\n" : "220 sink.example ESMTP\r\n");
}

/* ---- a message has arrived --------------------------------------------------------------- */

static void put_arrival(
    struct sink *k, const struct taker *t, struct span to, int64_t when, bool intact)
{
	const struct mark *m = &t->scan.mark;
	struct ledger *l = &k->ledger;

	ledger_raw(l, "{");
	if (m->found) {
		ledger_raw(l, "\"run\":");
		ledger_text(l, mark_run(m));
		ledger_raw(l, ",\"n\":");
		ledger_number(l, m->n);
		ledger_raw(l, ",");
	}
	ledger_raw(l, "\"to\":");
	ledger_text(l, to);
	ledger_raw(l, ",\"t\":");
	ledger_time(l, when);
	if (t->bounce)
		ledger_raw(l, ",\"bounce\":true}");
	else
		ledger_raw(l, intact ? ",\"ok\":true}" : ",\"ok\":false}");
	ledger_line(l);
}

static void count_arrival(
    struct sink *k, const struct taker *t, struct span to, int64_t when, bool intact)
{
	const struct mark *m = &t->scan.mark;
	int64_t first;
	int fresh;

	k->count.arrived++;
	if (t->bounce) {
		k->count.bounces++;
		return;
	}
	if (!m->found) {
		k->count.unnumbered++;
		return;
	}
	k->count.corrupt += !intact;
	fresh = seen_add(&k->seen, seen_key(mark_run(m), m->n, to), when, &first);
	k->full = k->full || fresh < 0;
	k->count.distinct += fresh == 1;
	k->count.duplicates += fresh == 0;
}

static void arrived(struct sink *k, struct taker *t)
{
	bool intact = !t->bounce && scan_intact(&t->scan);
	int64_t when = clock_wall();
	struct span rest = buf_view(&t->to);

	k->count.messages++;
	k->count.last = when;
	if (k->count.first == 0)
		k->count.first = when;
	while (rest.n > 0) {
		struct span to = span_first(rest, (size_t)span_find(rest, '\0'));

		count_arrival(k, t, to, when, intact);
		if (ledger_kept(&k->ledger))
			put_arrival(k, t, to, when, intact);
		rest = span_skip(rest, to.n + 1);
	}
	/* LMTP answers for each recipient (RFC 2033, section 4.2). */
	for (uint32_t i = 0; i < (k->opt.lmtp ? t->rcpts : 1); i++)
		reply(t, "250 2.0.0 Ok\r\n");
}

/* ---- commands ---------------------------------------------------------------------------- */

static void forget(struct taker *t)
{
	t->mail = t->bounce = false;
	t->rcpts = 0;
	buf_clear(&t->to);
}

static void on_hello(struct sink *k, struct taker *t, struct span line)
{
	bool lhlo = span_starts_case(line, SPAN("LHLO"));

	forget(t);
	if (lhlo != k->opt.lmtp)
		reply(t, "500 5.5.1 Wrong protocol\r\n");
	else if (span_starts_case(line, SPAN("HELO")))
		reply(t, "250 sink.example\r\n");
	else
		reply(t, "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
			 "250-ENHANCEDSTATUSCODES\r\n250 SIZE 1073741824\r\n");
}

/* What stands between < and >, quoted pairs and all. */
static struct span path_of(struct span line)
{
	ptrdiff_t open = span_find(line, '<');
	size_t end = line.n;

	while (end > 0 && line.p[end - 1] != '>')
		end--;
	if (open < 0 || end < (size_t)open + 2)
		return SPAN_NONE;
	return span_of(line.p + open + 1, end - (size_t)open - 2);
}

static void on_mail(struct taker *t, struct span line)
{
	if (t->mail) {
		reply(t, "503 5.5.1 Nested MAIL\r\n");
		return;
	}
	t->mail = true;
	t->bounce = path_of(line).n == 0;
	reply(t, "250 2.1.0 Ok\r\n");
}

static void on_rcpt(struct taker *t, struct span line)
{
	struct span to = path_of(line);

	if (!t->mail || to.n == 0 || span_find(to, '\0') >= 0) {
		reply(t, t->mail ? "501 5.1.3 Bad address\r\n" : "503 5.5.1 MAIL first\r\n");
		return;
	}
	if (t->rcpts >= RCPTS_MAX || buf_space(&t->to) < to.n + 1) {
		reply(t, "452 4.5.3 Too many recipients\r\n");
		return;
	}
	t->rcpts++;
	buf_add_span(&t->to, to);
	buf_add_byte(&t->to, 0);
	reply(t, "250 2.1.5 Ok\r\n");
}

static void on_data(struct taker *t)
{
	if (t->rcpts == 0) {
		reply(t, "503 5.5.1 No recipients\r\n");
		return;
	}
	t->in_data = true;
	scan_begin(&t->scan, t->bounce);
	reply(t, "354 Go on\r\n");
}

static void on_other(struct taker *t, struct span line)
{
	if (span_starts_case(line, SPAN("RSET"))) {
		forget(t);
		reply(t, "250 2.0.0 Ok\r\n");
	} else if (span_starts_case(line, SPAN("NOOP"))) {
		reply(t, "250 2.0.0 Ok\r\n");
	} else if (span_starts_case(line, SPAN("VRFY"))) {
		reply(t, "252 2.0.0 Send it\r\n");
	} else if (span_starts_case(line, SPAN("QUIT"))) {
		reply(t, "221 2.0.0 Bye\r\n");
		t->closing = true;
	} else {
		reply(t, "500 5.5.1 Unknown command\r\n");
	}
}

static void on_command(struct sink *k, struct taker *t, struct span line)
{
	if (span_starts_case(line, SPAN("MAIL")))
		on_mail(t, line);
	else if (span_starts_case(line, SPAN("RCPT")))
		on_rcpt(t, line);
	else if (span_starts_case(line, SPAN("DATA")))
		on_data(t);
	else if (span_starts_case(line, SPAN("EHLO")) || span_starts_case(line, SPAN("HELO")) ||
		 span_starts_case(line, SPAN("LHLO")))
		on_hello(k, t, line);
	else
		on_other(t, line);
}

/* ---- input ------------------------------------------------------------------------------- */

/* A command line is read in place when it came in one piece. */
static size_t feed_command(struct sink *k, struct taker *t, struct span in)
{
	ptrdiff_t lf = span_find(in, '\n');
	struct span part = span_first(in, lf < 0 ? in.n : (size_t)lf + 1);

	if (lf >= 0 && t->line_len == 0) {
		on_command(k, t, span_first(part, COMMAND_MAX));
		return part.n;
	}
	if (part.n > COMMAND_MAX - t->line_len) {
		reply(t, "500 5.5.6 Line too long\r\n");
		t->closing = true;
		return part.n;
	}
	memcpy(t->line + t->line_len, part.p, part.n);
	t->line_len += part.n;
	if (lf >= 0) {
		struct span line = span_of(t->line, t->line_len);

		t->line_len = 0;
		on_command(k, t, line);
	}
	return part.n;
}

static size_t feed_data(struct sink *k, struct taker *t, struct span in)
{
	bool done;
	size_t n = scan_feed(&t->scan, in, &done);

	k->count.bytes += n;
	if (done) {
		t->in_data = false;
		arrived(k, t);
		forget(t);
	}
	return n;
}

void taker_feed(struct sink *k, struct taker *t, struct span in)
{
	while (in.n > 0 && !t->closing) {
		size_t n = t->in_data ? feed_data(k, t, in) : feed_command(k, t, in);

		in = span_skip(in, n);
	}
}
