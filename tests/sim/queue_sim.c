/*
 * Random histories of a whole queue: the real broker on the real store on a disk
 * that forgets, with receivers and workers that come, die and repeat themselves,
 * failing writes and flushes, a full disk, kills and power cuts at any operation.
 * What is checked stands in book.h.
 *
 *   queue_sim [histories] [first seed]     one seed is one history
 *   queue_sim --sabotage=NAME [...]        with a planted bug: succeeds when it is found
 *   queue_sim --self-test                  every planted bug must be found
 */
#include "sim/peers.h"
#include "sim/trace.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIVES = 8, STEPS = 500, DRAIN_MAX = 200000, MAILS = 120, SABOTAGE_SEEDS = 3000 };

static const char config_text[] =
    "hostname mx.test\n"
    "listen mx 127.0.0.1:2525\n"
    "trust 127.0.0.1\n"
    "domain box.test { deliver maildir /var/mail/%u }\n"
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "domain no.test { deliver reject \"550 5.1.1 nobody\" }\n"
    "domain later.test { deliver reject \"451 4.3.0 later\" }\n"
    "route to domain a.test via relay 127.0.0.1:2601\n"
    "route to domain b.test via relay 127.0.0.1:2602\n"
    "route to domain c.test via relay 127.0.0.1:2602\n"
    "shape once { domain c.test; connections 2; at-most-once yes; retry 1s 5s; expire 5m }\n"
    "shape one { domain a.test; connections 2; per-connection 3; retry 1s 5s; expire 3m }\n"
    "shape * { connections 3; per-connection 5; retry 1s 5s 30s; expire 5m }\n";

static struct world w;
static uint64_t current_seed, crash_points;

static struct config *parse(void)
{
	struct config_diags d;
	struct config *c;
	struct buf bundle;

	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	config_diags_init(&d);
	gw_assert(config_bundle_text("sim.conf", span_str(config_text), &bundle) == 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	if (c == NULL) {
		struct buf out;

		buf_init(&out, 1 << 20);
		config_diags_format(&d, &out);
		die("%.*s", SPAN_ARG(buf_view(&out)));
	}
	config_diags_fini(&d);
	buf_fini(&bundle);
	return c;
}

/* ---- one history -------------------------------------------------------------------------- */

static void no_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

	memset(p->fail_per_10000, 0, sizeof(p->fail_per_10000));
	p->nospace_per_10000 = 0;
	disk_sim_others(w.disk, 0);
}

static void some_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

	no_faults();
	if (sim_once_in(&w.rng, 2))
		return;
	for (int op = 0; op < SIM_OPS; op++) {
		if (op != SIM_READ && sim_once_in(&w.rng, 2))
			p->fail_per_10000[op] = (unsigned)sim_below(&w.rng, 500);
	}
	if (sim_once_in(&w.rng, 3))
		p->fail_per_10000[SIM_SYNC] = 4000;
	if (sim_once_in(&w.rng, 3))
		p->nospace_per_10000 = (unsigned)sim_below(&w.rng, 300);
}

/* Power cut: everything dies. Else the queue alone is gone, its peers see that. */
static void end_life(void)
{
	bool power = sim_below(&w.rng, 10) < 6;

	crash_points++;
	sim_note(power ? "power cut" : "the queue is killed");
	disk_sim_die(w.disk);
	if (power)
		peers_power_gone(&w);
	else
		peers_queue_gone(&w);
	world_bury(&w);
	if (power)
		disk_sim_power_cut(w.disk);
	else
		disk_sim_restart(w.disk);
	if (disk_sim_violation(w.disk))
		sim_fail("the store %s", disk_sim_violation(w.disk));
}

static void begin_life(void)
{
	for (int tries = 0;; tries++) {
		no_faults();
		if (tries < 4 && sim_once_in(&w.rng, 4))
			disk_sim_crash_after(w.disk, 1 + sim_below(&w.rng, 60));
		if (world_start(&w))
			return;
		if (!disk_sim_dead(w.disk))
			sim_fail("recovery does not succeed on a good disk");
		end_life();
	}
}

static void let_time_pass(void)
{
	int64_t next = world_deadline(&w);

	if (sim_once_in(&w.rng, 12) && next > w.now && next < w.now + INT64_C(60000000))
		w.now = next;
	else
		w.now += (int64_t)sim_below(&w.rng, sim_once_in(&w.rng, 50) ? 400000 : 1500);
}

static void step(bool new_mail)
{
	let_time_pass();
	world_turn(&w);
	if (world_alive(&w) && sim_once_in(&w.rng, 12))
		world_prepare(&w);
	if (world_alive(&w) && sim_once_in(&w.rng, 150))
		disk_sim_others(w.disk, sim_below(&w.rng, disk_sim_params(w.disk)->capacity));
	if (world_alive(&w))
		peers_step(&w, new_mail);
}

