/*
 * The queue tells the history what its log says of messages, in the log's order. While the history
 * keeps up, a record is passed on when its flush is done, from memory; when it does not, it is
 * read from the log again later, in slices of a few milliseconds, from where the history says it
 * is. What is told is durable, always. Mail never waits for the history: the log keeps a few
 * segments for it at most, and what goes before it was told is counted as cut.
 *
 * Embedded in the queue; a history that is not there, or switched off, costs one comparison a
 * record.
 */
#ifndef GW_ROLE_QUEUE_STORY_H
#define GW_ROLE_QUEUE_STORY_H

#include "config/config.h"
#include "net/ipc.h"
#include "net/loop.h"
#include "role/proto_story.h"
#include "spool/walk.h"

/* Of the log, kept for the history and for nobody else. */
#define STORY_OCTETS (UINT64_C(256) << 20)

struct story {
	struct loop *loop;
	struct store *store;
	struct store_walk *walk;
	struct ipc *ipc;         /* NULL: there is no history now */
	bool begun;              /* it has said from where */
	bool live;               /* everything durable was told, or is in the frame */
	bool sought;             /* the walk is at "next" */
	bool off;                /* nobody keeps a history */
	bool rests;              /* memory or disk is short */
	uint32_t epoch;          /* of the history */
	unsigned under_way;      /* frames that were not answered */
	uint64_t keep;           /* segments that may wait for the history alone */
	uint64_t room;           /* octets of the disk that must be free for that */
	struct store_place next; /* what was not put into a frame yet begins here */
	struct store_place sent; /* what was not sent yet begins here */
	struct store_place kept; /* what the history may ask for again begins here */
	struct buf frame;
	struct timer due; /* live: the frame is old enough; else: the next slice */
};

/* The store is borrowed; it is recovered by the time of the first channel. */
void story_init(struct story *t, struct loop *l, struct store *s, const struct config *c);

/* A channel to a history, which is the caller's; NULL: it is gone. */
void story_channel(struct story *t, struct ipc *ipc);
/* A frame of the history's. 0 or GW_EFORMAT. */
int story_frame(struct story *t, const struct ipc_frame *f) gw_checked;

/* A record is durable; called in the log's order, for every record. */
void story_durable(struct story *t, const struct store_record *r);

/* Once a second. rests: only what must be done is done now. */
void story_house(struct story *t, bool rests);
/* Segments before this one may be retired as far as the history is concerned. */
uint64_t story_floor(const struct story *t) gw_checked;
/* Sends what is in the frame: the queue ends. */
void story_end(struct story *t);

#endif
