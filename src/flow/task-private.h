/*
 * Tasks: the recipients of one message that go to one site together, with one return path. One is
 * waiting (in the heap, by due time), ready (in its site's list) or active (has a job). What a site
 * has no room for in its list is its crowd: messages at rest.
 */
#ifndef GW_FLOW_TASK_PRIVATE_H
#define GW_FLOW_TASK_PRIVATE_H

#include "base/heap.h"
#include "flow/group-private.h"
#include "flow/queued-private.h"

enum {
	TASK_RCPT_MAX = 100, /* recipients of one transaction (RFC 5321 section 4.5.3.1.8) */
};

struct job;

enum task_state { TASK_WAITING, TASK_READY, TASK_ACTIVE };

struct task {
	struct heap_node node;  /* waiting: due; ready: end of its life */
	TAILQ_ENTRY(task) link; /* in its site's ready list */
	TAILQ_ENTRY(task) of_msg;
	struct queued *msg;
	struct site *site;
	struct span from; /* the return path of its recipients, in the message's memory */
	int64_t due;      /* waiting: until then; it may be looked at sooner (broker_deadline.c) */
	enum task_state state;
	size_t n_rcpt;
	int64_t not_before; /* of all its recipients; 0: it may go at any time */
	struct job *job;
};

/* broker_site.c */
/* Whose mail a site is for. */
struct site_owner {
	enum priority priority;
	struct span account;
};
/* What the account of its mail is called; empty: nobody logged in. */
struct span site_account(const struct site *s) gw_checked;
/* Where a recipient of this message goes. */
struct site *site_of_rcpt(struct broker *b, const struct queued *m, const struct queued_rcpt *r);
struct site *site_get(struct broker *b, const struct routed *r, const struct site_owner *o);
void site_release(struct broker *b, struct site *s); /* frees it if empty */
void task_ready(struct broker *b, struct task *t);
void task_wait(struct broker *b, struct task *t, int64_t due);
/* When it is looked at: it waits until it is due, is ready until its life ends. */
void task_schedule(struct broker *b, struct task *t);
int64_t life_ends(const struct broker *b, const struct task *t) gw_checked;
void task_free(struct broker *b, struct task *t); /* its recipients are filed nowhere then */
/* Files the recipients that are open and in no task: by route, due at once or at their time. */
void queued_file(struct broker *b, struct queued *m, int64_t now);
void task_activate(struct broker *b, struct task *t);

/* An empty waiting task beside this one: same message, same site, same return path. */
struct task *task_like(struct task *t);

/* broker_crowd.c: what waits for room, or for its time. */
/* A new message: parks it if the sites it is for have enough to do. True: m is gone. */
bool queued_crowd(struct broker *b, struct queued *m);
void crowd_leave(struct parked *p);
/* It waits for that site from now on. */
void crowd_join(struct broker *b, struct parked *p, struct site *s);
bool site_crowded(const struct broker *b, const struct site *s);
/* Has it room for some of its crowd? Then they are read back in the next turn. */
void site_hungry(struct broker *b, struct site *s);
/* Those whose time has come, and those their site has room for: some at a time. */
void parked_wake(struct broker *b, int64_t now);
int64_t parked_deadline(const struct broker *b);

#endif
