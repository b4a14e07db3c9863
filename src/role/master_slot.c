/* One process: start, connections to the others, death and the pace of restarts. */
#include "role/master.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/child.h"
#include "role/means.h"
#include "role/title.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	KEEP_MAX = BOOT_PEERS_MAX + BOOT_LISTEN_MAX + WORKERS_MAX + 4,
	COMM_MAX = 16,
	FILE_FRAME = 64
};
/* A role that cannot even start shall not look like a server that runs. */
enum { STARTS_MAX = 5 };

/* For what it has in hand, when it is to be started again with another configuration. */
#define AGAIN_PATIENCE (60 * USEC_PER_SEC)
#define PACE_FIRST (100 * USEC_PER_MSEC)
/* What it stumbled over may heal: then mail is to flow again within 5 s. */
#define PACE_LAST (4 * USEC_PER_SEC)
#define LONG_ENOUGH (60 * USEC_PER_SEC)
/* Deaths whose cause is known and being isolated are not paced, up to so many in a minute. */
enum { EXPLAINED_MAX = 60 };

static int (*const role_functions[ROLE_COUNT])(struct loop *, struct boot *) = {
    [ROLE_SMTPD] = role_smtpd,
    [ROLE_QUEUE] = role_queue,
    [ROLE_SENDER] = role_sender,
    [ROLE_MDA] = role_mda,
    [ROLE_CONTROL] = role_control,
    [ROLE_VAULT] = role_vault,
    [ROLE_RESOLVER] = role_resolver,
    [ROLE_HISTORY] = role_history,
};

/* ---- titles ------------------------------------------------------------------------------ */

static bool is_many(enum role role)
{
	return role == ROLE_SMTPD || role == ROLE_SENDER;
}

static void set_title(const struct slot *s)
{
	char name[COMM_MAX];

	if (is_many(s->role))
		title_set("godwit: %s %u", role_names[s->role], s->index);
	else
		title_set("godwit: %s", role_names[s->role]);
	snprintf(name, sizeof(name), "gw-%s", role_names[s->role]);
	prctl(PR_SET_NAME, name);
}

/* ---- what a process is given --------------------------------------------------------------- */

static void give_listeners(const struct slot *s, struct boot *b)
{
	const struct listeners *l = &s->master->listeners;

	for (size_t i = 0; i < l->n && s->role == ROLE_SMTPD; i++) {
		const struct listener *x = &l->list[i];

		if (!x->shared && x->worker != s->index)
			continue;
		if (b->n_listen == BOOT_LISTEN_MAX)
			die("more than %d listening addresses", BOOT_LISTEN_MAX);
		b->listen[b->n_listen].fd = x->fd;
		b->listen[b->n_listen].socket = x->number;
		b->listen[b->n_listen++].conf_index = x->conf;
	}
}

static void fill_boot(struct slot *s)
{
	const struct master *m = s->master;
	struct boot *b = &s->boot;

	*b = (struct boot){.role = s->role,
	    .index = s->index,
	    .bundle = m->bundle.text,
	    .running = m->first,
	    .generation = m->config->generation,
	    .master_fd = -1,
	    .spool_dir = s->role == ROLE_QUEUE ? m->spool_dir : -1,
	    .workers = m->workers,
	    .control_fd = s->role == ROLE_CONTROL ? m->control_fd : -1,
	    .metrics = m->own_page,
	    .blotter = s->blotter,
	    .filters = m->filters,
	    .jail = m->options.jail,
	    .one_process = m->options.one_process,
	    .is_root = m->is_root};
	b->all_metrics[0] = m->own_page;
	b->n_metrics = 1;
	if (s->role == ROLE_SMTPD)
		tally_pages_here(&m->tally, m->tally_seed, s->index, &b->tally);
	give_listeners(s, b);
	master_blame_boot(s, b);
}

/* ---- inside the new process ----------------------------------------------------------------- */

static void keep_own_fds(const struct boot *b)
{
	int keep[KEEP_MAX];
	size_t n = 0;

	keep[n++] = b->master_fd;
	for (size_t i = 0; i < b->n_peer; i++)
		keep[n++] = b->peer[i].fd;
	for (size_t i = 0; i < b->n_listen; i++)
		keep[n++] = b->listen[i].fd;
	for (size_t i = 0; i < b->n_signer; i++)
		keep[n++] = b->signer[i].fd;
	if (b->spool_dir >= 0)
		keep[n++] = b->spool_dir;
	if (b->control_fd >= 0)
		keep[n++] = b->control_fd;
	child_keep_fds(keep, n);
}

