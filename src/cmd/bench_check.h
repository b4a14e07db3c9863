/*
 * The ledgers of a source and its sinks against each other. Pure but for
 * reading the files; bench_check.c has both the judgement and the command.
 */
#ifndef GW_CMD_BENCH_CHECK_H
#define GW_CMD_BENCH_CHECK_H

#include "cmd/bench.h"

/* Deliveries are counted per number and recipient, the rest per number. */
struct verdict {
	uint64_t acked, refused, unknown, unsent;
	uint64_t delivered; /* different deliveries that arrived */
	uint64_t bounced;   /* reports about acked numbers */
	uint64_t lost;      /* acked, neither arrived nor bounced */
	uint64_t refused_seen, unsent_seen, corrupt, stray;
	uint64_t unknown_seen, unknown_gone;
	uint64_t dup_excused, dup_unexcused;
	uint64_t bad_lines;
	uint64_t lost_first[10]; /* some of the lost numbers, for whoever looks for them */
	size_t n_lost_first;
};

struct checker;

struct checker *checker_new(void);
void checker_free(struct checker **c);
/* How near to an arrival a kill must be to excuse a second one (microseconds). */
void checker_window(struct checker *c, int64_t usec);

/* Feed whole ledgers in this order: source, kills (if any), sinks. 0, or GW_EIO, GW_EFORMAT,
 * GW_EFULL. */
int checker_source(struct checker *c, const char *path) gw_checked;
int checker_kills(struct checker *c, const char *path) gw_checked;
int checker_sink(struct checker *c, const char *path) gw_checked;

/* Counts up; may be called once. */
struct verdict checker_verdict(struct checker *c);
/* Nothing that must not happen has happened. */
bool verdict_good(const struct verdict *v, bool kills);

#endif
