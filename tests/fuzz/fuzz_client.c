/*
 * A hostile peer for the client engine. The input drives everything: what the
 * peer says and where it is cut, how much of the output leaves, time, the end of
 * the connection, and the transactions. A model of the connection (what left,
 * what was fed, which reply belongs to which command) is kept beside the engine:
 *
 *	- each recipient gets one CLIENT_RCPT, then comes one CLIENT_DONE, CLIENT_CLOSED is last;
 *	- delivered only if RCPT and then the dot, whole, were answered with 2xx after they left;
 *	- commands are well formed, use what was offered, and wait without PIPELINING;
 *	- a dot that was asked for leaves only after the answer;
 *	- the content that left, without its stuffing, is the content that was given;
 *	- the same with chunks: their lengths are true, no more are open than may be, none is sent
 *	  behind a refused one, and the last one is the dot;
 *	- binary content goes in chunks, to whom it is offered, and nothing is added to it;
 *	- what is said between transactions has one answer, and TLS begins only in silence;
 *	- the output has its ceiling, time moves on, input is taken.
 */
#include "base/utf8.h"
#include "smtp/client.h"

#include <stdlib.h>

enum {
	RCPTS = 6,
	PENDING_MAX = 64,
	CONTENT_MAX = 300000,
	OUR_LINE_MAX = 2 * CONTENT_MAX,
	STEPS_MAX = 3000
};

#define check(cond) ((cond) ? (void)0 : __builtin_trap())

enum command { C_HELLO, C_MAIL, C_RCPT, C_DATA, C_RSET, C_QUIT, C_SAY, C_CHUNK, C_DOT };

struct pending {
	enum command command;
	size_t rcpt;
};

struct world {
	const uint8_t *in;
	size_t in_n;
	struct client *client;
	struct client_config config;
	int64_t now;
	bool closed, ready, want_body, broken, asked, granted;
	bool saying, answered; /* between transactions; its answer came whole */

	/* The transaction. */
	struct client_txn txn;
	struct client_rcpt rcpt[RCPTS];
	bool utf8; /* MAIL said SMTPUTF8 */
	bool open, told[RCPTS], taken[RCPTS];
	size_t next_rcpt;
	uint8_t *content;
	size_t content_n, given, seen;
	unsigned dot_2xx, delivered;
	bool dot_left;
	uint64_t chunk_left; /* octets of a chunk that follow its line */
	bool last_chunk, chunk_refused;

	/* What left: commands and content. */
	uint8_t *line;
	size_t line_n;
	bool in_content, content_bol;
	struct pending pending[PENDING_MAX];
	size_t pending_n;
	/* What was fed. */
	uint8_t reply[4];
	size_t reply_n;
	bool ext_known;
};

static uint8_t take(struct world *w)
{
	if (w->in_n == 0)
		return 0;
	w->in_n--;
	return *w->in++;
}

/* ---- what left */

static void push(struct world *w, enum command command, size_t rcpt)
{
	check(w->pending_n < PENDING_MAX);
	if (!(client_extensions(w->client) & EXT_BIT(PIPELINING)))
		check(w->pending_n == 0);
	w->pending[w->pending_n++] = (struct pending){command, rcpt};
}

static bool is_binary(const struct world *w)
{
	return w->txn.body_type == BODY_BINARYMIME;
}

static void saw_mail(struct world *w, struct span line)
{
	uint32_t ext = client_extensions(w->client);
	char text[2048];

	check(w->open && w->txn.unfit.n == 0);
	span_to_cstr(line, text, sizeof(text));
	check(!strstr(text, " SIZE=") == (!(ext & EXT_BIT(SIZE)) || w->txn.size_unknown));
	check(!strstr(text, " BODY=BINARYMIME") == !is_binary(w));
	check(!strstr(text, " BODY=8BITMIME") == !(w->txn.eight_bit && !is_binary(w)));
	check(is_binary(w) ? ext & EXT_BIT(BINARYMIME)
			   : !w->txn.eight_bit || (ext & EXT_BIT(EIGHTBITMIME)));
	check(!strstr(text, " RET=") || ((ext & EXT_BIT(DSN)) && w->txn.ret != RET_UNSET));
	check(!strstr(text, " ENVID=") || ((ext & EXT_BIT(DSN)) && w->txn.envid.n > 0));
	check(client_peer_size(w->client) == 0 || w->txn.size <= client_peer_size(w->client));
	w->utf8 = strstr(text, " SMTPUTF8") != NULL;
	check(!w->utf8 || client_takes_utf8(w->client));
	check(w->utf8 || !utf8_beyond_ascii(line));
	push(w, C_MAIL, 0);
}

