#include "role/queue_link.h"

#include "base/clock.h"
#include "base/log.h"

#include <unistd.h>

#define ORPHAN_PATIENCE (10 * USEC_PER_SEC)

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct queue_link *q = arg;

	if (q->owner.frame(q->owner.arg, f) < 0)
		ipc_end(c, "bad_payload");
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct queue_link *q = arg;

	(void)c;
	(void)why;
	ipc_free(&q->ipc);
	timer_set(&q->orphaned, loop_now(q->loop) + ORPHAN_PATIENCE);
	q->owner.gone(q->owner.arg);
}

static void on_drained(void *arg, struct ipc *c)
{
	struct queue_link *q = arg;

	(void)c;
	if (q->owner.drained != NULL)
		q->owner.drained(q->owner.arg);
}

static void orphaned(void *arg)
{
	struct queue_link *q = arg;

	log_error("%s: no queue for %d s, starting again", role_names[q->self],
	    (int)(ORPHAN_PATIENCE / USEC_PER_SEC));
	loop_stop(q->loop, 1);
}

static void connect_queue(struct queue_link *q, int fd)
{
	struct ipc_owner owner = {
	    .frame = on_frame, .closed = on_closed, .drained = on_drained, .arg = q};

	if (q->ipc != NULL) /* its end was not seen yet */
		on_closed(q, q->ipc, "replaced");
	timer_set(&q->orphaned, INT64_MAX);
	q->ipc = ipc_new(q->loop, fd, q->self, ROLE_QUEUE, 0, &owner);
	if (q->owner.come != NULL)
		q->owner.come(q->owner.arg);
}

void queue_link_start(struct queue_link *q, struct loop *l, const struct boot *b,
    const struct queue_link_owner *owner)
{
	*q = (struct queue_link){.loop = l, .self = b->role, .owner = *owner};
	timer_start(&q->orphaned, l, orphaned, q);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_QUEUE) /* others are the role's own business */
			connect_queue(q, b->peer[i].fd);
	}
}

void queue_link_peer(struct queue_link *q, enum role role, int fd)
{
	if (role == ROLE_QUEUE)
		connect_queue(q, fd);
	else
		close(fd);
}
