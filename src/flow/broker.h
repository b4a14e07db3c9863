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
#include "flow/hosts.h"
#include "flow/limit.h"
#include "mail/change.h"
#include "mail/envelope.h"
#include "mail/etrn.h"

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
	BROKER_COUNTED,  /* what limits have counted, or a piece of that (broker_limits_log.c) */
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
	size_t ready_all; /* of all sites together, as broker_crowd.c says; 0: 16 sites full */
	void (*hand)(const struct msgid *id); /* this message is worked on now; may be NULL */
	/* Hours, days and months of limits, by the clock of "now" (flow/limit.h); NULL: of UTC. */
	struct limit_period (*calendar)(void *arg, enum limit_calendar unit, int64_t when);
	void *calendar_arg;
	size_t limit_rows; /* of limits, at most; 0: LIMIT_ROWS_MAX */
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
/* The host that has this job's message takes the parameters of DSN: it was told what its sender
 * wants to hear, and says so itself; the result follows. */
void broker_dsn_passed_on(struct broker *b, unsigned worker, uint64_t job);
/* The same host takes DELIVERBY, and was told how much time is left. */
void broker_time_passed_on(struct broker *b, unsigned worker, uint64_t job);
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
/* A delivery that found the file of a user with addresses that his mail goes on to: the recipient
 * has ended, and they take its place in a message of their own; one record is both. c: this
 * recipient, OUTCOME_EXPANDED. */
struct broker_forward {
	bool keep; /* a copy goes into his mailbox */
	const struct span *to;
	size_t n;
};
enum { BROKER_FORWARD_MAX = 100 };
int broker_expanded(struct broker *b, unsigned worker, uint64_t number,
    const struct broker_forward *f, const struct change *c, int64_t now) gw_checked;
int broker_result(struct broker *b, unsigned worker, uint64_t job, bool site_failed,
    const struct change *c, int64_t now) gw_checked;
/* The worker is about to send the dot of an at-most-once message, for these recipients. EFFECT_GO
 * is the answer, once that is durable or cannot be. */
int broker_past_dot(struct broker *b, unsigned worker, uint64_t job, const uint32_t *rcpt, size_t n,
    int64_t now) gw_checked;
/*
 * A customer is here whose connection is to be turned round (RFC 2645), for these domains of its
 * account's, or for all (n_domain == 0). BROKER_TURN_OK: the worker is given the connection under
 * that number before the effects that follow are carried out; broker_conn_closed() is its end.
 */
struct broker_turn {
	struct span account;
	const struct span *domain;
	size_t n_domain;
	unsigned worker;
	uint64_t conn;
};
enum broker_turned {
	BROKER_TURN_OK,
	BROKER_TURN_NO_MAIL,
	BROKER_TURN_BUSY,    /* nothing can be given out now, or the account is being served */
	BROKER_TURN_REFUSED, /* not all of the domains are its own */
};
enum broker_turned broker_turn(struct broker *b, struct broker_turn *t, int64_t now) gw_checked;
void broker_conn_closed(struct broker *b, unsigned worker, uint64_t conn, int64_t now);
int broker_body_credit(struct broker *b, unsigned worker, uint64_t job, uint32_t octets) gw_checked;
/* The head asked for by EFFECT_READ_HEAD; an empty span if it cannot be read. */
void broker_head(struct broker *b, void *token, struct span head, int64_t now);
/* The stored content of a job could not be read or does not match its checksum. */
void broker_body_broken(struct broker *b, uint64_t job);

/* ---- names ---------------------------------------------------------------------------- */

/*
 * The answer to EFFECT_RESOLVE: which hosts take the mail of a domain, the most preferred first;
 * that decides its group. Mail waits until it is here, and goes on being tried by the addresses
 * that the sender looks up. For a domain nobody waits for: ignored.
 */
struct broker_mx {
	enum mx_kind kind;
	const struct span *host;
	size_t n_host;
	uint32_t ttl; /* seconds */
	struct span why;
};
void broker_resolved(struct broker *b, struct span domain, const struct broker_mx *mx, int64_t now);

/* What a worker says of the hosts it tried, before the result of that job. refused: the host does
 * not want more of us now (421, a greeting of 4xx or 5xx). Of a job that is not the worker's:
 * ignored. */
struct broker_tried {
	struct span address; /* as text, without the port */
	bool good;
	struct span why;
};
void broker_tried(struct broker *b, unsigned worker, uint64_t job, bool refused,
    const struct broker_tried *tried, size_t n, int64_t now);

/* The hosts that are known to be bad, and when they are tried first again, as JSON. */
int broker_hosts(const struct broker *b, struct buf *out, int64_t now);
/* Forgets one, or all of them (empty). How many. */
size_t broker_hosts_clear(struct broker *b, struct span address);

/* ---- ETRN ------------------------------------------------------------------------------- */

/*
 * The waiting mail of this name is due now, its hosts are tried like any others again; what an
 * operator or a rule paused stays so. Who may ask has been judged. The count is that of messages
 * that go there; it is not told where they share a place with the mail of other names.
 */
struct broker_etrn {
	enum etrn_status status;
	uint32_t messages; /* COUNTED */
	char why[160];     /* PAUSED */
};
/* name: good, and in lower case. */
void broker_etrn(
    struct broker *b, enum etrn_kind kind, struct span name, struct broker_etrn *out, int64_t now);

/* ---- accounts ------------------------------------------------------------------------- */

/*
 * The accounts now in force; borrowed until the next call, which compares them with the new ones.
 * Mail of one that is suspended or closed is not tried until it is active again, or until its time
 * is over. Before the first call, where the configuration has accounts, none of their mail is.
 */
void broker_accounts(struct broker *b, const struct accounts *table, int64_t now);

