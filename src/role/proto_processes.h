/*
 * What master tells others of processes (see proto.h): control how they are, the queue what a dead
 * one had in hand.
 */
#ifndef GW_ROLE_PROTO_PROCESSES_H
#define GW_ROLE_PROTO_PROCESSES_H

#include "base/cursor.h"
#include "mail/msgid.h"

/* ROLES: what master tells control of the processes. */
struct proto_role {
	uint8_t role;
	uint8_t index;
	uint32_t pid, restarts;
	int64_t started;
	uint64_t generation; /* of the configuration it goes by, as it says; 0: nothing yet */
};
void proto_put_role(struct buf *b, const struct proto_role *r);
/* The next row, 1; 0 at the end; GW_EFORMAT. */
int proto_get_role(struct cursor *c, struct proto_role *r) gw_checked;

/* BLAME: a worker died. Without a crash there is no signal, with nothing in hand no job. */
struct proto_blame {
	uint8_t role, index, signal;
	bool host; /* it was reading what the host said */
	uint64_t job;
	struct msgid id;
};
void proto_put_blame(struct buf *b, const struct proto_blame *x);
int proto_get_blame(struct span in, struct proto_blame *x) gw_checked;

#endif
