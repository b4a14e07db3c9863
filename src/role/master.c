#include "role/master.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "role/boot_log.h"
#include "role/means.h"
#include "role/proto.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROLES_MAX = 64 << 10 };
/* How long each of the phases of the end may take. */
#define PATIENCE (5 * USEC_PER_SEC)

/* ---- what is told ------------------------------------------------------------------------ */

static struct slot *slot_of(struct master *m, enum role role)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].role == role)
			return &m->slot[i];
	}
	return NULL;
}

/* With --one-process everybody is us. */
static uint32_t pid_of(const struct slot *s)
{
	return (uint32_t)(s->child.pid ? s->child.pid : getpid());
}

static void put_self(const struct master *m, struct buf *b)
{
	struct proto_role row = {.role = ROLE_MASTER,
	    .pid = (uint32_t)getpid(),
	    .started = m->started_at,
	    .generation = m->config->generation};

	proto_put_role(b, &row);
}

void master_tell_roles(struct master *m)
{
	struct slot *control = slot_of(m, ROLE_CONTROL);
	struct buf b;
	struct span s;

	if (control == NULL || control->ipc == NULL || m->phase != STOP_NOT)
		return;
	buf_init(&b, ROLES_MAX);
	put_self(m, &b);
	for (size_t i = 0; i < m->n_slot; i++) {
		const struct slot *x = &m->slot[i];
		struct proto_role row = {.role = (uint8_t)x->role,
		    .index = (uint8_t)x->index,
		    .pid = x->running ? pid_of(x) : 0,
		    .restarts = x->restarts,
		    .started = x->started,
		    .generation = x->running ? x->generation : 0};

		proto_put_role(&b, &row);
	}
	s = buf_view(&b);
	ipc_send(control->ipc, IPC_ROLES, &s, 1, -1);
	buf_fini(&b);
}

static void log_started(const struct slot *s)
{
	struct logline l;

	log_begin(&l, EV_ROLE_STARTED);
	log_str(&l, "role", role_names[s->role]);
	log_number(&l, "index", s->index);
	log_number(&l, "pid", pid_of(s));
	log_end(&l);
}

void master_log_config(const struct master *m, int64_t took)
{
	struct logline l;

	log_begin(&l, EV_CONFIG_LOADED);
	log_number(&l, "generation", (int64_t)m->config->generation);
	log_number(&l, "workers", m->workers);
	if (m->options.config_path != NULL)
		log_str(&l, "file", m->options.config_path);
	if (took > 0)
		log_seconds(&l, "took", took);
	if (m->reload.back)
		log_str(&l, "reason", "the one before was not confirmed");
	log_end(&l);
	metric_set(METRIC_CONFIG_LAST_RELOAD, 1);
}

static void say_served(struct master *m)
{
	m->served = true;
	master_log_config(m, 0);
	if (m->options.ready_fd < 0)
		return;
	/* Nobody there to hear it: no reason to end. */
	(void)!write(m->options.ready_fd, "\n", 1);
	close(m->options.ready_fd);
	m->options.ready_fd = -1;
}

void master_ready(struct master *m, struct slot *s)
{
	bool all = true;

	log_started(s);
	for (size_t i = 0; i < m->n_slot; i++)
		all = all && m->slot[i].ready;
	if (all && !m->served)
		say_served(m);
	master_tell_roles(m);
	reload_ready(s);
	if (all)
		reload_served(m);
}

/* ---- the end ------------------------------------------------------------------------------ */

static enum stop_phase phase_of(const struct slot *s)
{
	switch (s->role) {
	case ROLE_SMTPD:
	case ROLE_CONTROL: return STOP_INTAKE;
	case ROLE_SENDER:
	case ROLE_MDA: return STOP_WORKERS;
	default: return STOP_QUEUE;
	}
}

static bool phase_is_over(const struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].running && phase_of(&m->slot[i]) == m->phase)
			return false;
	}
	return true;
}

/* Those of this phase are told; when they are gone, the next phase comes. */
static void proceed(struct master *m)
{
	while (m->phase != STOP_DONE && phase_is_over(m)) {
		m->phase++;
		timer_set(&m->patience, loop_now(m->loop) + PATIENCE);
	}
	if (m->phase == STOP_DONE) {
		timer_set(&m->patience, INT64_MAX);
		loop_stop(m->loop, m->status);
		return;
	}
	for (size_t i = 0; i < m->n_slot; i++) {
		if (phase_of(&m->slot[i]) == m->phase)
			slot_stop(&m->slot[i]);
	}
}

