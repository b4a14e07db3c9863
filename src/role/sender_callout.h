/*
 * Callouts: is a recipient known to the server that has the mailboxes? Receivers ask (CALLOUT), the
 * answer is CALLED. sender_callout.c: targets, what is asked of them, who waits and for how long;
 * sender_callout_conn.c: a connection to one.
 *
 * A target is a server as a domain's statement names it. It sees at most CALLOUT_CONNS connections
 * with one RCPT at a time on each, never content. Equal questions are asked once. A target that
 * does not answer rests, and nobody waits for it meanwhile: the answer is AWAY at once.
 */
#ifndef GW_ROLE_SENDER_CALLOUT_H
#define GW_ROLE_SENDER_CALLOUT_H

#include "base/clock.h"
#include "flow/callout.h"
#include "role/proto_callout.h"
#include "role/sender.h"
#include "role/sender_try.h"

enum {
	CALLOUT_CONNS = 4,            /* to one target */
	CALLOUT_WAITING = 1024,       /* questions that wait for one target */
	CALLOUT_WAITERS = 64,         /* who wait for one question */
	CALLOUT_CACHED = 32768,       /* answers */
	CALLOUT_GUESTS = 16384,       /* clients that are watched */
	CALLOUT_PER_CONN = 100,       /* questions; then another connection */
	CALLOUT_UNKNOWN_PER_CONN = 8, /* many servers slow those down who err too often */
};
#define CALLOUT_IDLE (15 * USEC_PER_SEC)
#define CALLOUT_REST (2 * USEC_PER_SEC) /* doubled with each failure in a row, */
#define CALLOUT_REST_MAX (30 * USEC_PER_SEC)

struct callout_target;
struct callout_conn;

struct callout_waiter {
	TAILQ_ENTRY(callout_waiter) link;
	unsigned receiver;
	uint64_t channel; /* of it, when it asked */
	uint64_t request;
	uint8_t ip[16];
};

/* One address, and all who wait for what is said of it. */
struct callout_question {
	TAILQ_ENTRY(callout_question) link; /* in target->waiting; not while it is asked */
	struct callout_target *target;
	TAILQ_HEAD(, callout_waiter) waiters;
	size_t n_waiters;
	bool asked; /* a connection has it */
	int64_t deadline;
	struct span addr; /* behind this struct */
	uint8_t bytes[];
};

struct callout_target {
	TAILQ_ENTRY(callout_target) link;
	struct callouts *callouts;
	struct span domain;                     /* the statement; behind this struct */
	struct config *config;                  /* in force: a reference of its own */
	const struct recipients_lookup *lookup; /* in it */
	bool retired; /* others are asked now: what it was asked is answered, then it goes */
	struct map questions;                              /* by address: waiting and asked */
	TAILQ_HEAD(callout_row, callout_question) waiting; /* in the order of their deadlines */
	TAILQ_HEAD(, callout_conn) conns;
	size_t n_conns;
	struct timer timer; /* of the first that waits */
	unsigned failures;  /* in a row */
	int64_t rests;      /* until then it is not asked */
	char bytes[];
};

struct callout_peer {
	struct callouts *callouts;
	struct ipc *ipc; /* NULL: not there now */
	unsigned index;
	uint64_t number; /* tells one channel from the next at the same place */
};

struct callouts {
	struct sender *sender;
	struct callout_peer receiver[WORKERS_MAX];
	uint64_t channels;
	struct map targets; /* by domain */
	TAILQ_HEAD(callout_targets, callout_target) all, retired;
	struct flush sweep; /* of those that were retired, and have nothing left to do */
	struct callout_cache *cache;
	struct guesses *guesses;
};

/* ---- sender_callout.c */
void callouts_start(struct sender *s, uint64_t seed);
/* A channel to a receiver; fd is owned. */
void callouts_peer(struct sender *s, unsigned index, int fd);
/* No more is asked, and all connections go. */
void callouts_stop(struct sender *s);
/* Reload: what was asked is answered by whom it was asked of, and forgotten where he is not asked
 * any more. */
void callouts_change(struct sender *s, const struct config *old);

/* The next one to be asked, or NULL; it is the connection's from then on. */
struct callout_question *callout_next(struct callout_target *t);
/* What came of it; q is gone. */
void callout_answered(struct callout_question *q, enum callout_verdict verdict, struct span why);
/* The target did not do what it should: it rests. */
void callout_failed(struct callout_target *t, const char *why);
/* It has perhaps no connection or no question left. */
void callout_target_done(struct callout_target *t);
/* A connection is free, or gone. */
void callout_proceed(struct callout_target *t);

/* ---- sender_callout_conn.c */
void callout_conn_open(struct callout_target *t);
/* Without a word to anybody but the target; its question was taken from it. */
void callout_conn_drop(struct callout_conn *c);
/* The target is that of another configuration, or retired: what is idle leaves. */
void callout_conn_follow(struct callout_target *t);
/* It waits for a question: it looks for one. False: none is free. */
bool callout_conn_wake(struct callout_target *t);

#endif
