/*
 * Plays the transcripts of this folder (see README.md) against the server
 * engine alone, under a virtual clock, with a fixed policy: mx.test takes mail
 * for example.net, knows nobody in refused.example, and relays nothing.
 *
 *	run_engine tests/wire/basic.wire ...
 *
 * Each file is played as it is written, byte by byte, and with everything that
 * may be pipelined in one piece; "mode: lockstep" files only as written.
 */
#include "script.h"

#include "base/clock.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

enum play { PLAY_WRITTEN, PLAY_BYTES, PLAY_PIPELINED, PLAY_COUNT };
static const char *const play_names[] = {"as written", "byte by byte", "pipelined"};

static const struct server_config config = {
    .hostname = {(const uint8_t *)"mx.test", 7},
    .banner = {(const uint8_t *)"ESMTP", 5},
    .extensions = EXT_ALL,
    .message_size = 1 << 20,
    .recipients = 100,
    .transactions = 20,
    .bad_commands = 10,
    .command_timeout = 300 * INT64_C(1000000),
    .data_timeout = 300 * INT64_C(1000000),
    .data_rate = 100,
};

struct world {
	struct server server;
	int64_t now;
	struct buf in, out, content; /* content: of the transaction that is open */
	struct buf last;             /* content of the last message accepted */
	unsigned accepted;
	bool ended;
	char trouble[256];
};

enum { WORLD_MAX = 1 << 28 };

static void trouble(struct world *w, const char *words)
{
	if (w->trouble[0] == '\0')
		snprintf(w->trouble, sizeof(w->trouble), "%s", words);
}

static struct reply judge_rcpt(const struct address *a)
{
	if (a->kind == ADDRESS_BARE)
		return REPLY(250, 2, 1, 5, "Ok");
	if (a->kind == ADDRESS_DOMAIN && span_eq_case(a->domain, SPAN("example.net")))
		return REPLY(250, 2, 1, 5, "Ok");
	if (a->kind == ADDRESS_DOMAIN && span_eq_case(a->domain, SPAN("refused.example")))
		return REPLY(550, 5, 1, 1, "No such user");
	return REPLY(550, 5, 7, 1, "Relay denied");
}

static void accept_message(struct world *w, const struct body_facts *facts)
{
	if (facts->bare_cr || facts->bare_lf || facts->nul || facts->open_end)
		trouble(w, "content accepted that may not be");
	if (facts->size != buf_len(&w->content))
		trouble(w, "the facts are not those of the content");
	buf_clear(&w->last);
	buf_add_span(&w->last, buf_view(&w->content));
	buf_clear(&w->content);
	w->accepted++;
}

static struct reply judge(struct world *w, const struct server_event *ev)
{
	switch (ev->type) {
	case SERVER_CONNECT: return REPLY(220, 0, 0, 0, "");
	case SERVER_HELO: return REPLY(250, 0, 0, 0, "");
	case SERVER_MAIL: return REPLY(250, 2, 1, 0, "Ok");
	case SERVER_RCPT: return judge_rcpt(&ev->address);
	case SERVER_DATA: return REPLY(354, 0, 0, 0, "Go on");
	default: accept_message(w, ev->facts); return REPLY(250, 2, 0, 0, "Ok");
	}
}

static void event(struct world *w, const struct server_event *ev)
{
	struct reply verdict;

	switch (ev->type) {
	case SERVER_BODY: buf_add_span(&w->content, ev->data); break;
	case SERVER_RESET: buf_clear(&w->content); break;
	case SERVER_REFUSED: break;
	case SERVER_END: w->ended = true; break;
	default:
		if (ev->type == SERVER_CONNECT && buf_len(&w->in)) {
			server_early(&w->server, w->now);
			break;
		}
		verdict = judge(w, ev);
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
	out = server_output(&w->server);
	if (out.n > SERVER_OUT_MAX)
		trouble(w, "the output is over its ceiling");
	buf_add_span(&w->out, out);
	server_sent(&w->server, out.n);
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

/* The next line the server said, without its CRLF. */
static bool take_line(struct world *w, char *line, size_t size)
{
	struct span out = buf_view(&w->out);
	ptrdiff_t lf = span_find(out, '\n');

	if (lf < 1 || out.p[lf - 1] != '\r' || lf > 512) {
		trouble(w, w->ended ? "expected a reply, but the session is over" : "no reply");
		return false;
	}
	span_to_cstr(span_first(out, (size_t)lf - 1), line, size);
	buf_drop(&w->out, (size_t)lf + 1);
	return true;
}

static bool expect_one(struct world *w, const struct step *st)
{
	char line[1024];

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

static bool step_play(struct world *w, const struct step *st, enum play play)
{
	switch (st->type) {
	case STEP_SEND: send_step(w, st, play); return true;
	case STEP_EXPECT: return expect(w, st);
	case STEP_EOF: return expect_end(w);
	case STEP_TIME: pass_time(w, st); return true;
	case STEP_ACCEPTED:
		if (w->accepted != st->times)
			snprintf(w->trouble, sizeof(w->trouble), "accepted %u", w->accepted);
		return w->accepted == st->times;
	case STEP_CONTENT:
		if (!span_eq(buf_view(&w->last), buf_view(&st->text)))
			trouble(w, "the content accepted is another");
		return w->trouble[0] == '\0';
	}
	return false;
}

static bool is_data(const struct step *st)
{
	return st->type == STEP_SEND && span_starts_case(buf_view(&st->text), SPAN("DATA"));
}

/* Is this where a client that pipelines has to wait for the reply? RFC 2920 section 3.1. */
static bool waits(const struct script *sc, size_t i, enum play play)
{
	if (sc->step[i].type == STEP_SEND)
		return false;
	if (play != PLAY_PIPELINED || sc->step[i].type != STEP_EXPECT)
		return true;
	return i == 0 || is_data(&sc->step[i - 1]);
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
	struct world w = {.now = 1000000};
	const struct step *bad;

	buf_init(&w.in, WORLD_MAX);
	buf_init(&w.out, WORLD_MAX);
	buf_init(&w.content, WORLD_MAX);
	buf_init(&w.last, WORLD_MAX);
	server_init(&w.server, &config, w.now);
	bad = play_steps(&w, sc, play);
	if (bad)
		printf("%s:%u: %s: %s\n", sc->path, bad->line, play_names[play], w.trouble);
	server_fini(&w.server);
	buf_fini(&w.in);
	buf_fini(&w.out);
	buf_fini(&w.content);
	buf_fini(&w.last);
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