/* The tables of recipients, for reports and forwarded mail to addresses here; borrowed for good:
 * what they hold may change between two calls. Accounts and day of it are not looked at. */
struct known;
void broker_tables(struct broker *b, const struct known *tables);

/* ---- reload --------------------------------------------------------------------------- */

/*
 * From now on this configuration is in force (borrowed, as the first one); the one before is not
 * looked at any more. All effects were carried out before. Tables of recipients are given anew
 * before this (broker_tables), and broker_tick() follows.
 */
void broker_reconfigure(struct broker *b, const struct config *c, int64_t now);
/* ---- limits on what comes in ------------------------------------------------------------ */

/* The configuration has other limits now: what was counted under the same {key, what, window}
 * stays, mail that is held is judged anew. */
void limits_reconfigure(struct broker *b, int64_t now);
/* The limits in a time, each with those who are nearest to it, most of them; or how one stands with
 * all that concern it: an account, an address, the name of a tenant or a listener. */
int broker_limits(
    struct broker *b, struct span subject, uint32_t most, struct buf *out, int64_t now);

/* How somebody stands with a limit: struct proto_limit, but for its names. */
struct broker_limit {
	enum limit_key key;
	enum limit_what what;
	enum limit_calendar calendar;
	uint32_t seconds;
	uint64_t n, used;
	int64_t opens_in;
	char plan[256], subject[256];
};

/* ---- operators ------------------------------------------------------------------------ */

/* JSON into out; returns the HTTP status. Drops are answered when durable: status 0 means that
 * EFFECT_ANSWER with this request follows. */
int broker_summary(struct broker *b, struct buf *out, int64_t now);
int broker_list(struct broker *b, struct span filter, const struct msgid *after, uint32_t limit,
    struct buf *out, int64_t now);
int broker_show(struct broker *b, const struct msgid *id, struct buf *out, int64_t now);
/*
 * What is done to recipients: to those of one message, of all messages that match, or all. What a
 * worker has right now is left alone.
 */
enum broker_verb {
	BROKER_RETRY,   /* due now */
	BROKER_DROP,    /* over, without delivery and without a report */
	BROKER_RELEASE, /* what is held is due */
	BROKER_HOLD, /* kept until it is released or its time is over; durable, like the two above
		      */
};
struct broker_command {
	enum broker_verb verb;
	bool dry;               /* only says how many it would be */
	const struct msgid *id; /* NULL: those of the filter */
	struct span filter;     /* as of broker_list(); empty: all */
	unsigned asker;
	uint64_t request;
};
int broker_act(struct broker *b, const struct broker_command *c, struct buf *out, int64_t now);
/* The same of one message, or of all (NULL). */
int broker_retry(struct broker *b, const struct msgid *id, struct buf *out, int64_t now);
int broker_drop(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now);
int broker_release(struct broker *b, const struct msgid *id, unsigned asker, uint64_t request,
    struct buf *out, int64_t now);

/*
 * Orders stand for a time: a group, those there are and those to come, is paused or slowed. They
 * are answered when they are durable, and outlive the queue. One of a kind for each name: a later
 * one takes its place.
 */
enum {
	BROKER_ORDERS_MAX = 256,
	BROKER_GROUP_MAX = 400,
	BROKER_REASON_MAX = 160,
	BROKER_WHO_MAX = 64
};
struct broker_order {
	bool slow;         /* else: pause */
	struct span group; /* the name of a shape, or of a destination in the summary; "all" */
	struct rate rate;
	int64_t time; /* microseconds; 0: until it is taken back */
	struct span who, reason;
	unsigned asker;
	uint64_t request;
};
int broker_order(struct broker *b, const struct broker_order *o, struct buf *out, int64_t now);
/* Takes back what was ordered of that name, and what replies brought about; who, asker and request
 * as above. */
int broker_resume(struct broker *b, const struct broker_order *o, struct buf *out, int64_t now);
/* The orders, and the rules on replies that are in force now. */
int broker_orders(struct broker *b, struct buf *out, int64_t now);

struct broker_counts {
	size_t messages, recipients, held, untold, active, waiting, ready, sites, connections;
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
	EFFECT_RESOLVE, /* ask which hosts take the mail of the domain in data; then broker_resolved
			 */
	EFFECT_CLOSE,   /* tell the worker: conn, which nobody needs; then broker_conn_closed */
	EFFECT_ANSWER,  /* tell the asker: request, status; data is JSON */

	/* limits */
	EFFECT_LIMIT, /* tell this receiver, or all of them (flag): limit */
	EFFECT_INDEX, /* only segments before this one may have an index (docs/spool.md) */
};

struct broker_job_rcpt {
	uint32_t index, attempts;
	struct span addr, orcpt;
	uint8_t notify;
	bool kept;
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
	struct span from, envid;
	enum dsn_ret ret;
	uint64_t size;
	enum body_type body_type;
	bool eight_bit, smtputf8, at_most_once;
	const struct handling *handling;
	const struct tls_out *tls; /* what the group demands besides the target */
	int64_t idle;              /* microseconds an unused connection is kept */
	const struct span *avoid;  /* addresses to be tried last */
	size_t n_avoid;
	const struct broker_job_rcpt *rcpt;
	size_t n_rcpt;
	/* BODY, READ_HEAD, HOLD, RELEASE */
	struct span data;
	struct part piece;
	uint64_t from_octet;
	bool is_part, piece_start,
	    piece_end; /* BODY: when to start and to judge the checksum of the piece */
	uint64_t segment;
	/* LIMIT; COMMITTED with the status COMMIT_LIMIT */
	const struct broker_limit *limit;
};

/* 1: *e is the next effect; 0: none. */
int broker_next(struct broker *b, struct broker_effect *e) gw_checked;

#endif
