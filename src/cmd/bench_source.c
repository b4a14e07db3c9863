#include "cmd/bench_source.h"

#include "base/clock.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

enum { EVENTS = 256 };

static const int64_t sweep_every = 20 * USEC_PER_MSEC;
static const int64_t farewell = 1 * USEC_PER_SEC;
static const int64_t grace = 5 * USEC_PER_SEC;
static const char *const fate_names[FATE_COUNT] = {"acked", "refused", "unknown", "unsent"};

/* ---- numbers and their fates ------------------------------------------------------------- */

uint64_t source_take(struct source *src)
{
	uint64_t n = src->next_n;

	if (n == 0)
		return 0;
	src->taken++;
	src->next_n = src->taken < src->opt.messages ? n + 1 : 0;
	return n;
}

void source_trouble(struct source *src, const char *what, struct span text)
{
	if (src->first_trouble[0] || text.n == 0)
		return;
	snprintf(src->first_trouble, sizeof(src->first_trouble), "%s: %.*s", what,
	    SPAN_ARG(span_first(text, 200)));
}

static void put_fate(
    struct source *src, const struct job *j, enum fate fate, struct span reply, int64_t usec)
{
	struct ledger *l = &src->ledger;

	ledger_raw(l, "{\"n\":");
	ledger_number(l, j->n);
	ledger_raw(l, ",\"s\":\"");
	ledger_raw(l, fate_names[fate]);
	ledger_raw(l, "\",\"t\":");
	ledger_time(l, clock_wall());
	ledger_raw(l, ",\"us\":");
	ledger_number(l, usec > 0 ? (uint64_t)usec : 0);
	ledger_raw(l, ",\"ok\":");
	ledger_number(l, j->taken);
	if (reply.n) {
		ledger_raw(l, ",\"reply\":");
		ledger_text(l, reply);
	}
	ledger_raw(l, "}");
	ledger_line(l);
}

void source_settle(
    struct source *src, struct job *j, enum fate fate, struct span reply, int64_t now)
{
	int64_t usec = j->dotted ? now - j->dot_at : 0;

	src->fate[fate]++;
	src->settled++;
	src->last_ack = now;
	if (fate == FATE_ACKED) {
		src->last_good = now;
		latency_add(src->latency, usec);
	}
	if (ledger_kept(&src->ledger))
		put_fate(src, j, fate, reply, usec);
	j->n = 0;
}

/* ---- the loop ---------------------------------------------------------------------------- */

static void sweep_session(struct source *src, struct session *s, int64_t now)
{
	int64_t patience = (int64_t)src->opt.timeout * USEC_PER_SEC;

	if (s->state == SESSION_OVER)
		return;
	if (s->state != SESSION_WAITING) {
		if (now - s->heard_at > patience)
			session_lost(src, s, now, "no answer in time");
		return;
	}
	if (src->next_n == 0) {
		s->state = SESSION_OVER;
		src->open--;
	} else if (s->wake_at <= now) {
		session_start(src, s, now);
	}
}

/* Takes no more numbers; what is on its way may end. */
static void stop(struct source *src)
{
	src->next_n = 0;
	src->stopping = true;
}

static bool given_up(const struct source *src, int64_t now)
{
	int64_t patience = (int64_t)src->opt.keep_going * USEC_PER_SEC;

	return patience > 0 && now - src->last_good > patience && src->next_n != 0;
}

/* True when nothing more is to be waited for. */
static bool is_over(const struct source *src, int64_t now)
{
	bool idle = src->next_n == 0 && src->settled == src->taken;

	if (src->open == 0 || bench_interrupts() > 1)
		return true;
	if (idle && now - src->last_ack > farewell)
		return true;
	return src->stopping && now - src->last_good > grace;
}

static bool sweep(struct source *src, struct progress *p, int64_t now)
{
	if (!src->stopping && (bench_interrupts() > 0 || given_up(src, now))) {
		stop(src);
		src->last_good = now;
	}
	for (size_t i = 0; i < src->opt.sessions; i++)
		sweep_session(src, src->sessions[i], now);
	progress_update(p, (int64_t)src->settled, now);
	if (ledger_kept(&src->ledger))
		ledger_flush(&src->ledger);
	return is_over(src, now);
}

