/*
 * How destinations are treated (groups of them, with what is allowed there and when it is tried
 * again), and what their replies mean.
 */
#ifndef GW_CONFIG_SHAPE_H
#define GW_CONFIG_SHAPE_H

#include "config/atoms.h"
#include "config/literal.h"
#include "config/target.h"
#include "mail/envelope.h"
#include "mail/reply_class.h"

#include <stdbool.h>
#include <stddef.h>

/* What is done when a host says something of this kind. */
enum on_reply_kind {
	ON_REPLY_PAUSE, /* the group rests for `time` */
	ON_REPLY_SLOW,  /* the group has `rate` instead of its own for `time` */
	ON_REPLY_RETRY, /* these recipients are tried again after `time` */
	ON_REPLY_BOUNCE /* it is permanent, whatever the code says */
};

struct reply_pattern; /* compiled (pattern.h) */
struct on_reply {
	const char *pattern; /* a regular expression (PCRE2), anywhere in "CODE ESC TEXT" */
	const struct reply_pattern *compiled; /* the snapshot's */
	enum on_reply_kind kind;
	int64_t time;
	struct rate rate;
	struct place place;
};

/* What replies mean (config/classify.h). */
struct classify_rule {
	enum reply_class class;
	const char *pattern;
	const struct reply_pattern *compiled;
	struct literals needs;
	struct place place;
};

struct retries {
	const int64_t *step; /* microseconds; the last one repeats */
	size_t n;
};

/* One group of destinations and how it is treated. The built-in "*" is always last. */
struct shape {
	const char *name;          /* "*" or the group's name */
	const char *const *domain; /* patterns of recipient domains */
	size_t n_domain;
	const char *const
	    *mx; /* patterns of the most preferred mail host; both empty only for "*" */
	size_t n_mx;
	uint32_t connections; /* at one time, per group and source (in "*": per set of hosts) */
	uint32_t connections_total;           /* over all sources; 0: no limit */
	struct rate messages, messages_total; /* n == 0: no limit */
	uint32_t per_connection;              /* messages */
	int64_t idle;                         /* an unused connection is kept so long */
	struct retries retry[PRIORITY_COUNT];
	int64_t host_rest; /* how long a host that failed is tried last */
	int64_t expire;    /* microseconds since acceptance */
	bool at_most_once; /* all mail to it is: never sent twice */
	struct tls_out tls;
	const struct on_reply *on_reply; /* the first that matches decides */
	size_t n_on_reply;
	struct place place;
	const struct place *origin; /* of each of its settings, by id - OPT_SHAPE_DOMAIN */
};

/* Where this setting of a shape was written, for "connections" and so on; file NULL: nobody did. */
struct place shape_place(const struct shape *s, const char *setting);

#endif
