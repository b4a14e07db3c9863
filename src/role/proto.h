/*
 * Payloads of the IPC frames (net/messages.def), encoded and decoded here and
 * nowhere else. Decoding treats the bytes as hostile: 0, or GW_EFORMAT / GW_EFULL,
 * and the channel is ended. Decoded spans point into the payload, arrays into the arena.
 */
#ifndef GW_ROLE_PROTO_H
#define GW_ROLE_PROTO_H

#include "base/arena.h"
#include "base/cursor.h"
#include "mail/change.h"
#include "mail/envelope.h"

/* ---- receiving ------------------------------------------------------------------------ */

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
	COMMIT_OK,   /* durable: 250 */
	COMMIT_FAIL, /* not stored: 451 */
	COMMIT_FULL, /* no room: 452 */
	COMMIT_MAX = COMMIT_FULL,
};

/* ---- sending -------------------------------------------------------------------------- */

struct proto_target {
	uint8_t kind;     /* enum target_kind */
	struct span host; /* LMTP, RELAY by TCP */
	uint16_t port;
	struct span path; /* Unix socket, or the Maildir template */
};

struct proto_rcpt {
	uint32_t index;    /* in the envelope */
	uint32_t attempts; /* made before this one */
	struct span addr;
};

struct proto_job {
	uint64_t job;           /* chosen by the queue, never reused */
	uint64_t conn;          /* the connection slot: known to the worker: use it; else open it */
	uint32_t conn_messages; /* messages this connection may carry */
	struct msgid id;
	struct proto_target target;
	struct span from;
	uint64_t size;
	uint8_t body_type;
	bool eight_bit;
	bool at_most_once; /* ask with PAST_DOT before the dot, and wait for GO */
	const struct proto_rcpt *rcpt;
	size_t n_rcpt;
};
void proto_put_job(struct buf *b, const struct proto_job *j);
int proto_get_job(struct span in, struct proto_job *j, struct arena *a) gw_checked;

/* BODY: job, flags, then content. */
enum body_flag { BODY_LAST = 1, BODY_BROKEN = 2 /* cannot be completed: never send the dot */ };

/* PAST_DOT: the peer has taken these recipients, and is to get the dot. */
struct proto_past_dot {
	uint64_t job;
	const uint32_t *rcpt; /* indexes in the envelope */
	size_t n_rcpt;
};
void proto_put_past_dot(struct buf *b, const struct proto_past_dot *p);
int proto_get_past_dot(struct span in, struct proto_past_dot *p, struct arena *a) gw_checked;

/* GO: may the dot of this job be sent? */
struct proto_go {
	uint64_t job;
	bool go;
};
void proto_put_go(struct buf *b, const struct proto_go *g);
int proto_get_go(struct span in, struct proto_go *g) gw_checked;

/* RESULT: job, then a change (numbers of the change are the queue's to set). */
struct proto_result {
	uint64_t job;
	bool site;    /* a failure of the host (connect, greeting, timeout), not of this message */
	bool crashed; /* the process that had this delivery alone crashed */
	struct change change;
};
void proto_put_result(struct buf *b, const struct proto_result *r);
int proto_get_result(struct span in, struct proto_result *r, struct arena *a) gw_checked;

/* HOLDING: jobs with whole bodies that a worker goes on with under a new queue. */
struct proto_held {
	uint64_t job, conn;
	struct msgid id;
	const uint32_t *rcpt;
	size_t n_rcpt;
};
struct proto_holding {
	bool more; /* another HOLDING frame follows */
	const struct proto_held *held;
	size_t n_held;
};
void proto_put_holding(struct buf *b, const struct proto_holding *h);
int proto_get_holding(struct span in, struct proto_holding *h, struct arena *a) gw_checked;

/* ---- asking --------------------------------------------------------------------------- */

enum query_op {
	QUERY_SUMMARY, /* counters per site */
	QUERY_LIST,    /* text: filter "to:x from:y state:z"; messages behind cursor, most limit */
	QUERY_SHOW,    /* id */
	QUERY_RETRY,   /* id, or all */
	QUERY_DROP,    /* id, or all */
	QUERY_RELEASE, /* id, or all: what is held */
	QUERY_STATUS,
	QUERY_MAX = QUERY_STATUS,
};
struct proto_query {
	uint64_t request; /* chosen by control, in the answer too */
	enum query_op op;
	bool all;
	struct msgid id; /* SHOW, RETRY, DROP, RELEASE; LIST: cursor (all zero: from the start) */
	uint32_t limit;
	struct span text;
	struct span who; /* for the audit line: "uid=0" */
};
void proto_put_query(struct buf *b, const struct proto_query *q);
int proto_get_query(struct span in, struct proto_query *q) gw_checked;

/* ANSWER: request, HTTP status, JSON. */
struct proto_answer {
	uint64_t request;
	uint16_t status;
	struct span json;
};
void proto_put_answer(struct buf *b, const struct proto_answer *a);
int proto_get_answer(struct span in, struct proto_answer *a) gw_checked;

/* ROLES: what master tells control of the processes. */
struct proto_role {
	uint8_t role;
	uint8_t index;
	uint32_t pid, restarts;
	int64_t started;
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
