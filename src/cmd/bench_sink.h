/*
 * The receiver of the load tools: takes everything, knows numbered messages
 * again, counts. bench_sink.c has options, loop and report; bench_receive.c
 * speaks SMTP and LMTP. One thread; a session is of constant size and bodies
 * are never kept.
 *
 * A turn of the loop reads all that came, writes the ledger, and only then
 * sends replies: a line is in the ledger before its 250 is sent, so the ledger
 * stays true when the sink is killed.
 */
#ifndef GW_CMD_BENCH_SINK_H
#define GW_CMD_BENCH_SINK_H

#include "cmd/bench.h"
#include "cmd/bench_message.h"
#include "cmd/progress.h"

enum { COMMAND_MAX = 2048, SINK_CHUNK = 256 << 10 };

struct sink_options {
	struct bench_target listen;
	uint64_t expect, quiet_time;
	bool lmtp, own, json, quiet;
	const char *ledger;
};

/* One session. */
struct taker {
	uint32_t magic;
	int fd;
	struct scan scan;
	bool mail, bounce, in_data;
	bool closing; /* after what is left to write */
	bool gone;    /* now */
	bool waiting; /* listed to be written at the end of the turn */
	bool blocked; /* the client does not read: neither do we */
	uint32_t rcpts;
	struct buf out;
	struct buf to; /* recipients, each with a NUL */
	size_t line_len;
	char line[COMMAND_MAX];
	struct taker *next, *prev;
};

struct sink_counts {
	uint64_t sessions, messages, bytes;
	uint64_t arrived, distinct, duplicates, corrupt, unnumbered, bounces;
	int64_t first, last; /* wall clock of arrivals */
};

struct sink {
	struct sink_options opt;
	int epoll, listener;
	bool paused; /* no descriptors left: not listening */
	bool full;   /* more deliveries than can be remembered */
	size_t open, room;
	struct taker *all;
	struct taker **turn; /* who has something to write */
	size_t n_turn;
	struct sink_counts count;
	struct seen seen;
	struct ledger ledger;
	uint8_t *chunk;
};

void taker_greet(struct sink *k, struct taker *t);
/* Takes the client's bytes; replies collect in t->out. */
void taker_feed(struct sink *k, struct taker *t, struct span in);

#endif
