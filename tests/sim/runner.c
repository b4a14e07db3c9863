#include "sim/runner.h"

#include "sim/faults.h"
#include "sim/shrink.h"
#include "sim/sweep.h"
#include "sim/trace.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LANES = 64, HANGS_AFTER = 60 /* seconds in one history */ };

/* What a process says of itself, in memory that all share. */
struct lane {
	pid_t pid;
	uint64_t seed, histories, points, ends;
	uint64_t faults[FAULTS];
	bool failed;
	struct ending ending;
};

struct shared {
	volatile bool stop;
	struct lane lane[LANES];
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a process --------------------------------------------------------------------------------
 */

/* Small pieces come and go by the million: they stay with us. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_TOP_PAD, 4 << 20);
}

static void live_histories(
    const struct run *r, const struct config *c, struct shared *sh, unsigned number)
{
	struct lane *lane = &sh->lane[number];
	struct sweep *sweep = r->plan.small ? sweep_new() : NULL;
	struct script p = r->plan;
	double begin = seconds();

	keep_memory();
	for (uint64_t i = number; i < r->histories && !sh->stop && !lane->failed; i += r->jobs) {
		if (r->seconds_max > 0 && seconds() - begin > r->seconds_max)
			break;
		p.seed = lane->seed = r->plan.seed + i;
		alarm(HANGS_AFTER);
		history_run(&p, c, sweep, &lane->ending);
		lane->failed = !lane->ending.good;
		lane->histories++;
		lane->ends += lane->ending.ends;
		if (sweep)
			lane->points = sweep_points(sweep);
		memcpy(lane->faults, sim_faults, sizeof(sim_faults));
	}
	alarm(0);
	sweep_free(&sweep);
}

static void start(const struct run *r, const struct config *c, struct shared *sh, unsigned number)
{
	struct lane *lane = &sh->lane[number];

	fflush(stdout);
	lane->pid = fork();
	gw_assert(lane->pid >= 0);
	if (lane->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGABRT, SIG_DFL);
	live_histories(r, c, sh, number);
	if (lane->failed) /* what it leaves in memory is no leak of the program */
		_exit(0);
	exit(0);
}

static void wait_for_all(struct shared *sh, unsigned jobs)
{
	for (unsigned left = jobs; left > 0; left--) {
		int status = 0;
		pid_t pid = wait(&status);

		for (unsigned i = 0; i < jobs; i++) {
			struct lane *lane = &sh->lane[i];

			if (lane->pid != pid)
				continue;
			if (status != 0 && !lane->failed) {
				lane->failed = true;
				lane->ending.check = NULL;
				snprintf(
				    lane->ending.why, sizeof(lane->ending.why), "aborted or hangs");
			}
			sh->stop = sh->stop || lane->failed;
		}
	}
}

/* ---- the end of it ----------------------------------------------------------------------------
 */

static struct lane total(const struct shared *sh, unsigned jobs)
{
	struct lane sum = {.pid = 0};

	for (unsigned i = 0; i < jobs; i++) {
		const struct lane *lane = &sh->lane[i];

		sum.histories += lane->histories;
		sum.points += lane->points;
		sum.ends += lane->ends;
		for (int f = 0; f < FAULTS; f++)
			sum.faults[f] += lane->faults[f];
		if (lane->failed && (!sum.failed || lane->seed < sum.seed)) {
			sum.failed = true;
			sum.seed = lane->seed;
			sum.ending = lane->ending;
		}
	}
	return sum;
}

/* In a process of its own: it may end in an abort. */
static void print_trace(const struct script *p, const struct config *c)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	gw_assert(pid >= 0);
	if (pid == 0)
		_exit(plan_trace(p, c));
	gw_assert(waitpid(pid, NULL, 0) == pid);
}

/* The shortest history that fails like this one, its trace, and how to repeat it. */
static void explain(
    const struct run *r, const struct config *c, const char *program, const struct lane *failed)
{
	struct script p = r->plan;
	struct ending e;
	unsigned tries;

	p.seed = failed->seed;
	shrink_try(&p, c, &e);
	if (e.good) {
		printf("seed %llu does not fail again\n", (unsigned long long)p.seed);
		return;
	}
	tries = shrink(&p, c, &e);
	print_trace(&p, c);
	printf("shrunk in %u tries; life %u, step %u: %s\nrepeat it:\n  %s", tries, e.life, e.step,
	    e.why, program);
	plan_print(&p);
}

static void print_rate(const struct run *r, const struct lane *sum, double took)
{
	uint64_t points = sum->points + sum->ends;

	printf("%s: %llu histories (seeds %llu to %llu), %llu crash points",
	    r->plan.small ? "sweep" : "long", (unsigned long long)sum->histories,
	    (unsigned long long)r->plan.seed, (unsigned long long)(r->plan.seed + r->histories - 1),
	    (unsigned long long)points);
	if (r->plan.small)
		printf(" (%llu swept, %llu lived on after)", (unsigned long long)sum->points,
		    (unsigned long long)sum->ends);
	printf(", %.1f s, %.0f crash points/s", took, (double)points / took);
	if (points > 0 && r->plan.small)
		printf(
		    "; 10 million take SEEDS=%.0f", 1e7 * (double)sum->histories / (double)points);
	printf("\n");
}

static int judge(
    const struct run *r, const struct config *c, const char *program, const struct lane *sum)
{
	if (r->plan.bug != BUG_NONE) {
		printf("%s: %s\n", bug_rows[r->plan.bug].name,
		    sum->failed ? sum->ending.why : "the planted bug was NOT found");
		if (sum->failed && r->shrink)
			explain(r, c, program, sum);
		return !sum->failed;
	}
	if (sum->failed) {
		printf("seed %llu: %s\n", (unsigned long long)sum->seed, sum->ending.why);
		explain(r, c, program, sum);
		return 1;
	}
	if (!r->whole)
		return 0;
	if (faults_print(sum->faults, r->plan.small))
		return 0;
	printf("a kind of fault never happened\n");
	return 1;
}

int run_histories(const struct run *r, const struct config *c, const char *program)
{
	struct shared *sh =
	    mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double begin = seconds();
	struct lane sum;

	gw_assert(sh != MAP_FAILED && r->jobs > 0 && r->jobs <= LANES);
	for (unsigned i = 0; i < r->jobs; i++)
		start(r, c, sh, i);
	wait_for_all(sh, r->jobs);
	sum = total(sh, r->jobs);
	print_rate(r, &sum, seconds() - begin);
	munmap(sh, sizeof(*sh));
	return judge(r, c, program, &sum);
}
