/*
 * Limits in the queue: what the files broker_limits*.c share.
 *
 *   broker -- owns --> broker_limits
 *     counts: the windows (flow/limit.h)
 *     lines:  for each counter and subject over which mail is held: its messages in the order of
 *             their acceptance
 *     standing: a message that is held, in one line, or on its way out of it
 *     told:   who is near a limit: what receivers were told
 *     stamps: the time of the latest charge or place in a line; no two are the same
 *
 * A stamp makes counting idempotent: a checkpoint (BROKER_COUNTED records) says up to which stamp
 * it has counted and which it has not, so whatever the log has of a message, and however often, it
 * counts once.
 */
#ifndef GW_FLOW_LIMITS_PRIVATE_H
#define GW_FLOW_LIMITS_PRIVATE_H

#include "flow/broker-private.h"
#include "flow/limit.h"
#include "flow/limits_use-private.h"

enum {
	LINE_SUBJECT = 7, /* octets of a line's key before the subject */
	LINE_KEY_MAX = LIMIT_SUBJECT_MAX + LINE_SUBJECT,
	LINE_TURN = 100,   /* messages that leave their lines in one turn of the loop */
	TOLD_SUBJECT = 15, /* octets of a row's key before the subject */
	TOLD_KEY_MAX = 2 * LIMIT_SUBJECT_MAX + TOLD_SUBJECT + 2,
	TOLD_ROWS_MAX = 4096, /* of receivers too */
	TOLD_SOON = 100000,   /* no row is looked at more often */
	TOLD_LATER = 60 * 1000000,
	TIDY_LOOK = 1000, /* rows in TIDY_EVERY */
	TIDY_EVERY = 10 * 1000000,
	ASKING_TEXT = 512, /* octets of a name that are looked at */
	ASKING_MAX = 4 * (ASKING_TEXT + 2) + 32,
	LIMITS_PLACE = 96,
	LIMITS_READ_MAX = 512 << 20,
	ENVELOPE_HELD_MAX = 32 << 20,
};

/* Whom a message concerns, with its stamp: what has to be known of it to count it. */
struct asking {
	TAILQ_ENTRY(asking) link;
	int64_t stamp;
	struct limit_ask ask; /* without the plan */
	char text[];
};

struct line {
	struct heap_node node;     /* when its first is looked at */
	struct heap standing;      /* by stamp */
	struct limit_rule counter; /* key, what, window alone */
	size_t key_length;
	char key[]; /* the same, and the subject */
};

struct standing {
	struct heap_node node; /* in its line */
	struct msgid id;
	struct line *line; /* NULL: it is on its way out, or waits for a place */
	bool waits;        /* for a place: after a start, or when accounts changed */
	bool ready;        /* its record is durable */
	bool paid;         /* it was counted: an operator let some of its recipients go */
	struct asking *asking;
};

struct told {
	TAILQ_ENTRY(told) link;   /* the one that was told of longest ago first */
	struct heap_node node;    /* when it is looked at */
	struct limit_rule rule;   /* its values alone */
	uint64_t left;            /* as it was told */
	int64_t hit_at;           /* when it was last said that nothing is left; 0: never */
	char place[LIMITS_PLACE]; /* of the rule */
	size_t key_length;
	char key[]; /* values, subject, plan */
};

/* A checkpoint on its way to the disk: all of it is of one moment, and it is written a few pieces
 * at a time, as nobody's mail is to wait for megabytes of it. */
struct counting {
	struct buf *piece; /* NULL: there is none under way */
	size_t n, sent, at_disk;
	int64_t upto;
	uint64_t since;
	bool failed;
};

/* A checkpoint that is read. */
struct counted_read {
	struct buf pieces; /* each behind its length */
	int64_t upto;      /* 0: there is none */
	uint64_t since;
	int64_t *except; /* stamps that it does not have */
	size_t n_except;
	uint32_t next, n_pieces;
};

struct broker_limits {
	struct limits *counts;
	int64_t stamp;
	struct map lines, standing, told;
	struct heap due, told_due; /* lines, told */
	bool given_back;           /* room, by what did not become durable: lines may move */
	TAILQ_HEAD(, told) told_order;
	/* Charges whose records are not durable yet: no checkpoint has them. */
	TAILQ_HEAD(, charged) under_way;
	/* The newest checkpoint that is durable holds this segment and all behind it; 0: none. */
	uint64_t first;         /* segment with a charge that recovery met; 0: none */
	uint64_t since, newest; /* newest: the segment that was written to last */
	uint64_t size;          /* octets of the newest checkpoint */
	uint64_t behind;        /* octets of other records since it began */
	uint64_t index_below;   /* as it was said last */
	struct counting counting;
	int64_t checkpoint_due, tidy_due;
	/* Recovery: charges that the newest whole checkpoint does not have; that one, and one that
	   is being read. */
	TAILQ_HEAD(, asking) seen;
	struct counted_read whole, reading;
};

