/*
 * The receiver: takes mail from clients, judges it, hands it to the queue. It
 * opens no file and sees no queued mail.
 */
#include "role/smtpd_auth.h"
#include "role/smtpd_etrn.h"
#include "role/smtpd_callout.h"
#include "role/smtpd_limits.h"
#include "role/smtpd_tls.h"
#include "role/smtpd_turn.h"
#include "role/tables.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPT_TURN = 64, /* connections taken from one listener in one turn */
	REST = 100000,    /* microseconds without accepting when there is no descriptor */
};

struct msgid smtpd_new_id(struct smtpd *s)
{
	if (s->random_left < MSGID_RANDOM) {
		if (getrandom(s->random, sizeof(s->random), 0) != (ssize_t)sizeof(s->random))
			die("smtpd: no random bytes");
		s->random_left = sizeof(s->random);
	}
	s->random_left -= MSGID_RANDOM;
	return msgid_make(clock_wall(), s->random + s->random_left);
}

const struct reply *smtpd_refusal(const struct smtpd *s)
{
	static const struct reply away = {451, {4, 3, 0},
	    {(const uint8_t *)"The queue is being restarted; please try again", 46}};
	static const struct reply full = {452, {4, 3, 1},
	    {(const uint8_t *)"No room for new mail now; please try again later", 48}};

	if (s->queue.ipc == NULL)
		return &away;
	return s->intake && !memory_low() ? NULL : &full;
}

/* ---- the queue ------------------------------------------------------------------------------ */

static struct transaction *find_txn(struct smtpd *s, uint64_t number)
{
	return map_get(&s->txns, span_of(&number, sizeof(number)));
}

/* Clients that were held for lack of room may go on. */
static void release_held(struct smtpd *s)
{
	struct session *x, *next;

	for (x = TAILQ_FIRST(&s->sessions); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->held && x->txn != NULL)
			txn_credit(x->txn, 0, COMMIT_OK);
	}
}

static void take_credit(struct smtpd *s, struct span in)
{
	struct cursor c = cursor_of(in);
	struct transaction *t = find_txn(s, get_u64(&c));
	uint32_t octets = get_u32(&c);
	uint8_t status = get_u8(&c);
	bool was_full = s->parts_in_flight >= SMTPD_PARTS_TOTAL - SMTPD_PART;

	if (t != NULL && status <= COMMIT_MAX)
		txn_credit(t, octets, status);
	if (was_full)
		release_held(s);
}

static void take_committed(struct smtpd *s, struct span in)
{
	struct cursor c = cursor_of(in);
	struct transaction *t = find_txn(s, get_u64(&c));
	uint8_t status = get_u8(&c);

	if (t != NULL && t->committed && status <= COMMIT_MAX)
		txn_committed(t, (enum commit_status)status, c.rest);
}

/* Without a queue, a free descriptor, the tables of recipients or the first certificate nobody is
 * greeted: who connects waits in the backlog. */
void smtpd_set_listeners(struct smtpd *s)
{
	bool greet = s->has_queue && !s->resting && tables_there(s->rules->tables);
	struct listener *l;

	if (s->stopping)
		return;
	TAILQ_FOREACH(l, &s->listeners, link)
	{
		if (l->open)
			watch_want(&l->watch, greet && smtpd_tls_can_greet(l), false);
	}
}

/* The first word of a queue that has read its log. */
static void take_intake(struct smtpd *s, bool open)
{
	s->intake = open;
	s->has_queue = true;
	smtpd_set_listeners(s);
}

static int from_queue(void *arg, const struct ipc_frame *f)
{
	struct smtpd *s = arg;

	if (f->type == IPC_COMMITTED)
		take_committed(s, f->payload);
	else if (f->type == IPC_PART_CREDIT)
		take_credit(s, f->payload);
	else if (f->type == IPC_ETRN_ANSWER)
		return etrn_answered(s, f->payload);
	else if (f->type == IPC_INTAKE)
		take_intake(s, f->payload.p[0] != 0);
	else if (f->type == IPC_TURNED)
		return turn_answered(s, f->payload);
	else if (f->type == IPC_GIVEN)
		return turn_client(s, f);
	else if (f->type == IPC_LIMIT)
		return smtpd_limits_take(s, f->payload);
	return 0;
}

static void each_txn(struct smtpd *s, void (*fn)(struct transaction *))
{
	struct session *x, *next;

	for (x = TAILQ_FIRST(&s->sessions); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->txn != NULL)
			fn(x->txn);
	}
}

static void queue_gone(void *arg)
{
	struct smtpd *s = arg;

	s->intake = s->has_queue = false;
	smtpd_limits_forget(s);
	smtpd_set_listeners(s);
	each_txn(s, txn_queue_gone);
	etrn_queue_gone(s);
	turn_queue_gone(s);
}

