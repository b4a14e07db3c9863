/*
 * Stored changes: any octets are refused or give a change within the ceilings;
 * what was read can be written, and reads back the same.
 */
#include "mail/change.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { STORED_MAX = 1 << 20, ARENA_MAX = 1 << 22 };

static void same_rcpt(const struct change_rcpt *a, const struct change_rcpt *b)
{
	MUST(a->index < CHANGE_RCPT_MAX && a->outcome <= OUTCOME_MAX);
	MUST(a->index == b->index && a->number == b->number && a->attempts == b->attempts);
	MUST(a->outcome == b->outcome && a->due == b->due && a->code == b->code);
	MUST(memcmp(a->esc, b->esc, sizeof(a->esc)) == 0);
	MUST(span_eq(a->host, b->host) && span_eq(a->reply, b->reply));
	MUST(span_eq(a->tls, b->tls) && span_eq(a->vmta, b->vmta) && span_eq(a->rule, b->rule));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct change c, again;
	struct arena a;
	struct buf b;

	arena_init(&a, ARENA_MAX);
	buf_init(&b, STORED_MAX);
	if (change_decode(&c, span_of(data, size), &a) == 0) {
		MUST(c.n_rcpt <= CHANGE_RCPT_MAX);
		change_encode(&c, &b);
		MUST(!buf_failed(&b));
		MUST(change_decode(&again, buf_view(&b), &a) == 0);
		MUST(msgid_eq(&c.id, &again.id) && c.when == again.when);
		MUST(c.n_rcpt == again.n_rcpt);
		for (size_t i = 0; i < c.n_rcpt; i++)
			same_rcpt(&c.rcpt[i], &again.rcpt[i]);
	}
	buf_fini(&b);
	arena_reset(&a);
	return 0;
}