/* Nothing to read, and no lines of master's in our log. */
static void empty_input_and_log(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/null cannot be opened");
	log_setup(fd, LOG_LOGFMT, "-");
	log_flush();
	log_setup(STDERR_FILENO, LOG_LOGFMT, "-");
	dup2(fd, STDIN_FILENO);
	close(fd);
}

static void take_metrics(struct slot *s)
{
	struct pages *p = &s->master->metrics;
	struct boot *b = &s->boot;
	bool all = s->role == ROLE_CONTROL;

	b->metrics = metric_pages_take(p, s->number, all ? b->all_metrics : NULL);
	b->n_metrics = all ? p->n : 0;
	metric_attach(b->metrics);
}

static void take_tally(struct slot *s)
{
	bool own = s->role == ROLE_SMTPD;

	tally_pages_take(&s->master->tally, own ? s->index : TALLY_NONE, &s->boot.tally);
}

/* Its own page alone stays mapped. */
static void take_blotter(struct slot *s)
{
	struct master *m = s->master;

	for (size_t i = 0; i < m->n_slot; i++) {
		if (&m->slot[i] != s)
			blotter_unmap(&m->slot[i].blotter);
	}
	blotter_attach(s->blotter);
}

_Noreturn static void in_child(struct slot *s)
{
	struct loop *l;
	int err;

	empty_input_and_log();
	means_take(s->role);
	take_metrics(s);
	take_tally(s);
	take_blotter(s);
	keep_own_fds(&s->boot);
	set_title(s);
	l = loop_new();
	err = role_functions[s->role](l, &s->boot);
	if (err < 0)
		die("%s: %s", role_names[s->role], gw_strerror(err));
	_exit(loop_run(l));
}

/* ---- its death ------------------------------------------------------------------------------ */

static void log_death(const struct slot *s, int status)
{
	struct logline l;

	log_begin(&l, EV_ROLE_DIED);
	log_str(&l, "role", role_names[s->role]);
	log_number(&l, "index", s->index);
	log_number(&l, "pid", s->child.pid);
	if (WIFSIGNALED(status))
		log_number(&l, "signal", WTERMSIG(status));
	else
		log_number(&l, "status", WEXITSTATUS(status));
	log_end(&l);
}

/* Counters go on; what it had at the moment is gone with it. */
static void clear_gauges(const struct slot *s)
{
	struct metric_page *page = pages_at(&s->master->metrics, s->number);

	for (int i = 0; i < METRIC_COUNT; i++) {
		if (metric_rows[i].type == METRIC_GAUGE)
			__atomic_store_n(&page->value[i], 0, __ATOMIC_RELAXED);
	}
}

static int64_t pace(const struct slot *s)
{
	int64_t wait = PACE_FIRST;

	if (s->failures <= 1)
		return 0;
	for (unsigned i = 2; i < s->failures && wait < PACE_LAST; i++)
		wait *= 2;
	return wait < PACE_LAST ? wait : PACE_LAST;
}

/* A flood of what crashes us must not make us a flood of processes. */
static int64_t pace_explained(struct slot *s, int64_t now)
{
	if (now - s->explained_since >= LONG_ENOUGH) {
		s->explained_since = now;
		s->explained = 0;
	}
	return ++s->explained <= EXPLAINED_MAX ? 0 : PACE_FIRST;
}

/* A server that has never served ends instead of trying for ever. */
static bool gives_up(const struct slot *s)
{
	if (s->master->served || s->failures < STARTS_MAX)
		return false;
	fprintf(stderr, "godwit: %s cannot be started\n", role_names[s->role]);
	master_stop(s->master, 1);
	return true;
}

static void start_again(struct slot *s)
{
	if (!gives_up(s))
		timer_set(&s->restart, loop_now(s->master->loop) + pace(s));
}

static void plan_restart(struct slot *s, bool explained)
{
	int64_t now = loop_now(s->master->loop);

	s->restarts++;
	metric_add(METRIC_ROLE_RESTARTS, 1);
	if (explained) {
		timer_set(&s->restart, now + pace_explained(s, now));
		return;
	}
	if (now - s->started >= LONG_ENOUGH)
		s->failures = 0;
	s->failures++;
	start_again(s);
}

static void ended(void *arg, struct child *c, int status)
{
	struct slot *s = arg;
	bool explained;

	(void)c;
	ipc_free(&s->ipc);
	s->running = s->ready = false;
	clear_gauges(s);
	if (s->role == ROLE_SMTPD)
		tally_pages_clear(&s->master->tally, s->index);
	if ((s->master->phase == STOP_NOT && !s->again) || status != 0)
		log_death(s, status);
	explained = master_blame(s, status);
	timer_set(&s->impatience, INT64_MAX);
	if (s->master->phase == STOP_NOT && s->again)
		timer_set(&s->restart, loop_now(s->master->loop));
	else if (s->master->phase == STOP_NOT)
		plan_restart(s, explained);
	s->again = false;
	reload_died(s);
	master_lost(s->master, s);
}

