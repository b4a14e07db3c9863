/*
 * What the files of the control role share. control.c: start, the channels to queue and master;
 * control_reload.c: what master is asked for; control_vault.c: that to the vault; control_trace.c:
 * that to the history; control_http.c: requests and replies over libevent's HTTP server;
 * control_answer.c: what each route does. The pure parts are control_route (reading requests) and
 * control_metrics.
 *
 * The role serves the control socket: whoever may open it (the socket's mode says who) may ask and
 * command. It sees no mail; it knows the queue by what the queue answers.
 */
#ifndef GW_ROLE_CONTROL_H
#define GW_ROLE_CONTROL_H

#include "role/control_route.h"
#include "role/deny.h"
#include "role/proto.h"
#include "role/queue_link.h"
#include "role/role.h"

#include <event2/http.h>
#include <event2/listener.h>
#include <sys/queue.h>

enum { CONTROL_WHO = 64, PAIRS_MAX = 64 << 10 };

struct request;
TAILQ_HEAD(request_list, request);

struct control {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct evhttp *http;
	struct evconnlistener *listener;
	struct timer resume; /* taking connections again when descriptors were short */
	struct queue_link queue;
	struct master_link master;
	struct request_list waiting; /* for the queue */
	uint64_t next_request;
	struct proto_role role[BOOT_SLOTS_MAX + 1];
	size_t n_role;
	struct deny_table deny;
	struct ipc *vault;   /* NULL: not there now */
	struct buf pairs;    /* PAIRS, as it came last */
	struct ipc *history; /* NULL: not there now */
};

/* One HTTP request, from its arrival to its reply. */
struct request {
	TAILQ_ENTRY(request) link;
	struct control *control;
	struct evhttp_request *http; /* NULL: the client went away meanwhile */
	struct control_ask ask;
	uint64_t number;
	struct timer deadline;
	bool waits, of_history, of_master;
	/* What to do with the answer of the queue. */
	void (*answered)(struct request *r, int status, struct span json);
	char who[CONTROL_WHO]; /* "uid=0", for the audit line */
	struct buf story;      /* of the history, while the queue is asked for the rest */
};

/* ---- control_http.c */
void control_listen(struct control *c);
void control_unlisten(struct control *c);
/* Each ends the request. */
void request_reply(struct request *r, int status, const char *type, struct span body);
void request_json(struct request *r, int status, struct span json);
void request_problem(struct request *r, const struct control_problem *p);

/* ---- control_answer.c */
/* The request is whole and checked: does what its route says. */
void control_act(struct request *r);
void control_queue_away(struct request *r);
void control_no_answer(struct request *r);

/* ---- control_vault.c */
/* A channel to the vault; fd is owned from here on. */
void control_vault_peer(struct control *c, int fd);
void control_put_pairs(const struct control *c, struct buf *out);

/* ---- control_trace.c */
/* A channel to the history; fd is owned from here on. */
void control_history_peer(struct control *c, int fd);
void control_trace(struct request *r);
void control_find(struct request *r);

/* ---- control_reload.c */
void control_config(struct request *r);
void control_reload(struct request *r);
/* RELOADED. */
void control_reloaded(void *control, struct span payload);

/* ---- control_names.c: the member "dns" of the status */
void control_put_names(const struct control *c, struct buf *out);

/* ---- control.c */
/* The request waits for the answer with this number, which answered() is given. */
void control_wait(struct request *r, bool of_history, uint64_t number,
    void (*answered)(struct request *, int, struct span));
/* Ends all that wait for the history, or for the queue. */
void control_fail_waiting(struct control *c, bool of_history, void (*tell)(struct request *r));
/* ANSWER, or TRACED: to the request that waits for it, there. */
int control_take_answer(struct control *c, bool of_history, struct span in) gw_checked;
/* Asks the queue; r->answered() follows. False: it cannot be asked now. */
bool control_ask_queue(struct request *r, enum query_op op,
    void (*answered)(struct request *, int, struct span)) gw_checked;
/* Takes the request out of the list of those that wait. */
void control_forget(struct request *r);

#endif
