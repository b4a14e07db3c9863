/*
 * What the files that count for limits share: counters, and what each has counted of a subject.
 *
 *   limits -- owns --> counters -- each owns --> rows, by subject
 *
 * A row is made when something is to be counted for its subject, and goes when nothing is counted
 * in it any more.
 */
#ifndef GW_FLOW_LIMIT_PRIVATE_H
#define GW_FLOW_LIMIT_PRIVATE_H

#include "base/map.h"
#include "flow/limit.h"

/* So much, at these times; it counts until `at` and the window are over. */
struct limit_mark {
	int64_t start, at;
	uint64_t n;
};

struct limit_row {
	struct limit_counter *counter;
	uint64_t sum;            /* of the marks, or of the period */
	uint64_t pending;        /* reserved */
	int64_t end;             /* calendar: of the period that is counted */
	struct limit_mark *mark; /* sliding: the oldest first */
	uint16_t n_mark, cap;
	uint16_t subject_length;
	char subject[];
};

struct limit_counter {
	enum limit_key key;
	enum limit_what what;
	enum limit_calendar calendar;
	uint32_t seconds;
	bool any; /* counts everybody; else those of `only` */
	char *only[CONFIG_LIMITS_MAX];
	size_t n_only;
	bool wanted; /* by the configuration that is being put in force */
	struct map rows;
	size_t tidy_at; /* of the walk that looks for empty rows */
};

struct limits {
	struct limits_params p;
	struct limit_counter *counter[CONFIG_COUNTERS_MAX];
	size_t n_counter, n_row, tidy; /* tidy: the counter whose turn it is */
	size_t n_foreign;              /* rows of addresses and nets */
	uint64_t unlimited;
	struct limit_period period[LIMIT_CALENDARS]; /* asked for last */
};

/* What is reserved: a row and how much of it, for each counter. */
struct limit_charge {
	size_t n;
	struct limit_part {
		struct limit_row *row;
		uint64_t n;
	} part[];
};

/* ---- limit_window.c ------------------------------------------------------------------------- */

/* Forgets what is over. */
void row_refresh(struct limits *l, struct limit_row *r, int64_t now);
/* Counts; when may lie before `now`. */
void row_count(struct limits *l, struct limit_row *r, uint64_t n, int64_t when, int64_t now);
/* When n - amount or less is counted, of a row that was refreshed; INT64_MAX: never. */
int64_t row_opens(const struct limit_row *r, uint64_t n, uint64_t amount, int64_t now) gw_checked;
static inline bool row_empty(const struct limit_row *r)
{
	return r->sum == 0 && r->pending == 0;
}
static inline uint64_t row_used(const struct limit_row *r)
{
	return r->sum + r->pending;
}
struct limit_period limits_period(struct limits *l, enum limit_calendar unit, int64_t when);

/* ---- limit.c --------------------------------------------------------------------------------- */

/* The counter with these values, or NULL. */
struct limit_counter *counter_find(struct limits *l, enum limit_key key, enum limit_what what,
    uint32_t seconds, enum limit_calendar calendar) gw_checked;
/* The row of a subject; made: if there is none yet (NULL: there is no room). */
struct limit_row *row_get(struct limits *l, struct limit_counter *c, struct span subject, bool make,
    int64_t now) gw_checked;

#endif
