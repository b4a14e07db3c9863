/*
 * Reload: a configuration comes in force in all processes, or in none. All of them are asked first
 * (CONFIG, FILE, LISTEN, PREPARE); one that refuses, ends, or does not answer in time ends it, and
 * nothing has changed anywhere. Then they switch in steps, so that nobody is given what he cannot
 * know yet: those mail goes to, then the queue, then those it comes from. Who has to be started
 * again for it has a moment to come back, so that who is told that it is in force finds it so.
 */
#include "role/master.h"

#include "base/clock.h"
#include "role/reload.h"

#include <stdio.h>

enum { STEPS = 3, WHY_ROOM = 64 };
/* For an answer to PREPARE, and for one to SWITCH. */
#define PATIENCE (5 * USEC_PER_SEC)
/* For those that are started again. What one has in hand may take it a minute, and an operator is
 * to have his answer within a second: then he is told who is not there yet. */
#define SETTLE_PATIENCE (7 * USEC_PER_SEC / 10)
/* A large one takes all of them longer to read: so much for each octet, and not more than the
 * operator waits for his answer. */
#define PATIENCE_OCTET 4
#define PATIENCE_MORE (4 * USEC_PER_SEC)
/* For an answer that is still owed: who was slow to read the one before is there in a moment. */
#define OWED_PATIENCE (2 * USEC_PER_SEC)
/* Going back did not work: tried again. */
#define BACK_AGAIN (10 * USEC_PER_SEC)

static void proceed(struct master *m);

/* ---- the end of one ---------------------------------------------------------------------- */

static void finish(struct master *m, enum reload_status status)
{
	struct reloading *r = &m->reload;
	bool asked = r->asked;

	timer_set(&r->patience, INT64_MAX);
	r->phase = RELOAD_IDLE;
	r->asked = r->back = false;
	r->confirm = 0;
	if (asked)
		reload_tell_operator(m, r->request, status, buf_view(&r->said));
	buf_fini(&r->said);
	reload_next(m);
}

/* Nobody has switched, and nobody will: what is in force stays. */
static void refuse(struct master *m)
{
	struct reloading *r = &m->reload;

	if (r->phase == RELOAD_ASKING && r->config != NULL)
		reload_tell_abandoned(m, r->config->generation);
	reload_forget_next(m);
	reload_log_refused(m, buf_view(&r->said));
	if (r->back)
		timer_set(&r->unconfirmed, reload_now(m) + BACK_AGAIN);
	finish(m, RELOAD_REFUSED);
}

static void refuse_for(struct master *m, const struct slot *s, const char *why)
{
	buf_addf(&m->reload.said, "godwit: error: %s %u: %s\n", role_names[s->role], s->index, why);
	refuse(m);
}

/* ---- switching ---------------------------------------------------------------------------- */

static unsigned step_of(enum role role)
{
	switch (role) {
	case ROLE_QUEUE: return 1;
	case ROLE_SMTPD:
	case ROLE_CONTROL: return 2;
	default: return 0;
	}
}

static void switch_slot(struct master *m, struct slot *s)
{
	if (!s->running || s->reload == SLOT_SWITCHED) {
		s->reload = SLOT_SWITCHED;
		return;
	}
	if (reload_restarts(s->role, m->reload.config, m->config)) {
		s->reload = SLOT_AWAITED;
		slot_start_again(s);
		return;
	}
	s->reload = SLOT_TOLD;
	reload_say(s, IPC_SWITCH, m->config->generation);
}

static bool step_done(const struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		const struct slot *s = &m->slot[i];

		if (step_of(s->role) == m->reload.step && s->reload != SLOT_SWITCHED &&
		    s->reload != SLOT_AWAITED)
			return false;
	}
	return true;
}

static void begin_step(struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (step_of(m->slot[i].role) == m->reload.step)
			switch_slot(m, &m->slot[i]);
	}
}

/* All are there, or have had their time. */
static void settled(struct master *m)
{
	struct reloading *r = &m->reload;

	for (size_t i = 0; i < m->n_slot; i++) {
		struct slot *s = &m->slot[i];

		if (s->reload == SLOT_AWAITED)
			buf_addf(&r->said,
			    "godwit: warning: %s %u is started again for this, and %s\n",
			    role_names[s->role], s->index,
			    s->again ? "ends what it has in hand first" : "is not there yet");
		s->reload = SLOT_APART;
	}
	master_log_config(m, reload_now(m) - r->since);
	finish(m, RELOAD_DONE);
}

