#include "cmd/prove.h"

#include "base/clock.h"
#include "cmd/flags.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	KILLS = 50,
	KILLS_SABOTAGED = 8,
	KILLS_MAX = 10000, /* the ledger of kills holds no more */
	SESSIONS = 30,
	SESSIONS_MAX = 5000,
	SIZE = 4096,
	SIZE_MAX_BYTES = 30 << 20,
	TURN = 50, /* milliseconds */
	EMPTY_LOOKS = 2,
};
static const int64_t gap_min = 150 * USEC_PER_MSEC, gap_more = 1600 * USEC_PER_MSEC,
		     gap_more_lie = 500 * USEC_PER_MSEC;
/* Without any progress; a disk that lies leaves messages behind that cannot be delivered. */
static const int64_t drain_patience = 60 * USEC_PER_SEC, drain_patience_lie = 6 * USEC_PER_SEC;

/* ---- what all use ------------------------------------------------------------------------- */

int prove_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("godwit prove: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

void prove_trouble(struct prove *p, const char *fmt, ...)
{
	va_list ap;

	p->failed = true;
	if (p->trouble[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(p->trouble, sizeof(p->trouble), fmt, ap);
	va_end(ap);
}

uint64_t prove_random(struct prove *p, uint64_t below)
{
	uint64_t z = (p->random += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (z ^ (z >> 31)) % below;
}

bool prove_interrupted(const struct prove *p)
{
	return bench_interrupts() > p->heard;
}

void prove_progress(struct prove *p, const char *what, int64_t total)
{
	prove_progress_end(p);
	progress_begin(&p->progress, what, total, progress_mode_of(p->g.json, p->g.quiet),
	    p->g.json ? STDOUT_FILENO : STDERR_FILENO, clock_now());
	p->done = 0;
	p->progressing = true;
}

void prove_progress_end(struct prove *p)
{
	if (p->progressing)
		progress_end(&p->progress, p->done, clock_now());
	p->progressing = false;
}

void prove_wait(struct prove *p, int64_t until)
{
	int64_t now = clock_now();

	do {
		int64_t left = until > now ? (until - now + 999) / 1000 : 0;

		load_serve(p, left < TURN ? (int)left : TURN, now);
		now = clock_now();
		if (p->progressing)
			progress_update(&p->progress, p->done, now);
	} while (now < until && !prove_interrupted(p));
}

/* ---- the campaign ------------------------------------------------------------------------- */

static int start(struct prove *p)
{
	int code;

	if (server_choose_port(p) < 0)
		return prove_fail(CMD_NO, "no port is free on 127.0.0.1");
	code = load_start_takers(p);
	if (code == CMD_OK)
		code = place_config(p);
	if (code != CMD_OK)
		return code;
	if (server_start(p) < 0)
		return prove_fail(CMD_NO, "no process for the server");
	if (server_greeting(p) < 0)
		return prove_interrupted(p)
			   ? CMD_INTERRUPTED
			   : prove_fail(CMD_NO, "the server does not start: %s; see %s", p->trouble,
				 place_path(p, "server", ".err"));
	return load_start_sources(p);
}

static bool is_over(struct prove *p)
{
	bool time_over = p->opt.time > 0 && clock_now() - p->load_began >= p->opt.time;
	bool kills_done = p->count.strikes >= (p->opt.kills > 0 ? p->opt.kills : KILLS_MAX);

	return time_over || kills_done || p->failed || prove_interrupted(p);
}

/* Never beyond the end of the time. */
static int64_t next_moment(struct prove *p)
{
	int64_t more = p->opt.lie != LIE_NONE ? gap_more_lie : gap_more;
	int64_t at = clock_now() + gap_min + (int64_t)prove_random(p, (uint64_t)more);
	int64_t end = p->load_began + p->opt.time;

	return p->opt.time > 0 && at > end ? end : at;
}

static void campaign(struct prove *p)
{
	if (p->opt.kills > 0)
		prove_progress(p, "kills", (int64_t)p->opt.kills);
	else
		prove_progress(p, "seconds", p->opt.time / USEC_PER_SEC);
	while (!is_over(p)) {
		prove_wait(p, next_moment(p));
		if (is_over(p))
			break;
		if (!load_runs(p)) {
			prove_trouble(
			    p, "a source has ended: see %s", place_path(p, "tools", ".err"));
			break;
		}
		strike(p);
		p->done = p->opt.kills > 0 ? (int64_t)p->count.strikes
					   : (clock_now() - p->load_began) / USEC_PER_SEC;
	}
	prove_progress_end(p);
}

/* ---- the end ------------------------------------------------------------------------------ */

/* Until the queue is empty, or nothing has moved for long. */
static void drain(struct prove *p)
{
	int64_t total = server_queued(p), left = total, moved = clock_now();
	int64_t patience = p->opt.lie != LIE_NONE ? drain_patience_lie : drain_patience;
	int empty = 0;

	prove_progress(p, "drained", total > 0 ? total : 0);
	while (empty < EMPTY_LOOKS && p->server != 0 && clock_now() - moved < patience &&
	       !prove_interrupted(p)) {
		int64_t now_left = server_queued(p);

		if (now_left >= 0 && now_left != left)
			moved = clock_now();
		left = now_left >= 0 ? now_left : left;
		empty = now_left == 0 ? empty + 1 : 0;
		p->done = total > left ? total - left : 0;
		prove_wait(p, clock_now() + 100 * USEC_PER_MSEC);
	}
	prove_progress_end(p);
	p->left = empty == EMPTY_LOOKS ? 0 : left;
	if (empty < EMPTY_LOOKS && p->left == 0)
		p->left = -1;
}

/* Whoever was struck last may still be getting up. */
static void wind_down(struct prove *p)
{
	p->heard = bench_interrupts();
	load_stop_sources(p);
	if (!p->up && p->server != 0 && !p->failed)
		(void)!server_greeting(p);
	if (!p->failed)
		drain(p);
	else
		p->left = -1;
	server_stop(p);
	load_stop_takers(p);
}

static int judge(struct prove *p)
{
	bool good, kept;

	if (report_judge(p) != CMD_OK)
		return CMD_NO;
	good = report_good(p);
	kept = p->opt.keep || !good;
	report_end(p, kept);
	if (!kept)
		place_remove(p);
	if (!good)
		return CMD_NO;
	return p->heard > 0 ? CMD_INTERRUPTED : CMD_OK;
}

static int run(struct prove *p)
{
	int code = place_make(p);

	if (code == CMD_OK) {
		report_begin(p);
		code = start(p);
	}
	if (code == CMD_OK) {
		campaign(p);
		wind_down(p);
		code = judge(p);
	} else {
		server_kill_all(p, false);
		if (p->dir[0] != '\0' && code == CMD_INTERRUPTED)
			place_remove(p);
	}
	load_fini(p);
	if (p->spool_fd >= 0)
		close(p->spool_fd);
	return code;
}

/* ---- the verb ----------------------------------------------------------------------------- */

static int take_lie(struct prove_options *o, const char *name)
{
	if (name == NULL)
		return CMD_OK;
	for (int i = LIE_NONE + 1; i < LIES; i++) {
		if (strcmp(name, disk_cut_lies[i]) == 0) {
			o->lie = (enum disk_cut_lie)i;
			o->power_cut = true;
			return CMD_OK;
		}
	}
	return flags_usage(
	    "prove", "--sabotage '%s' is none of flush, dir-sync, header, late, once", name);
}

static int check_options(struct prove_options *o)
{
	if (o->sessions < 1 || o->sessions > SESSIONS_MAX)
		return flags_usage("prove", "--sessions is between 1 and %d", SESSIONS_MAX);
	if (o->kills > KILLS_MAX)
		return flags_usage("prove", "--kills is at most %d", KILLS_MAX);
	if (o->size < 8 || o->size > SIZE_MAX_BYTES)
		return flags_usage("prove", "--size is between 8 and 30M");
	if (o->kills == 0 && o->time == 0)
		o->kills = o->lie != LIE_NONE ? KILLS_SABOTAGED : KILLS;
	while (o->seed == 0)
		if (getrandom(&o->seed, 4, 0) != 4)
			o->seed = (uint64_t)clock_wall();
	return CMD_OK;
}

int cmd_prove(const struct cmd_globals *g, int argc, char **argv)
{
	static struct prove p;
	const char *lie = NULL;
	const struct flag rows[] = {
	    {"--dir", FLAG_TEXT, &p.opt.dir},
	    {"--kills", FLAG_NUMBER, &p.opt.kills},
	    {"--for", FLAG_TIME, &p.opt.time},
	    {"--sessions", FLAG_NUMBER, &p.opt.sessions},
	    {"--size", FLAG_SIZE, &p.opt.size},
	    {"--seed", FLAG_NUMBER, &p.opt.seed},
	    {"--power-cut", FLAG_ON, &p.opt.power_cut},
	    {"--sabotage", FLAG_TEXT, &lie},
	    {"--tls", FLAG_ON, &p.opt.tls},
	    {"--keep", FLAG_ON, &p.opt.keep},
	};
	struct flags f = {"prove", rows, GW_ARRAY_LEN(rows), &p.g, false};
	int code;

	memset(&p, 0, sizeof(p));
	p.opt = (struct prove_options){.sessions = SESSIONS, .size = SIZE};
	p.spool_fd = p.kills.fd = -1;
	p.g = *g;
	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc > 1)
		return flags_usage("prove", "'%s' is one word too many", argv[1]);
	code = take_lie(&p.opt, lie);
	if (code == CMD_OK)
		code = check_options(&p.opt);
	if (code != CMD_OK)
		return code;
	p.random = p.opt.seed;
	load_plan(&p);
	bench_raise_nofile();
	bench_catch_signals();
	return run(&p);
}