static void saw_rcpt(struct world *w, struct span line)
{
	struct span rest = span_skip(line, 9), addr;
	const struct client_rcpt *r;

	check(w->open && (w->utf8 || !utf8_beyond_ascii(line)));
	for (;;) {
		r = &w->rcpt[w->next_rcpt];
		addr = r->addr;
		if (span_starts(rest, addr) && rest.n > addr.n && rest.p[addr.n] == '>')
			break;
		check(++w->next_rcpt < w->txn.n_rcpt);
	}
	rest = span_skip(rest, addr.n + 1);
	if (!(client_extensions(w->client) & EXT_BIT(DSN)))
		check(rest.n == 0);
	if (span_starts(rest, SPAN(" NOTIFY=")))
		check(r->notify != 0), rest = span_skip(rest, 1);
	if (rest.n > 0 && span_find(rest, ' ') >= 0)
		rest = span_skip(rest, (size_t)span_find(rest, ' '));
	if (span_starts(rest, SPAN(" ORCPT=")))
		check((r->orcpt.n > 0 || r->notify != 0) && rest.n <= 7 + 500);
	push(w, C_RCPT, w->next_rcpt++);
}

static uint8_t content_at(const struct world *w, size_t i)
{
	if (i < w->content_n)
		return w->content[i];
	/* A missing CRLF is added, nothing else. */
	check(!is_binary(w) && w->content_n > 0 && w->content[w->content_n - 1] != '\n');
	check(i - w->content_n < 2);
	return "\r\n"[i - w->content_n];
}

/* "BDAT 5", "BDAT 0 LAST", "BDAT 2 LAST" */
static void saw_chunk(struct world *w, struct span line)
{
	struct span number = span_skip(line, 5);

	w->last_chunk = line.n > 5 && span_eq(span_skip(line, line.n - 5), SPAN(" LAST"));
	number.n -= w->last_chunk ? 5 : 0;
	check(
	    w->open && (!w->config.lmtp || is_binary(w)) && !w->chunk_refused && w->next_rcpt > 0);
	check((client_extensions(w->client) & EXT_BIT(CHUNKING)) && !w->dot_left);
	check(is_binary(w) || (w->txn.size >= w->config.chunks_from && !w->txn.size_unknown));
	check(span_to_u64(number, &w->chunk_left) == 0 && w->chunk_left <= w->config.chunk);
	check(w->last_chunk ? w->chunk_left == 0 || w->chunk_left == 2 : w->chunk_left > 0);
	push(w, w->last_chunk ? C_DOT : C_CHUNK, 0);
	check(w->pending_n <= CLIENT_CHUNKS_OPEN);
	if (!w->last_chunk)
		return;
	/* Every chunk was taken, and all of them are the content. */
	check(w->pending_n == 1 && w->seen == w->content_n);
	check(!w->txn.ask_before_dot || w->granted);
	w->dot_left = w->chunk_left == 0;
}

static void saw_chunk_octet(struct world *w, uint8_t octet)
{
	check(w->last_chunk ? w->seen >= w->content_n : w->seen < w->content_n);
	check(octet == content_at(w, w->seen++));
	w->chunk_left--;
	if (w->last_chunk && w->chunk_left == 0)
		w->dot_left = true;
}

/* Addresses alone may be more than ASCII, and are UTF-8 then. */
static void check_octets(struct span line)
{
	bool address =
	    span_starts(line, SPAN("MAIL FROM:<")) || span_starts(line, SPAN("RCPT TO:<"));

	check(utf8_valid(line) && (address || !utf8_beyond_ascii(line)));
	for (size_t i = 0; i < line.n; i++)
		check(line.p[i] >= ' ' && line.p[i] != 127);
}