static bool somebody_is_awaited(const struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].reload == SLOT_AWAITED)
			return true;
	}
	return false;
}

/* It is in force everywhere: what only the one before had is closed. */
static void switched(struct master *m)
{
	struct reloading *r = &m->reload;

	listeners_commit(&r->listeners, r->config, &m->listeners);
	config_free(&r->config);
	reload_note_confirm(m);
	master_tell_roles(m);
	r->phase = RELOAD_SETTLING;
	timer_set(&r->patience, reload_now(m) + SETTLE_PATIENCE);
	if (!somebody_is_awaited(m))
		settled(m);
}

/* From here on a process that starts, starts with it. */
static void take_over(struct master *m)
{
	struct reloading *r = &m->reload;
	struct config *config = m->config;
	struct bundle_file bundle = m->bundle;
	struct listeners listeners = m->listeners;

	m->config = r->config;
	m->bundle = r->bundle;
	m->listeners = r->listeners;
	file_watch_hand_over(&m->files, &r->files);
	file_watch_close(&m->files);
	m->files = r->files;
	r->files = (struct file_watch){0};
	file_watch_start(&m->files, m->loop, master_file_changed, m);
	r->config = config;
	r->bundle = bundle;
	r->listeners = listeners;
	r->phase = RELOAD_SWITCHING;
	r->step = 0;
	timer_set(&r->patience, reload_now(m) + PATIENCE);
	begin_step(m);
}

static bool all_agreed(const struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].reload != SLOT_AGREED)
			return false;
	}
	return true;
}

static void proceed(struct master *m)
{
	struct reloading *r = &m->reload;

	if (r->phase == RELOAD_ASKING && all_agreed(m))
		take_over(m);
	while (r->phase == RELOAD_SWITCHING && step_done(m)) {
		if (++r->step == STEPS) {
			switched(m);
			return;
		}
		begin_step(m);
	}
}

/* One that still owes the answer to the question before: it would be asked in vain. */
static const struct slot *debtor(const struct master *m)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		if (m->slot[i].reload == SLOT_ASKED)
			return &m->slot[i];
	}
	return NULL;
}

/* For the answers to PREPARE. */
static int64_t patience_with(size_t octets)
{
	int64_t more = (int64_t)octets * PATIENCE_OCTET;

	return PATIENCE + (more < PATIENCE_MORE ? more : PATIENCE_MORE);
}

static void read_and_ask(struct master *m)
{
	struct reloading *r = &m->reload;

	if (!reload_read(m)) {
		refuse(m);
		return;
	}
	r->phase = RELOAD_ASKING;
	r->waits = patience_with(r->bundle.text.n);
	timer_set(&r->patience, reload_now(m) + r->waits);
	for (size_t i = 0; i < m->n_slot; i++)
		reload_ask(&m->slot[i]);
}

void reload_begin(struct master *m)
{
	struct reloading *r = &m->reload;

	r->since = reload_now(m);
	buf_init_soft(&r->said, RELOAD_SAID_MAX);
	file_watch_rest(&m->files, true);
	if (debtor(m) == NULL) {
		read_and_ask(m);
		return;
	}
	r->phase = RELOAD_OWED;
	timer_set(&r->patience, reload_now(m) + OWED_PATIENCE);
}

/* It has no question before it any more: answered, or with another process. */
static void stands_apart(struct slot *s)
{
	struct master *m = s->master;

	s->reload = SLOT_APART;
	if (m->reload.phase == RELOAD_OWED && m->phase == STOP_NOT && debtor(m) == NULL)
		read_and_ask(m);
}

/* ---- what may happen ----------------------------------------------------------------------- */

static const char *why_silent(const struct slot *s, char room[WHY_ROOM])
{
	if (s->again)
		return "it ends what it has in hand, to start again";
	if (s->reload != SLOT_ASKED)
		return "it is being started";
	snprintf(room, WHY_ROOM, "no answer within %lld seconds",
	    (long long)(s->master->reload.waits / USEC_PER_SEC));
	return room;
}

