/*
 * Plays the transcripts of this folder (see README.md) against the server
 * engine alone, under a virtual clock, with a fixed policy: mx.test takes mail
 * for example.net, knows nobody in refused.example, and relays nothing. With
 * "mode: submission" it takes any mail, of those who are logged in; with "mode: lmtp" it speaks
 *LMTP; with "mode: xclient" the client may say XCLIENT, LOGIN too; with "mode: odmr" no mail is
 *taken, and connections are turned round. A handshake of TLS is one call, and the only proof of
 *SCRAM that is right is that of the example in RFC 7677.
 *
 *	run_engine tests/wire/basic.wire ...
 *
 * Each file is played as it is written, byte by byte, and with everything that
 * may be pipelined in one piece; "mode: lockstep" files only as written.
 */
#include "script.h"

#include "base/base64.h"
#include "base/clock.h"
#include "smtp/sasl.h"
#include "smtp/server.h"
#include "smtp/xclient.h"
#include "smtp/xtext.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum play { PLAY_WRITTEN, PLAY_BYTES, PLAY_PIPELINED, PLAY_COUNT };
static const char *const play_names[] = {"as written", "byte by byte", "pipelined"};

static const struct server_config config = {
    .hostname = {(const uint8_t *)"mx.test", 7},
    .banner = {(const uint8_t *)"ESMTP", 5},
    .extensions = EXT_ALL,
    .message_size = 1 << 20,
    .by_least = 30,
    .recipients = 100,
    .transactions = 20,
    .bad_commands = 10,
    .command_timeout = 300 * INT64_C(1000000),
    .data_timeout = 300 * INT64_C(1000000),
    .data_rate = 100,
    .starttls = true,
};

/* RFC 7677 section 3: user, pencil. */
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

struct world {
	struct server server;
	int64_t now;
	struct buf in, out, content;  /* content: of the transaction that is open */
	struct buf last;              /* content of the last message accepted */
	struct buf about, last_about; /* the same of what MAIL and RCPT say, see README.md */
	unsigned accepted;
	bool ended, submission, in_hello;
	struct server_config config;
	struct sasl sasl;
	bool exchange;
	char trouble[256];
};

enum { WORLD_MAX = 1 << 28 };

static void trouble(struct world *w, const char *words)
{
	if (w->trouble[0] == '\0')
		snprintf(w->trouble, sizeof(w->trouble), "%s", words);
}

/* ---- logins --------------------------------------------------------------------------------- */

static void end_exchange(struct world *w)
{
	if (w->exchange)
		sasl_fini(&w->sasl);
	w->exchange = false;
}

static struct reply refuse_login(struct world *w, bool malformed)
{
	end_exchange(w);
	return malformed ? REPLY(501, 5, 5, 2, "Not understood")
			 : REPLY(535, 5, 7, 8, "Name or password is wrong");
}

static bool password_right(const struct sasl *s)
{
	return span_eq_case(sasl_name(s), SPAN("alice@example.net")) &&
	       span_eq(sasl_secret(s), SPAN("wire secret"));
}

static bool proof_right(const struct sasl *s)
{
	struct buf proof;
	bool right;

	buf_init(&proof, 100);
	base64_encode(sasl_proof(s), &proof);
	right = span_eq(sasl_name(s), SPAN("user")) && span_eq(buf_view(&proof), SPAN(PROOF));
	buf_fini(&proof);
	return right;
}

/* What the vault of a real server would say; the next step, or SASL_REFUSED. */
static enum sasl_step ask_vault(struct world *w, enum sasl_step step)
{
	struct buf octets;

	buf_init(&octets, 100);
	if (step == SASL_ASK_SALT && base64_decode(SPAN(SALT), &octets) == 0)
		step = sasl_salt(&w->sasl, buf_view(&octets), 4096);
	else if (step == SASL_ASK_PROOF)
		step = proof_right(&w->sasl) && base64_decode(SPAN(SIGNATURE), &octets) == 0
			   ? sasl_signature(&w->sasl, buf_view(&octets))
			   : SASL_REFUSED;
	else if (step == SASL_ASK_PASSWORD)
		step = password_right(&w->sasl) ? SASL_DONE : SASL_REFUSED;
	buf_fini(&octets);
	return step;
}

static struct reply take_step(struct world *w, enum sasl_step step)
{
	static struct buf challenge = {.max = SERVER_CHALLENGE_MAX};

