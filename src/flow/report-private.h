/*
 * What senders are told of their mail (RFC 3461, 3464): whether there is something to be told of a
 * recipient, to whom, and so many reports to one address and no more (the storm).
 */
#ifndef GW_FLOW_REPORT_PRIVATE_H
#define GW_FLOW_REPORT_PRIVATE_H

#include "base/heap.h"
#include "base/map.h"
#include "flow/queued-private.h"
#include "mail/dsn.h"

enum {
	HEAD_COPY_MAX = 64 << 10, /* of the original's header in a report */
};

struct append;
struct job;
struct summed;

/* What is told of the recipients of one task, all of which have one return path. */
struct telling {
	enum dsn_action done; /* of those that were delivered: DELIVERED or RELAYED */
	int64_t born, until;  /* since when, and until when, those that are late are tried */
	bool passed_on;       /* the next host does it itself */
	bool relayed;         /* that it was passed on is told to all but those who want nothing */
	bool asked, admitted; /* may a report go now, or has its receiver had too many lately? */
};
/* What becomes of it. */
enum tell {
	TELL_NOBODY,
	TELL_REPORT,
	TELL_LATER, /* in a summary */
};

/* A list of messages; what is before `at` was seen to, and of that the first `kept` stay. */
struct ids {
	struct msgid *v;
	size_t n, cap, at, kept;
};

/* Addresses that reports were sent to lately (broker_storm.c). */
struct storm {
	struct map map; /* by address */
	struct heap ends;
	TAILQ_HEAD(, storm_window) windows; /* the one that began longest ago first */
	struct ids strays; /* messages with untold recipients, whose sender is not known yet */
	int64_t strays_due;
	TAILQ_HEAD(, summed) summed; /* told, and not all of them over yet */
};

/* broker_report.c: what senders are told of their mail (RFC 3461, 3464). */
void telling_init(
    const struct broker *b, const struct task *t, const struct job *j, struct telling *out);
/* What is told of this recipient, in its new state. Who is warned now is marked in it. */
enum tell tell_of(struct broker *b, struct telling *told, const struct queued *m,
    struct change_rcpt *c, int64_t now) gw_checked;
/* Is it told that the time of this recipient is over? */
bool tell_deadline(struct broker *b, struct telling *told, const struct queued *m,
    const struct change_rcpt *c, int64_t now) gw_checked;
/* Who hears of it; empty: nobody. */
struct span tell_whom(const struct broker *b, const struct queued *m, uint32_t index) gw_checked;
/* The change and the report of it become one record. */
void report_send(struct broker *b, struct queued *m, const struct change *c, struct job *j,
    const struct telling *told, int64_t now);
/* Why a recipient failed, in one word. */
enum reply_class report_class(const struct broker *b, const struct change_rcpt *c) gw_checked;
/* The language that is set, or that of the message whose header this is. */
enum dsn_language report_language(const struct broker *b, struct span head) gw_checked;
void report_log(const struct msgid *id, const struct msgid *about, struct span to,
    const char *action, size_t recipients);

/* broker_storm.c: so many reports to one address, and beyond that one summary. */
void storm_init(struct broker *b, uint64_t seed);
void storm_fini(struct broker *b);
/* True: one more may go there, and is counted. */
bool storm_admits(struct broker *b, struct span to, int64_t now) gw_checked;
/* When those it does not admit are told. */
int64_t storm_ends(const struct broker *b, struct span to, int64_t now) gw_checked;
/* Some recipients of this message are to be told of in the summary to that address. */
void storm_untold(struct broker *b, struct span to, const struct msgid *id, int64_t now);
/* The same of a message that was so in the log: who is told, is looked up, then. */
void storm_recovered(struct broker *b, const struct msgid *id, int64_t when);
void storm_tick(struct broker *b, int64_t now);
int64_t storm_deadline(const struct broker *b) gw_checked;
/* broker_summary.c: a summary is durable, or the end of some recipients that were in one. */
void summary_told(struct broker *b, struct append *a);

#endif