static void run_loop(struct source *src, struct progress *p)
{
	struct epoll_event ev[EVENTS];
	int64_t swept = 0, now;
	bool over = false;

	while (!over) {
		int n = epoll_wait(src->epoll, ev, EVENTS, 20);

		if (n < 0 && errno != EINTR)
			die("epoll: %s", strerror(errno));
		for (int i = 0; i < n; i++)
			session_event(src, ev[i].data.ptr, ev[i].events);
		now = clock_now();
		if (now - swept >= sweep_every) {
			swept = now;
			over = sweep(src, p, now);
		}
		over = over || src->open == 0;
	}
}

static void open_sessions(struct source *src)
{
	src->sessions = gw_calloc(src->opt.sessions, sizeof(*src->sessions));
	for (size_t i = 0; i < src->opt.sessions; i++) {
		src->sessions[i] = gw_calloc(1, sizeof(struct session));
		session_init(src, src->sessions[i]);
	}
	src->open = src->opt.sessions;
}

/* What is still on its way gets its fate; the rest of the numbers was never taken. */
static void close_sessions(struct source *src)
{
	stop(src);
	for (size_t i = 0; i < src->opt.sessions; i++) {
		struct session *s = src->sessions[i];

		if (s->now.n != 0)
			session_lost(src, s, clock_now(), "ended by the source");
		session_fini(s);
		free(s);
	}
	free(src->sessions);
}

/* ---- the report -------------------------------------------------------------------------- */

static double milli(uint64_t usec)
{
	return (double)usec / 1000;
}

static double seconds_of(const struct source *src)
{
	int64_t usec = src->last_ack - src->first_sent;

	return src->first_sent && usec > 0 ? (double)usec / (double)USEC_PER_SEC : 0;
}

static void report_json(const struct source *src, uint64_t unsent)
{
	const struct latency *l = src->latency;
	double seconds = seconds_of(src);
	uint64_t acked = src->fate[FATE_ACKED];
	json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I}", "event", "result", "tool",
	    "source", "run", src->run, "messages", (json_int_t)src->opt.messages, "acked",
	    (json_int_t)acked, "refused", (json_int_t)src->fate[FATE_REFUSED], "unknown",
	    (json_int_t)src->fate[FATE_UNKNOWN], "unsent", (json_int_t)unsent);

	if (o == NULL)
		die("out of memory");
	json_object_set_new(o, "seconds", json_real(seconds));
	json_object_set_new(o, "rate", json_real(seconds > 0 ? (double)acked / seconds : 0));
	json_object_set_new(o, "p50_ms", json_real(milli(latency_at(l, 0.5))));
	json_object_set_new(o, "p99_ms", json_real(milli(latency_at(l, 0.99))));
	json_object_set_new(o, "max_ms", json_real(milli(l->max)));
	json_object_set_new(o, "connections", json_integer((json_int_t)src->connections));
	json_object_set_new(o, "failures", json_integer((json_int_t)src->failures));
	json_object_set_new(o, "began", json_real((double)src->first_sent / USEC_PER_SEC));
	json_object_set_new(o, "ended", json_real((double)src->last_ack / USEC_PER_SEC));
	json_object_set_new(o, "trouble", json_string_nocheck(src->first_trouble));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(o);
}

static void report_text(const struct source *src, uint64_t unsent)
{
	const struct latency *l = src->latency;
	double seconds = seconds_of(src);
	uint64_t acked = src->fate[FATE_ACKED];
	char n[4][32];

	printf("run %s to %s: %s acked, %s refused, %s unknown, %s unsent\n", src->run,
	    src->opt.target.text, progress_count((int64_t)acked, n[0], sizeof(n[0])),
	    progress_count((int64_t)src->fate[FATE_REFUSED], n[1], sizeof(n[1])),
	    progress_count((int64_t)src->fate[FATE_UNKNOWN], n[2], sizeof(n[2])),
	    progress_count((int64_t)unsent, n[3], sizeof(n[3])));
	printf("%s msg/s over %.3f s, %s connections\n",
	    progress_count(
		(int64_t)(seconds > 0 ? (double)acked / seconds : 0), n[0], sizeof(n[0])),
	    seconds, progress_count((int64_t)src->connections, n[1], sizeof(n[1])));
	printf("final reply after p50 %.3f  p99 %.3f  max %.3f ms\n", milli(latency_at(l, 0.5)),
	    milli(latency_at(l, 0.99)), milli(l->max));
	if (src->first_trouble[0])
		printf("first trouble: %s\n", src->first_trouble);
}