	step = ask_vault(w, step);
	if (step == SASL_DONE) {
		end_exchange(w);
		return REPLY(235, 2, 7, 0, "Welcome");
	}
	if (step != SASL_CHALLENGE)
		return refuse_login(w, step == SASL_MALFORMED);
	buf_clear(&challenge);
	base64_encode(sasl_message(&w->sasl), &challenge);
	return (struct reply){.code = 334, .text = buf_view(&challenge)};
}

static struct reply login(struct world *w, const struct server_event *ev)
{
	static const struct sasl_binding binding = {
	    .exporter = {(const uint8_t *)"exporter", 8}, .offered = true};
	struct buf message;
	struct reply r;

	if (ev->type == SERVER_AUTH) {
		sasl_init(
		    &w->sasl, (enum sasl_mechanism)ev->mechanism, &binding, (const uint8_t *)NONCE);
		w->exchange = true;
	}
	if (ev->type == SERVER_AUTH && !ev->has_initial)
		return take_step(w, sasl_start(&w->sasl));
	buf_init(&message, SERVER_AUTH_LINE_MAX);
	if (base64_decode(ev->data, &message) != 0)
		r = refuse_login(w, true);
	else
		r = take_step(w, sasl_feed(&w->sasl, buf_view(&message)));
	buf_wipe(&message);
	return r;
}

/* ---- the other verdicts -----------------------------------------------------------------------
 */

static struct reply judge_mail(const struct world *w)
{
	if (w->submission && !server_is_authenticated(&w->server))
		return REPLY(530, 5, 7, 0, "Log in first");
	return REPLY(250, 2, 1, 0, "Ok");
}

static struct reply judge_rcpt(const struct world *w, const struct address *a)
{
	if (a->kind == ADDRESS_BARE)
		return REPLY(250, 2, 1, 5, "Ok");
	if (a->kind == ADDRESS_DOMAIN && span_eq_case(a->domain, SPAN("refused.example")))
		return REPLY(550, 5, 1, 1, "No such user");
	if (a->kind == ADDRESS_DOMAIN &&
	    (w->submission || span_eq_case(a->domain, SPAN("example.net"))))
		return REPLY(250, 2, 1, 5, "Ok");
	return REPLY(550, 5, 7, 1, "Relay denied");
}

/* For waiting.example nothing ever waits; nobody else's mail is for these clients. */
static struct reply judge_etrn(const struct server_event *ev)
{
	if (ev->etrn == ETRN_NODE && span_eq_case(ev->name, SPAN("waiting.example")))
		return REPLY(251, 2, 0, 0, "OK, no messages waiting");
	return REPLY(459, 4, 7, 1, "Not allowed");
}

static void note_mail(struct world *w, const struct server_event *ev)
{
	static const char *const rets[] = {"", " ret=full", " ret=hdrs"};
	static const char *const bodies[] = {"", " body=8bitmime", " body=binarymime"};

	buf_clear(&w->about);
	address_canonical(&ev->address, &w->about);
	if (ev->handling.hold_until > 0)
		buf_addf(&w->about, " held=%lld",
		    (long long)((ev->handling.hold_until - w->now) / 1000000));
	buf_addf(&w->about, "%s%s%s", bodies[ev->body_type], ev->smtputf8 ? " smtputf8" : "",
	    rets[ev->ret]);
	if (ev->handling.require_tls)
		buf_add_str(&w->about, " requiretls");
	if (ev->handling.by != BY_NONE)
		buf_addf(&w->about, " by=%d%c%s", ev->by_time,
		    ev->handling.by == BY_RETURN ? 'R' : 'N', ev->handling.by_trace ? "T" : "");
	if (ev->handling.mt_priority != 0)
		buf_addf(&w->about, " mt-priority=%d", handling_priority(&ev->handling));
	if (ev->envid.n == 0)
		return;
	buf_add_str(&w->about, " envid=");
	if (xtext_decode(ev->envid, &w->about) != 0)
		trouble(w, "an ENVID that cannot be decoded");
}

static void note_rcpt(struct world *w, const struct server_event *ev)
{
	buf_add_str(&w->about, " > ");
	address_canonical(&ev->address, &w->about);
	if (ev->notify != 0)
		buf_addf(&w->about, " notify=%u", ev->notify);
	if (ev->orcpt.n == 0)
		return;
	buf_add_str(&w->about, " orcpt=");
	if (orcpt_decode(ev->orcpt, ev->smtputf8, &w->about) != 0)
		trouble(w, "an ORCPT that cannot be decoded");
}

