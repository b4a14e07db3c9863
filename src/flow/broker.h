/*
 * The broker: the queue's transactions, credits, schedule, connections and jobs
 * as one state machine under a virtual clock. It holds no descriptor and does no
 * I/O: role/queue.c (and the simulator) feed it what arrived and carry out the
 * effects it asks for. What it promises:
 *
 *  - COMMITTED{OK} is asked for only after the record was reported durable.
 *  - Each recipient ends in exactly one final outcome, which is appended to the
 *    log; a failure and the report of it are one record.
 *  - A job is confirmed to its worker only after its result is durable.
 *  - The dot of an at-most-once message may be sent only after a record says so; whatever becomes
 *    of the worker then, the message is never given out again for these recipients unless the
 *    worker says that it was refused.
 *  - The effects of one call come in the order in which they must be carried out.
 *
 * The owner calls broker_next() until it says 0 after every call that feeds the
 * broker. Spans in effects are valid until the effect after it is asked for, those of
 * an append until broker_appended() for its token.
 */
#ifndef GW_FLOW_BROKER_H
#define GW_FLOW_BROKER_H

#include "auth/accounts.h"
#include "config/config.h"
#include "mail/change.h"
#include "mail/envelope.h"

struct broker;

enum { BROKER_WORKERS_MAX = 32, BROKER_APPEND_SPANS = 2 };

/* What a record in the log says. The same kinds are appended. */
enum broker_record {
	BROKER_MESSAGE,
	BROKER_PART,
	BROKER_RESULT,
	BROKER_DEFERRED,
	BROKER_PAST_DOT,
	BROKER_HELD,
	BROKER_RELEASED,
	BROKER_COUNTERS, /* the counts of the days (flow/counters.h); the newest one counts */
	BROKER_RECORDS,
};

/* Where a record lies in the log: its segment, and in it the meta. Segment 0: nowhere. */
struct record_place {
	uint64_t segment, offset;
};

/*
 * The log, to read back from: the only thing the broker asks for and waits. It changes nothing, and
 * as a rule the octets are in the page cache. Both give 0 or a GW_E* and judge checksums.
 */
struct broker_log {
	/* A record; the meta is valid until the next call. */
	int (*record)(void *arg, const struct record_place *at, enum broker_record *type,
	    struct span *meta, struct part *body);
	/* A whole piece of content into `to`, which has room for piece->length octets. */
	int (*content)(void *arg, const struct part *piece, uint8_t *to);
	void *arg;
};

struct broker_params {
	const struct config *config; /* borrowed */
	struct broker_log log;
	uint64_t seed;          /* of the jitter and of report ids; unpredictable when live */
	uint64_t first_number;  /* jobs and connections count up from here: never reused over
				   restarts (a time) */
	size_t memory_max;      /* octets of content kept in memory for first attempts */
	int64_t counters_every; /* microseconds from a count of the day to its record in the log
				   (0: none is written) */
	size_t ready_max;       /* messages of a site that wait in memory for their turn */
	void (*hand)(const struct msgid *id); /* this message is worked on now; may be NULL */
};

struct broker *broker_new(const struct broker_params *p) gw_checked;
void broker_free(struct broker **b);

/* ---- recovery: before anything else --------------------------------------------------- */

/* A record from the log, in log order. 0 or GW_EFORMAT (the record makes no sense: set aside). */
int broker_recover(struct broker *b, enum broker_record type, struct span meta,
    const struct record_place *at, const struct part *body) gw_checked;
/* All records were given. Jobs start when every worker that is up has named what it holds. */
void broker_recovered(struct broker *b, int64_t now);

/* ---- receivers: numbered by the owner, a new number for each new channel ---------------- */

void broker_receiver_up(struct broker *b, unsigned receiver);
/* Its open transactions are forgotten; commits that are on their way to the disk go on. */
void broker_receiver_down(struct broker *b, unsigned receiver);
/* GW_EFORMAT: the receiver broke a rule and is to be ended. */
int broker_part(
    struct broker *b, unsigned receiver, uint64_t txn, struct span data, int64_t now) gw_checked;
