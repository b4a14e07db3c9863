/* A copy of an event of MAIL or RCPT, which outlives the input that it points into. */
#ifndef GW_ROLE_SMTPD_EVENT_H
#define GW_ROLE_SMTPD_EVENT_H

#include "base/arena.h"
#include "smtp/server.h"

struct kept_event {
	struct server_event event; /* all it points to is in the arena */
	struct arena arena;
};

/* Never NULL: what an event points to is bounded by the length of a command. */
struct kept_event *kept_event_of(const struct server_event *ev) gw_checked;
void kept_event_free(struct kept_event **e);

#endif
