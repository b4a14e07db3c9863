/* Runs every planted bug against every simulator that must find it, each in a program of its own.
 */
#include "sim/bugs.h"
#include "sim/runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The slowest takes 17 s alone; other work beside it, and sanitizers, make it much slower. */
#ifdef __SANITIZE_ADDRESS__
enum { SECONDS_MAX = 300 };
#else
enum { SECONDS_MAX = 180 };
#endif
enum { LINE = 400 };

struct trial {
	const char *program; /* queue_sim, with its path */
	const struct bug_row *bug;
	unsigned where;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* spool_sim lies beside queue_sim. */
static void path_of_spool_sim(const struct trial *t, char *path, size_t n)
{
	const char *slash = strrchr(t->program, '/');
	int dir = slash ? (int)(slash - t->program + 1) : 0;

	snprintf(path, n, "%.*sspool_sim", dir, t->program);
}

_Noreturn static void become(const struct trial *t, int out)
{
	char bug[80], path[4096];

	dup2(out, STDOUT_FILENO);
	alarm(SECONDS_MAX);
	snprintf(bug, sizeof(bug), "--bug=%s", t->bug->name);
	path_of_spool_sim(t, path, sizeof(path));
	if (t->where == IN_SPOOL)
		execl(path, path, "100000", "1", t->bug->name, (char *)NULL);
	else if (t->where == IN_SWEEP)
		execl(t->program, t->program, "--sweep", "--jobs=1", bug, "1000000", "1",
		    (char *)NULL);
	else
		execl(t->program, t->program, "--jobs=1", bug, "1000000", "1", (char *)NULL);
	_exit(127);
}

/* The last line of what it prints. */
static void last_line(int fd, char line[LINE])
{
	FILE *f = fdopen(fd, "r");
	char next[LINE];

	line[0] = '\0';
	while (f && fgets(next, sizeof(next), f)) {
		next[strcspn(next, "\n")] = '\0';
		memcpy(line, next, sizeof(next));
	}
	if (f)
		fclose(f);
}

static bool found(const struct trial *t)
{
	static const char *const names[] = {
	    [IN_SWEEP] = "sweep", [IN_LONG] = "long", [IN_SPOOL] = "spool"};
	double begin = seconds();
	char line[LINE];
	int out[2], status = 0;
	pid_t pid;

	gw_assert(pipe(out) == 0);
	pid = fork();
	gw_assert(pid >= 0);
	if (pid == 0)
		become(t, out[1]);
	close(out[1]);
	last_line(out[0], line);
	gw_assert(waitpid(pid, &status, 0) == pid);
	const char *said = strstr(line, ": ");
	printf("%5.1f s  %-12s %-5s  %s\n                             %s\n", seconds() - begin,
	    t->bug->name, names[t->where], t->bug->sentence,
	    status != 0 ? "NOT FOUND"
	    : said      ? said + 2
			: line);
	fflush(stdout);
	return status == 0;
}

/* Every jobs-th trial, beginning with this one; returns how many bugs were not found. */
static int some_trials(const char *program, unsigned first, unsigned jobs)
{
	unsigned n = 0;
	int bad = 0;

	for (int b = BUG_NONE + 1; b < BUGS; b++) {
		for (unsigned where = IN_SWEEP; where <= IN_SPOOL; where <<= 1) {
			struct trial t = {program, &bug_rows[b], where};

			if ((bug_rows[b].where & where) && n++ % jobs == first)
				bad += !found(&t);
		}
	}
	return bad;
}

int run_bugs(const char *program, unsigned jobs)
{
	unsigned bad = 0;

	fflush(stdout);
	for (unsigned i = 0; i < jobs; i++) {
		pid_t pid = fork();

		gw_assert(pid >= 0);
		if (pid == 0)
			_exit(some_trials(program, i, jobs) > 0);
	}
	for (unsigned i = 0; i < jobs; i++) {
		int status = 0;

		gw_assert(wait(&status) > 0);
		bad += status != 0;
	}
	printf("%d planted bugs, %s\n", BUGS - 1, bad ? "NOT ALL were found" : "all were found");
	return bad > 0;
}
