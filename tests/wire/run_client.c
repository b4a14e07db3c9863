/*
 * Runs transcripts against the client engine (tests/wire/client): the file plays
 * the peer and says what the engine must do. Each file runs twice: with what the
 * peer says in whole segments, then octet by octet (unless it says "whole").
 *
 *	run_client FILE...
 *
 *	# text               a remark
 *	lmtp                 speak LMTP; "helo-only": start with HELO
 *	chunks of 10         all content goes by BDAT where that is offered, in chunks of 10 octets
 *	whole                segments must not be cut: what is shown depends on it
 *	S: text              the peer says a line; lines that follow each other are one segment
 *	S~ text              the same without CRLF; \r \n \\ \xNN stand for octets
 *	C: text              the engine must have said this line next; C~ as with S~, no line
 *	M: text              a line of the content of the message to be sent; M~ as with S~
 *	send: from <a> [ret full] [envid X] to <b> [notify N] [orcpt X] <c> [8bit] [binary] [size N]
 *	      [smtputf8] [ask] [converted] [unfit] [requiretls] [mt-priority STORED] [by SECONDS R|N
 *[trace]] [final] when the engine is ready; the content follows when it asks. N: the bits of enum
 *dsn_notify. Octets as with S~. converted: the size is an estimate. unfit: the owner says that it
 *cannot go there hold body            give no content when asked: "we abort", "we refuse" or "we
 *end" instead hold output          what the engine says does not leave until the next C: R: 0
 *250 2.1.5 ...   the fate of recipient 0, in the order told; then any of: us, a stage
 *	                     ("mail", "eom" ...), site, past-dot; site and past-dot are untrue when
 *	                     they are not there
 *	E: closed 421 4.3.2  the connection ends, with the same words behind it
 *	E: ready             the engine is free for the next message
 *	say: AUTH PLAIN AA== one line between messages; E: answer 235 2.7.0 is its reply
 *	quiet, not quiet     may TLS begin now, had that been STARTTLS?
 *	offers PLAIN LOGIN   the mechanisms of the peer that we know, in our order
 *	we start over        TLS is on: EHLO again
 *	E: before-dot        the content is whole, the dot waits (a message sent with "ask")
 *	E: none              nothing was told yet
 *	T: +300              seconds pass
 *	peer closes, we quit, we abort, we refuse, we end, we go, we stay (answers to before-dot)
 */
#include "smtp/client.h"
#include "smtp/sasl.h"

#include <stdio.h>
#include <stdlib.h>

enum { RCPTS = 64, EVENTS = 256, TEXT = 65536 };

struct run {
	const char *file;
	unsigned line, errors;
	bool bytewise, whole, hold_body, hold_output, wants_body;
	struct client *client;
	struct client_config config;
	int64_t now;

	struct client_event events[EVENTS];
	char texts[EVENTS][128];
	size_t first, last;
	struct client_txn txn;
	struct client_rcpt rcpt[RCPTS];
	bool told[RCPTS], open, ready;
	struct buf segment, content, given, names;
	size_t given_at;
};

static void wrong(struct run *r, const char *what, struct span got)
{
	fprintf(
	    stderr, "%s:%u:%s %s", r->file, r->line, r->bytewise ? " octet by octet:" : "", what);
	if (got.n > 0)
		fprintf(stderr, ": %.*s", SPAN_ARG(got));
	fputc('\n', stderr);
	r->errors++;
}

/* ---- words */

static struct span word(struct span *s)
{
	struct span w;

	*s = span_trim(*s);
	w = *s;
	for (w.n = 0; w.n < s->n && w.p[w.n] != ' '; w.n++)
		;
	*s = span_skip(*s, w.n);
	return w;
}

static bool is(struct span s, const char *text)
{
	return span_eq(s, span_str(text));
}

static unsigned number(struct run *r, struct span s)
{
	uint64_t v = 0;

	if (span_to_u64(s, &v) != 0)
		wrong(r, "not a number", s);
	return (unsigned)v;
}