static void saw_line(struct world *w)
{
	struct span line = {w->line, w->line_n};

	check_octets(line);
	if (span_starts(line, SPAN("MAIL FROM:<")))
		saw_mail(w, line);
	else if (span_starts(line, SPAN("RCPT TO:<")))
		saw_rcpt(w, line);
	else if (span_eq(line, SPAN("DATA")))
		check(!is_binary(w)), push(w, C_DATA, 0);
	else if (span_starts(line, SPAN("BDAT ")))
		saw_chunk(w, line);
	else if (span_eq(line, SPAN("RSET")))
		push(w, C_RSET, 0);
	else if (span_eq(line, SPAN("QUIT")))
		push(w, C_QUIT, 0);
	else if (span_eq(line, SPAN("AUTH PLAIN AGEAYg==")))
		check(w->saying), push(w, C_SAY, 0);
	else if (span_eq(line, w->config.lmtp ? SPAN("LHLO me.example") : SPAN("EHLO me.example")))
		push(w, C_HELLO, 0);
	else
		check(!w->config.lmtp && span_eq(line, SPAN("HELO me.example"))),
		    push(w, C_HELLO, 0);
}

static void saw_content(struct world *w, struct span line)
{
	bool lone = w->content_bol && line.n == 1;

	if (lone && line.p[0] == '.') {
		check(!w->txn.ask_before_dot || w->granted || w->content_n == 0);
		w->in_content = false;
		w->dot_left = true;
		w->content_bol = false;
		push(w, C_DOT, 0);
		return;
	}
	if (line.n && line.p[0] == '.')
		line = span_skip(line, 1);
	for (size_t i = 0; i < line.n; i++)
		check(line.p[i] == content_at(w, w->seen++));
	check(content_at(w, w->seen++) == '\r' && content_at(w, w->seen++) == '\n');
}

static void left(struct world *w, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (w->chunk_left > 0) {
			saw_chunk_octet(w, s.p[i]);
		} else if (s.p[i] == '\n') {
			check(w->line_n > 0 && w->line[w->line_n - 1] == '\r');
			w->line_n--;
			check(!span_of(w->line, w->line_n).n || !memchr(w->line, '\r', w->line_n));
			if (w->in_content)
				saw_content(w, span_of(w->line, w->line_n));
			else
				saw_line(w);
			w->line_n = 0;
		} else {
			check(w->line_n < OUR_LINE_MAX);
			w->line[w->line_n++] = s.p[i];
		}
	}
}

static void flush(struct world *w, size_t n)
{
	struct span out = client_output(w->client);

	check(out.n <= CLIENT_OUT_MAX);
	out = span_first(out, n);
	left(w, out);
	client_sent(w->client, out.n, w->now);
}

/* ---- what was fed */

static void model_reply(struct world *w, unsigned class)
{
	struct pending p;

	/* The greeting answers nothing. */
	if (!w->ext_known) {
		w->ext_known = true;
		return;
	}
	if (w->pending_n == 0) {
		w->broken = true;
		return;
	}
	p = w->pending[0];
	memmove(w->pending, w->pending + 1, --w->pending_n * sizeof(p));
	if (p.command == C_SAY)
		w->answered = true;
	if (p.command == C_RCPT)
		w->taken[p.rcpt] = class == 2;
	if (p.command == C_DATA && class == 3) {
		w->in_content = w->content_bol = true;
		w->seen = 0;
		for (size_t i = 0; i < w->txn.n_rcpt; i++)
			if (w->taken[i])
				return;
		w->content_n = 0;
	}
	if (p.command == C_CHUNK && class != 2)
		w->chunk_refused = true;
	if (p.command == C_DOT) {
		w->dot_2xx += class == 2;
		if (w->config.lmtp)
			push(w, C_DOT, 0);
	}
}

static void fed(struct world *w, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n') {
			bool last = w->reply_n < 4 || w->reply[3] != '-';

			if (last)
				model_reply(w, w->reply_n ? w->reply[0] - '0' : 0);
			w->reply_n = 0;
		} else if (w->reply_n < 4 && s.p[i] != '\r') {
			w->reply[w->reply_n++] = s.p[i];
		}
	}
}

