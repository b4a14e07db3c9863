/* The tools of a campaign: sinks that take, sources that send, what the queue says meanwhile. */
#include "cmd/prove.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	LARGE_SIZE = 600 << 10, /* comes in parts, and spans several flushes */
	QUEUE_HIGH = 3000,      /* messages waiting: the sources stand still */
	QUEUE_LOW = 300,
	BOX_HIGH = 300, /* the mailboxes' source does so earlier: they are slower than the others */
	BOX_LOW = 100,
	READY_SECONDS = 10,
	ARG_BYTES = 32,
};
static const char messages[] = "30000000"; /* more than any campaign sends */
static const int64_t look_every = 300 * USEC_PER_MSEC;
static const int64_t end_patience = 20 * USEC_PER_SEC;
/* The large lane is there for its way through the log, not to fill the disk. */
static const int64_t large_period = 1 * USEC_PER_SEC, large_share = 120 * USEC_PER_MSEC;

/* ---- lanes -------------------------------------------------------------------------------- */

void load_plan(struct prove *p)
{
	static const char *const names[LANES] = {"relay", "box", "large"};
	uint64_t n = p->opt.sessions;

	for (int i = 0; i < LANES; i++) {
		p->lane[i].name = names[i];
		p->lane[i].size = p->opt.size;
		p->lane[i].source.out = p->lane[i].taker.out = -1;
	}
	p->lane[LANE_LARGE].sessions = n >= 3;
	p->lane[LANE_BOX].sessions = n >= 10 ? n / 10 : n >= 2;
	p->lane[LANE_RELAY].sessions =
	    n - p->lane[LANE_LARGE].sessions - p->lane[LANE_BOX].sessions;
	if (p->opt.size < LARGE_SIZE)
		p->lane[LANE_LARGE].size = LARGE_SIZE;
}

static size_t all_tools(struct prove *p, struct tool *list[2 * LANES])
{
	size_t n = 0;

	for (int i = 0; i < LANES; i++) {
		list[n++] = &p->lane[i].source;
		list[n++] = &p->lane[i].taker;
	}
	return n;
}

/* ---- starting ----------------------------------------------------------------------------- */

static void start_sink(struct prove *p, struct lane *l)
{
	const char *argv[] = {
	    "sink", "127.0.0.1:0", "--json", "--ledger", place_path(p, l->name, ".arrivals"), NULL};
	struct cmd_globals g = {.json = true};

	if (tool_fork(&l->taker, l->name, place_path(p, "tools", ".err")))
		exit(bench_sink(&g, GW_ARRAY_LEN(argv) - 1, (char **)(uintptr_t)argv));
}

static void start_mailbox(struct prove *p, struct lane *l)
{
	if (tool_fork(&l->taker, l->name, place_path(p, "tools", ".err")))
		exit(mailbox_read(place_path(p, "mail", ""), place_path(p, l->name, ".arrivals")));
}

static bool all_listen(const struct prove *p)
{
	for (int i = 0; i < LANES; i++) {
		if (i != LANE_BOX && p->lane[i].sessions > 0 && p->lane[i].taker.port == 0)
			return false;
	}
	return true;
}

int load_start_takers(struct prove *p)
{
	int64_t until = clock_now() + READY_SECONDS * USEC_PER_SEC;

	for (int i = 0; i < LANES; i++) {
		if (p->lane[i].sessions == 0)
			continue;
		if (i == LANE_BOX)
			start_mailbox(p, &p->lane[i]);
		else
			start_sink(p, &p->lane[i]);
	}
	while (!all_listen(p) && clock_now() < until && !prove_interrupted(p))
		prove_wait(p, clock_now() + 10 * USEC_PER_MSEC);
	if (all_listen(p))
		return CMD_OK;
	return prove_fail(CMD_NO, "a sink does not listen: see %s", place_path(p, "tools", ".err"));
}

