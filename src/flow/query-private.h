/*
 * Answers to operators, as JSON: what the files share that give them. Each puts an object, or what
 * belongs into the one that is open; nothing here looks at filters (ask-private.h).
 */
#ifndef GW_FLOW_QUERY_PRIVATE_H
#define GW_FLOW_QUERY_PRIVATE_H

#include "flow/broker-private.h"

enum {
	QUERY_AGES = 5,          /* classes of age */
	QUERY_GROUP_ROOM = 2048, /* octets of a destination's row, beside what it says */
};

/* ---- broker_query.c ---- */

/* Problems (RFC 9457): the status is returned. */
int query_problem(
    struct buf *out, int status, const char *title, const char *detail, const char *hint);
int query_not_found(struct buf *out);
/* As people's clocks have it now, whatever was set since the program started. */
void query_put_time(const struct broker *b, const char *key, int64_t when, struct buf *out);
void query_put_ages(const size_t age[QUERY_AGES], struct buf *out);

/* ---- broker_query_group.c: a destination ---- */

struct query_row {
	const struct group *group;
	size_t age[QUERY_AGES], total, held, untold;
	int64_t oldest;
};

/* How a group is called: by what all its sites go to, if that is one. */
const char *query_group_name(const struct group *g) gw_checked;
void query_put_group(const struct broker *b, const struct query_row *row, struct buf *out);
/* What that takes at most. */
size_t query_group_room(const struct group *g) gw_checked;

/* ---- broker_query_message.c: a message ---- */

/* The last recipients are left out, and counted, where the answer has no room for all. */
void query_put_message(const struct broker *b, const struct queued *m, struct buf *out);
/* Of one that cannot be read back, only what is in memory. */
void query_put_unreadable(const struct broker *b, const struct parked *p, struct buf *out);
/* What a message takes at most. */
size_t query_message_room(const struct queued *m);
const char *query_rcpt_state(const struct queued_rcpt *r);

#endif
