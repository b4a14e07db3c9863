/*
 * What the files of the sender share. sender.c: start and the channel to the
 * queue; sender_conn.c: a connection and its engine; sender_job.c: a message on its
 * way out and what became of it.
 *
 * A connection has the number the queue gave it. When it goes, CLOSED frees its
 * slot; a JOB for a number that is not open opens it (again).
 */
#ifndef GW_ROLE_SENDER_H
#define GW_ROLE_SENDER_H

#include "base/map.h"
#include "role/proto.h"
#include "role/queue_link.h"
#include "role/role.h"
#include "smtp/client.h"

#include <sys/queue.h>

enum {
	SENDER_CREDIT_STEP = 64 << 10, /* content used up before more is asked for */
	SENDER_BODY_MAX = 2 << 20,     /* content of one job that waits here */
};

struct sender;
struct conn;

struct job_rcpt {
	struct change_rcpt said; /* texts in the job's arena */
	bool known;
};

struct job {
	uint64_t number, conn_number;
	struct sender *sender;
	struct conn *conn; /* NULL when done */
	struct msgid id;
	struct arena arena;
	struct proto_job order; /* spans in the arena */
	struct client_txn txn;
	struct job_rcpt *rcpt;
	struct buf body;
	uint32_t used;  /* since credit was given last */
	bool body_last; /* the whole content is here or sent */
	bool body_broken, body_started, ended;
	bool site;                /* what failed was the host */
	bool asked, may_send_dot; /* at-most-once: PAST_DOT was sent; GO came */
	bool done;                /* the result was told; kept until confirmed */
};

struct conn {
	TAILQ_ENTRY(conn) link;
	struct sender *sender;
	uint64_t number;            /* 0: leaving, the queue has its slot back */
	struct proto_target target; /* spans in memory of its own */
	char host[300], name[320];
	int fd;
	bool connecting, ready, wants_body, in_process;
	uint32_t messages, most;
	struct watch watch;
	struct timer timer;
	int64_t limit; /* of connecting, or of being idle */
	struct client *engine;
	struct buf in;
	struct job *job;
};

struct sender {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct client_config smtp, lmtp;
	struct queue_link queue;
	struct map jobs;      /* by number: under way and unconfirmed */
	struct map by_number; /* connections that have a slot */
	TAILQ_HEAD(, conn) conns;
	size_t n_conns;
	struct master_link master;
	bool stopping;
};

/* sender.c */
void sender_say(struct sender *s, enum ipc_type type, uint64_t number, uint32_t octets);

/* sender_conn.c */
struct conn *conn_find(struct sender *s, uint64_t number);
struct conn *conn_open(struct sender *s, const struct job *j);
void conn_give(struct conn *c, struct job *j);
/* The answer to job_ask_go. */
void conn_answer(struct conn *c, bool send_dot);
/* There is content, or an end of it: go on. */
void conn_pump(struct conn *c);
/* The slot is not ours any more (its queue is gone). */
void conn_disown(struct conn *c);
/* Leave now or when the peer said goodbye; its slot is given back at once. */
void conn_quit(struct conn *c);

/* sender_job.c */
int job_take(struct sender *s, struct span payload) gw_checked;
int job_body(struct sender *s, struct span payload) gw_checked;
int job_go(struct sender *s, struct span payload) gw_checked;
/* The peer has the content of an at-most-once message but for the dot: asks the queue (PAST_DOT).
 */
void job_ask_go(struct job *j);
void job_confirmed(struct sender *s, uint64_t number);
/* One recipient's fate; all recipients not yet known share one. */
void job_said(struct job *j, size_t rcpt, const struct client_event *ev, const char *host);
void job_said_all(struct job *j, const struct client_event *ev, const char *host);
/* Every recipient is known: tell the queue. */
void job_finish(struct job *j);
/* Can it be finished without the queue that gave it? */
bool job_goes_on(const struct job *j);
/* It cannot: it ends before the dot. The next queue is told if this one may have noted PAST_DOT;
 * else nothing is told, and the message is due again there. */
void job_give_up(struct job *j);
/* Names what is held to a new queue, then tells again what it may not have heard. */
void jobs_name_all(struct sender *s);
/* Moves content from the job to the engine. */
void job_feed_engine(struct job *j, struct client *engine, int64_t now);

#endif
