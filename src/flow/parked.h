/*
 * Messages at rest: all that has to be known of a message none of whose
 * recipients is under way, in as little memory as that takes. Its envelope and
 * content stay in the log and are read back when somebody wants them
 * (broker_parked.c). A million deferred recipients are the measure: at most 200
 * octets each, everything counted.
 *
 * This file is the container: slots, the index by id, the heap by time. It knows
 * nothing of sites but their pointers.
 */
#ifndef GW_FLOW_PARKED_H
#define GW_FLOW_PARKED_H

#include "base/heap.h"
#include "base/pool.h"
#include "flow/broker.h"

struct site;

/* A recipient that is not finished. */
/* In a record, of a recipient that was not tried yet: a limit has room again, and the time its
 * sender named still stands, whatever the clock will say then. */
#define DUE_AT_RELEASE INT64_MAX

struct resting {
	int64_t due;
	struct site *site; /* where it was to go; NULL: nowhere yet */
	uint32_t index, number;
	/* The record that says so: segments after the message's first one, place of the meta; 0:
	 * none. */
	uint32_t said_ahead, said_offset;
	uint16_t attempts, code;
	uint8_t esc[3];
	uint8_t outcome : 7;
	uint8_t warned : 1; /* its sender was told that it is late */
};

/* What few senders name. */
struct parked_times {
	int64_t release; /* no first attempt before it (FUTURERELEASE); 0: at once */
	int64_t by_at;   /* DELIVERBY: it is wanted then, whatever its recipients wait for */
};

struct parked {
	struct heap_node node;     /* when it is wanted */
	TAILQ_ENTRY(parked) crowd; /* among those that wait for room at `in` */
	struct parked *next;       /* in its bucket */
	struct site *in;           /* crowded out of this site, or NULL */
	struct msgid id;
	uint64_t first; /* the oldest segment it needs: parts may lie before its record */
	int64_t accepted;
	struct parked_times *times; /* NULL: its sender named none; parked_set_times() */
	uint32_t ahead, offset;     /* its record: segments after `first`, place of the meta */
	uint32_t octets;            /* it takes in the log, see parked_octets() */
	uint32_t n_rcpt, n_open;    /* all, and those that rest here */
	bool copying;               /* a copy of it is on its way to the disk */
	bool by_account;            /* kept back: its account is not active */
	uint8_t by;                 /* enum deliver_by */
	uint8_t kills;              /* of workers, see broker_blame.c */
	/* n_rcpt == 1: one; else n_open entries by index, and behind them n_rcpt outcomes. */
	union {
		struct resting one;
		struct resting *many;
	} rest;
};

struct parking {
	struct pool pool;
	struct parked **bucket;
	size_t n_bucket;
	uint64_t seed;
	struct heap due;
};

void parking_init(struct parking *k, uint64_t seed);
void parking_fini(struct parking *k);

static inline size_t parking_len(const struct parking *k)
{
	return pool_len(&k->pool);
}

/* A new slot with that many recipients, all of them open and blank. The id must not be there yet.
 */
struct parked *parking_add(struct parking *k, const struct msgid *id, uint32_t n_rcpt) gw_checked;
/* Takes it out and frees it. */
void parking_remove(struct parking *k, struct parked *p);
struct parked *parking_find(const struct parking *k, const struct msgid *id) gw_checked;

static inline struct resting *parked_rest(struct parked *p)
{
	return p->n_rcpt == 1 ? &p->rest.one : p->rest.many;
}

/* What a message takes in the log, as it is counted for it: no message has more. */
static inline uint32_t parked_octets(uint64_t octets)
{
	return octets < UINT32_MAX ? (uint32_t)octets : UINT32_MAX;
}

void parked_set_times(struct parked *p, int64_t release, int64_t by_at);

static inline int64_t parked_release(const struct parked *p)
{
	return p->times != NULL ? p->times->release : 0;
}

static inline int64_t parked_by_at(const struct parked *p)
{
	return p->times != NULL ? p->times->by_at : 0;
}

/* When a message that rests begins to be late: when it was released, or accepted. */
static inline int64_t parked_born(const struct parked *p)
{
	return parked_release(p) > p->accepted ? parked_release(p) : p->accepted;
}

/* It is not to be tried before then; 0: at any time. Whatever was said of a recipient since it was
 * accepted was said by an operator, and ends that; but for a limit that has room again: that
 * says the time anew. */
static inline int64_t resting_not_before(const struct parked *p, const struct resting *r)
{
	int64_t release = parked_release(p);
	bool kept = r->number == 0 ||
		    (r->outcome == OUTCOME_NONE && (r->due == release || r->due == DUE_AT_RELEASE));

	return kept ? release : 0;
}

/* The entry of that recipient, or NULL: it is finished or was never there. */
struct resting *parked_entry(struct parked *p, uint32_t index) gw_checked;
/* What became of a recipient that has no entry. */
uint8_t parked_ended(const struct parked *p, uint32_t index) gw_checked;
/* Drops the entries whose outcome is final. Entries move. */
void parked_compact(struct parked *p);

#endif
