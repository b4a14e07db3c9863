/*
 * The queue's log thread and index thread, and the batch that is being filled.
 * The loop adds records; once a turn the batch goes to the disk if somebody
 * waits for it, or if its oldest record waited QUEUE_LAZY for company. While a
 * batch is at the disk the next one fills: the batch adapts to the disk. A batch
 * of one with nobody else waiting is written by the loop itself, which saves two
 * changes of thread.
 */
#ifndef GW_ROLE_QUEUE_LOG_H
#define GW_ROLE_QUEUE_LOG_H

#include "net/loop.h"
#include "spool/store.h"

enum { QUEUE_LAZY = 20000, /* microseconds a record of our own may wait */ QUEUE_SPANS = 2 };

struct queue_log;

struct queue_log_owner {
	/* One record of a batch is final; called on the loop, in order. Its owner is the token. */
	void (*done)(void *arg, const struct store_record *r);
	/* All records of the batch were told. */
	void (*batch_done)(void *arg);
	/* The store cannot say yet what became of a batch (true), or can again (false). */
	void (*undecided)(void *arg, bool undecided);
	void *arg;
};

/* The store is borrowed. Threads start with queue_log_threads (between confine and seal). */
struct queue_log *queue_log_new(
    struct loop *l, struct store *s, const struct queue_log_owner *owner) gw_checked;
void queue_log_threads(struct queue_log *q);

/* The bytes stay valid until done() was called for the token. */
void queue_log_add(struct queue_log *q, enum record_type type, const struct msgid *id, bool own,
    bool urgent, struct span meta, const struct span body[QUEUE_SPANS], void *token);
/* Nothing waits and nothing is at the disk. */
bool queue_log_idle(const struct queue_log *q);
/* Do not wait for company any more. */
void queue_log_hurry(struct queue_log *q);

#endif
