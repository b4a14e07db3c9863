/*
 * Limits: no more than n messages, recipients or octets of one account, address, ... in a window of
 * time. This file is the counting: which counters there are, and what each has counted of whom. It
 * decides nothing about what becomes of mail that is over a limit.
 *
 * The queue owns one `struct limits`. Every message that a receiver commits passes it before
 * anything is durable, so the message itself is the lease: over all receivers and sessions no more
 * than n are ever acknowledged, without a further round trip. (A slice that a receiver holds and
 * that shrinks to 1 near the limit would be the same exactness with more: it has to be given back,
 * and outlive its holder. Slices come with queues on several machines.) What receivers are told
 * early (LIMIT frames) is advice; the verdict on the COMMIT is the truth.
 *
 * A counter is known by {key, what, window} and, in it, the subject. n and the place of the rule in
 * the file are no part of that: a new n, or another order, keeps what was counted. All counters of
 * the configuration count every message that they apply to, those of other plans included: an
 * account that gets another plan keeps its past.
 *
 * Windows. Sliding: what is counted at t is forgotten at t + window at the earliest, so there are
 * never more than n in ANY window of that length. Up to LIMIT_MARKS times are remembered one by
 * one, and a place is free again to the microsecond. Beyond that, times closer together than a
 * twentieth of the window become one, the later: a place may then become free that much later than
 * it strictly could. The time that is told is the one that counts. Calendar: hour, day or month in
 * local time; its begins and ends are asked of the caller, as this code knows neither clock nor
 * time zone.
 *
 * Counting is in two steps. limits_reserve() takes room, all limits or none; limits_settle() counts
 * it for good when the record is durable, limits_give_back() lets it go. Only what is settled is
 * stored.
 *
 * Memory: a subject in a counter takes about 150 octets and 24 for each time that is remembered, so
 * 900 at the most. At LIMIT_ROWS_MAX of them those that count nothing any more make room; if there
 * is none, messages of new subjects are not limited there (fail open: a full table must not stop
 * the mail of all others), and this is counted and told (limits_unlimited()). Addresses and nets
 * have half of it: a stranger may have as many as he likes, and is not to end the limits of
 * accounts with them.
 *
 * Times are microseconds, as everywhere.
 */
#ifndef GW_FLOW_LIMIT_H
#define GW_FLOW_LIMIT_H

#include "base/buf.h"
#include "config/config.h"

enum {
	LIMIT_MARKS = 32,
	LIMIT_ROWS_MAX = 1 << 19,
	LIMIT_SUBJECT_MAX = 256, /* octets of a subject, with its NUL */
};

/* ---- who is meant: also for receivers ------------------------------------------------------ */

/* A message, or what is known of it so far. Spans that are empty: not known, or there is none. */
struct limit_ask {
	struct span account, tenant, listener, client_ip;
	struct span plan; /* of the account; empty: it has none */
	bool null_sender;
	uint32_t recipients;
	uint64_t octets;
};
/*
 * Does this rule apply to it? To mail of the null sender only those that count accounts and
 * tenants: bounces that come in are nobody's sending, but who logged in and writes MAIL FROM:<> is
 * no less himself. Rules of a plan count what who logged in sends (key account), and apply to
 * accounts that have it.
 */
bool limit_applies(const struct limit_rule *rule, const struct limit_ask *ask) gw_checked;
/* Who it is counted for: "alice@example.com", "192.0.2.0/24", "2001:db8:1:2::/64", a name; "" for
 * all. False: it has nobody of that kind. */
bool limit_subject(
    enum limit_key key, const struct limit_ask *ask, char out[LIMIT_SUBJECT_MAX]) gw_checked;
/* How much of it is counted. */
uint64_t limit_amount(enum limit_what what, const struct limit_ask *ask) gw_checked;
/* The same counter? */
bool limit_same_counter(const struct limit_rule *a, const struct limit_rule *b) gw_checked;
/* Is that little left of a limit that receivers should know? An eighth; of recipients, which a
 * message may have many of, whatever is less than it may have at once. */
bool limit_is_near(const struct limit_rule *rule, uint64_t left) gw_checked;
/* Walks the rules that may apply: those of the limit statements, then those of the account's plan.
 * Start with *at = 0; NULL at the end. */
const struct limit_rule *limit_next(
    const struct config *c, struct span plan, size_t *at) gw_checked;