/* ---- the channel ---------------------------------------------------------------------------- */

static void frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct slot *s = arg;

	if (f->type == IPC_DOVECOT_WANT) {
		wires_dovecot(s, f->payload);
		return;
	}
	if (s->ready && !reload_answer(s, f))
		ipc_end(c, "bad_payload");
	if (f->type != IPC_READY || s->ready)
		return;
	if (proto_get_generation(f->payload, &s->generation) < 0) {
		ipc_end(c, "bad_payload");
		return;
	}
	s->ready = true;
	master_ready(s->master, s);
}

static void closed(void *arg, struct ipc *c, const char *why)
{
	struct slot *s = arg;

	(void)c;
	(void)why;
	ipc_free(&s->ipc);
	if (!s->master->options.one_process) {
		/* Without us it is no use any more; its end is noticed by itself. */
		slot_kill(s);
		return;
	}
	s->running = s->ready = false;
	if (s->master->phase == STOP_NOT && s->again) {
		s->again = false;
		timer_set(&s->impatience, INT64_MAX);
		timer_set(&s->restart, loop_now(s->master->loop));
		return;
	}
	master_lost(s->master, s);
}

void slot_start_again(struct slot *s)
{
	s->again = true;
	slot_stop(s);
	timer_set(&s->impatience, loop_now(s->master->loop) + AGAIN_PATIENCE);
}

void slot_stop(struct slot *s)
{
	if (!s->running || s->told_to_stop || s->ipc == NULL)
		return;
	s->told_to_stop = true;
	ipc_send(s->ipc, IPC_STOP, NULL, 0, -1);
}

void slot_kill(struct slot *s)
{
	if (!s->running)
		return;
	if (s->master->options.one_process)
		s->running = false;
	else
		kill(s->child.pid, SIGKILL);
}

/* ---- start ---------------------------------------------------------------------------------- */

static void close_given(struct boot *b)
{
	if (b->master_fd >= 0)
		close(b->master_fd);
	b->master_fd = -1;
	for (size_t i = 0; i < b->n_peer; i++)
		close(b->peer[i].fd);
	b->n_peer = 0;
	for (size_t i = 0; i < b->n_signer; i++)
		close(b->signer[i].fd);
	b->n_signer = 0;
}

static void take_up(struct slot *s, int fd)
{
	struct ipc_owner owner = {.frame = frame, .closed = closed, .arg = s};

	s->running = true;
	s->told_to_stop = false;
	s->started = loop_now(s->master->loop);
	s->ipc = ipc_new(s->master->loop, fd, ROLE_MASTER, s->role, s->index, &owner);
	master_blame_tell(s);
	wires_files(s, &s->master->files);
}

static void start_here(struct slot *s, int fd)
{
	int err;

	take_up(s, fd);
	err = role_functions[s->role](s->master->loop, &s->boot);
	if (err < 0)
		die("%s: %s", role_names[s->role], gw_strerror(err));
}

/* For want of means; it is tried again. */
static void start_later(struct slot *s, const char *lacking, int err)
{
	log_error("no %s for %s: %s", lacking, role_names[s->role], strerror(err));
	s->failures++;
	start_again(s);
}

/* What the machine lacks now it may have in a moment; the others go on. */
static void not_started(struct slot *s, int fd, const char *lacking)
{
	int err = errno;

	close_given(&s->boot);
	if (fd >= 0)
		close(fd);
	if (s->master->options.one_process)
		die("no %s for %s: %s", lacking, role_names[s->role], strerror(err));
	start_later(s, lacking, err);
}

static void start_process(struct slot *s, int fd)
{
	pid_t pid;

	log_flush();
	pid = child_fork();
	if (pid == 0)
		in_child(s);
	close_given(&s->boot);
	if (pid < 0) {
		not_started(s, fd, "process");
		return;
	}
	if (child_watch(&s->child, s->master->loop, pid, ended, s) < 0) {
		child_kill(pid);
		not_started(s, fd, "watch on the process");
		return;
	}
	take_up(s, fd);
}

void slot_start(struct slot *s)
{
	int fd[2];

	if (!wires_possible(s)) {
		start_later(s, "descriptors", EMFILE);
		return;
	}
	fill_boot(s);
	if (ipc_pair(fd) < 0) {
		not_started(s, -1, "channel");
		return;
	}
	s->boot.master_fd = fd[1];
	if (!wires_connect(s))
		not_started(s, fd[0], "channel");
	else if (s->master->options.one_process)
		start_here(s, fd[0]);
	else
		start_process(s, fd[0]);
}
