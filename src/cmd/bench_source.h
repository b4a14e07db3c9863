/*
 * The generator: one thread, one epoll, many sessions that take numbers from
 * one counter. bench_source_options.c reads the command line, bench_source.c has
 * the loop and the report, bench_session.c the connection, bench_dialogue.c what
 * is said on it.
 *
 * A number is taken once and never sent again, whatever becomes of it:
 *
 *	acked    a 2xx after the final dot
 *	refused  a 4xx or 5xx at MAIL, RCPT (all of them), DATA or the dot
 *	unknown  the connection ended between the dot and its reply
 *	unsent   taken, but the dot never left
 */
#ifndef GW_CMD_BENCH_SOURCE_H
#define GW_CMD_BENCH_SOURCE_H

#include "cmd/bench.h"
#include "cmd/bench_message.h"
#include "cmd/progress.h"
#include "cmd/send_tls.h"

enum fate { FATE_ACKED, FATE_REFUSED, FATE_UNKNOWN, FATE_UNSENT, FATE_COUNT };

struct source_options {
	struct bench_target target;
	uint64_t sessions, messages, size, per_session, rcpts, timeout, keep_going, first;
	bool pipeline, own, json, quiet, tls;
	const char *from, *to, *helo, *ledger, *run;
};

/* One number on its way. */
struct job {
	uint64_t n;            /* 0: none */
	uint16_t asked, taken; /* recipients: replies seen, accepted */
	bool failed;           /* refused before the dot; the rest of its replies is only counted */
	bool dotted;           /* the dot is with the kernel */
	int64_t dot_at;
	uint16_t code;
	struct buf why; /* the first refusal's text */
};

enum { JOB_WHY_MAX = 512 };

enum session_state {
	SESSION_WAITING, /* not connected; tries again at wake_at */
	SESSION_CONNECTING,
	SESSION_SHAKING, /* the handshake of TLS */
	SESSION_GREETING,
	SESSION_EHLO,
	SESSION_MAIL,
	SESSION_RCPT,
	SESSION_DATA,
	SESSION_DOT,
	SESSION_RESET,
	SESSION_QUIT,
	SESSION_OVER,
};

struct source;

struct session {
	uint32_t magic;
	int fd;
	struct send_tls *tls; /* NULL: none */
	enum session_state state;
	bool pipelining;     /* asked for and offered */
	bool writable_asked; /* EPOLLOUT is on */
	uint64_t numbers;    /* taken on this connection */
	uint64_t acked;      /* on this connection */
	int64_t wake_at, backoff, heard_at;
	struct job now, next;
	/* What is left to write: commands, then a body, then what follows it. */
	struct buf head, tail;
	struct span body;
	size_t until_dot; /* bytes left up to the end of the dot, 0 when none is under way */
	size_t in_used;
	char in[2048];
};

struct source {
	struct source_options opt;
	int epoll;
	struct session **sessions;
	size_t open; /* sessions that are not over */
	uint64_t next_n, taken, settled;
	uint64_t fate[FATE_COUNT];
	uint64_t connections, failures;
	struct latency *latency;
	struct bench_pool pool;
	struct ledger ledger;
	char run[RUN_MAX + 1];
	char first_trouble[256];
	bool stopping;
	int64_t began, first_sent, last_ack, last_good;
};

/* Runs the load to its end and reports; the exit code. */
int source_run(const struct source_options *opt);

/* Prepares a session to connect at once. */
void session_init(struct source *src, struct session *s);
void session_fini(struct session *s);
/* Connects (SESSION_WAITING and due). */
void session_start(struct source *src, struct session *s, int64_t now);
/* Reads and writes what epoll says. */
void session_event(struct source *src, struct session *s, uint32_t events);
/* Ends the connection: what is on its way gets its fate; then waits or is over. */
void session_lost(struct source *src, struct session *s, int64_t now, const char *why);

/* A whole line of the server, with its line end: queues in s->head and s->tail what to say next. */
void session_line(struct source *src, struct session *s, struct span line, int64_t now);

/* The next number, or 0 when there is none left. */
uint64_t source_take(struct source *src);
/* Writes one number's fate into counters and ledger; reply may be empty. */
void source_settle(
    struct source *src, struct job *j, enum fate fate, struct span reply, int64_t now);
/* Keeps the first thing that went wrong, for the report. */
void source_trouble(struct source *src, const char *what, struct span text);

#endif
