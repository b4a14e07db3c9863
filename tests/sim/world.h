/*
 * The queue process in a simulated world: the real broker and the real store on a
 * disk that forgets, under a virtual clock, with what role/queue.c and
 * role/queue_log.c do between them. One thread: a batch is at the disk at once, but
 * its records are told later, so that everything else can happen meanwhile.
 *
 * The process dies with its disk (disk_sim_dead): world_alive() is false then and
 * world_bury() takes the rest away. Peers (receivers, workers) live in peers.h.
 */
#ifndef GW_TESTS_SIM_WORLD_H
#define GW_TESTS_SIM_WORLD_H

#include "sim/disk_sim.h"
#include "sim/book.h"
#include "spool/store.h"

/* Planted bugs, to prove that the simulation would notice them. */
enum sabotage {
	SABOTAGE_NONE,
	SABOTAGE_FLUSH,     /* the disk ignores every flush */
	SABOTAGE_EARLY,     /* the client is answered before the flush */
	SABOTAGE_HOLD,      /* nobody holds the segments of living messages */
	SABOTAGE_CONFIRM,   /* results are confirmed before they are durable */
	SABOTAGE_UNDECIDED, /* after a failed flush the refusal does not wait for the TRUNCATE */
	SABOTAGE_HOLDING,   /* a new queue does not ask what the workers hold */
	SABOTAGE_FORGET,    /* results are said to be durable and never written */
	SABOTAGE_RETIRE,    /* segments retire although answers and questions are under way */
	SABOTAGE_GO,        /* leave for the dot is given before PAST_DOT is durable */
	SABOTAGES,
};
extern const char *const sabotage_names[SABOTAGES];

struct world_batch {
	struct store_record *record;
	struct span (*body)[BROKER_APPEND_SPANS];
	size_t n, cap, urgent;
	int64_t oldest;
};

struct peers;

struct world {
	uint64_t rng;
	int64_t now;
	unsigned life; /* of the queue; counts up from 1 */
	enum sabotage sabotage;
	const struct config *config;
	struct disk_sim *disk;
	int64_t counters_every;
	struct store_params params;
	struct book book;
	struct peers *peers;

	struct broker *broker; /* NULL: the queue is down */
	struct store *store;
	struct world_batch filling, at_disk;
	bool busy, undecided;
	int64_t done_at, heal_at, house_at, retire_from;
	uint64_t failed_segment;
	uint8_t *buffer;
	struct buf meta; /* of the record that was read back last */
};

void world_init(struct world *w, uint64_t seed, const struct config *c, enum sabotage s);
void world_fini(struct world *w);

/* Starts the queue: recovery, then the peers that live are connected. False: the disk died. */
bool world_start(struct world *w) gw_checked;
bool world_alive(const struct world *w) gw_checked;
/* The queue process is gone: what it knew is lost. */
void world_bury(struct world *w);

/* Carries out what the broker asks for. After every call that feeds it. */
void world_run(struct world *w);
/* What is due now: flushes, answers, healing, the clock of the broker, housekeeping. */
void world_turn(struct world *w);
/* The index thread. */
void world_prepare(struct world *w);
/* When something is due at the latest. */
int64_t world_deadline(const struct world *w) gw_checked;
/* Nothing is on its way to the disk. */
bool world_idle(const struct world *w) gw_checked;

#endif