/* "1000 messages a day per account", for people. */
enum { LIMIT_TEXT = 128 };
const char *limit_text(const struct limit_rule *rule, char out[LIMIT_TEXT]);

/* ---- counters: the queue's ------------------------------------------------------------------ */

struct limits;

/* The calendar's period that this time is in: [begin, end). */
struct limit_period {
	int64_t begin, end;
};
struct limits_params {
	struct limit_period (*calendar)(void *arg, enum limit_calendar unit, int64_t when);
	void *arg;
	uint64_t seed;   /* of the tables */
	size_t rows_max; /* 0: LIMIT_ROWS_MAX */
};

/* Hours, days and months of UTC. */
struct limit_period limit_utc(void *arg, enum limit_calendar unit, int64_t when);

struct limits *limits_new(const struct limits_params *p) gw_checked;
void limits_free(struct limits **l);

/* These rules are in force now. Counters that no rule has any more are forgotten, those that are
 * there already go on as they are. The configuration is not kept. */
void limits_configure(struct limits *l, const struct config *c);

/* The wall clock was set: the calendar's periods are asked for anew. What was counted in one that
 * is not over yet counts in the one that it is now. */
void limits_clock_set(struct limits *l);

/* Is there anything to be counted? */
bool limits_any(const struct limits *l) gw_checked;

/* What a limit says of a message. */
struct limit_verdict {
	const struct limit_rule *rule; /* the configuration's; NULL: within all limits */
	char subject[LIMIT_SUBJECT_MAX];
	uint64_t used;
	int64_t
	    opens; /* there is room for it then; INT64_MAX: never, it is more than n by itself */
	bool near; /* to one of its limits: limit_is_near() */
};
enum { LIMIT_NEAR_PART = 8, LIMIT_NEAR_RECIPIENTS = 1000 };

/* What was reserved for one message. */
struct limit_charge;

/*
 * Room for this message in all its limits. NULL and no verdict->rule: no limit applies, nothing is
 * counted. NULL and a rule: over it, and nothing was reserved. Of several limits that it is over,
 * what the strictest of them orders is done (refuse before delay before hold), and of those the one
 * that opens last is named. force: reserves although it is over (what an operator lets go).
 */
struct limit_charge *limits_reserve(struct limits *l, const struct config *c,
    const struct limit_ask *ask, bool force, int64_t now, struct limit_verdict *v) gw_checked;
/* Counted for good, at that time, which is not after `now`. Frees it. */
void limits_settle(struct limits *l, struct limit_charge **charge, int64_t when, int64_t now);
/* Not counted. Frees it. */
void limits_give_back(struct limits *l, struct limit_charge **charge);
/* Counted for good without being asked: what the log says happened at `when`. */
void limits_count(struct limits *l, const struct limit_ask *ask, int64_t when, int64_t now);

/* What a counter has counted of a subject, and when there is room for `amount` of the rule (now:
 * there is; INT64_MAX: never). */
struct limit_state {
	uint64_t used;
	int64_t opens;
};
struct limit_state limits_state(struct limits *l, const struct limit_rule *rule,
    struct span subject, uint64_t amount, int64_t now) gw_checked;
/* Walks what is counted under a rule: start with *at = 0. False: the end. The subject is valid
 * until the next call. */
bool limits_next(struct limits *l, const struct limit_rule *rule, size_t *at, int64_t now,
    struct span *subject, struct limit_state *state) gw_checked;

/* Looks at so many rows, in turn: those that count nothing any more go. Now and then. */
void limits_tidy(struct limits *l, size_t look, int64_t now);
size_t limits_rows(const struct limits *l) gw_checked;
/* Messages that were not limited for want of room in the table, since the start. */
uint64_t limits_unlimited(const struct limits *l) gw_checked;

/* ---- stored: everything that is settled, in pieces ------------------------------------------- */

/* The next piece, appended to *out: a version octet and rows, at most LIMIT_PIECE octets. Start
 * with *at = 0. False: that was the last (there is always one). Nothing may be counted between
 * pieces.
 */
enum { LIMIT_PIECE = 256 << 10 };
bool limits_encode(struct limits *l, size_t *at, int64_t now, struct buf *out) gw_checked;
/* Adds what a piece says; hostile. 0 or GW_EFORMAT, GW_EVERSION: rows before the mistake stay. What
 * lies ahead of `now` counts as of now. */
int limits_decode(struct limits *l, struct span piece, int64_t now) gw_checked;

#endif
