/*
 * Connections that are turned round (RFC 2645), as the receiver has them.
 *
 * A customer's: ATRN makes a pair of sockets, one end of which goes to the queue, which knows whose
 * mail it is and who may send it. When it says yes the client gets its 250, and from there on
 * octets are carried between it, through the TLS of this process, and a sender.
 *
 * Our own: GIVEN brings the end of a connection that a sender has made and turned; it is a client
 * like any other, that brings mail for the domains of its pull statement and no others.
 */
#ifndef GW_ROLE_SMTPD_TURN_H
#define GW_ROLE_SMTPD_TURN_H

#include "role/smtpd.h"

/* SERVER_ATRN; unread: octets behind it. */
void turn_event(struct session *s, const struct server_event *ev, size_t unread);
/* 250 was written: the session is no more than its octets. True: it is so from now on. */
bool turn_begins(struct session *s);
/* Octets are being carried. */
bool turn_is_on(const struct session *s);
/* The session goes. */
void turn_forget(struct session *s);

/* TURNED and GIVEN: 0, or GW_EFORMAT. */
int turn_answered(struct smtpd *d, struct span payload) gw_checked;
int turn_client(struct smtpd *d, const struct ipc_frame *f) gw_checked;
/* No answer comes any more. */
void turn_queue_gone(struct smtpd *d);

#endif
