/*
 * Payloads between receivers and the queue (see proto.h): messages that are to be stored, limits,
 * and ETRN.
 */
#ifndef GW_ROLE_PROTO_RECEIVE_H
#define GW_ROLE_PROTO_RECEIVE_H

#include "base/cursor.h"
#include "mail/etrn.h"

/* COMMIT: the content is parts (already sent) between head and rest. */
struct proto_commit {
	uint64_t txn; /* chosen by the receiver, unique on its channel */
	struct span envelope;
	struct span head; /* added fields and header block, up to and including the empty line */
	struct span rest;
};
/* Appends all but "rest", which the caller sends as the last span of the frame. */
void proto_put_commit(struct buf *b, const struct proto_commit *c);
int proto_get_commit(struct span in, struct proto_commit *c) gw_checked;

/* What the queue says to a transaction. */
enum commit_status {
	COMMIT_OK,    /* durable: 250 */
	COMMIT_FAIL,  /* not stored: 451 */
	COMMIT_FULL,  /* no room: 452 */
	COMMIT_LIMIT, /* over a limit, and nothing is stored: a struct proto_limit follows */
	COMMIT_MAX = COMMIT_LIMIT,
};

/*
 * LIMIT: how somebody stands with a limit; and behind COMMIT_LIMIT in COMMITTED: which limit. A
 * rule is known by its values, not by its place: receivers may have another generation of the
 * configuration for a moment. One they do not have is ignored, or told as "a limit".
 */
struct proto_limit {
	uint8_t key, what, calendar; /* enum limit_key, limit_what, limit_calendar (config.h) */
	uint32_t seconds;            /* 0: the calendar's */
	uint64_t n, used;
	int64_t opens_in;    /* microseconds from now until there is room again; 0: there is;
				INT64_MAX: never (COMMITTED: this message is more than n) */
	struct span plan;    /* of the rule; empty: of a limit statement */
	struct span subject; /* limit_subject() */
};
enum { PROTO_LIMIT_NAME = 255, PROTO_LIMIT_MAX = 600 };
void proto_put_limit(struct buf *b, const struct proto_limit *l);
int proto_get_limit(struct span in, struct proto_limit *l) gw_checked;

/* ETRN: kind and name are those of mail/etrn.h, and good. */
struct proto_etrn {
	uint64_t request;
	uint8_t kind;
	struct span name;
};
void proto_put_etrn(struct buf *b, const struct proto_etrn *e);
int proto_get_etrn(struct span in, struct proto_etrn *e) gw_checked;

/* ETRN_ANSWER: status is one of enum etrn_status (flow/broker.h). */
struct proto_etrn_answer {
	uint64_t request;
	uint8_t status;
	uint32_t messages;
	struct span why;
};
void proto_put_etrn_answer(struct buf *b, const struct proto_etrn_answer *a);
int proto_get_etrn_answer(struct span in, struct proto_etrn_answer *a) gw_checked;

#endif