static void accept_message(struct world *w, const struct body_facts *facts)
{
	if (!w->server.binary &&
	    (facts->bare_cr || facts->bare_lf || facts->nul || facts->open_end))
		trouble(w, "content accepted that may not be");
	if (facts->size != buf_len(&w->content))
		trouble(w, "the facts are not those of the content");
	buf_clear(&w->last);
	buf_add_span(&w->last, buf_view(&w->content));
	buf_clear(&w->content);
	buf_clear(&w->last_about);
	buf_add_span(&w->last_about, buf_view(&w->about));
	w->accepted++;
}

static bool is_address(struct span value)
{
	uint8_t ip[16];
	bool six;
	struct span bare = xclient_address(value, &six);
	char ip_text[INET6_ADDRSTRLEN];

	if (value.n == 0)
		return true;
	if (bare.n >= sizeof(ip_text))
		return false;
	span_to_cstr(bare, ip_text, sizeof(ip_text));
	return inet_pton(six ? AF_INET6 : AF_INET, ip_text, ip) == 1;
}

/* Of 192.0.2.66 nobody wants to hear. */
static struct reply judge_xclient(struct world *w, const struct server_event *ev)
{
	struct xclient x;
	struct buf text;
	bool bad, good;

	buf_init(&text, XCLIENT_TEXT_MAX);
	if (xclient_decode(ev->data, &text, &x) < 0)
		trouble(w, "an XCLIENT that cannot be decoded");
	bad = span_eq(x.value[XCLIENT_ADDR], SPAN("192.0.2.66"));
	good = is_address(x.value[XCLIENT_ADDR]) && is_address(x.value[XCLIENT_DESTADDR]);
	buf_fini(&text);
	if (!good)
		return REPLY(501, 5, 5, 4, "Not an address");
	return bad ? REPLY(554, 5, 7, 1, "Not from there") : REPLY(220, 0, 0, 0, "");
}

/* For alice@example.net there waits mail of a.example; b.example is hers, too. */
static struct reply judge_turn(struct span list)
{
	static const struct {
		struct span name;
		uint16_t code;
	} known[] = {{SPAN(""), 250}, {SPAN("a.example"), 250}, {SPAN("a.example,B.Example"), 250},
	    {SPAN("b.example"), 453}};

	for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
		if (!span_eq(known[i].name, list))
			continue;
		return known[i].code == 250 ? REPLY(250, 2, 0, 0, "OK")
					    : REPLY(453, 4, 2, 0, "You have no mail");
	}
	return REPLY(450, 4, 7, 1, "Not yours");
}

static struct reply judge(struct world *w, const struct server_event *ev)
{
	switch (ev->type) {
	case SERVER_CONNECT: return REPLY(220, 0, 0, 0, "");
	case SERVER_HELO: return REPLY(250, 0, 0, 0, "");
	case SERVER_MAIL: return judge_mail(w);
	case SERVER_RCPT: return judge_rcpt(w, &ev->address);
	case SERVER_DATA: return REPLY(354, 0, 0, 0, "Go on");
	case SERVER_TLS: return REPLY(220, 2, 0, 0, "Go on");
	case SERVER_ATRN: return judge_turn(ev->name);
	case SERVER_ETRN: return judge_etrn(ev);
	case SERVER_XCLIENT: return judge_xclient(w, ev);
	case SERVER_AUTH:
	case SERVER_AUTH_LINE: return login(w, ev);
	default: accept_message(w, ev->facts); return REPLY(250, 2, 0, 0, "Ok");
	}
}

static void event(struct world *w, const struct server_event *ev)
{
	struct reply verdict;

	switch (ev->type) {
	case SERVER_BODY: buf_add_span(&w->content, ev->data); break;
	case SERVER_RESET: buf_clear(&w->content); break;
	case SERVER_AUTH_GONE: end_exchange(w); break;
	case SERVER_REFUSED: break;
	case SERVER_END: w->ended = true; break;
	default:
		if (ev->type == SERVER_CONNECT && buf_len(&w->in)) {
			server_early(&w->server, w->now);
			break;
		}
		if (ev->type == SERVER_HELO)
			server_grant(&w->server, EXT_GRANTED);
		verdict = judge(w, ev);
		if (ev->type == SERVER_MAIL && verdict.code == 250)
			note_mail(w, ev);
		if (ev->type == SERVER_RCPT && verdict.code == 250)
			note_rcpt(w, ev);
		server_answer(&w->server, &verdict, w->now);
	}
}

