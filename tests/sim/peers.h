/*
 * The processes around a simulated queue: receivers with their clients, workers
 * with the hosts they deliver to. Frames to the queue arrive at once; frames from
 * the queue lie in a mailbox, first in the queue's memory, then (sent) in the
 * socket, where they survive the queue.
 */
#ifndef GW_TESTS_SIM_PEERS_H
#define GW_TESTS_SIM_PEERS_H

#include "sim/world.h"

enum { RECEIVERS = 2, SENDERS = 2, MDA = SENDERS, WORKERS = SENDERS + 1 };

struct peers *peers_new(struct world *w) gw_checked;
void peers_free(struct peers **p);

/* One of them does something. new_mail: receivers may begin transactions. */
void peers_step(struct world *w, bool new_mail);
/* Nothing is under way: no transaction, no job. */
bool peers_idle(const struct world *w) gw_checked;
/* The hosts take everything from now on, or all kinds of things happen. */
void peers_calm(struct world *w, bool calm);

/* ---- called by the world -------------------------------------------------------------- */

/* The queue starts (its broker is there, nothing recovered yet) and has recovered. */
void peers_meet(struct world *w);
void peers_recovered(struct world *w);
/* The queue is gone; with the power everything is. */
void peers_queue_gone(struct world *w);
void peers_power_gone(struct world *w);
/* No answer waits in the queue's memory. */
bool peers_told(const struct world *w) gw_checked;

/* A receiver that lives waits for the answer to a COMMIT. */
bool peers_may_ask(const struct world *w) gw_checked;

void peers_committed(struct world *w, const struct broker_effect *e);
void peers_credit(struct world *w, const struct broker_effect *e);
void peers_job(struct world *w, const struct broker_effect *e);
/* data: what is sent, empty and broken if it could not be read. */
void peers_body(struct world *w, const struct broker_effect *e, struct span data, bool broken);
void peers_confirm(struct world *w, const struct broker_effect *e);
void peers_close(struct world *w, const struct broker_effect *e);
void peers_go(struct world *w, const struct broker_effect *e);
/* Sabotage: the client is told before the record is durable. */
void peers_early(struct world *w, const struct msgid *id);

#endif
