/*
 * The API of the control socket as a table, and the reading of requests: which route, which
 * parameters, which body. Pure: text in, a checked question or a problem out. What is not in the
 * table, and every parameter or field a route does not know, is refused.
 */
#ifndef GW_ROLE_CONTROL_ROUTE_H
#define GW_ROLE_CONTROL_ROUTE_H

#include "base/buf.h"
#include "mail/msgid.h"

enum control_method { CONTROL_GET, CONTROL_POST, CONTROL_OTHER };

enum control_action {
	ACTION_QUEUE,
	ACTION_MESSAGES,
	ACTION_MESSAGE,
	ACTION_RETRY,
	ACTION_DROP,
	ACTION_RELEASE,
	ACTION_HOLD,
	ACTION_PAUSE,
	ACTION_SLOW,
	ACTION_RESUME,
	ACTION_RULES,
	ACTION_HOSTS,
	ACTION_FORGET,
	ACTION_FIND,
	ACTION_TRACE,
	ACTION_LIMITS,
	ACTION_STATUS,
	ACTION_METRICS,
	ACTION_HEALTH,
	ACTION_READY,
	ACTION_PULLS,
	ACTION_PULL,
	/* the configuration */
	ACTION_CONFIG,
	ACTION_RELOAD,
	ACTION_KEEP,
	ACTION_COUNT
};

/* Bits: what a request to this route may carry. */
enum {
	TAKES_QUERY = 1 << 0,
	TAKES_CURSOR = 1 << 1,
	TAKES_LIMIT = 1 << 2,
	/* What a body may have: */
	TAKES_SELECTION = 1 << 3, /* "id", or "all": true, or "q"; and "dry_run" */
	TAKES_GROUP = 1 << 4,     /* "group" */
	TAKES_TIME = 1 << 5,      /* "for": seconds; "reason" */
	TAKES_RATE = 1 << 6,      /* "rate": "10/m" */
	TAKES_HOST = 1 << 7,      /* "host", or "all": true */
	TAKES_PREFIX = 1 << 8,    /* the first characters of an id will do */
	TAKES_PULL = 1 << 9,      /* "pull": its name */
	TAKES_CONFIRM = 1 << 10,  /* "confirm": seconds */
	TAKES_EMPTY = 1 << 11,    /* {} */
	TAKES_SELECTS = TAKES_SELECTION | TAKES_GROUP | TAKES_HOST | TAKES_PULL,
	TAKES_BODY = TAKES_SELECTS | TAKES_TIME | TAKES_RATE | TAKES_CONFIRM | TAKES_EMPTY,
};

struct control_route {
	enum control_action action;
	enum control_method method;
	const char *path; /* "{id}" as a part of it stands for a message id */
	unsigned takes;
	const char *doc;
};
extern const struct control_route control_routes[ACTION_COUNT];

enum {
	CONTROL_PREFIX_MIN = 10,
	CONTROL_BODY_MAX = 64 << 10,
	CONTROL_QUERY_MAX = 4096,
	CONTROL_LIMIT_MAX = 1000,
	CONTROL_REASON_MAX = 160
};

/* What was asked, checked. */
struct control_ask {
	const struct control_route *route;
	struct msgid id;   /* of the path or the body */
	struct msgid high; /* TAKES_PREFIX: the last id that may be meant, the first one is id */
	bool all, dry;
	uint32_t rate, per; /* so many messages in so many seconds */
	int64_t time;       /* microseconds; 0: not said */
	struct msgid cursor;
	uint32_t limit;
	size_t n_query;
	char query[CONTROL_QUERY_MAX]; /* or the group, or the host */
	char reason[CONTROL_REASON_MAX];
};

/* RFC 9457. */
struct control_problem {
	int status;
	const char *slug, *title; /* literals */
	const char *hint;         /* literal or NULL */
	const char *allow;        /* 405: for the Allow field */
	char detail[256];
	char pointer[80]; /* of the body, or the name of the parameter, or "" */
};
void control_problem_json(const struct control_problem *p, struct buf *out);
void control_problem_set(struct control_problem *p, int status, const char *slug, const char *title,
    const char *hint, const char *detail, ...) gw_printf(6, 7);

/* The route and the parameters; query: what stands behind "?", or empty. 0, or GW_EFORMAT with *p.
 */
int control_route(enum control_method method, struct span path, struct span query,
    struct control_ask *ask, struct control_problem *p) gw_checked;
/* The body of a route that takes one (control_body.c): ask->route is set. */
int control_body(struct span body, struct control_ask *ask, struct control_problem *p) gw_checked;

#endif
