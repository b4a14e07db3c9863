#include "sim/shrink.h"

#include "sim/sweep.h"
#include "sim/trace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HANGS_AFTER = 30, SHRINK_SECONDS = 45 };

static const char aborted[] = "aborted";
static const char hangs[] = "hangs";

/* ---- one try ----------------------------------------------------------------------------------
 */

_Noreturn static void child(const struct script *p, const struct config *c, struct ending *out)
{
	struct sweep *sweep = p->small ? sweep_new() : NULL;
	int nowhere = open("/dev/null", O_WRONLY);

	signal(SIGABRT, SIG_DFL);
	alarm(HANGS_AFTER);
	dup2(nowhere, STDERR_FILENO);
	history_run(p, c, sweep, out);
	_exit(0);
}

void shrink_try(const struct script *p, const struct config *c, struct ending *out)
{
	struct ending *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	gw_assert(shared != MAP_FAILED);
	fflush(stdout);
	pid = fork();
	gw_assert(pid >= 0);
	if (pid == 0)
		child(p, c, shared);
	gw_assert(waitpid(pid, &status, 0) == pid);
	*out = *shared;
	munmap(shared, sizeof(*shared));
	if (status == 0)
		return;
	out->good = false;
	out->check = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? hangs : aborted;
	snprintf(out->why, sizeof(out->why), "%s", out->check);
}

static void print_and_abort(int sig)
{
	sim_notes_print();
	signal(sig, SIG_DFL);
	raise(sig);
}

int plan_trace(const struct script *p, const struct config *c)
{
	struct sweep *sweep = p->small ? sweep_new() : NULL;
	struct ending e;

	signal(SIGABRT, print_and_abort);
	history_run(p, c, sweep, &e);
	if (!e.good) {
		sim_notes_print();
		fprintf(stderr, "life %u, step %u: %s\n", e.life, e.step, e.why);
	}
	sweep_free(&sweep);
	return !e.good;
}

/* ---- shorter and shorter ----------------------------------------------------------------------
 */

struct shrink {
	struct script best;
	const struct config *config;
	struct ending failed;
	unsigned tries;
	time_t until;
};

static bool in_time(const struct shrink *s)
{
	return time(NULL) < s->until;
}

static bool fails_too(struct shrink *s, const struct script *p)
{
	struct ending e;

	s->tries++;
	shrink_try(p, s->config, &e);
	if (e.good || e.check != s->failed.check)
		return false;
	s->best = *p;
	s->failed = e;
	return true;
}

static void fewer_lives(struct shrink *s)
{
	for (unsigned i = 0; i < HISTORY_LIVES && in_time(s); i++) {
		struct script p = s->best;

		if (!(p.lives >> i & 1))
			continue;
		p.lives &= ~(1U << i);
		(void)fails_too(s, &p);
	}
}

static void fewer_faults(struct shrink *s)
{
	for (unsigned i = 0; i < MAYS && in_time(s); i++) {
		struct script p = s->best;

		if (p.without >> i & 1)
			continue;
		p.without |= 1U << i;
		(void)fails_too(s, &p);
	}
}

static void fewer_mails(struct shrink *s)
{
	unsigned n = 1;

	while (n < s->best.mails && in_time(s)) {
		struct script p = s->best;

		p.mails = n;
		if (fails_too(s, &p))
			return;
		n = n < 8 ? n + 1 : n * 2;
	}
}

/* Leaves out n steps that are still there, beginning at *at, which goes on behind them. */
static bool leave_out(struct script *p, unsigned life, unsigned *at, unsigned n)
{
	bool any = false;

	while (n > 0 && *at < HISTORY_STEPS) {
		bool *skip = &p->skip[life][(*at)++];

		n -= !*skip;
		any = any || !*skip;
		*skip = true;
	}
	return any;
}