/* All the engine has to say now. */
static void drain(struct world *w)
{
	struct server_event ev;
	struct span out;

	while (server_next(&w->server, &ev) == 1)
		event(w, &ev);
	while ((out = server_output(&w->server)).n > 0) {
		if (out.n > SERVER_OUT_MAX)
			trouble(w, "the output is over its ceiling");
		buf_add_span(&w->out, out);
		server_sent(&w->server, out.n);
	}
}

static void feed(struct world *w)
{
	size_t n;

	do {
		drain(w);
		n = server_feed(&w->server, buf_view(&w->in), w->now);
		buf_drop(&w->in, n);
	} while (n > 0);
	drain(w);
	if (w->ended)
		buf_clear(&w->in);
}

static void send_step(struct world *w, const struct step *st, enum play play)
{
	for (size_t k = 0; k < st->times; k++) {
		if (play != PLAY_BYTES) {
			buf_add_span(&w->in, buf_view(&st->text));
			continue;
		}
		for (size_t i = 0; i < buf_len(&st->text) && !w->ended; i++) {
			buf_add_byte(&w->in, buf_view(&st->text).p[i]);
			feed(w);
		}
	}
}

/* RFC 2034 section 3: all replies but the greeting, those to HELO and EHLO and 3xx have a code of
 * RFC 3463, of the class of the reply. */
static bool is_coded(struct world *w, const char *line)
{
	bool hello = strncmp(line, "250", 3) == 0 && strncmp(line + 4, "mx.test", 7) == 0;

	if (w->in_hello || hello) {
		w->in_hello = line[3] == '-';
		return true;
	}
	if (line[0] == '3' || strncmp(line, "220 mx.test", 11) == 0)
		return true;
	return line[4] == line[0] && line[5] == '.' && ascii_isdigit((uint8_t)line[6]);
}

/* The next line the server said, without its CRLF. */
static bool take_line(struct world *w, char *line, size_t size)
{
	struct span out = buf_view(&w->out);
	ptrdiff_t lf = span_find(out, '\n');

	if (lf < 1 || out.p[lf - 1] != '\r' || (lf > 512 && !span_starts(out, SPAN("334 ")))) {
		trouble(w, w->ended ? "expected a reply, but the session is over" : "no reply");
		return false;
	}
	span_to_cstr(span_first(out, (size_t)lf - 1), line, size);
	buf_drop(&w->out, (size_t)lf + 1);
	if (!is_coded(w, line))
		snprintf(w->trouble, sizeof(w->trouble), "no enhanced code: %.200s", line);
	return w->trouble[0] == '\0';
}

static bool expect_one(struct world *w, const struct step *st)
{
	char line[SERVER_CHALLENGE_MAX + 16];

	do {
		if (!take_line(w, line, sizeof(line)))
			return false;
	} while (st->whole && line[3] == '-');
	if (!step_matches(st, line))
		snprintf(w->trouble, sizeof(w->trouble), "the server said: %.200s", line);
	return w->trouble[0] == '\0';
}

static bool expect(struct world *w, const struct step *st)
{
	for (size_t k = 0; k < st->times; k++) {
		if (!expect_one(w, st))
			return false;
	}
	return true;
}

static bool expect_end(struct world *w)
{
	if (buf_len(&w->out)) {
		trouble(w, "the server says more than expected");
		return false;
	}
	if (!w->ended)
		trouble(w, "the server did not close");
	return w->ended;
}

static void pass_time(struct world *w, const struct step *st)
{
	w->now += st->time;
	if (server_deadline(&w->server) <= w->now)
		server_tick(&w->server, w->now);
	drain(w);
}

static bool handshake(struct world *w)
{
	if (!server_tls_due(&w->server) || buf_len(&w->out)) {
		trouble(w, "no handshake is due");
		return false;
	}
	if (buf_len(&w->in))
		server_early(&w->server, w->now);
	else
		server_tls_started(&w->server, true, w->now);
	drain(w);
	return true;
}

static bool step_play(struct world *w, const struct step *st, enum play play)
{
	switch (st->type) {
	case STEP_SEND: send_step(w, st, play); return true;
	case STEP_EXPECT: return expect(w, st);
	case STEP_EOF: return expect_end(w);
	case STEP_TIME: pass_time(w, st); return true;
	case STEP_TLS: return handshake(w);
	case STEP_ACCEPTED:
		if (w->accepted != st->times)
			snprintf(w->trouble, sizeof(w->trouble), "accepted %u", w->accepted);
		return w->accepted == st->times;
	case STEP_CONTENT:
		if (!span_eq(buf_view(&w->last), buf_view(&st->text)))
			trouble(w, "the content accepted is another");
		return w->trouble[0] == '\0';
	case STEP_ENVELOPE:
		if (!span_eq(buf_view(&w->last_about), buf_view(&st->text)))
			snprintf(w->trouble, sizeof(w->trouble), "the envelope is: %.*s",
			    SPAN_ARG(span_first(buf_view(&w->last_about), 200)));
		return w->trouble[0] == '\0';
	}
	return false;
}

