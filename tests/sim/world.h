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

#include "sim/bugs.h"
#include "sim/disk_sim.h"
#include "sim/book.h"
#include "spool/store.h"

/* What a history may be full of; a bit in world.without leaves it out, and no other dice change. */
enum may {
	MAY_ERROR,       /* calls of the disk fail */
	MAY_NOSPACE,     /* writes and flushes find no space */
	MAY_FULL,        /* others fill the disk */
	MAY_CRASH,       /* a life ends within an operation of the disk */
	MAY_START_CRASH, /* so does a start */
	MAY_KILL,        /* the queue dies alone */
	MAY_CUT,         /* the power is cut */
	MAY_DIE,         /* receivers and workers die */
	MAY_OPERATE,     /* operators retry and drop */
	MAY_PREPARE,     /* the index thread runs */
	MAY_UNREADABLE,  /* stored content cannot be read once */
	MAY_SUSPEND,     /* accounts are suspended and active again */
	MAY_RELOAD,      /* other configurations come in force */
	MAYS,
};
extern const char *const may_names[MAYS];

struct world_batch {
	struct store_record *record;
	struct span (*body)[BROKER_APPEND_SPANS];
	size_t n, cap, urgent, copies;
	int64_t oldest;
};

struct peers;

/* A question for the hosts of a domain, and when it is answered. */
struct world_question {
	char domain[32];
	int64_t at;
};
enum { WORLD_QUESTIONS = 8, LIMIT_OF_ONE = 2 /* connections of the shape of a.test */ };

struct world {
	uint64_t rng;
	int64_t now;
	unsigned life; /* of the queue; counts up from 1 */
	enum bug bug;
	uint32_t without; /* bits of enum may */
	uint64_t unread;  /* reads of stored octets that failed on purpose */
	const struct config *config;
	struct disk_sim *disk;
	int64_t counters_every;
	struct store_params params;
	struct book book;
	struct peers *peers;
	unsigned suspended; /* accounts, as bits */

	struct accounts *accounts; /* as the queue of this life heard last; NULL: not yet */
	struct broker *broker;     /* NULL: the queue is down */
	struct store *store;
	struct world_batch filling, at_disk;
	bool busy, undecided;
	int64_t done_at, heal_at, house_at, retire_from;
	uint64_t failed_segment;
	struct world_question asked[WORLD_QUESTIONS];
	size_t n_asked;
	uint8_t *buffer;
	struct buf meta; /* of the record that was read back last */
};

/* small: segments of a few pages and short mails, for crash sweeps. */
void world_init(struct world *w, uint64_t seed, const struct config *c, enum bug bug, bool small);
void world_fini(struct world *w);

/* What the broker calls a record of this type; sim_fail() if it never writes such a record. */
enum broker_record world_record(enum record_type type) gw_checked;

bool world_may(const struct world *w, enum may m) gw_checked;

/* Starts the queue: recovery, then the peers that live are connected. False: the disk died. */
bool world_start(struct world *w) gw_checked;
bool world_alive(const struct world *w) gw_checked;
/* The queue process is gone: what it knew is lost. */
void world_bury(struct world *w);

/* Carries out what the broker asks for. After every call that feeds it. */
void world_run(struct world *w);
/* What is due now: flushes, answers, healing, the clock of the broker, housekeeping. */
void world_turn(struct world *w);
/* This configuration is in force from now on; the one before is free again. */
void world_reload(struct world *w, const struct config *c);
/* The index thread. */
void world_prepare(struct world *w);
/* What the resolver says, in time: the hosts of the domain, now and then others, or that it cannot
 * say (but for a calm world). */
void world_answer(struct world *w, struct span domain, bool calm);
/* When something is due at the latest. */
int64_t world_deadline(const struct world *w) gw_checked;
/* Nothing is on its way to the disk. */
bool world_idle(const struct world *w) gw_checked;

#endif
