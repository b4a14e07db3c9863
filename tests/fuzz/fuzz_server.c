/*
 * The server engine under any input, cut anywhere, with any verdicts. Checked:
 * - what ends the content of DATA is CRLF.CRLF and nothing else, and what is delivered is what an
 *   independent, simple reader of the same bytes finds between 354 and there;
 * - what BDAT delivers is the octets of the chunks, counted by another simple reader, and the CRLF
 *   that a last line lacks;
 * - nothing of a login, a transaction or a greeting lives longer than the STARTTLS behind it;
 * - nothing with a bare CR, a bare LF or a NUL is delivered but what was announced as binary, which
 *   never comes by DATA; no transaction ends twice;
 * - what ENVID, ORCPT and NOTIFY say can be decoded, is short and can be printed;
 * - the events and the output of the whole input are those of the input in pieces;
 * - the output keeps its ceiling and is made of well-formed lines;
 * - behind the end of a message there is one reply, by LMTP one for each recipient that was taken.
 *
 * - who may say XCLIENT says each thing once, and what it says can be decoded.
 *
 * Byte 0: the size of the pieces; byte 1: seeds the verdicts, bit 6: the client may say XCLIENT,
 * bit 7: it is LMTP; the rest is what the client sends.
 */
#include "smtp/sasl.h"
#include "smtp/server.h"
#include "smtp/xclient.h"
#include "smtp/xtext.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX = 1 << 22, SECOND = 1000000 };

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

static const struct server_config config = {
    .hostname = {(const uint8_t *)"mx.test", 7},
    .banner = {(const uint8_t *)"ESMTP", 5},
    .extensions = EXT_ALL,
    .message_size = 4000,
    .recipients = 4,
    .transactions = 6,
    .bad_commands = 20,
    .command_timeout = 300 * SECOND,
    .data_timeout = 300 * SECOND,
    .data_rate = 100,
    .starttls = true,
    .auth = SERVER_AUTH_TLS,
    .mechanisms =
	SASL_BIT(PLAIN) | SASL_BIT(LOGIN) | SASL_BIT(SCRAM_SHA_256) | SASL_BIT(SCRAM_SHA_256_PLUS),
};

struct world {
	struct server_config config;
	struct server server;
	struct buf out;     /* all the server said */
	struct buf events;  /* a letter for each event but the pieces of content */
	struct buf content; /* of the transaction */
	struct buf mail;    /* all contents accepted */
	struct span all;    /* what the client sends */
	size_t at, body_at; /* what was taken, where the content starts */
	uint32_t verdicts;
	bool open, in_body, chunked, exchange, binary, smtputf8;
	unsigned taken; /* recipients of the transaction */
	bool show_all;  /* also what is behind DATA already */
};

static struct reply next_verdict(struct world *w, uint16_t yes)
{
	bool refuse = (yes != 220 || w->at > 0) && w->verdicts % 8 == 7;

	w->verdicts = w->verdicts * 1103515245u + 12345u;
	w->verdicts ^= w->verdicts >> 16;
	if (refuse)
		return REPLY(450, 4, 0, 0, "not\nnow");
	return (struct reply){.code = yes, .esc = {yes == 354 ? 0 : 2, 0, 0}, .text = SPAN("yes")};
}

/* The simple reader: takes the content byte by byte, false if it has no end. */
static bool read_content(struct span in, struct buf *out, size_t *used)
{
	size_t line = 0;

	for (size_t i = 0; i < in.n; i++) {
		if (i < 1 || in.p[i - 1] != '\r' || in.p[i] != '\n')
			continue;
		struct span l = span_of(in.p + line, i + 1 - line);

		if (span_eq(l, SPAN(".\r\n"))) {
			*used = i + 1;
			return true;
		}
		buf_add_span(out, l.p[0] == '.' ? span_skip(l, 1) : l);
		line = i + 1;
	}
	return false;
}

static bool clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == 0 || (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
		    (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return false;
	}
	return true;
}

/* The simple reader of chunks: from the first BDAT on; commands that are no chunk are passed over.
 */
