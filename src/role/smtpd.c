/*
 * The receiver: takes mail from clients, judges it, hands it to the queue. It
 * opens no file and sees no queued mail.
 */
#include "role/smtpd_auth.h"
#include "role/smtpd_tls.h"

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
		txn_committed(t, (enum commit_status)status);
}

/* Without a queue, a free descriptor or the first certificate nobody is greeted: who connects waits
 * in the backlog. */
void smtpd_set_listeners(struct smtpd *s)
{
	bool greet = s->has_queue && !s->resting;

	for (size_t i = 0; i < s->n_listener && !s->stopping; i++)
		watch_want(
		    &s->listener[i].watch, greet && smtpd_tls_can_greet(&s->listener[i]), false);
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
	else if (f->type == IPC_INTAKE)
		take_intake(s, f->payload.p[0] != 0);
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
	smtpd_set_listeners(s);
	each_txn(s, txn_queue_gone);
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

	(void)index;
	if (role == ROLE_VAULT)
		smtpd_vault_peer(s, fd);
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

/* ---- clients -------------------------------------------------------------------------------- */

/* A listener that cannot be served stays readable: without a rest the loop would spin. */
static void rest(struct smtpd *s)
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

/* Errors of the connection that was to be taken are no reason to rest. */
static bool out_of_means(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void on_accept(void *arg, bool readable, bool writable)
{
	struct listener *l = arg;

	(void)readable;
	(void)writable;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		struct sockaddr_storage addr = {0};
		socklen_t len = sizeof(addr);
		int fd = accept4(
		    l->watch.fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && out_of_means(errno))
			rest(l->smtpd);
		if (fd < 0)
			return;
		l->smtpd->starved = false;
		session_new(l, fd, &addr);
	}
}

static void set_engine(struct listener *l, const struct config *c)
{
	l->engine = (struct server_config){.hostname = span_str(c->hostname),
	    .banner = span_str(l->conf->banner),
	    .extensions = EXT_ALL,
	    .message_size = c->limits.message_size,
	    .recipients = c->limits.recipients,
	    .transactions = c->limits.transactions,
	    .bad_commands = c->limits.bad_commands,
	    .command_timeout = c->limits.command_timeout,
	    .data_timeout = c->limits.data_timeout,
	    .data_rate = (uint32_t)c->limits.data_rate};
}

static void open_listeners(struct smtpd *s)
{
	for (size_t i = 0; i < s->boot->n_listen; i++) {
		struct listener *l = &s->listener[s->n_listener++];

		l->smtpd = s;
		l->conf = s->boot->listen[i].conf;
		set_engine(l, s->config);
		watch_start(&l->watch, s->loop, s->boot->listen[i].fd, on_accept, l);
	}
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
	for (size_t i = 0; i < s->n_listener; i++)
		watch_stop(&s->listener[i].watch);
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
	s->tally = &b->tally;
	TAILQ_INIT(&s->sessions);
	s->next_txn = (uint64_t)clock_now() << 8;
	smtpd_tls_prepare(s);
	enter_jail(s);
	timer_start(&s->rested, l, rested, s);
	timer_start(&s->sweep, l, clients_sweep, s);
	open_listeners(s);
	smtpd_tls_start(s);
	queue_link_start(&s->queue, l, b, &owner);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_VAULT)
			smtpd_vault_peer(s, b->peer[i].fd);
	}
	s->master = (struct master_link){
	    .peer = new_peer, .stop = stop, .deny = take_deny, .signer = new_signer, .arg = s};
	master_link_start(&s->master, l, b);
	return 0;
}