static void add_escaped(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char hex[3] = {0};
		uint8_t c = s.p[i];

		if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
			if (c == 'x' && i + 2 < s.n) {
				memcpy(hex, s.p + i + 1, 2);
				c = (uint8_t)strtoul(hex, NULL, 16);
				i += 2;
			} else if (c != '\\') {
				c = c == 'r' ? '\r' : '\n';
			}
		}
		buf_add_byte(b, c);
	}
}

/* ---- the engine */

/* As much as is taken: the rest when the peer has answered. */
static void give_content(struct run *r)
{
	struct span rest = span_skip(buf_view(&r->given), r->given_at);
	size_t n = 1;

	while (r->wants_body && rest.n != 0 && n != 0) {
		n = client_body(r->client, span_first(rest, r->bytewise ? 1 : rest.n), r->now);
		rest = span_skip(rest, n);
		r->given_at += n;
	}
	if (!r->wants_body || rest.n != 0)
		return;
	r->wants_body = false;
	if (!r->hold_body)
		client_body_end(r->client, r->now);
}

static void keep_event(struct run *r, const struct client_event *ev)
{
	if (ev->type == CLIENT_RCPT && (!r->open || ev->rcpt >= r->txn.n_rcpt || r->told[ev->rcpt]))
		wrong(r, "a recipient was told twice, or is unknown", SPAN_NONE);
	else if (ev->type == CLIENT_RCPT)
		r->told[ev->rcpt] = true;
	for (size_t i = 0; ev->type == CLIENT_DONE && i < r->txn.n_rcpt; i++) {
		if (!r->told[i])
			wrong(r, "a recipient was not told", r->rcpt[i].addr);
	}
	if (ev->type == CLIENT_DONE)
		r->open = r->wants_body = false;
	if (ev->type == CLIENT_READY)
		r->ready = true;
	if (r->last == EVENTS)
		die("too many events");
	/* The text is lent for a moment only. */
	span_to_cstr(ev->reply.text, r->texts[r->last], sizeof(r->texts[0]));
	r->events[r->last] = *ev;
	r->events[r->last].reply.text = span_str(r->texts[r->last]);
	r->last++;
}

/* Nothing of the end may be in the output: neither the dot nor the CRLF that a last line lacks. */
static void check_before_dot(struct run *r)
{
	struct span out = client_output(r->client), given = buf_view(&r->given);
	size_t n = out.n < 2 ? out.n : 2;

	if (n < 2 || given.n < 2)
		return;
	if (!span_eq(span_skip(out, out.n - 2), span_skip(given, given.n - 2)) ||
	    (out.n > 4 && span_eq(span_skip(out, out.n - 5), SPAN("\r\n.\r\n"))))
		wrong(r, "the end was said before it was asked for", out);
}

static void drain(struct run *r)
{
	struct client_event ev;

	while (client_next(r->client, &ev) == 1) {
		keep_event(r, &ev);
		if (ev.type == CLIENT_BEFORE_DOT)
			check_before_dot(r);
		if (ev.type == CLIENT_WANT_BODY)
			r->wants_body = true;
	}
}

/* Until nothing happens any more. */
static void go_on(struct run *r)
{
	drain(r);
	give_content(r);
	drain(r);
}

static void feed(struct run *r, struct span s)
{
	while (s.n != 0) {
		size_t n = client_feed(r->client, span_first(s, r->bytewise ? 1 : s.n), r->now);

		go_on(r);
		s = span_skip(s, n ? n : s.n);
	}
}

/* The peer's segment is whole: it is said before anything else happens. */
static void say_segment(struct run *r)
{
	if (buf_len(&r->segment) == 0)
		return;
	if (client_output(r->client).n != 0 && !r->hold_output)
		wrong(r, "the engine had more to say", client_output(r->client));
	feed(r, buf_view(&r->segment));
	buf_clear(&r->segment);
}

/* ---- what is expected */

/* The next event of this type; what it passes over must not be of weight. */
static const struct client_event *expect(struct run *r, enum client_event_type type)
{
	while (r->first < r->last) {
		const struct client_event *ev = &r->events[r->first++];

		if (ev->type == type)
			return ev;
		if (ev->type == CLIENT_RCPT || ev->type == CLIENT_CLOSED)
			break;
	}
	wrong(r, "this did not happen", SPAN_NONE);
	return NULL;
}