static bool read_chunks(struct span in, bool binary, struct buf *out, size_t *used)
{
	struct span all = in;

	for (;;) {
		ptrdiff_t lf = span_find(in, '\n');
		struct span line, word;
		uint64_t n = 0;
		bool last;

		if (lf < 1)
			return false;
		line = span_first(in, (size_t)lf - 1);
		in = span_skip(in, (size_t)lf + 1);
		if (!span_starts_case(line, SPAN("BDAT ")))
			continue;
		line = span_trim(span_skip(line, 5));
		for (; line.n && ascii_isdigit(line.p[0]); line = span_skip(line, 1))
			n = n * 10 + (line.p[0] - '0');
		word = span_trim(line);
		last = word.n > 0;
		if (n > in.n)
			return false;
		buf_add_span(out, span_first(in, n));
		in = span_skip(in, n);
		if (!last)
			continue;
		if (!binary && buf_len(out) && buf_view(out).p[buf_len(out) - 1] != '\n')
			buf_add_str(out, "\r\n");
		*used = all.n - in.n;
		return true;
	}
}

static void check_message(struct world *w, const struct body_facts *f)
{
	struct buf want;
	size_t used = 0;

	buf_init(&want, MAX);
	MUST(w->chunked || !w->binary);
	if (w->chunked)
		MUST(read_chunks(span_skip(w->all, w->body_at), w->binary, &want, &used));
	else
		MUST(read_content(span_skip(w->all, w->body_at), &want, &used));
	MUST(w->body_at + used == w->at);
	MUST(span_eq(buf_view(&want), buf_view(&w->content)));
	MUST(w->binary || clean(buf_view(&want)));
	MUST(f->size == buf_len(&want) && f->size <= config.message_size);
	MUST(w->binary || (!f->nul && !f->bare_cr && !f->bare_lf && !f->open_end));
	buf_fini(&want);
}

static void note(struct world *w, uint8_t letter)
{
	if (letter != 'b')
		buf_add_byte(&w->events, letter);
}

/* Where the command that is asked about began. */
static size_t command_at(const struct world *w)
{
	size_t at = w->at - 1;

	while (at > 0 && w->all.p[at - 1] != '\n')
		at--;
	return at;
}

static void ask_login(struct world *w, const struct server_event *ev)
{
	struct reply r = next_verdict(w, w->verdicts % 3 ? 334 : 235);

	MUST(server_has_tls(&w->server) && !server_is_authenticated(&w->server) && !w->open);
	MUST(w->exchange == (ev->type == SERVER_AUTH_LINE));
	MUST(ev->data.n <= SERVER_AUTH_LINE_MAX);
	r.esc[0] = r.code == 334 ? 0 : r.esc[0];
	w->exchange = r.code == 334;
	server_answer(&w->server, &r, SECOND);
	MUST(server_is_authenticated(&w->server) == (r.code == 235));
}

static void ask_tls(struct world *w)
{
	struct reply r = next_verdict(w, 220);

	MUST(!server_has_tls(&w->server));
	server_answer(&w->server, &r, SECOND);
	MUST(server_tls_due(&w->server) == (r.code == 220));
}

static bool inside(struct span part, struct span all)
{
	return part.p >= all.p && part.p + part.n <= all.p + all.n;
}

static void ask_etrn(struct world *w)
{
	struct reply r = next_verdict(w, 250);

	MUST(!w->open && !w->exchange);
	server_answer(&w->server, &r, SECOND);
}

static void ask_turn(struct world *w, const struct server_event *ev)
{
	struct reply r = next_verdict(w, 250);

	MUST(server_is_authenticated(&w->server) && !w->open && !w->exchange);
	MUST(inside(ev->name, w->all) || ev->name.n == 0);
	for (size_t i = 0; i < ev->name.n; i++)
		MUST(ascii_isalpha(ev->name.p[i]) || ascii_isdigit(ev->name.p[i]) ||
		     strchr("-.,", ev->name.p[i]) != NULL);
	server_answer(&w->server, &r, SECOND);
	MUST(server_turned(&w->server) == (r.code == 250));
}

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

/* What it may go on with is what nobody said before. */
static void ask_xclient(struct world *w, const struct server_event *ev)
{
	struct reply r = next_verdict(w, 220);
	unsigned before = w->server.xclient_said;
	struct xclient x;
	struct buf text;

	buf_init(&text, XCLIENT_TEXT_MAX);
	MUST(xclient_decode(ev->data, &text, &x) == 0 && x.said != 0);
	MUST(!w->open && w->server.xclient && (x.said & before) == 0);
	MUST(before == 0 || !(x.said & (XCLIENT_BIT(ADDR) | XCLIENT_BIT(LOGIN))));
	for (unsigned i = 0; i < XCLIENT_COUNT; i++)
		MUST(x.value[i].n <= XCLIENT_VALUE_MAX && is_text(x.value[i]));
	buf_fini(&text);
	server_answer(&w->server, &r, SECOND);
	MUST(w->server.xclient_said == (r.code == 220 ? (before | x.said) : before));
	MUST(before != 0 || r.code != 220 || !server_is_authenticated(&w->server) ||
	     x.value[XCLIENT_LOGIN].n > 0);
}

