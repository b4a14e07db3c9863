/*
 * Limits on what comes in (broker_limits*.c), as the other files of the broker use them: what is
 * judged, what is counted when it is durable, and what they say of themselves. What the limits
 * share among themselves is in limits-private.h.
 */
#ifndef GW_FLOW_LIMITS_USE_PRIVATE_H
#define GW_FLOW_LIMITS_USE_PRIVATE_H

#include "flow/broker-private.h"

void limits_init(struct broker *b, const struct broker_params *p, uint64_t seed);
void limits_fini(struct broker *b);

/* What limits say of a message that is to be taken. */
enum limits_word {
	LIMITS_PASS,
	LIMITS_HELD,    /* by the new `held` and `counted` of its envelope */
	LIMITS_REFUSED, /* by this limit */
	LIMITS_UNSURE   /* not now: it is not known what applies */
};
struct limits_said {
	enum limits_word word;
	struct charged *charged;    /* PASS: what its append counts; or NULL */
	struct buf held;            /* HELD: the memory of e->held, to be given back */
	struct broker_limit *limit; /* REFUSED: of an effect */
};
/* Octets of its content. Sets e->counted, and e->held: from now on it has its place. */
void limits_judge(
    struct broker *b, struct envelope *e, uint64_t octets, int64_t now, struct limits_said *said);
/* An append of a message is durable, or is not: what it counts, and its place in a line. */
void limits_durable(struct broker *b, struct append *a, int64_t now);
void limits_refused(struct broker *b, struct append *a);
/* What an append was to count is not counted. */
void limits_undone(struct broker *b, struct append *a);
/* An operator is about to let recipients of this message go: what the record counts, then; c->when
 * and c->counted (in the memory of that buffer) are set, and its time to be tried begins. NULL:
 * nothing. */
struct charged *limits_pay(
    struct broker *b, struct queued *m, struct change *c, struct buf *counted) gw_checked;
/* The record of a release is durable: its recipients are due. */
void limits_let_go(struct broker *b, struct append *a, int64_t now);
/* A recipient of this message is not held by a limit any more. */
void limits_left(struct broker *b, const struct queued *m);
/* Accounts changed, or are known now. */
void limits_accounts(struct broker *b, int64_t now);
/* The wall clock was set. */
void limits_clock(struct broker *b);
void limits_tick(struct broker *b, int64_t now);
int64_t limits_deadline(const struct broker *b) gw_checked;
/* "limited": messages that a limit holds, and "limits_full": how many are at one. */
void limits_summary(const struct broker *b, struct buf *out);
/* Tells a receiver that is new who is near a limit. */
void limits_tell(struct broker *b, unsigned receiver);

/* A record was written, or was not; and one of ours. */
void limits_seen(struct broker *b, const struct append *a, int status,
    const struct record_place *at, int64_t now);
void limits_counted(struct broker *b, struct append *a, int status, int64_t now);
int limits_recover(struct broker *b, struct span meta) gw_checked;
void limits_recover_message(
    struct broker *b, const struct envelope *e, uint64_t octets, bool held, uint64_t segment);
void limits_recover_release(struct broker *b, const struct change *c);
void limits_recovered(struct broker *b, int64_t now);

#endif
