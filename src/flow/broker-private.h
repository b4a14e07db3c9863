/*
 * What the files of the broker share: the broker itself. What it has is in the rooms beside:
 *
 *   queued-private.h  messages in memory and their recipients; at rest and back
 *   task-private.h    the recipients that go together, and how they wait at a site
 *   group-private.h   sites, ways, groups, connections: who may be delivered where, how fast
 *   job-private.h     tasks under way on a connection of a worker
 *   append-private.h  records on their way to the disk, and what the living need of the log
 *   report-private.h  what senders are told
 *
 *   broker -- map ids --> queued (a message) -- owns --> recipients, tasks
 *   task --> site --> way --> group; job --> task, connection; append --> what it concerns
 *
 * Rooms that are entered by some only, and are not in here: derive-private.h, limits_use-private.h,
 * query-private.h, ask-private.h, hosts-private.h.
 */
#ifndef GW_FLOW_BROKER_PRIVATE_H
#define GW_FLOW_BROKER_PRIVATE_H

#include "base/heap.h"
#include "base/map.h"
#include "flow/append-private.h"
#include "flow/counters.h"
#include "flow/group-private.h"
#include "flow/job-private.h"
#include "flow/orders.h"
#include "flow/report-private.h"
#include "flow/route.h"
#include "flow/sched.h"
#include "flow/task-private.h"
#include "flow/turns.h"

#include <sys/queue.h>

struct broker_limits; /* limits-private.h */
struct asked;         /* ask-private.h */

/* An operator's command that goes over all messages at rest, a part at a time. */
struct sweep {
	struct asked *asked; /* NULL: none */
	struct pool_walk at;
};

/* Hosts that could not be reached, or did not greet us (broker_hosts.c). */
struct bad_hosts {
	struct map map;                     /* by address */
	TAILQ_HEAD(bad_list, bad_host) all; /* the one that failed longest ago first */
};

/* Mail at rest that ETRN made due, a part at a time; and what was asked for lately. */
struct etrn_runs {
	uint32_t number; /* of the walk that is on, or of the last one */
	bool on, again;  /* one more is wanted behind it */
	struct pool_walk at;
	struct map map;              /* by name */
	TAILQ_HEAD(, etrn_run) list; /* the one that began longest ago first */
};

struct broker {
	uint32_t magic;
	const struct config *config;
	struct broker_log log;
	struct dice dice;
	uint64_t next_number;
	size_t memory, memory_max, ready_max;
	size_t n_ready, ready_all; /* of all sites; more only in small steps (broker_crowd.c) */
	struct map turn_book;      /* of all turns */
	struct map ids, sites, ways, groups, jobs, conns, txns;
	struct nonces nonces;
	TAILQ_HEAD(queued_list, queued) messages; /* those in `ids`: something is under way */
	struct parking parking;                   /* all others */
	struct heap due, resting, waiting;
	struct map names;  /* by domain */
	struct map wholes; /* by key */
	struct bad_hosts bad;
	TAILQ_HEAD(, group) starved;
	char **rule_place; /* of all rules, one shape after the other */
	TAILQ_HEAD(, names) names_waiting, names_unused;
	size_t n_names_asked, n_names_unused, n_names_adopted;
	struct turns hungry; /* sites with a crowd, and room for some of it */
	struct map segments; /* what living messages need, see broker_segment.c */
	uint64_t live, copied;
	struct compaction compaction;
	struct sweep sweep;
	struct etrn_runs etrn;
	int64_t now; /* of the last call that brought the time along */
	struct worker worker[BROKER_WORKERS_MAX];
	bool recovering, frozen, intake, may_start, stopping;
	size_t n_rcpt, n_active, n_conns, n_held, n_untold;
	TAILQ_HEAD(, append) appends; /* all that are not durable yet */
	TAILQ_HEAD(, append) again;   /* refused for lack of space: tried again */
	int64_t again_at, forget_nonces_at;
	int64_t latest,
	    resumed;        /* of the log: its latest time, the end of a silence (sched_born) */
	int64_t wall_ahead; /* of "now": somebody set the wall clock since the program started */
	bool had_past_dot;  /* recovery met one */
	/* Messages that may be past their dot, until all workers named theirs. */
	struct msgid *doubt;
	size_t n_doubt;
	struct counters counters;
	struct orders orders; /* of operators, over groups */
	int64_t counters_every, counters_due;
	uint64_t counters_segment; /* of their newest record, which is held; 0: there is none */
	bool counters_ahead;       /* of that record */
	struct effect_slot *first, **last, *shown;
	struct arena scratch, reading;
	int read_error;         /* of the last message that could not be read back */
	unsigned read_failures; /* in a row */
	struct blame blame;
	struct storm storm;
	const struct accounts *accounts; /* NULL: not told yet */
	struct known known;              /* config NULL: no tables were given */
	void (*hand)(const struct msgid *id);
	struct broker_limits *limits;
};

enum {
	BROKER_MAGIC = GW_MAGIC(0x62, 0x72, 0x6b, 0x31),
	QUEUED_MAGIC = GW_MAGIC(0x71, 0x6d, 0x73, 0x31),
	SITE_MAGIC = GW_MAGIC(0x73, 0x69, 0x74, 0x31),
	WAY_MAGIC = GW_MAGIC(0x77, 0x61, 0x79, 0x31),
	NAMES_MAGIC = GW_MAGIC(0x6e, 0x61, 0x6d, 0x31),
	GROUP_MAGIC = GW_MAGIC(0x67, 0x72, 0x70, 0x31),
};

/* broker_action.c */
void asked_settle(struct broker *b, struct asked *asked);
void sweep_go_on(struct broker *b, int64_t now);

/* broker_etrn.c */
void etrn_init(struct broker *b, uint64_t seed);
void etrn_fini(struct broker *b);
/* A part of the walk over those at rest. */
void etrn_go_on(struct broker *b, int64_t now);

#endif