/* ---- events */

static void on_rcpt(struct world *w, const struct client_event *ev)
{
	check(w->open && ev->rcpt < w->txn.n_rcpt && !w->told[ev->rcpt]);
	w->told[ev->rcpt] = true;
	check(ev->reply.code >= 200 && ev->reply.code < 600);
	check(ev->stage != NULL && ev->reply.text.n <= REPLY_TEXT_MAX);
	if (ev->past_dot)
		check(!reply_ok(&ev->reply));
	if (!reply_ok(&ev->reply))
		return;
	w->delivered++;
	check(ev->source == CLIENT_FROM_PEER && strcmp(ev->stage, "eom") == 0);
	check(w->taken[ev->rcpt] && w->dot_left && !ev->site);
	check(w->dot_2xx >= (w->config.lmtp ? w->delivered : 1));
	check(w->given == w->txn.size);
}

static void on_done(struct world *w)
{
	check(w->open);
	for (size_t i = 0; i < w->txn.n_rcpt; i++)
		check(w->told[i]);
	w->open = w->want_body = w->asked = false;
	if (w->dot_left)
		w->pending_n = 0;
}

static bool events(struct world *w)
{
	struct client_event ev;
	bool any = false;
	int n;

	while ((n = client_next(w->client, &ev)) == 1) {
		check(!w->closed);
		any = true;
		if (ev.type == CLIENT_RCPT)
			on_rcpt(w, &ev);
		else if (ev.type == CLIENT_DONE)
			on_done(w);
		else if (ev.type == CLIENT_READY)
			check(!w->open && !w->ready), w->ready = true;
		else if (ev.type == CLIENT_ANSWER)
			check(w->saying && w->answered), w->saying = w->answered = false,
							 w->ready = true;
		else if (ev.type == CLIENT_WANT_BODY)
			check(w->open && !w->want_body), w->want_body = true;
		else if (ev.type == CLIENT_BEFORE_DOT)
			check(w->open && w->txn.ask_before_dot && !w->asked && !w->granted &&
			      w->given == w->txn.size && !w->dot_left),
			    w->asked = true;
		else
			check(!w->open && ev.stage != NULL), w->closed = true;
	}
	check((n == -1) == w->closed);
	return any;
}

/* ---- what the input makes happen */

static void feed(struct world *w, struct span s)
{
	while (s.n != 0 && !w->closed) {
		size_t n = client_feed(w->client, s, w->now);

		check(n <= s.n);
		fed(w, span_first(s, n));
		check(events(w) || n == s.n);
		s = span_skip(s, n);
	}
	/* Something that answers nothing was whole: the session is over. */
	check(!w->broken || w->closed);
}

static void feed_cut(struct world *w, struct span s)
{
	uint8_t cut = take(w);

	if (cut & 0x80)
		flush(w, SIZE_MAX);
	if ((cut & 0x7f) != 0 && (cut & 0x7f) < s.n) {
		feed(w, span_first(s, cut & 0x7f));
		s = span_skip(s, cut & 0x7f);
	}
	feed(w, s);
}

static const char *const words[] = {
    "220 mx.example ESMTP\r\n",
    "220-odd\r\n220-\r\n220\r\n",
    "250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
    "250-mx\r\n250-PIPELINING\r\n250 size\r\n",
    "250-mx\r\n250-SIZE 999999999999999999999\r\n250 X\r\n",
    "250 2.1.0 ok\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n",
    "354 go\r\n",
    "421 4.3.2 bye\r\n",
    "450 4.2.1 later\r\n",
    "452 4.5.3 many\r\n",
    "500 what\r\n",
    "502 no\r\n",
    "550-5.1.1 no\r\n550 5.1.1 no\r\n",
    "552 5.5.3 many\r\n",
    "554 5.7.1 no\r\n",
    "250 ok\r\n421 bye\r\n",
    "250 2.0.0 taken\r\n550 5.0.0 no\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
    "2",
    "25",
    "250-",
    "\r\n",
    "221 bye\r\n",
    "999 x\r\n",
    "250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n",
    "503 5.5.1 no\r\n",
    "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n",
    "250-mx\r\n250-AUTH LOGIN  PLAIN X\r\n250 STARTTLS\r\n",
    "220 go\r\n250 AUTH PLAIN\r\n",
    "235 2.7.0 in\r\n",
    "334 AA==\r\n",
    "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
    "250-mx\r\n250 CHUNKING\r\n",
    "250-mx\r\n250-CHUNKING\r\n250-DSN\r\n250 BINARYMIME\r\n",
    ("250-mx\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250-DSN\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
     "250 BINARYMIME\r\n"),
    "250 2.0.0 4 octets\r\n",
    "552 5.2.2 full\r\n503 5.5.1 no\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
    "250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 RCPTDOMAINMAX=1 MAILMAX=1\r\n",
};

