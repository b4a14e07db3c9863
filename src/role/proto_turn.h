/*
 * Payloads of the frames about connections that are turned round (RFC 2645): in and out, as in
 * role/proto.h. A customer's connection is turned by its receiver and given to a sender; one that
 * this server made, to be a customer itself, by its sender, and given to a receiver.
 */
#ifndef GW_ROLE_PROTO_TURN_H
#define GW_ROLE_PROTO_TURN_H

#include "role/proto.h"

/* TURN, with the other end of the pair. */
struct proto_turn {
	uint64_t number;     /* chosen by the process that has the connection */
	uint32_t pull;       /* of a sender: which pull statement (pull_number) */
	struct span account; /* of a receiver: who asks ... */
	struct span domains; /* ... for which of its domains, with commas between them; or empty */
	struct span peer;    /* who is at the far end: as text, of a receiver for people */
};
void proto_put_turn(struct buf *b, const struct proto_turn *t);
int proto_get_turn(struct span in, struct proto_turn *t) gw_checked;

/* TURNED: number, status. */
enum turn_status {
	TURN_OK,
	TURN_NO_MAIL,
	TURN_BUSY,    /* not now */
	TURN_REFUSED, /* not for this account */
	TURN_MAX = TURN_REFUSED,
};
void proto_put_turned(struct buf *b, uint64_t number, enum turn_status status);
int proto_get_turned(struct span in, uint64_t *number, enum turn_status *status) gw_checked;

/* GIVEN, with one end of the pair. */
struct proto_given {
	uint64_t number;  /* to a sender: of the connection */
	uint32_t pull;    /* to a receiver: the same */
	struct span peer; /* as in TURN */
};
void proto_put_given(struct buf *b, const struct proto_given *g);
int proto_get_given(struct span in, struct proto_given *g) gw_checked;

/* PULL */
struct proto_pull {
	uint64_t number; /* chosen by the queue, never reused */
	uint32_t pull;
	struct proto_target target;
};
void proto_put_pull(struct buf *b, const struct proto_pull *p);
/* The target's spans point into the payload. */
int proto_get_pull(struct span in, struct proto_pull *p) gw_checked;

/* PULLED */
enum pulled_status {
	PULLED_OK,      /* mail came, or will */
	PULLED_NO_MAIL, /* none waited */
	PULLED_FAILED,
	PULLED_MAX = PULLED_FAILED,
};
struct proto_pulled {
	uint64_t number;
	uint8_t status;  /* enum pulled_status */
	uint64_t octets; /* that came over the turned connection */
	uint16_t code;   /* of what was said last; 0: by us */
	struct span host, text;
};
void proto_put_pulled(struct buf *b, const struct proto_pulled *p);
int proto_get_pulled(struct span in, struct proto_pulled *p) gw_checked;

/* How frames name a pull statement: a number that is made of its name and of what it asks for, and
 * means the same in each configuration, so that what was agreed on by one is never judged by
 * another. NULL: that one has none of this number. */
struct pull;
struct config;
uint32_t pull_number(const struct pull *p) gw_checked;
const struct pull *pull_of_number(const struct config *c, uint32_t number) gw_checked;

#endif
