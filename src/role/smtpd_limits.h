/*
 * Limits in a time (flow/limit.h) as the clients of a receiver meet them: refused early, at MAIL
 * and RCPT, by what the queue told of them; kept waiting where the rule says so; and at the end of
 * data by the verdict of the queue.
 */
#ifndef GW_ROLE_SMTPD_LIMITS_H
#define GW_ROLE_SMTPD_LIMITS_H

#include "role/smtpd.h"

enum {
	/* The longest wait of "over delay"; clients wait 5 minutes for a reply to MAIL (RFC 5321
	   section 4.5.3.2.2). */
	LIMITS_WAIT_MAX = 60 * 1000000,
	LIMITS_LOOK = 200000, /* between two looks of one that waits */
	LIMITS_WAITERS = 8,   /* one of so many connections may wait */
};

void smtpd_limits_start(struct smtpd *d, uint64_t seed);
/* The payload of LIMIT: 0 or GW_EFORMAT. */
int smtpd_limits_take(struct smtpd *d, struct span payload) gw_checked;
/* Another queue: what the last one said is void. */
void smtpd_limits_forget(struct smtpd *d);

/* MAIL: may it come now? False: *v says why not. *wait: it is to wait before it is told. */
bool session_limits_mail(
    struct session *s, bool null_sender, uint64_t size, struct verdict *v, bool *wait) gw_checked;
/* The session, with its new transaction, waits for a limit to open. */
void session_limits_wait(struct session *s, uint64_t size);
/* When session_limits_time() is wanted; INT64_MAX if it does not wait. */
int64_t session_limits_deadline(const struct session *s);
void session_limits_time(struct session *s, int64_t now);
/* The client is gone, or the session ends: nobody waits any more. */
void session_limits_wait_end(struct session *s);

/* RCPT: is there room for all recipients that the message has by now? Else *v. */
void txn_limits_rcpt(const struct transaction *t, struct verdict *v);
/* The queue's verdict: over a limit. payload: what stands behind the status. */
void txn_limits_committed(const struct transaction *t, struct span payload, struct verdict *v);

/* What the log line of a refusal has besides. */
void session_limits_log(const struct session *s, struct logline *l);

#endif
