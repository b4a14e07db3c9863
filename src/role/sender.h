/*
 * What the files of the sender share.
 *
 *   sender.c         start, end, the channel to the queue
 *   sender_self.c    what this machine is called, and where it listens
 *   sender_job.c     a message on its way out and what became of it
 *   sender_convert.c content for hosts that take less than it needs
 *   sender_conn.c    the life of a connection
 *   sender_walk.c    from a target to a connected host, address by address
 *   sender_pick.c    which hosts there are, and whose turn it is
 *   sender_try.c     one address: a socket that is being connected
 *   sender_io.c      bytes between socket and engine
 *   sender_event.c   what the engine says
 *   sender_tls.c     TLS, before the first message
 *   sender_auth.c    the login, before the first message
 *   sender_turn.c    a customer's connection, that was turned round
 *   sender_pull.c    asking for mail, over a connection that is turned round
 *   sender_callout.c recipients that other servers are asked for
 *
 * A connection has the number the queue gave it. When it goes, CLOSED frees its
 * slot; a JOB for a number that is not open opens it (again).
 *
 * A job that meets a host which has nothing to say of it (no connection, turned away, lost before
 * any recipient had a verdict) goes on to the next: a new connection takes its number, the job and
 * the walk. From the first verdict on a recipient the job stays.
 */
#ifndef GW_ROLE_SENDER_H
#define GW_ROLE_SENDER_H

#include "base/map.h"
#include "flow/hosts.h"
#include "mail/convert.h"
#include "net/stream.h"
#include "role/dns_link.h"
#include "role/proto.h"
#include "role/queue_link.h"
#include "role/role.h"
#include "role/sender_auth.h"
#include "role/sender_tls.h"
#include "role/sender_turn.h"
#include "smtp/client.h"

#include <sys/queue.h>

enum {
	SENDER_CREDIT_STEP = 64 << 10, /* content used up before more is asked for */
	SENDER_BODY_MAX = 2 << 20,     /* content of one job that waits here */
	SENDER_NAME = DNS_NAME_MAX + INET6_ADDRSTRLEN + 12, /* "name [address]:port" */
};

struct sender;
struct callouts;
struct conn;
struct walk;

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
	struct convert *convert;   /* between body and engine; NULL: it goes as it is */
	char unfit[200];           /* why it cannot be converted */
	bool site;                 /* what failed was the host */
	bool dsn;                  /* the host that took it speaks DSN */
	bool time;                 /* and keeps the time it was told (DELIVERBY) */
	bool refused;              /* a host wants no more of us now */
	struct proto_tried *tried; /* PROTO_TRIED_MAX once there is one, in the arena */
	size_t n_tried;
	char tls[GUARD_RESULT_MAX]; /* what came of TLS with the host that was tried last */
	bool asked, may_send_dot;   /* at-most-once: PAST_DOT was sent; GO came */
	bool done;                  /* the result was told; kept until confirmed */
	struct pulling *pull;       /* it is no message: sender_pull.c; else NULL */
};

/* The other end of a connection. */
struct peer {
	char name[DNS_NAME_MAX + 1];    /* of the host, as MX or the route has it; "" for a path */
	char address[INET6_ADDRSTRLEN]; /* "" for a path */
	char text[SENDER_NAME];         /* for log and reports */
	uint16_t port;
	sa_family_t family;
	bool secure;  /* name and address were validated by DNSSEC */
	bool vouched; /* that it is a host of its domain (flow/hosts.h) */
};

struct conn {
	TAILQ_ENTRY(conn) link;
	struct sender *sender;
	uint64_t number; /* 0: leaving, or the queue is gone */
	uint64_t left;   /* leaving: the slot it still has; 0: none */
	bool lmtp;
	struct walk *walk; /* until its first message has its verdicts, then NULL */
	struct peer peer;  /* when there is an engine */
	struct stream stream;
	struct guard guard; /* TLS and login */
	bool ready, wants_body;
	bool broken;  /* nothing can be written any more */
	bool moving;  /* what this host says does not count: another is tried */
	bool hung_up; /* the peer closed its side */
	uint32_t messages, most;
	int64_t patience; /* for the next message, microseconds */
	struct watch watch;
	struct timer timer;
	int64_t limit; /* of being idle */
	struct client_config config;
	char helo[DNS_NAME_MAX + 3];
	struct client *engine; /* NULL: not connected yet */
	struct buf in;
	struct job *job;
};

struct sender {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct config *before; /* what the queue may still go by when we have changed; NULL: none */
	struct queue_link queue;
	struct dns_link dns;
	struct callouts *callouts; /* sender_callout.h */
	struct hosts_self self;
	struct ifaddrs *interfaces; /* as they were at the start */
	struct dice dice;
	struct tls_client *tls;
	struct clear_hosts clear;
	struct clear_hosts unchunked; /* they offer CHUNKING and do not know BDAT */
	struct secrets secrets;
	struct map jobs;      /* by number: under way and unconfirmed */
	struct map by_number; /* connections that have a slot */
	TAILQ_HEAD(, conn) conns;
	size_t n_conns;
	TAILQ_HEAD(, turned) turned; /* connections whose octets are carried to a receiver */
	struct master_link master;
	bool stopping;
	int shortage; /* errno: no socket could be had lately */
};

/* ---- sender.c */
/* What came of asking for a socket: 0, or why there is none. In the log once. */
void sender_shortage(struct sender *s, int err);
/* The last of what it had in hand is over: the end, if it was asked for. */
void sender_check_stop(struct sender *s);
/* The connection that has had nothing to do for longest leaves, if there is one. */
void sender_make_room(struct sender *s);
void sender_say(struct sender *s, enum ipc_type type, uint64_t number, uint32_t octets);