static void out_of_patience(void *arg)
{
	struct master *m = arg;
	char why[WHY_ROOM];

	timer_set(&m->reload.patience, INT64_MAX);
	if (m->phase != STOP_NOT) /* it ends with all the rest */
		return;
	if (m->reload.phase == RELOAD_SETTLING) {
		settled(m);
		return;
	}
	if (m->reload.phase == RELOAD_OWED) {
		refuse_for(m, debtor(m), "the last configuration is not answered yet");
		return;
	}
	for (size_t i = 0; i < m->n_slot; i++) {
		struct slot *s = &m->slot[i];

		if (m->reload.phase == RELOAD_ASKING && s->reload != SLOT_AGREED) {
			refuse_for(m, s, why_silent(s, why));
			return;
		}
		/* It will start again, with the configuration that it said it could take. */
		if (m->reload.phase == RELOAD_SWITCHING && s->reload == SLOT_TOLD)
			slot_kill(s);
	}
}

void reload_ready(struct slot *s)
{
	struct master *m = s->master;

	if (m->reload.phase == RELOAD_ASKING && s->reload == SLOT_APART)
		reload_ask(s);
	if (s->reload == SLOT_AWAITED)
		s->reload = SLOT_SWITCHED;
	if (m->reload.phase == RELOAD_SETTLING && !somebody_is_awaited(m))
		settled(m);
}

void reload_died(struct slot *s)
{
	struct master *m = s->master;
	enum slot_reload was = s->reload;

	if (was == SLOT_AWAITED)
		return;
	if (m->reload.phase == RELOAD_SWITCHING) {
		s->reload = SLOT_SWITCHED;
		if (m->phase == STOP_NOT)
			proceed(m);
		return;
	}
	if (m->reload.phase == RELOAD_ASKING && was != SLOT_APART && m->phase == STOP_NOT) {
		s->reload = SLOT_APART;
		refuse_for(m, s, "it ended meanwhile");
	} else {
		stands_apart(s);
	}
}

static void agreed(struct slot *s, uint64_t generation)
{
	struct master *m = s->master;

	if (s->reload != SLOT_ASKED)
		return;
	if (m->reload.phase != RELOAD_ASKING || generation != m->reload.config->generation) {
		stands_apart(s);
		return;
	}
	s->reload = SLOT_AGREED;
	proceed(m);
}

static void refused(struct slot *s, const struct proto_refused *f)
{
	struct master *m = s->master;
	char why[PROTO_REFUSED_TEXT + 1];

	if (s->reload != SLOT_ASKED)
		return;
	if (m->reload.phase == RELOAD_ASKING && f->generation == m->reload.config->generation) {
		s->reload = SLOT_APART;
		refuse_for(m, s, span_to_cstr(f->why, why, sizeof(why)));
	} else {
		stands_apart(s);
	}
}

static void has_switched(struct slot *s, uint64_t generation)
{
	if (s->reload != SLOT_TOLD || generation != s->master->config->generation)
		return;
	s->reload = SLOT_SWITCHED;
	s->generation = generation;
	proceed(s->master);
}

bool reload_answer(struct slot *s, struct ipc_frame *f)
{
	struct proto_refused no;
	struct proto_reload want;
	uint64_t generation;

	switch (f->type) {
	case IPC_READY:
	case IPC_SWITCHED:
		if (proto_get_generation(f->payload, &generation) < 0)
			return false;
		if (f->type == IPC_READY)
			agreed(s, generation);
		else
			has_switched(s, generation);
		return true;
	case IPC_REFUSED:
		if (proto_get_refused(f->payload, &no) < 0)
			return false;
		refused(s, &no);
		return true;
	case IPC_RELOAD:
		if (proto_get_reload(f->payload, &want) < 0)
			return false;
		reload_wanted(s->master, &want);
		return true;
	default: return true;
	}
}

/* ---- start and end --------------------------------------------------------------------------- */

int64_t reload_now(const struct master *m)
{
	return loop_now(m->loop);
}

void reload_start(struct master *m)
{
	struct reloading *r = &m->reload;

	r->bundle.fd = r->kept.fd = -1;
	timer_start(&r->patience, m->loop, out_of_patience, m);
	timer_start(&r->unconfirmed, m->loop, reload_go_back, m);
}

void reload_end(struct master *m)
{
	struct reloading *r = &m->reload;

	if (r->phase == RELOAD_ASKING) {
		file_watch_close(&r->files);
		listeners_abandon(&r->listeners, r->config, &m->listeners);
	} else if (r->phase == RELOAD_SWITCHING) {
		listeners_commit(&r->listeners, r->config, &m->listeners);
	}
	if (r->phase != RELOAD_IDLE) {
		config_free(&r->config);
		buf_fini(&r->said);
	}
	master_unseal(&r->bundle);
	master_unseal(&r->kept);
}
