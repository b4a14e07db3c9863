/*
 * What goes to the disk: an append is a record on its way there, with what is to happen then.
 * Transactions of receivers, whose parts come before the message; effects, by which the broker
 * asks for all of it; and the segments of the log that living messages need.
 *
 * Who makes an append frees it, or sends it: then broker_append.c does, when it is durable or
 * refused.
 */
#ifndef GW_FLOW_APPEND_PRIVATE_H
#define GW_FLOW_APPEND_PRIVATE_H

#include "base/map.h"
#include "flow/counters.h"
#include "flow/queued-private.h"
#include "flow/report-private.h"

enum {
	BODY_CHUNK = 64 << 10, /* one BODY frame at most */
	PART_WINDOW = 1 << 20, /* content a receiver sends without having been granted */
	TXN_MAX = 4096,        /* open transactions with parts, per receiver */
	ENVELOPE_ARENA = 32 << 20,
};

struct append;
struct summed;
struct charged; /* limits-private.h */
struct asked;   /* ask-private.h: a command of an operator, and its answer */
struct answer;

/* Content in memory, counted. */
struct blob {
	uint32_t refs;
	size_t n;
	uint8_t bytes[];
};

struct txn {
	uint64_t number;
	unsigned receiver, pending; /* parts on their way to the disk */
	bool dead, failed, committing;
	int status; /* why it failed */
	struct part *part;
	size_t n_part, cap;
	uint64_t octets;
	/* the COMMIT, when it came before the last part was durable */
	struct append *commit;
	uint8_t key[sizeof(uint64_t) + sizeof(unsigned)];
};

enum append_kind {
	APPEND_PART,
	APPEND_ACCEPT,
	APPEND_CHANGE,
	APPEND_DERIVED,
	APPEND_PAST_DOT,
	APPEND_COUNTERS,
	APPEND_COPY_PART,
	APPEND_COPY,
	APPEND_COUNTED,
};

struct append {
	TAILQ_ENTRY(append) link; /* among those to be tried again */
	TAILQ_ENTRY(append) all;
	enum append_kind kind;
	enum broker_record record;
	struct msgid id;
	struct buf meta;
	struct blob *blob;
	struct span body[BROKER_APPEND_SPANS];
	struct queued *msg;   /* ACCEPT, DERIVED: the message it stores */
	struct queued *about; /* CHANGE, DERIVED, PAST_DOT: the message whose recipients it changes;
				 DERIVED: that it is made from, or NULL */
	struct job *job;      /* CHANGE, DERIVED: to be confirmed when all is durable */
	struct txn *txn;      /* PART */
	int receiver;         /* ACCEPT: -1 when it is gone */
	uint64_t number;      /* ACCEPT: its transaction; PAST_DOT: its job */
	struct asked *asked;  /* CHANGE: an operator waits, or NULL */
	struct copy *copy;    /* COPY, COPY_PART */
	size_t index;         /* COPY_PART: which */
	struct answer *answer; /* COUNTERS: to an operator, or NULL */
	bool held;             /* ACCEPT: some of its recipients are held from the start */
	struct telling told;   /* DERIVED: a report, until its header is at hand */
	struct summed *summed; /* DERIVED: a summary; CHANGE: its recipients were in one; or NULL */
	/* limits */
	struct charged *charged; /* ACCEPT, CHANGE: counted when it is durable; or NULL */
	bool stands;             /* ACCEPT: it has a place in the line of a limit */
	bool released;           /* CHANGE: by a limit that has room; done when it is durable */
};

/* COMMITs that were in the log, to be asked for: sorted when recovery is over. */
struct nonce {
	struct msgid id;
	int64_t accepted;
};
struct nonces {
	struct nonce *v;
	size_t n, cap;
	bool sorted;
};

/* Copying forward: which segment is being emptied, and where the search for its messages is. */
struct compaction {
	uint64_t segment; /* 0: none */
	struct pool_walk at;
	size_t under_way;
	uint64_t before; /* messages copied when this walk began */
	TAILQ_HEAD(, copy) copies;
	uint64_t budget; /* octets for now */
	uint64_t stuck;  /* a segment that could not be emptied */
	int64_t stuck_until;
};

struct effect_slot {
	struct broker_effect e;
	struct blob *blob; /* released when the effect was carried out */
	void *memory;      /* freed likewise */
	struct effect_slot *next;
};

/* broker.c */
struct broker_effect *effect_add(struct broker *b, enum broker_effect_type type);
void effect_hold_blob(struct broker *b, struct blob *blob); /* for the effect added last */
void effect_own(struct broker *b, void *memory);
/* Its octets are not zeroed: who makes it fills it. */
struct blob *blob_new(struct broker *b, size_t n);
void blob_drop(struct broker *b, struct blob **blob);
void effect_forget_all(struct broker *b);
void nonces_forget(struct broker *b);
/* broker_append.c */
struct append *append_new(
    struct broker *b, enum append_kind kind, enum broker_record record, const struct msgid *id);
/* Asks for it to be written; urgent: somebody waits for the flush. */
void append_send(struct broker *b, struct append *a, bool urgent);
void append_free(struct broker *b, struct append **a);
/* Those that were refused, when it is time. */
void appends_retry(struct broker *b, int64_t now);

/* broker_settle.c: a change of some recipients, written: RESULT or DEFERRED. j: is confirmed then,
 * or NULL. */
void append_change(struct broker *b, struct queued *m, struct job *j, const struct change *c);
/* broker_recover.c: was a COMMIT with this nonce in the log? */
bool nonce_known(struct broker *b, const struct msgid *nonce);

/* broker_segment.c: what the living need of the log. */
void segment_hold(struct broker *b, uint64_t segment, uint64_t octets);
void segment_release(struct broker *b, uint64_t segment, uint64_t octets);
/* Of a message: the oldest segment it needs and that of its record. */
void segment_hold_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets);
void segment_release_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets);
uint64_t segment_live(const struct broker *b, uint64_t segment);

/* broker_copy.c */
void copy_part_done(struct broker *b, struct append *a, int status, const struct part *body);
void copy_done(struct broker *b, struct append *a, int status, const struct record_place *at,
    const struct part *body);
void copies_free(struct broker *b);

/* broker_counters.c: the counts of the days. */
void counted(struct broker *b, enum counter what, uint64_t n, int64_t now);
/* A recipient's new state; before: outcome and codes until then. */
void counted_change(
    struct broker *b, const struct change_rcpt *before, const struct change_rcpt *c, int64_t when);
void counters_tick(struct broker *b, int64_t now);
void counters_appended(
    struct broker *b, struct append *a, int status, const struct record_place *at, int64_t now);
/* Any other record was written, or was not. */
void counters_seen(struct broker *b, int status, const struct record_place *at, int64_t now);
int counters_recover(struct broker *b, struct span meta, const struct record_place *at) gw_checked;
void counters_recovered(struct broker *b, int64_t now);

/* broker_txn.c: an append of APPEND_PART was carried out. */
void txn_part_done(struct broker *b, struct append *a, int status, const struct part *at);

#endif