static void live(void)
{
	unsigned steps = 20 + (unsigned)sim_below(&w.rng, STEPS);

	begin_life();
	some_faults();
	if (!sim_once_in(&w.rng, 4))
		disk_sim_crash_after(w.disk, 1 + sim_below(&w.rng, 150));
	for (unsigned i = 0; i < steps && world_alive(&w); i++)
		step(w.book.n < MAILS && !sim_once_in(&w.rng, 3));
	end_life();
}

static bool drained(void)
{
	struct broker_counts n;

	broker_counts(w.broker, &n);
	return n.messages == 0 && world_idle(&w) && peers_idle(&w);
}

/* A good disk and willing hosts: the queue empties, and the log shrinks. */
static void last_life(void)
{
	struct store_stat st;

	disk_sim_crash_after(w.disk, 0);
	no_faults();
	if (!world_start(&w))
		sim_fail("the last start does not succeed");
	peers_calm(&w, true);
	for (unsigned i = 0; !drained(); i++) {
		int64_t next = world_deadline(&w);

		if (i == DRAIN_MAX)
			sim_fail("the queue does not empty");
		if (i % 40 == 0 && next > w.now)
			w.now = next;
		w.now += (int64_t)sim_below(&w.rng, 3000);
		world_turn(&w);
		peers_step(&w, false);
	}
	book_final(&w.book);
	if (w.now < w.retire_from)
		w.now = w.retire_from;
	for (int i = 0; i < 20; i++) { /* the counts of the days follow into the newest segment */
		w.now += 1000000;
		world_turn(&w);
	}
	store_stat(w.store, &st);
	if (st.segments > 1)
		sim_fail("%u segments remain of an empty queue", st.segments);
}

static bool history(uint64_t seed, const struct config *c, enum sabotage s)
{
	volatile bool good = false;

	current_seed = seed;
	sim_notes_clear();
	world_init(&w, seed, c, s);
	if (setjmp(sim_failed) == 0) {
		for (int i = 0; i < LIVES; i++)
			live();
		last_life();
		good = true;
	}
	world_fini(&w);
	return good;
}

/* ---- running them ------------------------------------------------------------------------- */

static void aborted(int sig)
{
	(void)sig;
	fprintf(stderr, "queue_sim: seed %llu: aborted\n", (unsigned long long)current_seed);
	sim_notes_print();
	_exit(w.sabotage == SABOTAGE_NONE);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(uint64_t n, uint64_t seed, const struct config *c, enum sabotage s)
{
	double begin = seconds(), took;

	for (uint64_t end = seed + n; seed < end; seed++) {
		if (history(seed, c, s))
			continue;
		took = seconds() - begin;
		if (s == SABOTAGE_NONE)
			sim_notes_print();
		printf("queue_sim: seed %llu%s%s: %s (after %.1f s)\n", (unsigned long long)seed,
		    s ? ", sabotage " : "", s ? sabotage_names[s] : "", sim_why(), took);
		return s == SABOTAGE_NONE;
	}
	took = seconds() - begin;
	printf("queue_sim: %llu histories, %llu crash points, %.0f crash points/s%s\n",
	    (unsigned long long)n, (unsigned long long)crash_points, (double)crash_points / took,
	    s == SABOTAGE_NONE ? "" : ": the planted bug was NOT found");
	return s != SABOTAGE_NONE;
}

/* Each planted bug in a process of its own: some of them end it. */
static int self_test(const struct config *c)
{
	int bad = 0;

	for (int s = SABOTAGE_NONE + 1; s < SABOTAGES; s++) {
		pid_t pid;
		int status = 0;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			exit(run(SABOTAGE_SEEDS, 1, c, (enum sabotage)s));
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
			printf("queue_sim: sabotage %s was not found\n", sabotage_names[s]);
			bad = 1;
		}
	}
	return bad;
}

static int usage(void)
{
	fprintf(stderr, "queue_sim [--self-test | --sabotage=NAME] [histories] [first seed]\n");
	return 2;
}

static enum sabotage sabotage_of(const char *name)
{
	int s = SABOTAGE_NONE + 1;

	while (s < SABOTAGES && strcmp(name, sabotage_names[s]) != 0)
		s++;
	return (enum sabotage)s;
}

int main(int argc, char **argv)
{
	enum sabotage s = SABOTAGE_NONE;
	bool test_self = argc > 1 && strcmp(argv[1], "--self-test") == 0;
	struct config *c;
	int status;

	if (argc > 1 && strncmp(argv[1], "--sabotage=", 11) == 0) {
		s = sabotage_of(argv[1] + 11);
		argv++;
		argc--;
	}
	if (s == SABOTAGES || (argc > 1 && argv[1][0] == '-' && !test_self))
		return usage();
	signal(SIGABRT, aborted);
	log_setup(STDERR_FILENO, LOG_NONE, "sim");
	c = parse();
	status = test_self ? self_test(c)
			   : run(argc > 1 ? strtoull(argv[1], NULL, 10) : 300,
				 argc > 2 ? strtoull(argv[2], NULL, 10) : 1, c, s);
	config_free(&c);
	return status;
}
