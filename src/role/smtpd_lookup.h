/*
 * What has to be asked of somebody else before MAIL or RCPT is answered: does the domain exist (the
 * resolver says), and does whoever has the mailboxes know the recipient. A copy of the engine's
 * event waits with the session meanwhile (struct waiting); the verdict never takes longer than the
 * deadline of what is asked.
 */
#ifndef GW_ROLE_SMTPD_LOOKUP_H
#define GW_ROLE_SMTPD_LOOKUP_H

#include "role/smtpd.h"

/* Goes on with the event (the copy, if it waited), which gets its verdict or waits again. */
typedef void lookup_next(struct session *s, const struct server_event *ev);

/* The domain of the address of MAIL or RCPT: if it can get mail, or DNS cannot say, or there is
 * nothing to ask, "next" is called, now or later. Else it is refused. */
void lookup_domain(
    struct session *s, const struct server_event *ev, bool sender, lookup_next *next);

/* The reject line of a recipient. */
void session_log_rcpt(struct session *s, const struct server_event *ev, const struct verdict *v);

#endif
