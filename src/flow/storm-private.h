/*
 * Between broker_storm.c, which has the windows of the addresses that reports go to, and
 * broker_summary.c, which tells at their end of what was kept untold. The windows are the storm's;
 * a summary lends one while it is written.
 */
#ifndef GW_FLOW_STORM_PRIVATE_H
#define GW_FLOW_STORM_PRIVATE_H

#include "flow/broker-private.h"

enum {
	STORM_KEY_MAX = 512, /* of an address; no real one is longer */
	STORM_PORTION = 200, /* messages read back in one turn of the loop */
};

/* What cannot be read is looked at again after so long. */
#define STORM_READ_AGAIN (INT64_C(60) * 1000000)

struct storm_window {
	struct heap_node node; /* its end */
	TAILQ_ENTRY(storm_window) link;
	uint32_t sent;
	struct ids untold; /* messages with recipients to be told of at its end */
	size_t length;
	char *key; /* of `address`, in lower case */
	char address[];
};

/* broker_storm.c */
/* One that was added last is not added again. */
void ids_add(struct ids *l, const struct msgid *id);
void ids_free(struct ids *l);
int64_t storm_period(const struct broker *b) gw_checked;
/* It begins again, with nothing sent. */
void storm_window_begin(struct broker *b, struct storm_window *w, int64_t end);
/* Who is told of this recipient in a summary. */
struct span storm_listener(
    const struct broker *b, const struct queued *m, uint32_t index) gw_checked;

/* Has the next summary to that address something of this message to tell? */
bool storm_waits(const struct broker *b, struct span address, const struct msgid *id) gw_checked;

/* broker_summary.c */
/* Those of the window become those of the summary, and it begins again; what is not durable yet
 * waits for the next. */
void summary_send(struct broker *b, struct storm_window *w, int64_t now);
/* Ends some of those that were told. */
void summary_end_some(struct broker *b, int64_t now);
/* Are there more that can be ended at once? */
bool summary_waits(const struct broker *b) gw_checked;
void summary_fini(struct broker *b);

#endif