static const char *const addrs[] = {"a@x.example", "b@x.example", "c@x.example", "postmaster",
    "\"a b>\"@x.example", "d@x.example", "caf\xc3\xa9@x.example", "e@x\r\nDATA", "", "f\x01@x"};

static void reset_txn(struct world *w)
{
	w->open = true;
	w->ready = false;
	memset(w->told, 0, sizeof(w->told));
	memset(w->taken, 0, sizeof(w->taken));
	w->next_rcpt = w->given = w->seen = 0;
	w->dot_2xx = w->delivered = 0;
	w->dot_left = w->asked = w->granted = false;
	w->last_chunk = w->chunk_refused = false;
}

static void make_content(struct world *w)
{
	static const char *const pieces[] = {"line\r\n", ".\r\n", "..\r\n", ".", "\r\n", "x",
	    "\r\n.\r\n", "\xc3\xa9\r\n", "\n", "\r"};
	uint8_t shape = take(w), n = take(w);
	size_t repeat = shape == 0xff ? 3000 : 1;

	w->content_n = 0;
	for (size_t r = 0; r < repeat; r++) {
		for (uint8_t i = 0; i < n % 32; i++) {
			/* The two that break the content come seldom. */
			const char *s = pieces[(shape + i * (n | 1u)) % (shape & 0x40 ? 10 : 8)];

			if (w->content_n + strlen(s) > CONTENT_MAX)
				return;
			memcpy(w->content + w->content_n, s, strlen(s));
			w->content_n += strlen(s);
		}
	}
}

static void make_rcpt(struct client_rcpt *r, uint8_t what)
{
	static const char *const orcpts[] = {
	    "", "", "rfc822;a+b@x", "utf-8;\xc3\xa9@x", "rfc822;\xc3\xa9\r\n", ";", "x\r\ny;z"};

	*r = (struct client_rcpt){.addr = span_str(addrs[what % GW_ARRAY_LEN(addrs)]),
	    .notify = what / 16,
	    .orcpt = span_str(orcpts[what % GW_ARRAY_LEN(orcpts)])};
}

static void send(struct world *w)
{
	uint8_t flags = take(w);

	if (!w->ready)
		return;
	reset_txn(w);
	make_content(w);
	w->txn = (struct client_txn){.from = flags & 1 ? SPAN("me@x.example") : SPAN(""),
	    .rcpt = w->rcpt,
	    .n_rcpt = flags / 32 % (RCPTS + 1),
	    .size = w->content_n,
	    .eight_bit = (flags & 6) == 6,
	    .ask_before_dot = (flags & 8) != 0};
	if ((flags & 30) == 30)
		w->txn.size++;
	if ((flags & 30) == 22)
		w->txn.size_unknown = true;
	if ((flags & 30) == 18)
		w->txn.unfit = SPAN("no");
	if ((flags & 30) == 28)
		w->txn.from = flags & 1 ? SPAN("a@b>\r\nRSET") : SPAN("\xc3\xa9@x.example");
	if ((flags & 30) == 26)
		w->txn.body_type = BODY_BINARYMIME;
	for (size_t i = 0; i < w->txn.n_rcpt; i++)
		make_rcpt(&w->rcpt[i], take(w));
	if (flags & 64) {
		w->txn.ret = flags & 1 ? RET_FULL : RET_HDRS;
		w->txn.envid = flags & 2 ? SPAN("a+b\r\nRSET") : SPAN("QQ");
	}
	client_send(w->client, &w->txn, w->now);
}