static void match_words(struct run *r, const struct client_event *ev, struct span s)
{
	bool site = false, past_dot = false, us = false;
	char esc[16];

	if (number(r, word(&s)) != ev->reply.code)
		wrong(r, "the reply is", ev->reply.text);
	snprintf(
	    esc, sizeof(esc), "%u.%u.%u", ev->reply.esc[0], ev->reply.esc[1], ev->reply.esc[2]);
	if (!is(word(&s), esc))
		wrong(r, "the enhanced code is", span_str(esc));
	for (struct span w = word(&s); w.n != 0; w = word(&s)) {
		if (is(w, "site"))
			site = true;
		else if (is(w, "past-dot"))
			past_dot = true;
		else if (is(w, "us"))
			us = true;
		else if (!is(w, ev->stage))
			wrong(r, "the stage is", span_str(ev->stage));
	}
	if (us != (ev->source == CLIENT_FROM_US))
		wrong(r, us ? "the peer said it" : "we said it", ev->reply.text);
	if (site != ev->site)
		wrong(
		    r, site ? "it does not speak of the site" : "it speaks of the site", SPAN_NONE);
	if (past_dot != ev->past_dot)
		wrong(r, past_dot ? "it is not past the dot" : "it is past the dot", SPAN_NONE);
}

static void on_fate(struct run *r, struct span s)
{
	const struct client_event *ev = expect(r, CLIENT_RCPT);

	if (ev == NULL)
		return;
	if (number(r, word(&s)) != ev->rcpt)
		wrong(r, "another recipient was told", r->rcpt[ev->rcpt].addr);
	match_words(r, ev, s);
}

static void on_event(struct run *r, struct span s)
{
	struct span what = word(&s);
	const struct client_event *ev;

	if (is(what, "none")) {
		for (size_t i = r->first; i < r->last; i++) {
			if (r->events[i].type == CLIENT_RCPT || r->events[i].type == CLIENT_CLOSED)
				wrong(r, "something was told", r->events[i].reply.text);
		}
		return;
	}
	if (is(what, "before-dot")) {
		(void)expect(r, CLIENT_BEFORE_DOT);
		return;
	}
	ev = expect(r, is(what, "ready")    ? CLIENT_READY
		       : is(what, "answer") ? CLIENT_ANSWER
					    : CLIENT_CLOSED);
	if (ev != NULL && ev->type != CLIENT_READY)
		match_words(r, ev, s);
}

static void on_said(struct run *r, struct span want)
{
	struct span out = client_output(r->client);
	ptrdiff_t lf = span_find(out, '\n');
	struct span line = span_first(out, lf < 0 ? out.n : (size_t)lf + 1);

	r->hold_output = false;
	if (lf < 1 || out.p[lf - 1] != '\r' || !span_eq(span_first(line, line.n - 2), want))
		wrong(r, "the engine said", line);
	client_sent(r->client, line.n, r->now);
}

/* Octets that are no line, of a chunk. */
static void on_said_raw(struct run *r, struct span text)
{
	struct span out = client_output(r->client);
	struct buf want;

	r->hold_output = false;
	buf_init(&want, TEXT);
	add_escaped(&want, text);
	out = span_first(out, buf_len(&want));
	if (!span_eq(out, buf_view(&want)))
		wrong(r, "the engine said", out);
	client_sent(r->client, out.n, r->now);
	buf_fini(&want);
}

/* ---- what we do */

/* What stands between < and >. */
static struct span address(struct span w)
{
	w = span_skip(w, 1);
	w.n -= w.n > 0;
	return w;
}

/* Seconds, which may be over. */
static int32_t seconds(struct run *r, struct span s)
{
	bool less = s.n > 0 && s.p[0] == '-';
	int32_t n = (int32_t)number(r, span_skip(s, less));

	return less ? -n : n;
}

