/*
 * The queue between the two sides of connections that are turned round (RFC 2645), and the plan of
 * its own pulls: which host is asked when for the mail it keeps for us. A pull is made by a sender;
 * one at a time of each statement. Nothing of it is durable: after a restart the first ones come
 * within a minute.
 */
#ifndef GW_ROLE_QUEUE_TURN_H
#define GW_ROLE_QUEUE_TURN_H

#include "base/buf.h"
#include "net/ipc.h"
#include "net/loop.h"

struct queue;
struct channel;
struct puller;

struct pulls {
	struct queue *queue;
	struct puller *puller; /* one of each statement */
	size_t n;
	uint64_t next_number;
	struct timer timer;
};

void pulls_start(struct pulls *p, struct queue *q);
/* No new ones. */
void pulls_stop(struct pulls *p);
/* Another configuration is in force; the one before is still there. */
void pulls_change(struct pulls *p, const struct config *c);
/* What this sender had in hand has failed. */
void pulls_worker_gone(struct pulls *p, unsigned worker);
/* Makes it now, if it is not under way: its name and its number. The HTTP status. */
int pulls_ask(struct pulls *p, struct span name, struct buf *out);
/* All of them, with what came of the last one of each. */
int pulls_list(const struct pulls *p, struct buf *out);

/* TURN and PULLED: 0 or GW_EFORMAT. */
int queue_take_turn(struct channel *c, const struct ipc_frame *f) gw_checked;
int queue_take_pulled(struct channel *c, struct span in) gw_checked;

#endif