static void fewer_steps(struct shrink *s, unsigned life)
{
	for (unsigned n = HISTORY_STEPS / 2; n > 0; n /= 2) {
		for (unsigned at = 0; at < HISTORY_STEPS && in_time(s);) {
			struct script p = s->best;

			if (leave_out(&p, life, &at, n))
				(void)fails_too(s, &p);
		}
	}
}

static unsigned steps_left(const struct script *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < HISTORY_LIVES; i++) {
		for (unsigned k = 0; (p->lives >> i & 1) && k < HISTORY_STEPS; k++)
			n += !p->skip[i][k];
	}
	return n;
}

unsigned shrink(struct script *p, const struct config *c, struct ending *failed)
{
	struct shrink s = {.best = *p, .config = c, .failed = *failed};
	unsigned before;

	s.until = time(NULL) + SHRINK_SECONDS;
	if (!fails_too(&s, p))
		return s.tries; /* it does not repeat itself: nothing can be learned */
	do {
		before = steps_left(&s.best) + s.best.mails;
		fewer_lives(&s);
		fewer_faults(&s);
		fewer_mails(&s);
		for (unsigned i = 0; i < HISTORY_LIVES; i++) {
			if (s.best.lives >> i & 1)
				fewer_steps(&s, i);
		}
	} while (steps_left(&s.best) + s.best.mails < before && in_time(&s));
	*p = s.best;
	*failed = s.failed;
	return s.tries;
}

/* ---- as words ---------------------------------------------------------------------------------
 */

static void print_skips(const struct script *p)
{
	const char *before = " --skip=";

	for (unsigned i = 0; i < HISTORY_LIVES; i++) {
		for (unsigned k = 0; (p->lives >> i & 1) && k < HISTORY_STEPS; k++) {
			unsigned first = k;

			if (!p->skip[i][k])
				continue;
			while (k + 1 < HISTORY_STEPS && p->skip[i][k + 1])
				k++;
			printf("%s%u:%u-%u", before, i, first, k);
			before = ",";
		}
	}
}

static void print_without(const struct script *p)
{
	const char *before = " --without=";

	for (unsigned i = 0; i < MAYS; i++) {
		if (!(p->without >> i & 1))
			continue;
		printf("%s%s", before, may_names[i]);
		before = ",";
	}
}

void plan_print(const struct script *p)
{
	if (p->small)
		printf(" --sweep");
	if (p->bug != BUG_NONE)
		printf(" --bug=%s", bug_rows[p->bug].name);
	printf(" --lives=0x%x --mails=%u", p->lives, p->mails);
	print_without(p);
	print_skips(p);
	printf(" 1 %llu\n", (unsigned long long)p->seed);
}

static bool take_skips(struct script *p, const char *s)
{
	unsigned life, from, to;
	int used;

	for (; sscanf(s, "%u:%u-%u%n", &life, &from, &to, &used) == 3; s += used + (s[used] == ','))
		for (unsigned k = from; life < HISTORY_LIVES && k <= to && k < HISTORY_STEPS; k++)
			p->skip[life][k] = true;
	return *s == '\0';
}

static bool take_without(struct script *p, const char *s)
{
	while (*s != '\0') {
		size_t n = strcspn(s, ",");
		unsigned i = 0;

		while (i < MAYS && (strlen(may_names[i]) != n || strncmp(s, may_names[i], n) != 0))
			i++;
		if (i == MAYS)
			return false;
		p->without |= 1U << i;
		s += n + (s[n] == ',');
	}
	return true;
}

bool plan_take(struct script *p, const char *word)
{
	if (strncmp(word, "--lives=", 8) == 0)
		p->lives = (uint32_t)strtoul(word + 8, NULL, 0);
	else if (strncmp(word, "--mails=", 8) == 0)
		p->mails = (unsigned)strtoul(word + 8, NULL, 0);
	else if (strncmp(word, "--skip=", 7) == 0)
		return take_skips(p, word + 7);
	else if (strncmp(word, "--without=", 10) == 0)
		return take_without(p, word + 10);
	else
		return false;
	return true;
}
