/*
 * Payloads between control and those who answer operators (see proto.h): the queue first of all.
 */
#ifndef GW_ROLE_PROTO_ASK_H
#define GW_ROLE_PROTO_ASK_H

#include "base/cursor.h"
#include "mail/msgid.h"

enum query_op {
	QUERY_SUMMARY, /* counters per site */
	QUERY_LIST,    /* text: filter "to:x from:y state:z"; messages behind cursor, most limit */
	QUERY_SHOW,    /* id */
	QUERY_RETRY,   /* id, or all, or those that match text; dry */
	QUERY_DROP,    /* the same */
	QUERY_RELEASE, /* the same: what is held */
	QUERY_HOLD,    /* the same */
	QUERY_PAUSE,   /* text: a group or "all"; time, reason */
	QUERY_SLOW,    /* the same, and rate */
	QUERY_RESUME,  /* text: the same */
	QUERY_RULES,
	QUERY_HOSTS,
	QUERY_FORGET, /* text: an address, or all: what is known of bad hosts */
	QUERY_STATUS,

	/* mail that is pulled */
	QUERY_PULL, /* text: the name of the pull, which is made now */
	QUERY_PULLS,

	/* limits */
	QUERY_LIMITS, /* text: somebody, or empty; most limit */
	QUERY_MAX = QUERY_LIMITS,
};
struct proto_query {
	uint64_t request; /* chosen by control, in the answer too */
	enum query_op op;
	bool all, dry;
	uint32_t rate, per; /* SLOW: messages in so many seconds */
	int64_t time;       /* PAUSE, SLOW: microseconds; 0: until taken back */
	struct msgid id;    /* SHOW, RETRY, DROP, RELEASE, HOLD (zero: by text); LIST: cursor (all
			       zero: from the start) */
	uint32_t limit;
	struct span text;
	struct span reason;
	struct span who; /* for the audit line: "uid=0" */
};
void proto_put_query(struct buf *b, const struct proto_query *q);
int proto_get_query(struct span in, struct proto_query *q) gw_checked;

/* ANSWER: request, HTTP status, JSON. */
struct proto_answer {
	uint64_t request;
	uint16_t status;
	struct span json;
};
void proto_put_answer(struct buf *b, const struct proto_answer *a);
int proto_get_answer(struct span in, struct proto_answer *a) gw_checked;

#endif