int broker_commit(struct broker *b, unsigned receiver, uint64_t txn, struct span envelope,
    struct span head, struct span rest, int64_t now) gw_checked;
void broker_abort(struct broker *b, unsigned receiver, uint64_t txn);
/* Was this COMMIT made durable before the restart? Answered by EFFECT_COMMITTED. */
void broker_ask(struct broker *b, unsigned receiver, uint64_t txn, const struct msgid *nonce);

/* ---- the store ------------------------------------------------------------------------ */

/* What became of an append: 0 (and where it lies now), GW_EIO, GW_ENOSPC, GW_EFULL. */
void broker_appended(struct broker *b, void *token, int status, const struct record_place *at,
    const struct part *body, int64_t now);
/* A segment was ended by a failed flush: transactions with parts in it fail. */
void broker_segment_failed(struct broker *b, uint64_t segment);
/* Is there room for new mail, and may jobs start (false while the store is undecided)? */
void broker_store_state(struct broker *b, bool intake, bool jobs, int64_t now);
/*
 * How far the log reaches. Where its oldest segment holds little that is alive, or the log is many
 * times what is alive, messages are copied forward so that it can go. Call it about ten times a
 * second while it answers true (more is to be copied), else once a second.
 */
struct broker_log_size {
	uint64_t oldest, newest; /* segments */
	uint64_t octets;         /* of all segments */
	uint64_t segment;        /* octets of one */
};
bool broker_compact(struct broker *b, const struct broker_log_size *size, int64_t now);

/* ---- workers: senders and mdas -------------------------------------------------------- */

enum broker_worker_kind { WORKER_SENDER, WORKER_MDA };
void broker_worker_up(struct broker *b, unsigned worker, enum broker_worker_kind kind);
/* Its jobs are due again. */
void broker_worker_down(struct broker *b, unsigned worker, int64_t now);
/*
 * Master's word on its death, once for each, before or after the end of its channel: the job it had
 * in hand when it crashed, 0 if none or if it did not crash. What the worker did not have cannot be
 * blamed.
 */
struct broker_crash {
	uint64_t job;
	struct msgid id;
	int signal;
	bool host; /* it was reading what the host said */
};
void broker_blamed(
    struct broker *b, unsigned worker, const struct broker_crash *crash, int64_t now);
/* The process that had this delivery alone crashed; its result follows. */
void broker_delivery_crashed(struct broker *b, unsigned worker, uint64_t job);
/* Its channel is full: no content and no new jobs for it until this is taken back. */
void broker_worker_blocked(struct broker *b, unsigned worker, bool blocked, int64_t now);
/* A job it goes on with (after a restart of the queue); last: it has named them all. GW_EFORMAT: as
 * above; GW_EIO: the message cannot be read back: nothing may start, the queue ends as if it could
 * not recover. */
int broker_holding(struct broker *b, unsigned worker, uint64_t job, uint64_t conn,
    const struct msgid *id, const uint32_t *rcpt, size_t n) gw_checked;
void broker_holding_done(struct broker *b, unsigned worker, int64_t now);
int broker_result(struct broker *b, unsigned worker, uint64_t job, bool site_failed,
    const struct change *c, int64_t now) gw_checked;
/* The worker is about to send the dot of an at-most-once message, for these recipients. EFFECT_GO
 * is the answer, once that is durable or cannot be. */
int broker_past_dot(struct broker *b, unsigned worker, uint64_t job, const uint32_t *rcpt, size_t n,
    int64_t now) gw_checked;
void broker_conn_closed(struct broker *b, unsigned worker, uint64_t conn, int64_t now);
int broker_body_credit(struct broker *b, unsigned worker, uint64_t job, uint32_t octets) gw_checked;
/* The head asked for by EFFECT_READ_HEAD; an empty span if it cannot be read. */
void broker_head(struct broker *b, void *token, struct span head, int64_t now);
/* The stored content of a job could not be read or does not match its checksum. */
void broker_body_broken(struct broker *b, uint64_t job);

/* ---- accounts ------------------------------------------------------------------------- */

