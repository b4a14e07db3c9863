/*
 * Payloads of the frames by which the history follows the log, and is asked. As role/proto.h:
 * decoding treats the bytes as hostile, decoded spans point into the payload.
 *
 * STORY: the place behind its last record, then the records. STORY_KEPT answers each one.
 * STORY_BEGIN says where to go on; it counts up the epoch, and frames of another epoch are void.
 */
#ifndef GW_ROLE_PROTO_STORY_H
#define GW_ROLE_PROTO_STORY_H

#include "base/cursor.h"
#include "mail/msgid.h"

enum {
	STORY_HEAD = 4 + 8 + 8 + 8,
	STORY_FRAME = 48 << 10, /* octets: full enough to be sent */
	STORY_MOST = 64,        /* under way */
	TRACE_PREFIX_MIN = 10,
	TRACE_LIMIT_MAX = 1000,
};

/* A place in the log as the spool names it; nobody else reads anything into it. */
struct story_place {
	uint64_t segment, offset, mark;
};

/* STORY_KEPT and STORY_BEGIN; the head of STORY. */
struct proto_story {
	uint32_t epoch;
	struct story_place at;
};
void proto_put_story(struct buf *b, const struct proto_story *s);
int proto_get_story(struct cursor *c, struct proto_story *s) gw_checked;

/* What a record says; numbers of the channel. */
enum story_type {
	STORY_NOTHING,
	STORY_MESSAGE, /* meta: an envelope */
	STORY_CHANGE,  /* meta: a change */
	STORY_RELEASED,
	STORY_PAST_DOT,
	STORY_TYPE_MAX = STORY_PAST_DOT,
};
void proto_put_story_record(struct buf *b, enum story_type type, struct span meta);
/* 1: the next one; 0: the end; GW_EFORMAT. */
int proto_get_story_record(struct cursor *c, enum story_type *type, struct span *meta) gw_checked;

/* TRACE. */
enum trace_op { TRACE_ID, TRACE_FIND, TRACE_OP_MAX = TRACE_FIND };
struct proto_trace {
	uint64_t request; /* chosen by control; the answer is a struct proto_answer */
	enum trace_op op;
	struct msgid low, high; /* ID: of this range of ids; FIND: only those before high */
	struct span to, from;   /* FIND: addresses, lower case in the domain; empty: any */
	int64_t since;          /* FIND: accepted at this time (microseconds) or later */
	uint32_t limit;
};
void proto_put_trace(struct buf *b, const struct proto_trace *t);
int proto_get_trace(struct span in, struct proto_trace *t) gw_checked;

#endif