static void check_texts(const struct server_event *ev)
{
	struct buf text;

	buf_init(&text, XTEXT_ORCPT_MAX);
	MUST(ev->envid.n <= XTEXT_ENVID_MAX && ev->orcpt.n <= XTEXT_ORCPT_MAX);
	MUST(xtext_decode(ev->envid, &text) == 0);
	MUST(ev->notify == NOTIFY_NEVER || !(ev->notify & NOTIFY_NEVER));
	buf_clear(&text);
	MUST(ev->orcpt.n == 0 || orcpt_decode(ev->orcpt, ev->smtputf8, &text) == 0);
	for (size_t i = 0; i < buf_len(&text); i++)
		MUST(buf_view(&text).p[i] >= ' ' && buf_view(&text).p[i] != 127);
	buf_fini(&text);
}

static void drain(struct world *w)
{
	struct span out;

	while ((out = server_output(&w->server)).n > 0) {
		MUST(out.n <= SERVER_OUT_MAX);
		buf_add_span(&w->out, out);
		server_sent(&w->server, out.n);
	}
}

static unsigned replies_in(struct span out)
{
	unsigned n = 0;

	for (; out.n > 0; out = span_skip(out, (size_t)span_find(out, '\n') + 1))
		n += out.p[3] == ' ';
	return n;
}

static void answer_end(struct world *w, const struct reply *r)
{
	size_t before;

	drain(w);
	before = buf_len(&w->out);
	server_answer(&w->server, r, SECOND);
	drain(w);
	MUST(w->taken > 0);
	MUST(replies_in(span_skip(buf_view(&w->out), before)) == (w->config.lmtp ? w->taken : 1));
	w->taken = 0;
}

static void ask(struct world *w, const struct server_event *ev)
{
	static const uint16_t yes[] = {[SERVER_CONNECT] = 220,
	    [SERVER_HELO] = 250,
	    [SERVER_MAIL] = 250,
	    [SERVER_RCPT] = 250,
	    [SERVER_DATA] = 354,
	    [SERVER_EOM] = 250};
	struct reply r = next_verdict(w, yes[ev->type]);
	bool ok = r.code < 400;

	MUST(w->open == (ev->type >= SERVER_RCPT));
	MUST((ev->type == SERVER_EOM) == w->in_body);
	if (ev->type == SERVER_MAIL || ev->type == SERVER_RCPT)
		check_texts(ev);
	if (ev->type == SERVER_MAIL)
		w->binary = ev->body_type == BODY_BINARYMIME;
	if (ev->type == SERVER_EOM)
		check_message(w, ev->facts);
	if (ev->type == SERVER_EOM && ok)
		buf_add_span(&w->mail, buf_view(&w->content));
	if (ev->type == SERVER_MAIL || ev->type == SERVER_EOM) {
		w->open = ok && ev->type == SERVER_MAIL;
		buf_clear(&w->content);
	}
	w->in_body = ok && ev->type == SERVER_DATA;
	w->chunked = ev->chunked;
	w->body_at = ev->type == SERVER_DATA && ev->chunked ? command_at(w) : w->at;
	w->taken += ok && ev->type == SERVER_RCPT;
	if (ev->type == SERVER_EOM)
		answer_end(w, &r);
	else
		server_answer(&w->server, &r, SECOND);
}

static void take(struct world *w, const struct server_event *ev)
{
	note(w, (uint8_t) "CHMTAagRDbErx.XeQ"[ev->type]);
	switch (ev->type) {
	case SERVER_BODY:
		MUST(w->in_body && w->open && ev->data.n > 0);
		MUST(inside(ev->data, w->all) || (w->chunked && span_eq(ev->data, SPAN("\r\n"))));
		buf_add_span(&w->content, ev->data);
		break;
	case SERVER_RESET:
		MUST(w->open);
		w->open = w->in_body = false;
		w->taken = 0;
		buf_clear(&w->content);
		break;
	case SERVER_TLS: ask_tls(w); break;
	case SERVER_ETRN: ask_etrn(w); break;
	case SERVER_ATRN: ask_turn(w, ev); break;
	case SERVER_XCLIENT: ask_xclient(w, ev); break;
	case SERVER_AUTH:
	case SERVER_AUTH_LINE: ask_login(w, ev); break;
	case SERVER_AUTH_GONE:
		MUST(w->exchange);
		w->exchange = false;
		break;
	case SERVER_REFUSED: MUST(ev->stage && ev->reason && ev->reply.code >= 400); break;
	case SERVER_END: MUST(!w->open && ev->reason); break;
	default: ask(w, ev);
	}
}