static void answer_dot(struct world *w, bool send)
{
	if (!w->asked)
		return;
	w->asked = false;
	w->granted = send;
	client_answer(w->client, send, w->now);
}

static void say(struct world *w)
{
	if (!w->ready)
		return;
	w->ready = false;
	w->saying = true;
	client_say(w->client, SPAN("AUTH PLAIN AGEAYg=="), w->now);
}

static void start_over(struct world *w)
{
	if (!w->ready || !client_quiet(w->client))
		return;
	check(client_output(w->client).n == 0 && w->pending_n == 0 && w->reply_n == 0);
	w->ready = false;
	client_start_over(w->client, w->now);
	check(client_extensions(w->client) == 0 && client_mechanisms(w->client) == 0);
}

static void body(struct world *w)
{
	size_t n = take(w);
	size_t got;

	if (w->asked)
		answer_dot(w, n > 20);
	if (!w->want_body)
		return;
	n = n > 200 ? SIZE_MAX : n;
	got = client_body(w->client,
	    span_first(span_of(w->content + w->given, w->content_n - w->given), n), w->now);
	w->given += got;
	check(w->given <= w->content_n);
	if (w->given == w->content_n && n > 100) {
		client_body_end(w->client, w->now);
		w->want_body = false;
	}
}

static void pass_time(struct world *w)
{
	static const int64_t waits[] = {
	    1, 1000000, 4999999, 60000000, 179999999, 299999999, 600000000};

	w->now += waits[take(w) % GW_ARRAY_LEN(waits)];
	if (client_deadline(w->client) > w->now)
		return;
	client_tick(w->client, w->now);
	check(client_deadline(w->client) > w->now);
}

static void seldom(struct world *w)
{
	switch (take(w)) {
	case 1: client_eof(w->client, w->now); break;
	case 2: client_quit(w->client, w->now), w->ready = false; break;
	case 3: client_body_abort(w->client, w->now); break;
	case 4: client_body_end(w->client, w->now), w->want_body = false; break;
	case 5: client_tick(w->client, w->now); break;
	case 6: answer_dot(w, true); break;
	case 7: answer_dot(w, false); break;
	case 8: say(w); break;
	case 9: start_over(w); break;
	default: break;
	}
}

static void step(struct world *w)
{
	uint8_t op = take(w);

	switch (op % 8) {
	case 0:
	case 1: feed_cut(w, span_str(words[(op / 8 + op % 8 * 32) % GW_ARRAY_LEN(words)])); break;
	case 2: flush(w, op < 128 ? SIZE_MAX : op % 64u); break;
	case 3: send(w); break;
	case 4: body(w); break;
	case 5: pass_time(w); break;
	case 6: {
		struct span raw = span_first(span_of(w->in, w->in_n), op / 8);

		w->in += raw.n;
		w->in_n -= raw.n;
		feed(w, raw);
		break;
	}
	default: seldom(w); break;
	}
	/* The owner may be late. */
	if (op < 240)
		events(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.in = data, .in_n = size};
	uint8_t flags = take(&w);

	w.content = malloc(CONTENT_MAX);
	w.line = malloc(OUR_LINE_MAX);
	client_config_defaults(&w.config);
	w.config.hostname = SPAN("me.example");
	w.config.lmtp = flags & 1;
	w.config.helo_only = flags & 2;
	if (flags & 4) {
		w.config.chunks_from = flags >> 5;
		w.config.chunk = flags & 8 ? 4 : CLIENT_CHUNK;
	}
	w.client = client_new(&w.config, w.now);
	check(w.content != NULL && w.line != NULL && w.client != NULL);
	for (unsigned i = 0; i < STEPS_MAX && w.in_n != 0 && !w.closed; i++)
		step(&w);
	client_eof(w.client, w.now);
	events(&w);
	check(w.closed && !w.open && client_output(w.client).n == 0);
	client_free(&w.client);
	check(w.client == NULL);
	free(w.content);
	free(w.line);
	return 0;
}
