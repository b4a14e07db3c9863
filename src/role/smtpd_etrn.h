/*
 * ETRN at the receiver: who may ask is judged here, then the queue is asked, under a deadline
 * (struct waiting). What comes when its session no longer waits is forgotten.
 */
#ifndef GW_ROLE_SMTPD_ETRN_H
#define GW_ROLE_SMTPD_ETRN_H

#include "role/smtpd.h"

enum { ETRN_PATIENCE = 5000000 /* microseconds for an answer */ };

/* SERVER_HELO: what this client may use of the extensions that not everybody has. */
uint32_t etrn_granted(const struct session *s);
/* SERVER_ETRN. */
void etrn_event(struct session *s, const struct server_event *ev);

/* The queue's answer: 0 or GW_EFORMAT. */
int etrn_answered(struct smtpd *d, struct span payload);
void etrn_queue_gone(struct smtpd *d);

#endif