/* The commands that are the last of a group. */
static bool ends_group(const struct step *st)
{
	struct span text = buf_view(&st->text);

	return st->type == STEP_SEND &&
	       (span_starts_case(text, SPAN("DATA")) || span_starts_case(text, SPAN("STARTTLS")) ||
		   span_starts_case(text, SPAN("ATRN")));
}

/* Is this where a client that pipelines has to wait for the reply? RFC 2920 section 3.1. */
static bool waits(const struct script *sc, size_t i, enum play play)
{
	if (sc->step[i].type == STEP_SEND)
		return false;
	if (play != PLAY_PIPELINED || sc->step[i].type != STEP_EXPECT)
		return true;
	return i == 0 || ends_group(&sc->step[i - 1]);
}

/*
 * Pipelined: what the client sends is gathered up to the next step that waits;
 * the replies that were skipped are looked at then.
 */
static const struct step *play_steps(struct world *w, const struct script *sc, enum play play)
{
	size_t from = 0;

	for (size_t i = 0; i <= sc->n && w->trouble[0] == '\0'; i++) {
		if (i < sc->n && sc->step[i].type == STEP_SEND) {
			step_play(w, &sc->step[i], play);
			continue;
		}
		if (i < sc->n && !waits(sc, i, play))
			continue;
		feed(w);
		for (; from <= i && from < sc->n; from++) {
			if (sc->step[from].type != STEP_SEND &&
			    !step_play(w, &sc->step[from], play))
				return &sc->step[from];
		}
	}
	if (buf_len(&w->out))
		trouble(w, "the server says more than expected");
	return w->trouble[0] ? &sc->step[sc->n - 1] : NULL;
}

static bool play_script(const struct script *sc, enum play play)
{
	struct world w = {.now = 1000000, .config = config, .submission = sc->submission};
	const struct step *bad;

	buf_init(&w.in, WORLD_MAX);
	buf_init(&w.out, WORLD_MAX);
	buf_init(&w.content, WORLD_MAX);
	buf_init(&w.last, WORLD_MAX);
	buf_init(&w.about, WORLD_MAX);
	buf_init(&w.last_about, WORLD_MAX);
	w.config.turns = sc->odmr;
	if (sc->odmr)
		w.config.extensions = EXT_BIT(PIPELINING) | EXT_BIT(ENHANCEDSTATUSCODES) |
				      EXT_BIT(STARTTLS) | EXT_BIT(AUTH) | EXT_BIT(ATRN);
	if (sc->submission || sc->odmr) {
		w.config.need_tls = true;
		w.config.future_release = 7 * 86400 * INT64_C(1000000);
		w.config.auth = SERVER_AUTH_TLS;
		w.config.mechanisms = (1u << SASL_COUNT) - 1;
	}
	w.config.lmtp = sc->lmtp;
	w.config.xclient_login = sc->xclient_login;
	server_init(&w.server, &w.config, w.now);
	if (sc->xclient)
		server_allow_xclient(&w.server);
	bad = play_steps(&w, sc, play);
	if (bad)
		printf("%s:%u: %s: %s\n", sc->path, bad->line, play_names[play], w.trouble);
	server_fini(&w.server);
	end_exchange(&w);
	buf_fini(&w.in);
	buf_fini(&w.out);
	buf_fini(&w.content);
	buf_fini(&w.last);
	buf_fini(&w.about);
	buf_fini(&w.last_about);
	return bad == NULL;
}

int main(int argc, char **argv)
{
	unsigned failed = 0, plays = 0;

	for (int i = 1; i < argc; i++) {
		struct script sc;

		if (script_read(&sc, argv[i]) != 0)
			return 2;
		for (enum play p = 0; p < (sc.lockstep ? PLAY_BYTES : PLAY_COUNT); p++, plays++)
			failed += !play_script(&sc, p);
		script_free(&sc);
	}
	printf("wire: %d transcripts, %u runs, %u failed\n", argc - 1, plays, failed);
	return failed || argc < 2;
}
