#include "role/mda_job.h"

#include "base/clock.h"
#include "base/memory.h"
#include "role/blotter.h"
#include "role/mda_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAMES_MAX = 64 << 10, BODY_MAX = 8 * MDA_WINDOW, CHUNK_HEAD = 4 };

struct mda_job *mda_job_new(const struct mda_place *place, const struct proto_job *p,
    const char *template, char subaddress, bool fresh)
{
	struct mda_job *j = gw_calloc(1, sizeof(*j));

	j->place = place;
	j->number = p->job;
	j->conn = p->conn;
	j->size = p->size;
	j->id = p->id;
	j->index = p->rcpt[0].index;
	j->attempts = p->rcpt[0].attempts;
	j->template = template;
	j->subaddress = subaddress;
	j->fresh = fresh;
	j->credit = MDA_WINDOW;
	j->to_child = j->from_child = -1;
	arena_init(&j->mem, NAMES_MAX);
	j->from = arena_dup(&j->mem, p->from);
	j->rcpt = arena_dup(&j->mem, p->rcpt[0].addr);
	buf_init(&j->body, BODY_MAX);
	return j;
}

static void close_pipe(struct mda_job *j)
{
	if (j->to_child < 0)
		return;
	watch_stop(&j->watch);
	close(j->to_child);
	j->to_child = -1;
}

void mda_job_free(struct mda_job **pj)
{
	struct mda_job *j = *pj;

	gw_assert(j->state != MDA_RUNNING);
	close_pipe(j);
	buf_fini(&j->body);
	arena_reset(&j->mem);
	free(j);
	*pj = NULL;
}

/* ---- the result ------------------------------------------------------------------------- */

static void done(struct mda_job *j)
{
	j->state = MDA_DONE;
	j->when = clock_wall();
	close_pipe(j);
	buf_clear(&j->body);
	buf_trim(&j->body);
	j->place->done(j->place->arg, j);
}

static void defer(struct mda_job *j, const char *text, int detail)
{
	j->result =
	    (struct maildir_result){.outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 3, 0}};
	snprintf(j->result.text, sizeof(j->result.text), text, detail);
}

static void judge(struct mda_job *j, int status)
{
	uint8_t text[MDA_REPORT_MAX];
	ssize_t n = read(j->from_child, text, sizeof(text));

	j->crashed = blotter_crash(status) != 0;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		defer(j, "The delivery took too long", 0);
	else if (WIFSIGNALED(status))
		defer(j, "The delivery was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 || n <= 0 ||
		 mda_report_get(span_of(text, (size_t)n), &j->result) < 0)
		defer(j, "The delivery ended without a result (status %d)", WEXITSTATUS(status));
	else if (j->result.outcome == OUTCOME_NONE)
		defer(j, "The content did not arrive whole", 0);
}

/* What a crash from here on is to be blamed on. */
static void note(const struct mda_job *j, const char *stage)
{
	blotter_job(j->number, &j->id, "maildir", stage);
}

static void ended(void *arg, struct child *c, int status)
{
	struct mda_job *j = arg;

	(void)c;
	note(j, "result");
	judge(j, status);
	close(j->from_child);
	j->from_child = -1;
	done(j);
	blotter_clear();
}

void mda_job_result(const struct mda_job *j, struct buf *out)
{
	struct change_rcpt rcpt = {.index = j->index,
	    .attempts = j->attempts + 1,
	    .outcome = j->result.outcome,
	    .code = j->result.code,
	    .esc = {j->result.esc[0], j->result.esc[1], j->result.esc[2]},
	    .reply = span_str(j->result.text)};
	struct proto_result r = {.job = j->number,
	    .crashed = j->crashed,
	    .change = {.id = j->id, .when = j->when, .rcpt = &rcpt, .n_rcpt = 1}};

	proto_put_result(out, &r);
}

/* ---- content ---------------------------------------------------------------------------- */

