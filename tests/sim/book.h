/*
 * The book of a simulated world: every message that was ever made, what its
 * client was told, what the log is known to hold about each recipient, and what
 * the other side took. The promises of the queue are checked here, at the moment
 * when something happens:
 *
 *   - what was refused, or is not durable, is never handed to a worker;
 *   - a recipient whose end is durable, or is known to the queue that runs, or to a
 *     worker that lives, is not handed out again; it ends once in the log;
 *   - the dot of at-most-once mail is not sent before its PAST_DOT is durable, and the other side
 *     takes it once at most, whatever is lost;
 *   - what is held from the start is not handed out before somebody releases it;
 *   - content is handed out octet for octet;
 *   - a failure is one record with the report of it, and the report names exactly
 *     the recipients it ends; or it is durable that it is untold, and the recipient ends behind a
 *     summary that names it or counts it;
 *   - nobody is told of success who did not ask, nor warned twice, nor of what a next host tells;
 *   - in the end every acknowledged recipient has ended.
 */
#ifndef GW_TESTS_SIM_BOOK_H
#define GW_TESTS_SIM_BOOK_H

#include "flow/broker.h"

#include "base/map.h"

#define ADMIN "root@b.test"

enum { MAIL_RCPTS = 20, MAIL_BODY_MAX = 300 << 10, MAIL_SMALL_MAX = 3000, NO_REPORT = -1 };

enum mail_state {
	MAIL_OPEN,    /* content is on its way */
	MAIL_SENT,    /* COMMIT was sent, no answer yet */
	MAIL_OK,      /* the client has its 250 */
	MAIL_REFUSED, /* the client has its 4xx, or nothing was ever committed */
	MAIL_UNKNOWN, /* nobody was told anything */
};

struct mail_rcpt {
	char addr[64];
	char from[64]; /* a return path of its own, or empty */
	uint8_t notify;
	enum outcome final;        /* durable */
	uint32_t number, attempts; /* of the newest change that is durable */
	int report;                /* the message that says so, or NO_REPORT */
	int warning;               /* the message that says that it is late, or NO_REPORT */
	bool untold;               /* durable: it failed, and a summary tells of it */
	int summary;               /* the last that was made since then, or NO_REPORT */
	unsigned delivered;        /* times the other side took it */
	unsigned doubts;           /* times it took it and nobody was told */
	bool held;                 /* from the start, and nobody released it yet */
	bool noted;                /* PAST_DOT is durable, since it was handed out last */
	unsigned excuses;          /* results that were lost with all who knew them */
	unsigned life;             /* of the queue that took a final result, 0: none */
	unsigned holders;          /* jobs of living workers that run, or that ended it */
};

struct mail {
	int index;
	struct msgid id, nonce;
	enum mail_state state;
	unsigned copies; /* of it that became durable */
	bool is_report, durable, handed, at_most_once;
	char from[64], head[256];
	size_t head_n, size;
	uint8_t
	    *bytes; /* the content of a report; NULL: head, then octets of the pool from salt on */
	size_t salt;
	struct mail_rcpt rcpt[MAIL_RCPTS];
	size_t n_rcpt;
	enum dsn_ret ret;
	enum priority priority;
	int64_t hold_until; /* not before it, but for an operator's release; 0: at once */
	bool released;      /* an operator said so */
	int64_t by;    /* DELIVERBY: microseconds from its commit on, then it comes back; 0: not */
	int64_t by_at; /* the moment that makes, since its last commit */
	/* A report: whose recipients it is about (NO_REPORT: a summary, or a copy), and what it
	   says of them. */
	int about;
	uint32_t ended[MAIL_RCPTS];
	char action[MAIL_RCPTS][12];
	size_t n_ended;
	/* What limits have to do with it (tally.h). */
	struct {
		uint64_t place;     /* in the order of COMMITs */
		int64_t judged;     /* when; 0: not, or its record was asked for since */
		bool there;         /* durable */
		bool waits, leaves; /* a limit holds it, durably; its release was asked for */
		bool counts, sure;  /* as of `at`, the queue's stamp; durably */
		bool forced;        /* by an operator: whatever the limit */
		int64_t at;
	} tally;
};

struct book {
	struct mail **mail;
	size_t n, cap;
	struct map by_id;
	bool small;       /* short contents, few recipients */
	uint64_t places;  /* COMMITs */
	uint64_t version; /* counts up with everything that is promised */
	struct arena scratch;
};

void book_init(struct book *l);
void book_fini(struct book *l);

/* May it be given out now? */
void book_check_release(const struct mail *m, int64_t now);
/* Has a recipient of it not ended yet, durably? */
bool book_has_open(const struct mail *m) gw_checked;
/* Where a report about this recipient goes; empty: nowhere. */
const char *book_return_path(const struct mail *m, uint32_t index) gw_checked;
/* Does this end of the recipient come with a report to the sender? */
bool book_wants_report(const struct mail *m, uint32_t index, enum outcome o) gw_checked;
/* Who is told that this recipient failed; "": nobody. */
const char *book_teller(const struct mail *m, uint32_t index) gw_checked;
/* May it end with no report of its own, because a summary told of it? */
bool book_summed(const struct book *l, const struct mail *m, uint32_t index) gw_checked;
/* Is its domain one that the queue delivers to, and does not refuse by itself? */
bool book_has_host(const struct mail *m, uint32_t index) gw_checked;

/* A message of a client: content and recipients by dice. */
struct mail *book_new(struct book *l, uint64_t *rng, int64_t now) gw_checked;
/* Up to n octets of the content from there on: as many as lie in one piece. */
struct span mail_content(const struct mail *m, uint64_t from, size_t n) gw_checked;
/* NULL: never made. */
struct mail *book_find(const struct book *l, const struct msgid *id) gw_checked;

/* A record is to be written: reports enter the book. */
void book_asked(struct book *l, enum broker_record type, bool own, const struct msgid *id,
    struct span meta, const struct span *body);
/* The store says that it is durable, or a finished recovery gave it out. */
void book_durable(struct book *l, enum broker_record type, const struct msgid *id, struct span meta,
    bool recovered);
/* Is the end of every recipient that this RESULT ends durable? */
bool book_ended(const struct mail *m, const struct change *c) gw_checked;

/* The change in the envelope that holds some recipients from the start. False: none is held. */
bool book_held(const struct mail *m, struct buf *out) gw_checked;
/* An operator releases what is held: of this message, or of all (NULL). */
void book_release(struct book *l, struct mail *m);

/* The client was told. */
void book_answered(struct book *l, struct mail *m, bool ok);
/* A worker is given this recipient. */
void book_handed(struct mail *m, uint32_t index, unsigned life);
/* A queue took a final result; the worker that had it is gone; the queue is gone. */
void book_result(struct mail *m, const struct change *c, unsigned life);
bool book_at_most_once(const struct mail *m, uint32_t index) gw_checked;
/* The dot is sent: the other side took it, and says so or not. */
void book_taken(struct mail *m, uint32_t index, bool said);
void book_worker_lost(struct mail *m, uint32_t index, bool final, unsigned life);
void book_queue_lost(struct book *l, unsigned life);
/* Octets that go to a worker. */
void book_content(const struct mail *m, uint64_t from, struct span data);

/* All that was acknowledged is in this queue or has ended. */
void book_after_recovery(struct book *l, struct broker *b, int64_t now);
/* The queue is empty. */
void book_final(const struct book *l);

#endif
