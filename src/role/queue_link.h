/*
 * The channel to the queue, as every role but the queue and master has one.
 * When the queue dies the channel is gone until master brings another (PEER). A
 * role that stays without a queue for too long ends, so that master starts it again
 * with new channels.
 *
 * Embedded in its role, lives as long as the process. "gone" comes before each
 * "come" but the first.
 */
#ifndef GW_ROLE_QUEUE_LINK_H
#define GW_ROLE_QUEUE_LINK_H

#include "role/role.h"

struct queue_link_owner {
	/* A permitted frame; below 0: it makes no sense, the channel ends. */
	int (*frame)(void *arg, const struct ipc_frame *f);
	void (*gone)(void *arg);    /* the channel is closed, ipc is NULL */
	void (*come)(void *arg);    /* a new queue; may be NULL */
	void (*drained)(void *arg); /* as in ipc.h; may be NULL */
	void *arg;
};

struct queue_link {
	struct ipc *ipc; /* NULL: no queue now */
	struct loop *loop;
	enum role self;
	struct timer orphaned;
	struct queue_link_owner owner;
};

/* Takes the channel from the boot's peers if it is there already. */
void queue_link_start(struct queue_link *q, struct loop *l, const struct boot *b,
    const struct queue_link_owner *owner);
/* What master_link.peer says: anything but a queue is closed. */
void queue_link_peer(struct queue_link *q, enum role role, int fd);

#endif