static int verdict(const struct source *src)
{
	if (src->connections == 0)
		return bench_fail("source", BENCH_UNAVAILABLE, "%s: %s", src->opt.target.text,
		    src->first_trouble[0] ? src->first_trouble : "no connection");
	if (bench_interrupts() > 0)
		return BENCH_INTERRUPTED;
	return src->fate[FATE_ACKED] == src->opt.messages ? BENCH_OK : BENCH_NO;
}

/* ---- start ------------------------------------------------------------------------------- */

static void choose_run(struct source *src)
{
	uint32_t id;

	if (src->opt.run != NULL) {
		snprintf(src->run, sizeof(src->run), "%s", src->opt.run);
		return;
	}
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		id = (uint32_t)clock_wall();
	snprintf(src->run, sizeof(src->run), "%08x", id);
}

/* The ledger's first line says what was asked for; its last, that it is complete. */
static void put_begin(struct source *src)
{
	struct ledger *l = &src->ledger;

	if (!ledger_kept(l))
		return;
	ledger_raw(l, "{\"ledger\":\"source\",\"run\":");
	ledger_text(l, span_str(src->run));
	ledger_raw(l, ",\"first\":");
	ledger_number(l, src->opt.first);
	ledger_raw(l, ",\"messages\":");
	ledger_number(l, src->opt.messages);
	ledger_raw(l, ",\"rcpts\":");
	ledger_number(l, src->opt.rcpts);
	ledger_raw(l, ",\"size\":");
	ledger_number(l, src->opt.size);
	ledger_raw(l, ",\"target\":");
	ledger_text(l, span_str(src->opt.target.text));
	ledger_raw(l, ",\"to\":");
	ledger_text(l, span_str(src->opt.to));
	ledger_raw(l, "}");
	ledger_line(l);
	ledger_flush(l);
}

static int end_ledger(struct source *src)
{
	if (ledger_kept(&src->ledger)) {
		ledger_raw(&src->ledger, "{\"end\":true,\"t\":");
		ledger_time(&src->ledger, clock_wall());
		ledger_raw(&src->ledger, "}");
		ledger_line(&src->ledger);
	}
	return ledger_close(&src->ledger);
}

int source_run(const struct source_options *opt)
{
	struct source src = {.opt = *opt};
	struct progress p;
	uint64_t unsent;
	int code;

	if (ledger_open(&src.ledger, opt->ledger) < 0)
		return bench_fail(
		    "source", BENCH_CANTCREATE, "%s: %s", opt->ledger, strerror(errno));
	src.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (src.epoll < 0)
		return bench_fail("source", BENCH_UNAVAILABLE, "epoll: %s", strerror(errno));
	choose_run(&src);
	put_begin(&src);
	bench_pool_init(&src.pool, opt->size);
	src.latency = gw_calloc(1, sizeof(*src.latency));
	src.next_n = opt->first;
	src.began = src.last_good = clock_now();
	progress_begin(&p, "sent", (int64_t)opt->messages, progress_mode_of(opt->json, opt->quiet),
	    opt->json ? STDOUT_FILENO : STDERR_FILENO, src.began);
	open_sessions(&src);
	bench_catch_signals();
	run_loop(&src, &p);
	progress_end(&p, (int64_t)src.settled, clock_now());
	close_sessions(&src);
	unsent = src.fate[FATE_UNSENT] + opt->messages - src.taken;
	code = verdict(&src);
	if (end_ledger(&src) < 0)
		code = bench_fail("source", BENCH_CANTCREATE, "%s: not written", opt->ledger);
	if (opt->json)
		report_json(&src, unsent);
	else if (src.connections > 0)
		report_text(&src, unsent);
	bench_pool_fini(&src.pool);
	free(src.latency);
	close(src.epoll);
	return code;
}