/*
 * The accounts now in force; borrowed until the next call, which compares them with the new ones.
 * Mail of one that is suspended or closed is not tried until it is active again, or until its time
 * is over. Before the first call, where the configuration has accounts, none of their mail is.
 */
void broker_accounts(struct broker *b, const struct accounts *table, int64_t now);

/* ---- operators ------------------------------------------------------------------------ */

/* JSON into out; returns the HTTP status. Drops are answered when durable: status 0 means that
 * EFFECT_ANSWER with this request follows. */
int broker_summary(struct broker *b, struct buf *out, int64_t now);
int broker_list(struct broker *b, struct span filter, const struct msgid *after, uint32_t limit,
    struct buf *out, int64_t now);
int broker_show(struct broker *b, const struct msgid *id, struct buf *out, int64_t now);
int broker_retry(
    struct broker *b, const struct msgid *id, struct buf *out, int64_t now); /* NULL: all */
int broker_drop(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now);

/* What is held is due again; answered like a drop. */
int broker_release(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now);

struct broker_counts {
	size_t messages, recipients, held, active, waiting, ready, sites, connections;
	size_t parked;   /* messages at rest, of which little is in memory */
	size_t memory;   /* octets of content in memory */
	uint64_t live;   /* octets of the log that living messages take */
	uint64_t copied; /* messages copied forward so far */
	bool frozen, intake;
};
void broker_counts(const struct broker *b, struct broker_counts *out);

/* ---- time and effects ----------------------------------------------------------------- */

void broker_tick(struct broker *b, int64_t now);
/* How far the wall clock is ahead of "now": for the dates in reports. */
void broker_wall(struct broker *b, int64_t ahead);
/* The latest time that the log has, 0 if none. */
int64_t broker_latest(const struct broker *b);
/* When broker_tick is wanted at the latest. */
int64_t broker_deadline(const struct broker *b);

/* No new jobs from now on (the program ends). */
void broker_stop(struct broker *b);

enum broker_effect_type {
	EFFECT_APPEND,      /* put this record into the next batch; report with broker_appended */
	EFFECT_COMMITTED,   /* tell the receiver: txn, status (enum commit_status values) */
	EFFECT_PART_CREDIT, /* tell the receiver: txn, octets; status != 0: the transaction failed
			     */
	EFFECT_INTAKE,      /* tell all receivers: intake */
	EFFECT_JOB,         /* send the job */
	EFFECT_BODY,    /* send content: from memory (data) or from the log (piece, from, octets) */
	EFFECT_GO,      /* tell the worker: job; flag: the dot may be sent, else it may not */
	EFFECT_CONFIRM, /* tell the worker: job */
	EFFECT_HOLD,    /* segment */
	EFFECT_RELEASE,
	EFFECT_READ_HEAD, /* read piece[0..octets) and call broker_head(token) */
	EFFECT_ANSWER, /* tell the asker: request, status 200, octets were dropped (flag: released)
			*/
};

struct broker_job_rcpt {
	uint32_t index, attempts;
	struct span addr;
};

struct broker_effect {
	enum broker_effect_type type;
	unsigned peer;   /* receiver, worker or asker */
	uint64_t number; /* txn, job, request */
	int status;
	uint32_t octets;
	bool flag; /* INTAKE: open; BODY: last piece; APPEND: urgent (somebody waits for the flush)
		    */
	void *token;
	/* APPEND */
	enum broker_record record;
	bool own;
	struct msgid id;
	struct span meta;
	struct span body[BROKER_APPEND_SPANS];
	/* JOB */
	uint64_t conn;
	uint32_t conn_messages;
	const struct target *target;
	struct span from;
	uint64_t size;
	enum body_type body_type;
	bool eight_bit, at_most_once;
	const struct broker_job_rcpt *rcpt;
	size_t n_rcpt;
	/* BODY, READ_HEAD, HOLD, RELEASE */
	struct span data;
	struct part piece;
	uint64_t from_octet;
	bool is_part, piece_start,
	    piece_end; /* BODY: when to start and to judge the checksum of the piece */
	uint64_t segment;
};

/* 1: *e is the next effect; 0: none. */
int broker_next(struct broker *b, struct broker_effect *e) gw_checked;

#endif
