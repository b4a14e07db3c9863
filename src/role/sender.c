/*
 * The sender: connects to remote hosts and delivers what the queue orders. It
 * opens no file and sees no mail but that of its jobs.
 */
#include "role/sender_callout.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A day: longer than any schedule waits at first. */
#define UNCHUNKED_TIME INT64_C(86400000000)

void sender_say(struct sender *s, enum ipc_type type, uint64_t number, uint32_t octets)
{
	struct buf b;
	struct span part;

	if (s->queue.ipc == NULL)
		return;
	buf_init(&b, 16);
	put_u64(&b, number);
	if (type == IPC_BODY_CREDIT)
		put_u32(&b, octets);
	part = buf_view(&b);
	ipc_send(s->queue.ipc, type, &part, 1, -1);
	buf_fini(&b);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static uint64_t number_of(struct span in)
{
	struct cursor c = cursor_of(in);

	return get_u64(&c);
}

static int take(struct sender *s, const struct ipc_frame *f)
{
	if (f->type == IPC_JOB)
		return job_take(s, f->payload);
	if (f->type == IPC_BODY)
		return job_body(s, f->payload);
	if (f->type == IPC_GO)
		return job_go(s, f->payload);
	if (f->type == IPC_GIVEN)
		return turn_given(s, f);
	if (f->type == IPC_PULL)
		return pull_take(s, f->payload);
	if (f->type == IPC_TURNED)
		return pull_turned(s, f->payload);
	if (f->type == IPC_CONFIRM)
		job_confirmed(s, number_of(f->payload));
	if (f->type == IPC_CLOSE)
		conn_unneeded(s, number_of(f->payload));
	return 0;
}

static int from_queue(void *arg, const struct ipc_frame *f)
{
	int err = take(arg, f);

	blotter_clear();
	return err;
}

/*
 * Without its queue a job whose content is not all here can never be finished, and nobody gives
 * leave for the dot of at-most-once mail: these end before the dot. The others go on; their
 * results wait for the new queue.
 */
static void queue_gone(void *arg)
{
	struct sender *s = arg;
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->job != NULL && job_goes_on(c->job))
			continue;
		if (c->job != NULL)
			job_give_up(c->job);
		conn_disown(c);
		conn_quit(c);
	}
}

static void queue_came(void *arg)
{
	jobs_name_all(arg);
}

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct sender *s = arg;

	if (role == ROLE_RESOLVER)
		dns_link_peer(&s->dns, fd);
	else if (role == ROLE_SMTPD)
		callouts_peer(s, index, fd);
	else
		queue_link_peer(&s->queue, role, fd);
}

/* ---- descriptors --------------------------------------------------------------------------- */

void sender_shortage(struct sender *s, int err)
{
	if (err != 0 && s->shortage == 0)
		log_error("sender: no socket for a connection: %s", strerror(err));
	s->shortage = err;
}

void sender_make_room(struct sender *s)
{
	struct conn *c, *idle = NULL;

	TAILQ_FOREACH(c, &s->conns, link)
	{
		if (c->engine != NULL && c->ready && c->job == NULL && c->number != 0 &&
		    (idle == NULL || c->limit < idle->limit))
			idle = c;
	}
	if (idle != NULL)
		conn_quit(idle);
}

/* ---- start and end ------------------------------------------------------------------------- */

void sender_check_stop(struct sender *s)
{
	if (s->stopping && s->n_conns == 0 && TAILQ_EMPTY(&s->turned))
		master_link_done(&s->master);
}

static void stop(void *arg)
{
	struct sender *s = arg;
	struct conn *c, *next;

	s->stopping = true;
	callouts_stop(s);
	sender_check_stop(s);
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->job == NULL)
			conn_quit(c);
	}
}

static void new_file(void *arg, const struct proto_file *f, int fd)
{
	struct sender *s = arg;

	if (f->kind != FILE_SECRET || f->index >= s->config->n_secret)
		die("sender: master sent a file that the configuration does not name");
	secrets_take(&s->secrets, fd, s->config->secret[f->index]);
}

/* Jobs bring along what they need, and what is under way goes on with that. */
static void change(void *arg, struct reload *r, struct config *old)
{
	struct sender *s = arg;

	(void)r;
	config_free(&s->before);
	s->before = config_ref(old);
	secrets_set(&s->secrets, s->config);
	sender_self(s);
	callouts_change(s, old);
}

static void start_tls(struct sender *s)
{
	const char *why;

	s->tls = tls_client_new(s->config->authorities, &why);
	if (why != NULL && s->config->authorities != NULL)
		log_error("%s: %s", s->config->authorities, why);
}

int role_sender(struct loop *l, struct boot *b)
{
	struct sender *s = gw_calloc(1, sizeof(*s));
	struct queue_link_owner owner = {
	    .frame = from_queue, .gone = queue_gone, .come = queue_came, .arg = s};
	struct sandbox box;
	uint64_t seed;

	s->loop = l;
	s->boot = b;
	s->config = boot_config(b);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("sender: no random bytes");
	map_init(&s->jobs, seed);
	map_init(&s->by_number, seed);
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->turned);
	s->dice.state = seed;
	clear_hosts_init(&s->clear, seed, CLEAR_TIME);
	clear_hosts_init(&s->unchunked, seed, UNCHUNKED_TIME);
	secrets_set(&s->secrets, s->config);
	start_tls(s);
	sender_interfaces(s);
	sender_self(s);
	boot_sandbox(b, s->config, &box);
	sandbox_confine(&box);
	sandbox_seal(&box);
	dns_link_start(&s->dns, l, b);
	queue_link_start(&s->queue, l, b, &owner);
	callouts_start(s, seed);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_SMTPD)
			callouts_peer(s, b->peer[i].index, b->peer[i].fd);
	}
	s->master = (struct master_link){.peer = new_peer,
	    .stop = stop,
	    .file = new_file,
	    .config = &s->config,
	    .change = change,
	    .arg = s};
	master_link_start(&s->master, l, b);
	return 0;
}
