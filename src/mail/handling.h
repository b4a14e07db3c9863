/*
 * How a message asks to be handled on its way: what its client said by parameters of MAIL beyond
 * those of DSN, and what its header says of TLS. Kept in the envelope, read by the queue, passed on
 * to the next server by the sender. All zero: nothing was asked for.
 */
#ifndef GW_MAIL_HANDLING_H
#define GW_MAIL_HANDLING_H

#include <stdbool.h>
#include <stdint.h>

/* What happens to a message that is not delivered in time (RFC 2852 section 4.1). */
enum deliver_by { BY_NONE, BY_RETURN /* it goes back */, BY_NOTIFY /* its sender is told */ };

/* Priorities are from -9 to 9 (RFC 6710); stored from 1 to 19, so that 0 is "not said". */
enum {
	MT_PRIORITY_LEAST = -9,
	MT_PRIORITY_MOST = 9,
	MT_PRIORITY_ZERO = 10,
	MT_PRIORITY_STORED = 19
};

struct handling {
	/* DELIVERBY: until when, microseconds of the clock that says when a message was accepted;
	   for a sender of the wall clock. Nothing without a mode. */
	int64_t by_at;
	enum deliver_by by;
	bool by_trace;        /* each relay tells the sender that it passed it on */
	bool require_tls;     /* REQUIRETLS (RFC 8689): never without verified TLS */
	bool tls_optional;    /* "TLS-Required: No": rather without it than not at all */
	unsigned mt_priority; /* stored form */
	int64_t hold_until;   /* FUTURERELEASE (RFC 4865): wall-clock microseconds; 0: at once */
};

/* The priority as it was said; 0 where it was not. */
static inline int handling_priority(const struct handling *h)
{
	return h->mt_priority == 0 ? 0 : (int)h->mt_priority - MT_PRIORITY_ZERO;
}

#endif
