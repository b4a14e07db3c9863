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
	ACTION_STATUS,
	ACTION_METRICS,
	ACTION_HEALTH,
	ACTION_READY,
	ACTION_COUNT
};

/* Bits: what a request to this route may carry. */
enum {
	TAKES_QUERY = 1 << 0,
	TAKES_CURSOR = 1 << 1,
	TAKES_LIMIT = 1 << 2,
	TAKES_SELECTION = 1 << 3, /* a body: {"id": "..."} or {"all": true} */
};

struct control_route {
	enum control_action action;
	enum control_method method;
	const char *path; /* "{id}" as the last part stands for a message id */
	unsigned takes;
	const char *doc;
};
extern const struct control_route control_routes[ACTION_COUNT];

enum { CONTROL_BODY_MAX = 64 << 10, CONTROL_QUERY_MAX = 4096, CONTROL_LIMIT_MAX = 1000 };

/* What was asked, checked. */
struct control_ask {
	const struct control_route *route;
	struct msgid id; /* of the path or the body */
	bool all;
	struct msgid cursor;
	uint32_t limit;
	size_t n_query;
	char query[CONTROL_QUERY_MAX];
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
/* The body of a route that takes one. */
int control_body(struct span body, struct control_ask *ask, struct control_problem *p) gw_checked;

#endif