static void in_source(struct prove *p, const struct lane *l)
{
	char target[ARG_BYTES], sessions[ARG_BYTES], size[ARG_BYTES], to[ARG_BYTES],
	    from[ARG_BYTES];
	const char *argv[] = {"source", target, "--json", "--sessions", sessions, "--messages",
	    messages, "--size", size, "--to", to, "--from", from, "--run", l->name,
	    "--keep-going=3600", "--ledger", place_path(p, l->name, ".sent"),
	    p->opt.tls ? "--tls" : NULL, NULL};
	struct cmd_globals g = {.json = true};

	snprintf(target, sizeof(target), "127.0.0.1:%u", p->opt.tls ? p->tls_port : p->port);
	snprintf(sessions, sizeof(sessions), "%llu", (unsigned long long)l->sessions);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)l->size);
	snprintf(to, sizeof(to), "box@%s.test", l->name);
	snprintf(from, sizeof(from), "bounce@%s.test", l->name);
	exit(bench_source(
	    &g, (int)GW_ARRAY_LEN(argv) - (p->opt.tls ? 1 : 2), (char **)(uintptr_t)argv));
}

int load_start_sources(struct prove *p)
{
	for (int i = 0; i < LANES; i++) {
		struct lane *l = &p->lane[i];

		if (l->sessions > 0 &&
		    tool_fork(&l->source, l->name, place_path(p, "tools", ".err")))
			in_source(p, l);
	}
	p->load_began = clock_now();
	return CMD_OK;
}

/* ---- while it runs ------------------------------------------------------------------------ */

static void pause_sources(struct prove *p, int64_t now)
{
	bool large = now - p->large_on >= large_share;

	if (now - p->large_on >= large_period)
		p->large_on = now;
	tool_pause(&p->lane[LANE_RELAY].source, p->held_back);
	tool_pause(&p->lane[LANE_BOX].source, p->held_back || p->box_held_back);
	tool_pause(&p->lane[LANE_LARGE].source, p->held_back || large);
}

static void judge_queue(bool *held, int64_t queued, int64_t low, int64_t high)
{
	if (queued > high)
		*held = true;
	else if (queued >= 0 && queued < low)
		*held = false;
}

static void look_at_queue(struct prove *p, int64_t now)
{
	int64_t queued;

	if (!p->up || now - p->looked < look_every)
		return;
	p->looked = now;
	queued = server_queued(p);
	judge_queue(&p->held_back, queued, QUEUE_LOW, QUEUE_HIGH);
	judge_queue(&p->box_held_back, queued, BOX_LOW, BOX_HIGH);
}

void load_serve(struct prove *p, int msec, int64_t now)
{
	struct tool *list[2 * LANES];
	size_t n = all_tools(p, list);

	tools_read(list, n, msec);
	if (p->load_began == 0 || p->load_ended != 0)
		return;
	look_at_queue(p, now);
	pause_sources(p, now);
}

bool load_runs(struct prove *p)
{
	for (int i = 0; i < LANES; i++) {
		if (p->lane[i].sessions > 0 && tool_over(&p->lane[i].source))
			return false;
	}
	return true;
}

void load_hold_takers(struct prove *p, bool hold)
{
	tool_pause(&p->lane[LANE_RELAY].taker, hold);
	tool_pause(&p->lane[LANE_LARGE].taker, hold);
}

/* ---- the end ------------------------------------------------------------------------------ */

static bool any_runs(struct tool **list, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any = !tool_over(list[i]) || any;
	return any;
}

/* Asked once, then pressed: a source waits for what is on its way. */
static void end_tools(struct prove *p, struct tool **list, size_t n)
{
	static const int signals[] = {SIGINT, SIGINT, SIGKILL};

	for (size_t s = 0; s < GW_ARRAY_LEN(signals) && any_runs(list, n); s++) {
		int64_t until = clock_now() + end_patience;

		for (size_t i = 0; i < n; i++) {
			tool_pause(list[i], false);
			tool_signal(list[i], signals[s]);
		}
		while (any_runs(list, n) && clock_now() < until)
			prove_wait(p, clock_now() + 20 * USEC_PER_MSEC);
	}
}

void load_stop_sources(struct prove *p)
{
	struct tool *list[LANES];

	p->load_ended = clock_now();
	for (int i = 0; i < LANES; i++)
		list[i] = &p->lane[i].source;
	end_tools(p, list, LANES);
}

void load_stop_takers(struct prove *p)
{
	struct tool *list[LANES];

	for (int i = 0; i < LANES; i++)
		list[i] = &p->lane[i].taker;
	end_tools(p, list, LANES);
}

void load_fini(struct prove *p)
{
	for (int i = 0; i < LANES; i++) {
		tool_fini(&p->lane[i].source);
		tool_fini(&p->lane[i].taker);
	}
}
