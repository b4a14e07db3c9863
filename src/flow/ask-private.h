/*
 * What operators ask of the queue: filters, commands on what matches them, and orders that stand
 * for a time. Shared by the files of the broker that carry them out.
 */
#ifndef GW_FLOW_ASK_PRIVATE_H
#define GW_FLOW_ASK_PRIVATE_H

#include "flow/broker-private.h"

/* ---- broker_filter.c: "to:bob class:bulk group:\"mx example.com\"" -------------------------- */

/* All that was said must hold; spans into the text. */
struct filter {
	struct span to, from, domain, group, state, account, class;
};

/* What is wrong with a text: the word that makes no sense (n == 0: nothing is), and why. */
struct filter_error {
	struct span word;
	const char *why;
};
struct filter_error filter_parse(struct span text, struct filter *f);
/* The answer to a bad one: 400, with the column. */
int filter_problem(struct span text, const struct filter_error *e, struct buf *out);
bool filter_is_empty(const struct filter *f) gw_checked;

/* Of the message itself; then of a recipient of it (awake, or of a view). */
bool filter_has_message(const struct filter *f, const struct queued *m) gw_checked;
bool filter_has_rcpt(const struct filter *f, const struct queued_rcpt *r) gw_checked;
/* Is there a recipient that matches? */
bool filter_has(const struct filter *f, const struct queued *m) gw_checked;
/* False: no recipient can match, as is known without reading the message back. */
bool filter_may_have(const struct filter *f, struct parked *p, int64_t now) gw_checked;
/* Does it ask for nothing but what is known of a message at rest? Then of this recipient of it: */
bool filter_needs_no_reading(const struct filter *f) gw_checked;
bool filter_has_resting(const struct filter *f, const struct parked *p, const struct resting *r,
    int64_t now) gw_checked;

/* ---- broker_action.c --------------------------------------------------------------------------
 */

/* An operator is answered when all records of the command are durable. */
struct asked {
	unsigned asker;
	uint64_t request;
	size_t pending, done; /* done: recipients */
	enum broker_verb verb;
	bool dry; /* only counted */
	struct filter filter;
	char text[]; /* of the filter */
};

/* {"WHAT": n}, to an operator; 200. */
int ask_say_count(struct buf *out, const char *what, size_t n);
/* Is this message in the queue, durably? */
bool ask_is_there(const struct broker *b, const struct msgid *id) gw_checked;
/* May this recipient, of a message that matches, be changed by it? */
bool asked_concerns(const struct asked *asked, const struct queued_rcpt *r, int64_t now) gw_checked;

/* ---- broker_retry.c ----------------------------------------------------------------------------
 */

/* An operator's retry also wakes the sites that rest. */
void retry_wake_resting(struct broker *b, int64_t now);

/* ---- broker_order.c ----------------------------------------------------------------------------
 */

/* What operators ordered of a group that is new, or of all after recovery. */
void orders_apply(struct broker *b, struct group *g, int64_t now);
void orders_recovered(struct broker *b, int64_t now);

/* ---- broker_counters.c -------------------------------------------------------------------------
 */

/* What is said when the record is durable. */
struct answer {
	unsigned asker;
	uint64_t request;
	char text[64];
};
/* Writes them now, with the orders: true, and the text is the answer when that is durable. False:
 * nothing is written here. */
bool counters_order(
    struct broker *b, unsigned asker, uint64_t request, const char *text) gw_checked;

#endif
