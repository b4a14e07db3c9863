/*
 * The sender: connects to remote hosts and delivers what the queue orders. It
 * opens no file and sees no mail but that of its jobs.
 */
#include "role/sender.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

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
	if (f->type == IPC_CONFIRM)
		job_confirmed(s, number_of(f->payload));
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

	(void)index;
	queue_link_peer(&s->queue, role, fd);
}

/* ---- start and end ------------------------------------------------------------------------- */

static void stop(void *arg)
{
	struct sender *s = arg;
	struct conn *c, *next;

	s->stopping = true;
	if (s->n_conns == 0)
		master_link_done(&s->master);
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->job == NULL)
			conn_quit(c);
	}
}

static void set_engines(struct sender *s)
{
	client_config_defaults(&s->smtp);
	s->smtp.hostname = span_str(s->config->hostname);
	s->lmtp = s->smtp;
	s->lmtp.lmtp = true;
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
	set_engines(s);
	boot_sandbox(b, s->config, &box);
	sandbox_confine(&box);
	sandbox_seal(&box);
	queue_link_start(&s->queue, l, b, &owner);
	s->master = (struct master_link){.peer = new_peer, .stop = stop, .arg = s};
	master_link_start(&s->master, l, b);
	return 0;
}