static void kill_phase(void *arg)
{
	struct master *m = arg;

	for (size_t i = 0; i < m->n_slot; i++) {
		if (phase_of(&m->slot[i]) == m->phase)
			slot_kill(&m->slot[i]);
	}
	timer_set(&m->patience, loop_now(m->loop) + PATIENCE);
	proceed(m);
}

static void kill_all(struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++)
		slot_kill(&m->slot[i]);
	proceed(m);
}

void master_stop(struct master *m, int status)
{
	if (m->phase != STOP_NOT)
		return;
	m->status = status;
	for (size_t i = 0; i < m->n_slot; i++) {
		timer_set(&m->slot[i].restart, INT64_MAX);
		timer_set(&m->slot[i].impatience, INT64_MAX);
	}
	m->phase = STOP_INTAKE;
	timer_set(&m->patience, loop_now(m->loop) + PATIENCE);
	proceed(m);
}

void master_lost(struct master *m, struct slot *s)
{
	(void)s;
	if (m->phase == STOP_NOT && m->options.one_process)
		master_stop(m, 1);
	else if (m->phase == STOP_NOT)
		master_tell_roles(m);
	else
		proceed(m);
}

static void on_signal(void *arg, int sig)
{
	struct master *m = arg;

	if (sig == SIGHUP)
		reload_hangup(m);
	else if (m->phase == STOP_NOT)
		master_stop(m, 0);
	else
		kill_all(m);
}

/* ---- the start ---------------------------------------------------------------------------- */

static unsigned count_processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	if (n < 1)
		n = 1;
	return n < WORKERS_MAX ? (unsigned)n : WORKERS_MAX;
}

static void restart(void *arg)
{
	slot_start(arg);
}

static void impatient(void *arg)
{
	slot_kill(arg);
}

static void add_slots(struct master *m, enum role role, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct slot *s = &m->slot[m->n_slot];

		*s = (struct slot){.master = m, .number = m->n_slot, .role = role, .index = i};
		timer_start(&s->restart, m->loop, restart, s);
		timer_start(&s->impatience, m->loop, impatient, s);
		s->blotter = blotter_map();
		m->n_slot++;
	}
}

/* The queue first: the others find it. Those who take mail in last. */
static void plan_slots(struct master *m)
{
	add_slots(m, ROLE_QUEUE, 1);
	add_slots(m, ROLE_RESOLVER, 1);
	add_slots(m, ROLE_HISTORY, m->config->history.off ? 0 : 1);
	add_slots(m, ROLE_MDA, 1);
	add_slots(m, ROLE_SENDER, m->workers);
	add_slots(m, ROLE_CONTROL, 1);
	add_slots(m, ROLE_VAULT, 1);
	add_slots(m, ROLE_SMTPD, m->workers);
	pages_make(&m->metrics, "godwit-metrics", m->n_slot + 1, sizeof(struct metric_page));
	tally_pages_make(&m->tally, m->workers, &m->tally_seed);
	m->own_page = pages_at(&m->metrics, m->n_slot);
	metric_attach(m->own_page);
}

/* Looked up here once: what the look-up needs is then loaded in all children too. */
static void check_users(const struct master *m)
{
	const char *user = m->config->run_as;
	unsigned strangers = 0, uid, gid;

	for (int role = ROLE_SMTPD; role < ROLE_COUNT; role++) {
		int found = sandbox_ids(user, (enum role)role, &uid, &gid);

		if (found < 0)
			die("there is no user %s, and no nobody either", user);
		strangers += found == 1;
	}
	if (strangers > 0)
		log_error("%u roles run as nobody: there is no user %s, nor %s-smtpd and so on",
		    strangers, user, user);
}

/* Who may talk to the control socket besides its owner. */
static unsigned group_of(const char *run_as, unsigned otherwise)
{
	const struct group *g = getgrnam(run_as);

	return g != NULL ? g->gr_gid : otherwise;
}

const unsigned *master_group(const struct master *m, unsigned *gid)
{
	unsigned uid = 0, own = 0;

	if (!m->is_root || !m->options.jail)
		return NULL;
	if (sandbox_ids(m->first->run_as, ROLE_QUEUE, &uid, &own) < 0)
		return NULL;
	*gid = group_of(m->first->run_as, own);
	return gid;
}