static void queue_came(void *arg)
{
	each_txn(arg, txn_queue_changed);
}

static void queue_drained(void *arg)
{
	each_txn(arg, txn_queue_drained);
	release_held(arg);
}

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct smtpd *s = arg;

	if (role == ROLE_VAULT)
		smtpd_vault_peer(s, fd);
	else if (role == ROLE_RESOLVER)
		dns_link_peer(&s->dns, fd);
	else if (role == ROLE_SENDER)
		callout_sender_peer(s, index, fd);
	else
		queue_link_peer(&s->queue, role, fd);
}

static void new_signer(void *arg, unsigned index, int fd)
{
	(void)index;
	smtpd_tls_signer(arg, fd);
}

static void take_deny(void *arg, struct span payload)
{
	struct smtpd *s = arg;

	if (deny_take(&s->deny, payload, loop_now(s->loop)) < 0)
		die("smtpd: master sent a DENY frame that makes no sense");
}

static void take_file(void *arg, const struct proto_file *f, int fd)
{
	rules_take_file(arg, f, fd);
}

/* ---- reload --------------------------------------------------------------------------------- */

static void change(void *arg, struct reload *r, struct config *old)
{
	struct smtpd *s = arg;

	(void)old;
	if (!s->stopping)
		listeners_change(s, r);
}

static void changed(void *arg)
{
	struct smtpd *s = arg;

	smtpd_tls_changed(s);
	smtpd_tls_offer(s);
}

/* ---- clients -------------------------------------------------------------------------------- */

/* A listener that cannot be served stays readable: without a rest the loop would spin. */
void smtpd_rest(struct smtpd *s)
{
	if (!s->starved)
		log_error("smtpd: no connection can be taken: %s", strerror(errno));
	s->starved = s->resting = true;
	smtpd_set_listeners(s);
	timer_set(&s->rested, loop_now(s->loop) + REST);
}

static void rested(void *arg)
{
	struct smtpd *s = arg;

	s->resting = false;
	smtpd_set_listeners(s);
}

/* ---- start and end -------------------------------------------------------------------------- */

static void stop(void *arg)
{
	struct smtpd *s = arg;
	struct session *x, *next;

	s->stopping = true;
	timer_stop(&s->rested);
	timer_stop(&s->tls_wait);
	timer_stop(&s->sweep);
	listeners_stop(s);
	for (x = TAILQ_FIRST(&s->sessions); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		session_shutdown(x);
	}
	smtpd_check_stop(s);
}

void smtpd_check_stop(struct smtpd *s)
{
	if (s->stopping && s->n_sessions == 0)
		master_link_done(&s->master);
}

static void enter_jail(struct smtpd *s)
{
	struct sandbox box;

	boot_sandbox(s->boot, s->config, &box);
	sandbox_confine(&box);
	sandbox_seal(&box);
}

int role_smtpd(struct loop *l, struct boot *b)
{
	struct smtpd *s = gw_calloc(1, sizeof(*s));
	struct queue_link_owner owner = {.frame = from_queue,
	    .gone = queue_gone,
	    .come = queue_came,
	    .drained = queue_drained,
	    .arg = s};
	uint64_t seed;

	s->loop = l;
	s->boot = b;
	s->config = boot_config(b);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("smtpd: no random bytes");
	map_init(&s->txns, seed);
	map_init(&s->checks, seed);
	map_init(&s->etrns, seed);
	callout_start(s, seed);
	s->tally = &b->tally;
	smtpd_limits_start(s, seed);
	TAILQ_INIT(&s->sessions);
	s->next_txn = (uint64_t)clock_now() << 8;
	TAILQ_INIT(&s->listeners);
	smtpd_tls_prepare(s);
	enter_jail(s);
	timer_start(&s->rested, l, rested, s);
	timer_start(&s->sweep, l, clients_sweep, s);
	listeners_start(s);
	smtpd_tls_start(s);
	queue_link_start(&s->queue, l, b, &owner);
	dns_link_start(&s->dns, l, b);
	s->dns.patience = SMTPD_DNS_PATIENCE * USEC_PER_SEC;
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_VAULT)
			smtpd_vault_peer(s, b->peer[i].fd);
		else if (b->peer[i].role == ROLE_SENDER)
			callout_sender_peer(s, b->peer[i].index, b->peer[i].fd);
	}
	s->master = (struct master_link){.peer = new_peer,
	    .stop = stop,
	    .deny = take_deny,
	    .signer = new_signer,
	    .file = take_file,
	    .config = &s->config,
	    .change = change,
	    .changed = changed,
	    .arg = s};
	master_link_start(&s->master, l, b);
	return 0;
}