static void take_all(struct world *w)
{
	struct server_event ev;

	while (server_next(&w->server, &ev) == 1)
		take(w, &ev);
	drain(w);
	MUST(w->server.out.mem == NULL && w->server.repeat == 0);
	if (!server_tls_due(&w->server))
		return;
	MUST(!w->open && server_feed(&w->server, SPAN("NOOP\r\n"), SECOND) == 0);
	server_tls_started(&w->server, w->verdicts & 1, SECOND);
	MUST(!server_is_authenticated(&w->server) && server_has_tls(&w->server));
}

/* DATA and STARTTLS are the commands whose reading depends on what is there behind them. */
static size_t shown(const struct world *w, size_t window)
{
	struct span rest = span_first(span_skip(w->all, w->at), window);
	ptrdiff_t lf = span_find(rest, '\n');

	if (lf >= 4 && !w->show_all && w->server.state != SERVER_S_BODY &&
	    (span_starts_case(rest, SPAN("DATA")) || span_starts_case(rest, SPAN("STARTTLS")) ||
		span_starts_case(rest, SPAN("ATRN"))))
		return (size_t)lf + 1;
	return rest.n;
}

static void play(struct world *w, struct span all, size_t piece, uint32_t seed, bool show_all)
{
	size_t window = piece, n;

	*w = (struct world){.all = all, .verdicts = seed, .show_all = show_all};
	buf_init(&w->out, MAX);
	buf_init(&w->events, MAX);
	buf_init(&w->content, MAX);
	buf_init(&w->mail, MAX);
	w->config = config;
	w->config.turns = seed % 8 == 5; /* no mail then, but ATRN */
	w->config.lmtp = seed & 0x80;
	w->config.xclient_login = seed & 0x20;
	server_init(&w->server, &w->config, SECOND);
	if (seed & 0x40)
		server_allow_xclient(&w->server);
	take_all(w);
	while (w->at < all.n && !w->server.ended) {
		n = server_feed(
		    &w->server, span_first(span_skip(all, w->at), shown(w, window)), SECOND);
		MUST(n <= window);
		w->at += n;
		MUST(n > 0 || !w->server.has_pending);
		window = n > 0 ? (window - n > piece ? window - n : piece) : window + piece;
		take_all(w);
		if (n == 0 && w->at + window > all.n + piece)
			break;
	}
	server_eof(&w->server, SECOND);
	take_all(w);
	MUST(w->server.end_given && !w->open);
	server_fini(&w->server);
}

static void check_output(struct span out)
{
	while (out.n) {
		ptrdiff_t lf = span_find(out, '\n');

		MUST(lf >= 4 && lf < 512 && out.p[lf - 1] == '\r');
		MUST(out.p[0] >= '2' && out.p[0] <= '5' && (out.p[3] == ' ' || out.p[3] == '-'));
		for (ptrdiff_t i = 0; i < lf - 1; i++)
			MUST(out.p[i] >= ' ' && out.p[i] < 127);
		out = span_skip(out, (size_t)lf + 1);
	}
}

static void drop(struct world *w)
{
	buf_fini(&w->out);
	buf_fini(&w->events);
	buf_fini(&w->content);
	buf_fini(&w->mail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world a, b, c;
	struct span all;

	if (size < 2)
		return 0;
	all = span_of(data + 2, size - 2);
	play(&a, all, all.n ? all.n : 1, data[1], false);
	play(&b, all, data[0] + 1u, data[1], false);
	play(&c, all, all.n ? all.n : 1, data[1], true);
	check_output(buf_view(&a.out));
	check_output(buf_view(&c.out));
	MUST(span_eq(buf_view(&a.out), buf_view(&b.out)));
	MUST(span_eq(buf_view(&a.mail), buf_view(&b.mail)));
	MUST(span_eq(buf_view(&a.events), buf_view(&b.events)));
	drop(&a);
	drop(&b);
	drop(&c);
	return 0;
}