/* What roles cannot open in their jails. */
static int open_files(struct master *m)
{
	int key = master_ticket_key(m->spool_dir, m->config->spool);

	if (key < 0)
		return key;
	if (file_watch_open(&m->files, m->config, stderr) < 0) {
		close(key);
		return GW_EIO;
	}
	file_watch_add(&m->files, FILE_TICKET_KEY, 1 << ROLE_VAULT, key);
	return 0;
}

static int make_history(const struct config *c, bool gives_away)
{
	unsigned uid = 0, gid = 0;

	if (c->history.off)
		return 0;
	if (gives_away && sandbox_ids(c->run_as, ROLE_HISTORY, &uid, &gid) < 0)
		return GW_ENOENT;
	return master_history(
	    c->history.directory, gives_away ? &uid : NULL, gives_away ? &gid : NULL);
}

static int open_everything(struct master *m)
{
	const struct config *c = m->config;
	bool gives_away = m->is_root && m->options.jail;
	unsigned uid = 0, gid = 0, group = 0;

	if (gives_away) {
		check_users(m);
		if (sandbox_ids(c->run_as, ROLE_QUEUE, &uid, &gid) < 0)
			return GW_ENOENT;
	}
	m->spool_dir = master_spool(c->spool, gives_away ? &uid : NULL, gives_away ? &gid : NULL);
	if (m->spool_dir < 0)
		return GW_EBUSY;
	if (make_history(c, gives_away) < 0)
		return GW_EIO;
	m->control_fd = listen_unix(c->control, master_group(m, &group), "control", stderr);
	if (m->control_fd < 0)
		return GW_EBUSY;
	if (open_files(m) < 0)
		return GW_EIO;
	return listeners_open(&m->listeners, c, m->workers, master_group(m, &group), stderr);
}

void master_file_changed(void *arg, const struct watched_file *f)
{
	struct master *m = arg;

	for (size_t i = 0; i < m->n_slot; i++)
		wires_file(&m->slot[i], &m->files, f);
}

static void close_everything(struct master *m)
{
	reload_end(m);
	file_watch_close(&m->files);
	listeners_close(&m->listeners, m->config);
	if (m->control_fd >= 0) {
		close(m->control_fd);
		unlink(m->first->control);
	}
	if (m->spool_dir >= 0)
		close(m->spool_dir);
}

/* As many sockets as we may have: one per worker and address, two per pair of processes. */
static void raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void parse(struct master *m, struct span bundle)
{
	struct config_diags diags;

	if (master_seal(bundle, &m->bundle) < 0)
		die("the configuration cannot be held in memory: %s", strerror(errno));
	config_diags_init(&diags);
	m->config = config_parse(m->bundle.text, 1, &diags);
	config_diags_fini(&diags);
	if (m->config == NULL)
		die("master was given a configuration that does not parse");
	m->first = config_ref(m->config);
}

static void watch_signals(struct master *m)
{
	signal(SIGPIPE, SIG_IGN);
	signal_start(&m->sigterm, m->loop, SIGTERM, on_signal, m);
	signal_start(&m->sigint, m->loop, SIGINT, on_signal, m);
	signal_start(&m->sighup, m->loop, SIGHUP, on_signal, m);
}

static bool open_log(struct master *m)
{
	if (boot_log(m->config, role_names[ROLE_MASTER]) == 0)
		return true;
	fprintf(stderr, "godwit: log file %s: %s\n", m->config->log_path, strerror(errno));
	return false;
}

static int run(struct master *m)
{
	if (!open_log(m) || open_everything(m) < 0)
		return 1;
	timer_start(&m->patience, m->loop, kill_phase, m);
	plan_slots(m);
	if (m->options.jail)
		m->filters = sandbox_filters_new();
	watch_signals(m);
	file_watch_start(&m->files, m->loop, master_file_changed, m);
	reload_start(m);
	for (size_t i = 0; i < m->n_slot && m->phase == STOP_NOT; i++)
		slot_start(&m->slot[i]);
	return loop_run(m->loop);
}

int master_run(struct span bundle, const struct master_options *o)
{
	struct master *m = gw_calloc(1, sizeof(*m));
	int status;

	m->options = *o;
	m->options.jail = o->jail && !o->one_process;
	m->spool_dir = m->control_fd = -1;
	m->is_root = geteuid() == 0;
	m->started_at = clock_now();
	parse(m, bundle);
	raise_limit();
	means_take(ROLE_MASTER);
	m->loop = loop_new();
	m->workers = o->one_process ? 1 : count_processors();
	status = run(m);
	close_everything(m);
	log_flush();
	return status;
}
