/*
 * Random histories of a whole queue: the real broker on the real store on a disk
 * that forgets, with receivers and workers that come, die and repeat themselves,
 * failing writes and flushes, a full disk, kills and power cuts at any operation.
 * What is checked stands in book.h; what may happen in faults.def and history.h.
 *
 *   queue_sim [histories] [first seed]     one seed is one history
 *   queue_sim --sweep [...]                small histories, swept at every operation (sweep.h)
 *   queue_sim [--sweep] --bug=NAME [...]   with a planted bug: succeeds when it is found
 *   queue_sim ... --bug=NAME --shrink      the same, and shows that what is left finds it, too
 *   queue_sim --bugs                       every planted bug, with the seconds until it was found
 *   queue_sim --trace ... 1 SEED           one history again, with the tail of its events
 *
 * A history that fails is shrunk; its trace is printed, and the command that repeats what is left
 * of it: its options (--lives, --mails, --without, --skip) leave parts out. --jobs=N: processes;
 * --whole: a kind of fault that never happened is a failure; --seconds=N: no new histories after
 * that.
 */
#include "sim/runner.h"

#include "sim/shrink.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
	struct run run;
	bool bugs, trace;
};

static bool take_option(struct options *o, const char *word)
{
	struct run *r = &o->run;

	if (strcmp(word, "--sweep") == 0)
		script_init(&r->plan, 1, true, r->plan.bug);
	else if (strcmp(word, "--bugs") == 0)
		o->bugs = true;
	else if (strcmp(word, "--trace") == 0)
		o->trace = true;
	else if (strcmp(word, "--whole") == 0)
		r->whole = true;
	else if (strcmp(word, "--shrink") == 0)
		r->shrink = true;
	else if (strncmp(word, "--jobs=", 7) == 0)
		r->jobs = (unsigned)atoi(word + 7);
	else if (strncmp(word, "--seconds=", 10) == 0)
		r->seconds_max = atof(word + 10);
	else if (strncmp(word, "--bug=", 6) == 0)
		r->plan.bug = bug_by_name(word + 6);
	else
		return plan_take(&r->plan, word);
	return r->plan.bug < BUGS && r->jobs > 0 && r->jobs <= 64;
}

static int usage(void)
{
	fprintf(stderr, "queue_sim [--sweep] [--bug=NAME] [--trace] [histories] [first seed]\n"
			"queue_sim --bugs\n");
	return 2;
}

int main(int argc, char **argv)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = {
	    .run.histories = 300, .run.jobs = processors > 0 ? (unsigned)processors : 1};
	struct config *c;
	int status, i = 1;

	script_init(&o.run.plan, 1, false, BUG_NONE);
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!take_option(&o, argv[i]))
			return usage();
	}
	if (i < argc)
		o.run.histories = strtoull(argv[i], NULL, 10);
	if (i + 1 < argc)
		o.run.plan.seed = strtoull(argv[i + 1], NULL, 10);
	log_setup(STDERR_FILENO, LOG_NONE, "sim");
	if (o.bugs)
		return run_bugs(argv[0], o.run.jobs);
	c = history_config(o.run.plan.small);
	status = o.trace ? plan_trace(&o.run.plan, c) : run_histories(&o.run, c, argv[0]);
	config_free(&c);
	return status;
}