/* Half a window may wait for the child when a new one is granted: it never runs dry. */
static void grant(struct mda_job *j)
{
	uint32_t octets = j->received;

	if (j->whole || octets < MDA_WINDOW / 4 || buf_len(&j->body) > MDA_WINDOW / 2)
		return;
	j->received = 0;
	j->credit += octets;
	j->place->credit(j->place->arg, j, octets);
}

static void pump(void *arg, bool readable, bool writable)
{
	struct mda_job *j = arg;

	(void)readable;
	(void)writable;
	note(j, "content");
	while (buf_len(&j->body) > 0) {
		struct span s = buf_view(&j->body);
		ssize_t n = write(j->to_child, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* A child that reads no more has made up its mind: its result comes. If it
			 * was our end that failed, it finds the content cut and gives it back. */
			buf_clear(&j->body);
			close_pipe(j);
			blotter_clear();
			return;
		}
		buf_drop(&j->body, (size_t)n);
	}
	watch_want(&j->watch, false, buf_len(&j->body) > 0);
	grant(j);
	blotter_clear();
}

int mda_job_body(struct mda_job *j, struct span content, bool last)
{
	if (j->state == MDA_DONE || j->forgotten || j->whole)
		return 0;
	if (content.n > j->credit)
		return GW_EFULL;
	j->credit -= (uint32_t)content.n;
	j->received += (uint32_t)content.n;
	if (content.n > 0) {
		put_u32(&j->body, (uint32_t)content.n);
		buf_add_span(&j->body, content);
	}
	if (last) {
		j->whole = true;
		put_u32(&j->body, 0);
	}
	if (buf_failed(&j->body))
		return GW_EFULL;
	if (j->state == MDA_RUNNING && j->to_child >= 0)
		pump(j, false, true);
	return 0;
}

void mda_job_cut(struct mda_job *j)
{
	if (j->state == MDA_RUNNING) {
		buf_clear(&j->body);
		close_pipe(j);
	} else if (j->state == MDA_WAITING) {
		defer(j, "The content did not arrive whole", 0);
		done(j);
	}
}

/* ---- the child -------------------------------------------------------------------------- */

_Noreturn static void in_child(const struct mda_job *j, int content, int report)
{
	struct mda_work w = {.template = j->template,
	    .subaddress = j->subaddress,
	    .size = j->size,
	    .message = {.id = j->id,
		.index = j->index,
		.from = j->from,
		.rcpt = j->rcpt,
		.fresh = j->fresh,
		.content = content},
	    .owner_uid = j->place->uid,
	    .owner_gid = j->place->gid,
	    .is_root = j->place->is_root,
	    .jail = j->place->jail,
	    .filters = j->place->filters,
	    .report = report};

	blotter_detach();
	mda_child(&w);
}

static bool make_pipes(int content[2], int report[2])
{
	if (pipe2(content, O_CLOEXEC) < 0)
		return false;
	if (pipe2(report, O_CLOEXEC) == 0)
		return true;
	close(content[0]);
	close(content[1]);
	return false;
}

void mda_job_start(struct mda_job *j)
{
	int content[2], report[2];
	pid_t pid;

	note(j, "start");
	if (memory_low()) {
		defer(j, "No memory for the delivery", 0);
		done(j);
		return;
	}
	if (!make_pipes(content, report)) {
		defer(j, "No pipe for the delivery", 0);
		done(j);
		return;
	}
	pid = child_fork();
	if (pid == 0)
		in_child(j, content[0], report[1]);
	close(content[0]);
	close(report[1]);
	j->to_child = content[1];
	j->from_child = report[0];
	watch_start(&j->watch, j->place->loop, j->to_child, pump, j);
	if (pid < 0) {
		close(j->from_child);
		defer(j, "No process for the delivery", 0);
		done(j);
		return;
	}
	j->state = MDA_RUNNING;
	fcntl(j->to_child, F_SETFL, O_NONBLOCK);
	fcntl(j->from_child, F_SETFL, O_NONBLOCK);
	if (child_watch(&j->child, j->place->loop, pid, ended, j) < 0)
		die("mda: a delivery cannot be watched"); /* and we may kill nobody but ourselves */
	pump(j, false, true);
}
