/*
 * Payloads of the frames of a reload (net/messages.def, docs/ipc.md), as role/proto.h has those of
 * mail. The same rules: 0 or GW_EFORMAT, decoded spans point into the payload, the bytes are
 * hostile.
 */
#ifndef GW_ROLE_PROTO_RELOAD_H
#define GW_ROLE_PROTO_RELOAD_H

#include "base/cursor.h"

/* CONFIG, PREPARE, READY, ABANDON, SWITCH, SWITCHED: a generation and nothing else. */
void proto_put_generation(struct buf *b, uint64_t generation);
int proto_get_generation(struct span in, uint64_t *generation) gw_checked;

/* REFUSED */
enum { PROTO_REFUSED_TEXT = 1024 };
struct proto_refused {
	uint64_t generation;
	struct span why;
};
void proto_put_refused(struct buf *b, const struct proto_refused *r);
int proto_get_refused(struct span in, struct proto_refused *r) gw_checked;

/* LISTEN: a socket, and the statement of the generation that it is of. */
struct proto_listen {
	uint64_t generation;
	uint32_t socket; /* the same in each generation that has it */
	uint32_t conf;   /* index in config.listen */
};
void proto_put_listen(struct buf *b, const struct proto_listen *l);
int proto_get_listen(struct span in, struct proto_listen *l) gw_checked;

/* RELOAD: what an operator wants. */
enum reload_verb {
	RELOAD_NOW,
	RELOAD_CONFIRM, /* it goes back after so many seconds unless RELOAD_KEEP comes */
	RELOAD_KEEP,
	RELOAD_VERB_MAX = RELOAD_KEEP,
};
struct proto_reload {
	uint64_t request; /* chosen by control, in the answer too */
	uint8_t verb;
	uint32_t seconds;
	struct span who; /* for the log: "uid=0" */
};
void proto_put_reload(struct buf *b, const struct proto_reload *r);
int proto_get_reload(struct span in, struct proto_reload *r) gw_checked;

/* RELOADED */
enum reload_status {
	RELOAD_DONE,
	RELOAD_REFUSED, /* what was in force still is; text says why */
	RELOAD_BUSY,    /* another one is under way */
	RELOAD_NOTHING, /* KEEP: nothing would go back */
	RELOAD_STATUS_MAX = RELOAD_NOTHING,
};
struct proto_reloaded {
	uint64_t request;
	uint8_t status;
	uint64_t generation; /* in force now */
	uint64_t took;       /* microseconds */
	uint64_t goes_back;  /* seconds until it does; 0: it stays */
	struct span text;    /* errors and warnings, as "config check" has them */
};
void proto_put_reloaded(struct buf *b, const struct proto_reloaded *r);
int proto_get_reloaded(struct span in, struct proto_reloaded *r) gw_checked;

#endif
