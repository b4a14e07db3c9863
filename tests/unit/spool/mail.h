/* Messages and changes as the queue stores them, for the unit tests of the spool. */
#ifndef GW_TESTS_SPOOL_MAIL_H
#define GW_TESTS_SPOOL_MAIL_H

#include "mail/change.h"
#include "mail/envelope.h"
#include "spool/store.h"

static inline struct msgid mail_id(uint32_t i)
{
	struct msgid id = {{0}};

	memcpy(id.b, &i, sizeof(i));
	id.b[15] = 1;
	return id;
}

/* The encoded change; owned by the caller. */
static inline struct buf mail_change(uint32_t about, uint32_t rcpt, uint32_t number, enum outcome o)
{
	struct change_rcpt r = {
	    .index = rcpt, .number = number, .outcome = o, .reply = SPAN("so it is")};
	struct change c = {.id = mail_id(about), .rcpt = &r, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	gw_assert(!buf_failed(&b));
	return b;
}

struct mail_extra {
	struct span ends, state, held;
	const struct part *part;
	size_t n_part;
	int64_t accepted;
};

/* The encoded envelope of message i with that many recipients. */
static inline struct buf mail_message(uint32_t i, size_t n_rcpt, const struct mail_extra *x)
{
	struct rcpt rcpt[8] = {{.addr = SPAN("")}};
	struct envelope e = {.id = mail_id(i), .rcpt = rcpt, .n_rcpt = n_rcpt};
	struct buf b;

	e.nonce = e.id;
	e.nonce.b[15] = 2;
	e.from = SPAN("me@example.net");
	if (x) {
		e.ends = x->ends;
		e.state = x->state;
		e.held = x->held;
		e.part = x->part;
		e.n_part = x->n_part;
		e.accepted = x->accepted;
	}
	if (e.accepted == 0)
		e.accepted = INT64_C(1700000000000000);
	gw_assert(n_rcpt <= GW_ARRAY_LEN(rcpt));
	for (size_t k = 0; k < n_rcpt; k++)
		rcpt[k].addr = SPAN("somebody@example.org");
	buf_init(&b, 1 << 16);
	envelope_encode(&e, &b);
	gw_assert(!buf_failed(&b));
	return b;
}

#endif
