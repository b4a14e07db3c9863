/*
 * Connections that are turned round (RFC 2645), as the sender has them.
 *
 * A customer's: GIVEN brings one end of a pair of sockets, and its engine speaks over it as if it
 * had just connected; the jobs for it follow. It never finds another host.
 *
 * Our own: a pull is a job without a message (job.pull). It finds its host, protects the connection
 * and logs in like any other; then it says ATRN, or ETRN for each domain. When the host agrees to
 * turn, one end of a pair goes to the queue, and octets are carried between it and the host until
 * one of them ends.
 */
#ifndef GW_ROLE_SENDER_TURN_H
#define GW_ROLE_SENDER_TURN_H

#include "net/ipc.h"
#include "smtp/client.h"

struct sender;
struct conn;
struct job;
struct pulling;

/* ---- sender_turn.c */
int turn_given(struct sender *s, const struct ipc_frame *f) gw_checked;

/* ---- sender_pull.c */
int pull_take(struct sender *s, struct span payload) gw_checked;
struct pulling;
void pull_free(struct pulling **x);
/* TURNED: nobody takes the other end, or somebody does. */
int pull_turned(struct sender *s, struct span payload) gw_checked;
/* Its connection may be used now. */
void pull_begin(struct conn *c);
/* A reply to what pull_begin() said. */
void pull_answer(struct conn *c, const struct client_event *ev);
/* It comes to nothing, for this reason. */
void pull_said(struct job *j, const struct client_event *ev, const char *host);
/* Tells the queue; j is gone. */
void pull_finish(struct job *j);
/* The connection is to be turned now: c is gone then. */
bool pull_turn_due(const struct conn *c);
void pull_turn(struct conn *c);

#endif