static bool handling_word(struct run *r, struct span w, struct span *s)
{
	struct handling *h = &r->txn.handling;

	if (is(w, "requiretls")) {
		h->require_tls = true;
	} else if (is(w, "mt-priority")) {
		h->mt_priority = (unsigned)number(r, word(s));
	} else if (is(w, "by")) {
		r->txn.by_left = seconds(r, word(s));
		h->by = is(word(s), "R") ? BY_RETURN : BY_NOTIFY;
	} else if (is(w, "trace")) {
		h->by_trace = true;
	} else if (is(w, "final")) {
		r->txn.final = true;
	} else {
		return false;
	}
	return true;
}

static void on_send(struct run *r, struct span s)
{
	struct span w;

	/* The words must outlive the line. */
	buf_clear(&r->names);
	add_escaped(&r->names, s);
	s = buf_view(&r->names);
	r->txn = (struct client_txn){.rcpt = r->rcpt, .size = buf_len(&r->content)};
	memset(r->told, 0, sizeof(r->told));
	for (w = word(&s); w.n != 0; w = word(&s)) {
		if (is(w, "from"))
			r->txn.from = address(word(&s));
		else if (w.p[0] == '<' && r->txn.n_rcpt < RCPTS)
			r->rcpt[r->txn.n_rcpt++] = (struct client_rcpt){.addr = address(w)};
		else if (is(w, "8bit"))
			r->txn.eight_bit = true;
		else if (is(w, "smtputf8"))
			r->txn.smtputf8 = true;
		else if (is(w, "ret"))
			r->txn.ret = is(word(&s), "full") ? RET_FULL : RET_HDRS;
		else if (is(w, "envid"))
			r->txn.envid = word(&s);
		else if (is(w, "notify") && r->txn.n_rcpt > 0)
			r->rcpt[r->txn.n_rcpt - 1].notify = (uint8_t)number(r, word(&s));
		else if (is(w, "orcpt") && r->txn.n_rcpt > 0)
			r->rcpt[r->txn.n_rcpt - 1].orcpt = word(&s);
		else if (is(w, "binary"))
			r->txn.body_type = BODY_BINARYMIME;
		else if (is(w, "converted"))
			r->txn.size_unknown = true;
		else if (is(w, "unfit"))
			r->txn.unfit = SPAN("it is signed");
		else if (is(w, "size"))
			r->txn.size = number(r, word(&s));
		else if (is(w, "ask"))
			r->txn.ask_before_dot = true;
		else if (!is(w, "to") && !handling_word(r, w, &s))
			wrong(r, "not understood", w);
	}
	buf_clear(&r->given);
	r->given_at = 0;
	buf_add_span(&r->given, buf_view(&r->content));
	buf_clear(&r->content);
	if (!r->ready) {
		wrong(r, "the engine is not ready", SPAN_NONE);
		return;
	}
	r->open = true;
	r->ready = false;
	client_send(r->client, &r->txn, r->now);
}

static void on_offers(struct run *r, struct span want)
{
	uint32_t have = client_mechanisms(r->client), named = 0;

	for (struct span w = word(&want); w.n != 0; w = word(&want)) {
		if (sasl_find(w) < 0)
			wrong(r, "not a mechanism", w);
		else
			named |= UINT32_C(1) << sasl_find(w);
	}
	if (have != named)
		wrong(r, "these are not the mechanisms", SPAN_NONE);
}

static void on_chunks(struct run *r, struct span s)
{
	if (!is(word(&s), "of"))
		wrong(r, "chunks of how many octets?", s);
	r->config.chunks_from = 0;
	r->config.chunk = number(r, word(&s));
}

static void on_quiet(struct run *r, struct span s)
{
	if (client_quiet(r->client) != is(s, "quiet"))
		wrong(r, "it is not", s);
}

static void on_time(struct run *r, struct span s)
{
	r->now += strtoll((const char *)s.p + 1, NULL, 10) * 1000000;
	if (client_deadline(r->client) <= r->now)
		client_tick(r->client, r->now);
}

