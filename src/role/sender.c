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

enum { ORPHAN_PATIENCE = 10 * 1000000 };

void sender_say(struct sender *s, enum ipc_type type, uint64_t number, uint32_t octets)
{
	struct buf b;
	struct span part;

	if (s->queue == NULL)
		return;
	buf_init(&b, 16);
	put_u64(&b, number);
	if (type == IPC_BODY_CREDIT)
		put_u32(&b, octets);
	part = buf_view(&b);
	ipc_send(s->queue, type, &part, 1, -1);
	buf_fini(&b);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static uint64_t number_of(struct span in)
{
	struct cursor c = cursor_of(in);

	return get_u64(&c);
}

static void from_queue(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct sender *s = arg;
	int err = 0;

	if (f->type == IPC_JOB)
		err = job_take(s, f->payload);
	else if (f->type == IPC_BODY)
		err = job_body(s, f->payload);
	else if (f->type == IPC_CONFIRM)
		job_confirmed(s, number_of(f->payload));
	if (err < 0)
		ipc_end(c, "bad_payload");
}

/*
 * Without its queue a job whose content is not all here can never be finished:
 * it ends before the dot. The others go on; their results wait for the new queue.
 */
static void drop_unfinished(struct sender *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->job != NULL && c->job->body_last)
			continue;
		if (c->job != NULL)
			job_forget(c->job);
		conn_disown(c);
		conn_quit(c);
	}
}

static void queue_gone(void *arg, struct ipc *c, const char *why)
{
	struct sender *s = arg;

	(void)c;
	(void)why;
	ipc_free(&s->queue);
	drop_unfinished(s);
	timer_set(&s->orphaned, loop_now(s->loop) + ORPHAN_PATIENCE);
}

static void orphaned(void *arg)
{
	struct sender *s = arg;

	log_error("sender: no queue for %d s, starting again", ORPHAN_PATIENCE / 1000000);
	loop_stop(s->loop, 1);
}

static void connect_queue(struct sender *s, int fd)
{
	struct ipc_owner owner = {.frame = from_queue, .closed = queue_gone, .arg = s};

	if (s->queue != NULL) {
		ipc_free(&s->queue);
		drop_unfinished(s);
	}
	s->queue = ipc_new(s->loop, fd, ROLE_SENDER, ROLE_QUEUE, 0, &owner);
	timer_set(&s->orphaned, INT64_MAX);
	jobs_name_all(s);
}

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	(void)index;
	if (role == ROLE_QUEUE)
		connect_queue(arg, fd);
	else
		close(fd);
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
	timer_start(&s->orphaned, l, orphaned, s);
	if (b->n_peer > 0)
		connect_queue(s, b->peer[0].fd);
	s->master = (struct master_link){.peer = new_peer, .stop = stop, .arg = s};
	master_link_start(&s->master, l, b);
	return 0;
}