/* ---- sender_self.c */
/* Before the jail: wildcards are the addresses that the interfaces have then. */
void sender_interfaces(struct sender *s);
/* By the configuration in force. */
void sender_self(struct sender *s);

/* ---- sender_conn.c */
struct conn *conn_find(struct sender *s, uint64_t number);
struct conn *conn_open(struct sender *s, const struct job *j);
/* number 0: it has no slot. */
struct conn *conn_make(struct sender *s, uint64_t number, const struct proto_target *t);
/* It is connected, and peer said: the greeting comes. */
void conn_speaks(struct conn *c, int fd, const struct proto_target *t);
void conn_give(struct conn *c, struct job *j);
/* The answer to job_ask_go. */
void conn_answer(struct conn *c, bool send_dot);
/* There is content, or an end of it: go on. */
void conn_pump(struct conn *c);
/* The slot is not ours any more (its queue is gone). */
void conn_disown(struct conn *c);
/* Leave now or when the peer said goodbye; its slot is given back then. */
void conn_quit(struct conn *c);
/* The same from within the engine's events. */
void conn_leave(struct conn *c);
/* The walk has a connected socket, which is the connection's from here on. */
void conn_connected(struct conn *c, int fd, const struct peer *peer, bool helo_only);
/* The walk is at its end without one: what waits gets this; the connection is gone. */
void conn_nowhere(struct conn *c, const struct client_event *ev, const char *host);
/* Job, number and walk go on with a new connection; this one says goodbye. */
void conn_move(struct conn *c);
/* The same, and the walk begins again: the peer had left before the job came. */
void conn_again(struct conn *c);
/* This host is not good enough, or does not want us: the job goes on to the next, or gets this;
 * then as conn_leave(). */
void conn_unfit(struct conn *c, const struct reply *r, const char *stage);
/* Frees, with its slot; it has no job. */
void conn_close(struct conn *c);
/* The queue needs the slot of an idle connection for another; no effect on any that is at work. */
void conn_unneeded(struct sender *s, uint64_t number);

/* ---- sender_event.c */
/* What the engine has to say; false: it is through and c is gone. */
bool conn_events(struct conn *c);
/* The next job, if there is one; else wait for it, or leave. */
void conn_next_job(struct conn *c);

/* ---- sender_io.c */
/* Feeds, writes and pumps until nothing moves; c may be gone then. */
void conn_process(struct conn *c);
void conn_watch(struct conn *c);
/* What a crash from here on is to be blamed on. */
void conn_note(const struct conn *c, const char *stage);
void conn_on_time(void *arg);

/* ---- sender_walk.c */
/* For the job that c has: names are asked for, hosts tried one after the other, until
 * conn_connected or conn_nowhere is called, maybe before this returns. */
void walk_begin(struct conn *c);
/* The connection came to nothing, for this reason: on to the next address. The job is that of
 * w's new connection. */
void walk_go_on(struct walk *w, struct conn *c);
/* What became of the connected address, for log and queue; ev: the reason why another is to be
 * tried, NULL: it speaks SMTP. */
void walk_note(struct walk *w, const struct client_event *ev);
/* Is there an IPv4 address left where this IPv6 one was refused? From then on only such are tried,
 * and the verdict stands if none takes the mail either. Once in a walk. */
bool walk_to_v4(struct walk *w);
/* The same address again, with HELO; false: that was done. */
bool walk_with_helo(struct walk *w);
/* The same address again; it is the caller who sees to it that this ends. */
void walk_same(struct walk *w);
void walk_free(struct walk **w);

/* ---- sender_job.c */
int job_take(struct sender *s, struct span payload) gw_checked;
void job_free(struct job *j);
int job_body(struct sender *s, struct span payload) gw_checked;
int job_go(struct sender *s, struct span payload) gw_checked;
/* The peer has the content of an at-most-once message but for the dot: asks the queue (PAST_DOT).
 */
void job_ask_go(struct job *j);
void job_confirmed(struct sender *s, uint64_t number);
/* One recipient's fate; all recipients not yet known share one. */
void job_said(struct job *j, size_t rcpt, const struct client_event *ev, const char *host);
void job_said_all(struct job *j, const struct client_event *ev, const char *host);
/* No recipient has a verdict, and nothing of the content went out. */
bool job_untouched(const struct job *j);
/* What came of an address; later words about it replace earlier ones. */
void job_tried(struct job *j, const char *address, bool good, struct span why);
/* Every recipient is known: tell the queue. */
void job_finish(struct job *j);
/* Can it be finished without the queue that gave it? */
bool job_goes_on(const struct job *j);
/* It cannot: it ends before the dot. The next queue is told if this one may have noted PAST_DOT;
 * else nothing is told, and the message is due again there. */
void job_give_up(struct job *j);
/* Names what is held to a new queue, then tells again what it may not have heard. */
void jobs_name_all(struct sender *s);
/* Moves content from the job to the engine: how much of it. */
size_t job_feed_engine(struct job *j, struct client *engine, int64_t now);

/* ---- sender_convert.c */
/* What this host offers is known: the transaction is made to fit it. */
void job_fit(struct job *j, const struct client *engine);
void job_unconvert(struct job *j);
/* job_feed_engine() for content that is converted. */
size_t job_feed_converted(struct job *j, struct client *engine, int64_t now);

#endif
