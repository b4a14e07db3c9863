/*
 * The truth behind spool_sim: everything that was ever handed to store_commit,
 * what is known of its fate, and what a recovery must therefore give out. It
 * makes records as the queue does (envelopes, changes, reports that end other
 * messages' recipients, parts) and judges recoveries by the queue's rules.
 *
 * One model at a time; a broken rule leaves by longjmp to model_failed.
 */
#ifndef GW_TESTS_SIM_SPOOL_SIM_MODEL_H
#define GW_TESTS_SIM_SPOOL_SIM_MODEL_H

#include "mail/change.h"
#include "sim/disk_sim.h"
#include "spool/store.h"

#include <setjmp.h>

enum {
	MODEL_ITEMS = 4000,
	MODEL_PIECES = 3,
	MODEL_BODY = 9000, /* octets; six times as many now and then */
	MODEL_RCPT = 3,
	NOBODY = -1,
};

enum fate { NEVER, UNKNOWN, DURABLE, REFUSED };

struct rcpt_state {
	enum outcome outcome;
	uint32_t number;
};

struct item {
	enum record_type type;
	enum fate fate;
	uint8_t *meta;
	size_t meta_n, ends_at, ends_n; /* ends: within the meta */
	uint32_t body_n;
	struct extent meta_at, body_at;
	int about; /* a change, or a message with ends: the message; PART: the message that names it
		    */
	struct change change;
	struct change_rcpt rcpt[MODEL_RCPT];
	/* MESSAGE */
	size_t n_rcpt;
	int64_t accepted;
	struct rcpt_state truth[MODEL_RCPT], seen[MODEL_RCPT];
	bool given, whole, nonce_given; /* by this recovery */
	bool held, gone;                /* gone: its segment was retired */
	bool open;                      /* PART: of the transaction that is open */
	bool busy;                      /* MESSAGE: a change is on its way */
};

struct model {
	struct disk_sim *disk;
	struct store *store;
	struct store_params params;
	struct item item[MODEL_ITEMS];
	int n;
	int64_t now;
	uint64_t rng;
	bool behind_tear, came_back; /* in the last recovery */
	jmp_buf failed;
	char why[200];
};

extern struct model m;

void model_fail(const char *fmt, ...) gw_printf(1, 2);
uint64_t model_below(uint64_t n);
void model_reset(uint64_t seed);
/* Not finished, and durable. */
bool model_alive(const struct item *it);

/* A new record; the spans live until the batch is through: content has room for MODEL_CONTENT. */
enum { MODEL_CONTENT = 6 * MODEL_BODY };
void model_record(struct store_record *r, struct span pieces[MODEL_PIECES], uint8_t *content);
/* What became of it; a record that is durable comes with a hold. */
void model_durable(struct item *it, const struct store_record *r);
void model_refused(struct item *it);
/* A transaction with a part in this segment is refused. */
void model_abort_parts(uint64_t failed_segment);
/* Every message that is alive is read. */
void model_check_alive(void);
void model_let_all_go(void);
/* The store has retired segments: their items are gone, but may come back with a crash. */
void model_retired(void);

/* One recovery: begin, each record, end. What it gave out is final. */
void model_recovery_begin(void);
void model_given(const struct store_record *r);
void model_recovery_end(const struct store_damage *d);
/* A number that depends on all that a recovery left alive, and where it lies. */
uint64_t model_sum(void);

#endif
