/*
 * Limits on what comes in (flow/limit.h counts): no more than n of something in a window of time.
 * Their names stand beside those of groups of destinations (flow/group-private.h), which limit what
 * goes out.
 */
#ifndef GW_CONFIG_LIMIT_H
#define GW_CONFIG_LIMIT_H

#include "base/buf.h"
#include "config/atoms.h"

#include <stddef.h>
#include <stdint.h>

enum limit_key {          /* who shares what is counted */
	LIMIT_BY_ADDRESS, /* of the client */
	LIMIT_BY_NET,     /* its IPv4 /24 or IPv6 /64 */
	LIMIT_BY_ACCOUNT, /* who logged in */
	LIMIT_BY_TENANT,
	LIMIT_BY_LISTENER,
	LIMIT_BY_ALL,
	LIMIT_KEYS
};
enum limit_what { LIMIT_OF_MESSAGES, LIMIT_OF_RECIPIENTS, LIMIT_OF_OCTETS, LIMIT_WHATS };
enum limit_calendar { LIMIT_HOUR, LIMIT_DAY, LIMIT_MONTH, LIMIT_CALENDARS };
/* The strictest first: of several limits that a message is over, the first of these decides. */
enum limit_over {
	LIMIT_REFUSE, /* 4xx, with the time of release */
	LIMIT_DELAY,  /* the client waits at MAIL */
	LIMIT_HOLD    /* taken, and held until there is room, in order */
};
struct limit_rule {
	enum limit_key key;
	const char *only; /* this one alone, in lower case (of accounts, tenants, listeners); NULL:
			     each for himself */
	enum limit_what what;
	uint64_t n;
	uint32_t seconds; /* any so many seconds: 1 to 31 days; 0: the calendar's */
	enum limit_calendar calendar;
	enum limit_over over;
	const char *plan; /* NULL: of a limit statement */
	struct place place;
};
/* "account", "messages", "hold". */
const char *limit_key_word(enum limit_key key);
const char *limit_what_word(enum limit_what what);
const char *limit_over_word(enum limit_over over);
/* "1000/d", "2G/month". */
void limit_rate_text(const struct limit_rule *rule, struct buf *out);

/* Limits with a name, for accounts. */
struct plan {
	const char *name;
	const struct limit_rule *limit;
	size_t n_limit;
	struct place place;
};

/* Rules of the limit statements, and of one plan; plans; different {key, what, window} of all. */
enum {
	CONFIG_LIMITS_MAX = 64,
	CONFIG_PLANS_MAX = 1000,
	CONFIG_COUNTERS_MAX = 32,
	CONFIG_LIMIT_SECONDS_MAX = 31 * 86400
};

#endif
