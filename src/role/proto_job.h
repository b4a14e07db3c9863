/*
 * Payloads between the queue and its workers, the senders and the mda (see proto.h): jobs, what
 * came of them, and which of them a worker goes on with under a new queue.
 */
#ifndef GW_ROLE_PROTO_JOB_H
#define GW_ROLE_PROTO_JOB_H

#include "base/arena.h"
#include "base/cursor.h"
#include "mail/change.h"
#include "mail/envelope.h"

enum { PROTO_HOSTS_MAX = 16, PROTO_PINS_MAX = 16, PROTO_AVOID_MAX = 64, PROTO_TRIED_MAX = 64 };

struct proto_host {
	struct span name; /* or an address */
	uint16_t port;
};

/* An address of a host, as text. */
struct proto_target {
	uint8_t kind;                            /* enum target_kind */
	struct proto_host host[PROTO_HOSTS_MAX]; /* LMTP, RELAY by TCP */
	size_t n_host;
	struct span path;   /* Unix socket, or the Maildir template */
	struct span domain; /* MX: whose hosts */
	uint16_t port;      /* MX */
	bool private_ok;    /* MX */
	uint8_t tls;        /* enum tls_demand (auth/tlspolicy.h) */
	struct span pins;   /* 32 octets each */
	struct span vmta, helo;
	struct span v4, v6; /* source addresses, 4 and 16 octets, or empty */
	uint8_t wish;       /* enum family_wish */
	bool login;         /* RELAY: log in ... */
	uint32_t secret;    /* ... with what is in the file of this number (secret_number) */
};

/* A part of JOB and PULL; what makes no sense fails the cursor. */
void proto_put_target(struct buf *b, const struct proto_target *t);
void proto_get_target(struct cursor *c, struct proto_target *t);

/* What came of an address in the course of a job. */
struct proto_tried {
	struct span address; /* as text, without the port */
	bool good;           /* it greeted us and spoke SMTP */
	struct span why;
};

struct proto_rcpt {
	uint32_t index;    /* in the envelope */
	uint32_t attempts; /* made before this one */
	struct span addr, orcpt;
	uint8_t notify; /* enum dsn_notify */
	bool kept;      /* the copy of who forwards his mail: it goes nowhere else */
};

struct proto_job {
	uint64_t job;           /* chosen by the queue, never reused */
	uint64_t conn;          /* the connection slot: known to the worker: use it; else open it */
	uint32_t conn_messages; /* messages this connection may carry */
	struct msgid id;
	struct proto_target target;
	struct span from, envid;
	uint8_t ret; /* enum dsn_ret */
	uint64_t size;
	uint8_t body_type;
	bool eight_bit, smtputf8;
	struct handling handling;
	bool at_most_once;                  /* ask with PAST_DOT before the dot, and wait for GO */
	struct span avoid[PROTO_AVOID_MAX]; /* addresses to be tried last, as text */
	size_t n_avoid;
	int64_t idle; /* microseconds an unused connection is kept */
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

enum { PROTO_FORWARD_MAX = 100 };
/* RESULT: job, then a change (numbers of the change are the queue's to set). */
struct proto_result {
	uint64_t job;
	bool site;    /* a failure of the host (connect, greeting, timeout), not of this message */
	bool crashed; /* the process that had this delivery alone crashed */
	bool dsn;     /* the host takes the parameters of DSN, and was given them */
	bool time;    /* the host offers DELIVERBY, and was told what is left of the time */
	bool refused; /* 421, or a greeting of 4xx or 5xx: the host does not want more of us now */
	struct proto_tried tried[PROTO_TRIED_MAX];
	size_t n_tried;
	/* OUTCOME_EXPANDED: those that take the place of its recipient. */
	bool keep;
	const struct span *forward;
	size_t n_forward;
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

#endif
