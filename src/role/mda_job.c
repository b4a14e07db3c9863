#include "role/mda_job.h"

#include "base/clock.h"
#include "base/log.h"
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

struct mda_job *mda_job_new(struct mda_place *place, const struct proto_job *p,
    const struct target *target, const struct domain *domain, bool fresh)
{
	struct mda_job *j = gw_calloc(1, sizeof(*j));

	j->place = place;
	j->number = p->job;
	j->conn = p->conn;
	j->size = p->size;
	j->binary = p->body_type == BODY_BINARYMIME;
	j->id = p->id;
	j->index = p->rcpt[0].index;
	j->attempts = p->rcpt[0].attempts;
	j->target = target;
	j->domain = domain;
	j->once = p->at_most_once;
	j->fresh = fresh;
	j->kept = p->rcpt[0].kept;
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
	config_free(&j->config);
	free(j);
	*pj = NULL;
}

static bool is_pipe(const struct mda_job *j)
{
	return j->target->kind == TARGET_PIPE;
}

/* What parts alice from alice+x; 0: nothing. */
static char subaddress(const struct mda_job *j)
{
	return j->domain != NULL ? j->domain->subaddress : 0;
}

/* Where the user says where his mail goes on to; NULL: it is not asked. */
static const char *forward_file(const struct mda_job *j)
{
	return is_pipe(j) || j->domain == NULL || j->kept ? NULL : j->domain->forward;
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

/* No answer came, perhaps because a program was ended in the midst of its work. */
static void unanswered(struct mda_job *j, const char *text, int detail)
{
	defer(j, text, detail);
	if (j->went)
		j->result.outcome = OUTCOME_MAYBE;
}

static void log_ignored(const struct mda_job *j, const char *why)
{
	char id[MSGID_TEXT + 1];
	struct logline l;

	msgid_format(&j->id, id);
	log_begin(&l, EV_FORWARD_IGNORED);
	log_str(&l, "id", id);
	log_text(&l, "to", j->rcpt);
	log_str(&l, "reason", why);
	log_end(&l);
}

/* What the file of the user came to; its addresses are in our arena. */
static void take_forward(struct mda_job *j, const struct mda_forward *f)
{
	if (f->kind == MDA_FORWARD_IGNORED)
		log_ignored(j, f->to.why);
	if (f->kind != MDA_FORWARD_GOES)
		return;
	j->forward = arena_alloc(&j->mem, f->to.n * sizeof(*j->forward));
	if (j->forward == NULL) {
		defer(j, "No memory for where it is sent on to", 0);
		return;
	}
	memcpy(j->forward, f->to.to, f->to.n * sizeof(*j->forward));
	j->n_forward = f->to.n;
	j->keep = f->to.keep;
}

/* What the child said. Of a file that it was not told to read it has nothing to say: a program that
 * answers instead of its child would have mail sent on to anywhere. */
static bool take_report(struct mda_job *j, struct mda_forward *f)
{
	uint8_t text[MDA_REPORT_MAX];
	ssize_t n = read(j->from_child, text, sizeof(text));

	return n > 0 && mda_report_get(span_of(text, (size_t)n), &j->result, f, &j->mem) == 0 &&
	       (f->kind == MDA_FORWARD_NONE || forward_file(j) != NULL);
}

static void judge(struct mda_job *j, int status)
{
	struct mda_forward forward = {.kind = MDA_FORWARD_NONE};

	j->crashed = blotter_crash(status) != 0;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		defer(j, "The delivery took too long", 0);
	else if (WIFSIGNALED(status))
		unanswered(j, "The delivery was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 || !take_report(j, &forward))
		unanswered(
		    j, "The delivery ended without a result (status %d)", WEXITSTATUS(status));
	else if (j->result.outcome == OUTCOME_NONE)
		defer(j, "The content did not arrive whole", 0);
	else
		take_forward(j, &forward);
	/* Other mail is given to the program again. */
	if (j->result.outcome == OUTCOME_MAYBE && !j->once)
		j->result.outcome = OUTCOME_DEFERRED;
}

/* What a crash from here on is to be blamed on. */
static void note(const struct mda_job *j, const char *stage)
{
	blotter_job(j->number, &j->id, is_pipe(j) ? "pipe" : "maildir", stage);
}

void mda_job_ended(struct mda_job *j, int status)
{
	note(j, "result");
	judge(j, status);
	close(j->from_child);
	j->from_child = -1;
	done(j);
	blotter_clear();
}

static void ended(void *arg, struct child *c, int status)
{
	(void)c;
	mda_job_ended(arg, status);
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
	    .keep = j->keep,
	    .forward = j->forward,
	    .n_forward = j->n_forward,
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

/* A program starts when it has the end; of at-most-once mail the log has to know that before. */
static void take_last(struct mda_job *j)
{
	j->whole = true;
	j->asked = j->once;
	if (j->once)
		j->place->ask_go(j->place->arg, j);
	else
		put_u32(&j->body, 0);
}

void mda_job_go(struct mda_job *j, bool go)
{
	if (j->state == MDA_DONE || !j->asked)
		return;
	j->asked = false;
	j->went = go;
	if (!go) {
		mda_job_cut(j);
		return;
	}
	put_u32(&j->body, 0);
	if (j->state == MDA_RUNNING && j->to_child >= 0)
		pump(j, false, true);
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
	if (last)
		take_last(j);
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
	struct mda_work w = {.template = j->target->path,
	    .forward = forward_file(j),
	    .subaddress = subaddress(j),
	    .size = j->size,
	    .message = {.id = j->id,
		.index = j->index,
		.from = j->from,
		.rcpt = j->rcpt,
		.kept = j->kept,
		.fresh = j->fresh,
		.binary = j->binary,
		.quota = j->domain != NULL ? j->domain->quota : (struct quota){0},
		.folder = j->domain != NULL ? j->domain->folder : FOLDER_OFF,
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

/* A child of ours; false: there is none. */
static bool start_child(struct mda_job *j, int content, int report)
{
	pid_t pid = child_fork();

	if (pid == 0)
		in_child(j, content, report);
	if (pid < 0)
		return false;
	if (child_watch(&j->child, j->place->loop, pid, ended, j) < 0)
		die("mda: a delivery cannot be watched"); /* and we may kill nobody but ourselves */
	return true;
}

/* A child of the launcher. */
static bool start_program(struct mda_job *j, int content, int report)
{
	struct launch x = {.job = j->number,
	    .size = j->size,
	    .binary = j->binary,
	    .id = j->id,
	    .subaddress = subaddress(j),
	    .from = j->from,
	    .rcpt = j->rcpt,
	    .pipe = j->target->pipe,
	    .content = content,
	    .report = report};

	return launcher_ask(&j->place->launcher, &x) == 0;
}

static void give_up(struct mda_job *j, const char *text)
{
	defer(j, text, 0);
	done(j);
}

static void start_with(struct mda_job *j, int content[2], int report[2])
{
	j->started = is_pipe(j) ? start_program(j, content[0], report[1])
				: start_child(j, content[0], report[1]);
	close(content[0]);
	close(report[1]);
	if (!j->started) {
		close(content[1]);
		close(report[0]);
		give_up(j, "No process for the delivery");
		return;
	}
	j->to_child = content[1];
	j->from_child = report[0];
	j->state = MDA_RUNNING;
	fcntl(j->to_child, F_SETFL, O_NONBLOCK);
	fcntl(j->from_child, F_SETFL, O_NONBLOCK);
	watch_start(&j->watch, j->place->loop, j->to_child, pump, j);
	pump(j, false, true);
}

void mda_job_start(struct mda_job *j)
{
	int content[2], report[2];

	note(j, "start");
	if (memory_low())
		give_up(j, "No memory for the delivery");
	else if (!make_pipes(content, report))
		give_up(j, "No pipe for the delivery");
	else
		start_with(j, content, report);
}