static bool on_phrase(struct run *r, struct span s)
{
	if (is(s, "lmtp"))
		r->config.lmtp = true;
	else if (is(s, "helo-only"))
		r->config.helo_only = true;
	else if (is(s, "whole"))
		r->whole = true;
	else if (is(s, "hold body"))
		r->hold_body = true;
	else if (is(s, "hold output"))
		r->hold_output = true;
	else if (is(s, "peer closes"))
		client_eof(r->client, r->now);
	else if (is(s, "we quit"))
		client_quit(r->client, r->now);
	else if (is(s, "we abort"))
		client_body_abort(r->client, r->now);
	else if (is(s, "we refuse"))
		client_body_refuse(
		    r->client, &REPLY(554, 5, 6, 3, "it is signed after all"), r->now);
	else if (is(s, "we end"))
		client_body_end(r->client, r->now);
	else if (is(s, "we go"))
		client_answer(r->client, true, r->now);
	else if (is(s, "we start over"))
		client_start_over(r->client, r->now);
	else if (is(s, "quiet") || is(s, "not quiet"))
		on_quiet(r, s);
	else if (is(s, "we stay"))
		client_answer(r->client, false, r->now);
	else
		return false;
	return true;
}

/* ---- lines and files */

static void on_line(struct run *r, struct span line)
{
	struct span head = word(&line), text = span_skip(line, 1);
	bool raw = is(head, "S~") || is(head, "M~");
	struct buf *to = head.n && head.p[0] == 'S' ? &r->segment : &r->content;

	if (raw) {
		add_escaped(to, text);
		return;
	}
	if (is(head, "S:") || is(head, "M:")) {
		buf_add_span(to, text);
		buf_add_str(to, "\r\n");
		return;
	}
	say_segment(r);
	if (is(head, "C:"))
		on_said(r, text);
	else if (is(head, "C~"))
		on_said_raw(r, text);
	else if (is(head, "chunks"))
		on_chunks(r, text);
	else if (is(head, "R:"))
		on_fate(r, text);
	else if (is(head, "E:"))
		on_event(r, text);
	else if (is(head, "T:"))
		on_time(r, text);
	else if (is(head, "send:"))
		on_send(r, text);
	else if (is(head, "say:"))
		client_say(r->client, text, r->now);
	else if (is(head, "offers"))
		on_offers(r, text);
	else if (!on_phrase(r, span_of(head.p, head.n + line.n)))
		wrong(r, "not understood", head);
	go_on(r);
}

static void at_end(struct run *r)
{
	say_segment(r);
	on_event(r, SPAN("none"));
	if (client_output(r->client).n != 0)
		wrong(r, "the engine had more to say", client_output(r->client));
	if (r->open)
		wrong(r, "the transaction is still open", SPAN_NONE);
}

static void play(struct run *r, FILE *f)
{
	static char text[TEXT];

	while (r->errors == 0 && fgets(text, sizeof(text), f) != NULL) {
		struct span line = {(const uint8_t *)text, strcspn(text, "\n")};

		text[line.n] = '\0';
		r->line++;
		if (line.n != 0 && line.p[0] != '#')
			on_line(r, line);
	}
	if (r->errors == 0)
		at_end(r);
}

static unsigned run_once(const char *file, bool bytewise, bool *whole)
{
	struct run r = {.file = file, .bytewise = bytewise};
	FILE *f = fopen(file, "r");

	if (f == NULL) {
		perror(file);
		return 1;
	}
	client_config_defaults(&r.config);
	r.config.hostname = SPAN("client.example");
	r.client = client_new(&r.config, r.now);
	buf_init(&r.segment, TEXT * 4);
	buf_init(&r.content, TEXT * 4);
	buf_init(&r.given, TEXT * 4);
	buf_init(&r.names, TEXT);
	if (r.client == NULL)
		die("out of memory");
	play(&r, f);
	fclose(f);
	client_free(&r.client);
	buf_fini(&r.segment);
	buf_fini(&r.content);
	buf_fini(&r.given);
	buf_fini(&r.names);
	*whole = r.whole;
	return r.errors;
}

int main(int argc, char **argv)
{
	unsigned failed = 0;

	for (int i = 1; i < argc; i++) {
		bool whole = false;
		unsigned errors = run_once(argv[i], false, &whole);

		if (!whole)
			errors += run_once(argv[i], true, &whole);
		failed += errors != 0;
	}
	printf("%d transcripts, %u failed\n", argc - 1, failed);
	return argc < 2 || failed != 0;
}