/* What an append counts once it is durable. */
struct charged {
	TAILQ_ENTRY(charged) link;
	struct limit_charge *charge;
	int64_t stamp;
};

/* ---- broker_limits.c ------------------------------------------------------------------------- */

/* Octets: of its content. */
struct limit_ask limits_ask_of(const struct envelope *e, uint64_t octets) gw_checked;
/* With the plan, as it is now. False: the accounts are not known yet. */
bool limits_plan(const struct broker *b, struct limit_ask *ask) gw_checked;
/* The same; without it, if it is not known. */
void limits_plan_if_known(const struct broker *b, struct limit_ask *ask);
/* Has this account the plan that the rule is of? */
bool limits_has_plan(
    const struct broker *b, const struct limit_rule *rule, const char *subject) gw_checked;
struct asking *asking_new(const struct limit_ask *ask, int64_t stamp) gw_checked;
/* A new one: now, or as little later as makes it the only one. */
int64_t limits_stamp(struct broker *b, int64_t now) gw_checked;
/* NULL for NULL. */
struct charged *charged_new(
    struct broker *b, struct limit_charge *charge, int64_t stamp) gw_checked;
/* It is durable: counted for good. */
void charged_settle(struct broker *b, struct append *a, int64_t now);
/* "godwit.conf:12" */
const char *limits_place(const struct place *p, char to[LIMITS_PLACE]);

/* ---- broker_limits_line.c ---------------------------------------------------------------------
 */

struct line *line_find(
    const struct broker *b, const struct limit_rule *rule, const char *subject) gw_checked;
const char *line_subject(const struct line *line) gw_checked;
void line_look(struct broker *b, struct line *line, int64_t when);
void lines_look(struct broker *b, int64_t now);
/* The line that this message has to stand in although there may be room, and a rule of it; NULL:
 * none. Only those with somebody in front of this stamp, and not `but`. */
struct line *line_before(struct broker *b, const struct limit_ask *ask, int64_t before,
    const struct line *but, const struct limit_rule **rule) gw_checked;
struct standing *standing_find(const struct broker *b, const struct msgid *id) gw_checked;
/* It owns the asking. */
struct standing *standing_new(
    struct broker *b, const struct msgid *id, struct asking *a) gw_checked;
void standing_free(struct broker *b, struct standing **s);
/* Into that line, to its place. If it is the first one there, it is looked at then (INT64_MAX: when
 * something says so). */
void stand(struct broker *b, struct standing *s, const struct limit_rule *rule, const char *subject,
    int64_t look);
void lines_tick(struct broker *b, int64_t now);
/* All that wait for a place. */
void lines_place(struct broker *b, int64_t now);

/* ---- broker_limits_log.c ------------------------------------------------------------------------
 */

void asking_encode(const struct limit_ask *ask, struct buf *out);
int asking_decode(struct span in, struct limit_ask *ask) gw_checked;
void reading_fini(struct counted_read *r);
void counting_fini(struct counting *c);
void checkpoint_tick(struct broker *b, int64_t now);
void checkpoint_wanted(struct broker *b, int64_t now);
/* Where there is no checkpoint: nothing that counts lies before this segment (0: not known). */
void checkpoint_begin(struct broker *b, uint64_t segment);
/* Says which segments may have an index. */
void checkpoint_index(struct broker *b);

/* ---- broker_limits_told.c -----------------------------------------------------------------------
 */

/* For an effect, which owns it. */
struct broker_limit *broker_limit_new(
    const struct limit_rule *rule, const char *subject, uint64_t used, int64_t opens_in) gw_checked;
/* Something of these was counted, or reserved. */
void told_look(struct broker *b, const struct limit_ask *ask, int64_t now);
void told_tick(struct broker *b, int64_t now);
void told_forget(struct broker *b);
/* The same, and receivers forget it, too: nobody would tell them that there is room again. */
void told_take_back(struct broker *b, int64_t now);
/* All of them is told again. */
void told_again(struct broker *b);

#endif
