/*
 * FUTURERELEASE (RFC 4865): a message that is kept until a time. Its recipients wait at rest like
 * any others, and neither a retry nor ETRN makes them due; an operator's release does. The time is
 * one of the wall clock and stands in the envelope. While the queue runs it is counted on the clock
 * that nobody sets, so that a jump of the wall clock sends nothing early.
 */
#include "flow/broker-private.h"

#define RELEASE_MOST (INT64_C(366) * 86400 * 1000000)

int64_t release_of(const struct broker *b, const struct envelope *e)
{
	int64_t until = e->handling.hold_until, most = e->accepted + RELEASE_MOST;

	if (until <= 0)
		return 0;
	until = until < most ? until : most;
	return until - b->wall_ahead;
}

void queued_schedule(struct broker *b, struct queued *m, int64_t release)
{
	m->release = release;
	for (size_t i = 0; i < m->n_rcpt && release > b->now; i++) {
		const struct queued_rcpt *r = &m->rcpt[i];

		if (r->number == 0 || (r->outcome == OUTCOME_NONE && r->due == release))
			m->rcpt[i].not_before = release;
	}
}
