/*
 * What the load tools share: the target of a run, options, ledgers, latencies
 * and the marks by which a message is known again. The tools live in files of
 * their own (bench_source, bench_sink, bench_check, bench_disk); nothing
 * outside src/cmd/bench* includes this.
 *
 * The tools are one thread over epoll and know nothing of the rest of the
 * program: they must take as little as possible of the machine they measure,
 * and they must not share a mistake with it.
 */
#ifndef GW_CMD_BENCH_H
#define GW_CMD_BENCH_H

#include "cmd/cmd.h"

#include "base/span.h"

#include <getopt.h>
#include <sys/socket.h>

enum bench_exit {
	BENCH_OK = 0,
	BENCH_NO = 1, /* done, but not all is well */
	BENCH_USAGE = 64,
	BENCH_NOINPUT = 66,
	BENCH_UNAVAILABLE = 69,
	BENCH_CANTCREATE = 73,
	BENCH_DENIED = 77,
	BENCH_INTERRUPTED = 130,
};

/* ---- the tools: argv[0] is the tool's name ---------------------------------------------- */

int bench_source(const struct cmd_globals *g, int argc, char **argv);
int bench_sink(const struct cmd_globals *g, int argc, char **argv);
int bench_check(const struct cmd_globals *g, int argc, char **argv);
int bench_disk(const struct cmd_globals *g, int argc, char **argv);

/* ---- bench.c: options, targets, signals ------------------------------------------------- */

struct bench_target {
	struct sockaddr_storage addr;
	socklen_t len;
	char text[128]; /* as it was given */
	bool loopback;
};

/* "HOST:PORT", "[v6]:PORT" or "PORT" (on 127.0.0.1): 0, GW_EFORMAT, GW_ENOENT. */
int bench_target_parse(const char *text, struct bench_target *t) gw_checked;

/* "20000", "20k", "2M" with the given unit of k (1000 or 1024), within the range: 0 or GW_EFORMAT.
 */
int bench_number_parse(
    const char *text, uint64_t k, uint64_t min, uint64_t max, uint64_t *out) gw_checked;

/* Prints "godwit bench TOOL: ..." and returns the code, for "return bench_fail(...)". */
int bench_fail(const char *tool, int code, const char *fmt, ...) gw_printf(3, 4);

/* How often an interrupt was asked for since bench_catch_signals(). */
int bench_interrupts(void);
void bench_catch_signals(void);
/* As many descriptors as the hard limit gives; returns the limit. */
size_t bench_raise_nofile(void);

/* ---- bench_stats.c: latencies in constant memory, 1 % wide steps ------------------------- */

enum { LATENCY_SUB = 128, LATENCY_BUCKETS = LATENCY_SUB * 34 };

struct latency {
	uint64_t count, max;
	uint32_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *l, int64_t usec);
/* The latency in microseconds that share (0..1) of all stayed within; 0 when empty. */
uint64_t latency_at(const struct latency *l, double share);

/* ---- bench_seen.c: which deliveries came before ------------------------------------------ */

enum { SEEN_MAX = 1 << 25 };

struct seen_slot {
	uint64_t key;
	int64_t first; /* when it came first */
};

struct seen {
	struct seen_slot *slots;
	size_t cap, used;
};

/* Remembers a key at a time: 1 new, 0 seen before (*first: when), GW_EFULL beyond SEEN_MAX. */
int seen_add(struct seen *s, uint64_t key, int64_t when, int64_t *first) gw_checked;
void seen_fini(struct seen *s);
/* The key of one number of one run for one recipient. */
uint64_t seen_key(struct span run, uint64_t n, struct span to);

/* ---- bench_ledger.c: JSON lines ---------------------------------------------------------- */

enum { LEDGER_BUF = 1 << 17, LEDGER_LINE_MAX = 4096 };

struct ledger {
	int fd; /* -1: nothing is kept */
	size_t used;
	bool failed;
	char *mem;
};

/* Opens (and empties) a ledger; path NULL: keeps nothing. 0 or GW_EIO with errno. */
int ledger_open(struct ledger *l, const char *path) gw_checked;
static inline bool ledger_kept(const struct ledger *l)
{
	return l->fd >= 0;
}
/* Appends to the line under way; a text is quoted and escaped, cut at 512 bytes. */
void ledger_raw(struct ledger *l, const char *s);
void ledger_number(struct ledger *l, uint64_t n);
void ledger_time(struct ledger *l, int64_t usec);
void ledger_text(struct ledger *l, struct span s);
/* Ends the line; what was collected is written when the buffer is nearly full. */
void ledger_line(struct ledger *l);
/* Hands all to the kernel. */
void ledger_flush(struct ledger *l);
/* Flushes and closes: 0, or GW_EIO if any write failed. */
int ledger_close(struct ledger *l) gw_checked;

#endif
