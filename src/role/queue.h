/*
 * What the files of the queue role share: its channels and the state machine
 * they feed. queue.c: start, time and the store; queue_effects.c: what the broker asks for;
 * queue_frames.c: frames from receivers, workers and control; queue_names.c: questions for DNS;
 * queue_body.c: content read back from the log; queue_aside.c: records that are passed over;
 * queue_clock.c: jumps of the wall clock; queue_log.c: batches and threads; queue_story.c: what the
 * history is told.
 */
#ifndef GW_ROLE_QUEUE_H
#define GW_ROLE_QUEUE_H

#include "flow/broker.h"
#include "role/accounts_frame.h"
#include "role/dns_link.h"
#include "role/proto.h"
#include "role/queue_log.h"
#include "role/queue_story.h"
#include "role/queue_turn.h"
#include "role/role.h"
#include "role/tables.h"

#include <sys/queue.h>

/* One channel to a receiver, a worker or control. */
struct channel {
	TAILQ_ENTRY(channel) link;
	struct queue *queue;
	struct ipc *ipc;
	enum role role;
	unsigned index;
	unsigned number; /* in the broker: of this channel (receiver), of this slot (worker) */
	bool blocked;    /* its output is full: no content for it */
};

struct queue {
	struct loop *loop;
	struct config *config;
	struct boot *boot;
	struct disk *disk;
	struct store *store;
	struct broker *broker;
	struct queue_log *log;
	struct story story;
	struct body_reader *reader;
	TAILQ_HEAD(, channel) channels;
	unsigned next_receiver;
	uint64_t failed_segment; /* the last one that was told */
	int64_t trim_at;
	int64_t wall_ahead;        /* of loop_now(), when it was looked at last */
	int64_t retire_from;       /* before that, the answers to questions must stay in the log */
	struct accounts *accounts; /* as the vault told them last; the broker has them on loan */
	struct tables *tables;     /* who is known here; the broker has them on loan */
	struct pulls pulls;        /* of mail that waits elsewhere */
	struct dns_link dns;
	struct master_link master;
	struct timer tick, house;
	struct flush stop_check;
	bool stopping, low, undecided;
	unsigned aside; /* records that were passed over */
	bool starved;   /* memory is short: no new mail until the next look finds it whole */
	int64_t stop_at;
};

/* queue.c */
/* Carries out everything the broker asks for, and sets its next deadline. */
void queue_run(struct queue *q);
/* The channel of a receiver or worker by its number in the broker, or NULL. */
struct channel *queue_channel(struct queue *q, bool worker, unsigned number);

/* queue_aside.c: true if master says that this record is to be passed over. Its segment is held. */
bool queue_set_aside(struct queue *q, const struct store_record *r);

/* queue_effects.c */
void queue_carry_out(struct queue *q, const struct broker_effect *e);
/* As JOB and PULL have it; group: what that demands besides, or NULL. */
struct proto_target queue_target(const struct target *t, const struct tls_out *group);

/* queue_names.c */
void queue_ask_names(struct queue *q, const struct broker_effect *e);

/* queue_frames.c */
void queue_add_channel(struct queue *q, enum role role, unsigned index, int fd);
/* Master's word on the death of a worker. */
void queue_take_blame(struct queue *q, struct span payload);
void queue_answer_later(struct channel *c, const struct broker_effect *e);

/* queue_body.c */
/* The kinds of records as the broker and as the store name them; BROKER_RECORDS: none of ours. */
enum record_type queue_stored_type(enum broker_record type);
enum broker_record queue_record_type(enum record_type type);
/* How the broker reads the log back. */
void body_log(struct body_reader *r, struct broker_log *out);
struct body_reader *body_reader_new(struct store *s) gw_checked;
/* Sends one piece of content as asked; false: it could not be read or is damaged. */
bool body_send(struct body_reader *r, struct ipc *to, const struct broker_effect *e);
/* The job is over: forget its checksums. */
void body_forget(struct body_reader *r, uint64_t job);
/* The head for a report, valid until the next call; empty if it cannot be read. */
struct span body_head(struct body_reader *r, const struct broker_effect *e);

/* queue_clock.c */
/* Once a second. A clock that is slewed is no jump: what happens between two looks counts. */
void queue_clock_look(struct queue *q);
/* silent: since the latest record of the log; negative: the clock was set back meanwhile. */
void queue_clock_recovered(int64_t silent);
/* Hours, days and months of limits, in local time. */
struct limit_period queue_calendar(void *arg, enum limit_calendar unit, int64_t when);
/* The nearest number of them, with its sign. */
int64_t queue_clock_seconds(int64_t usec) gw_checked;

#endif
