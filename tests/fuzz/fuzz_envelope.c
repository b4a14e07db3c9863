/*
 * Stored envelopes: any octets are refused or give an envelope within the
 * ceilings; what was read can be written, and reads back the same.
 */
#include "mail/envelope.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { STORED_MAX = 1 << 20, ARENA_MAX = 1 << 22 };

static bool same_handling(const struct handling *a, const struct handling *b)
{
	return a->by_at == b->by_at && a->by == b->by && a->by_trace == b->by_trace &&
	       a->require_tls == b->require_tls && a->tls_optional == b->tls_optional &&
	       a->mt_priority == b->mt_priority && a->hold_until == b->hold_until;
}

static void same_scalars(const struct envelope *a, const struct envelope *b)
{
	MUST(msgid_eq(&a->id, &b->id) && msgid_eq(&a->nonce, &b->nonce));
	MUST(a->accepted == b->accepted && a->priority == b->priority);
	MUST(a->ret == b->ret && a->body_type == b->body_type && a->origin == b->origin);
	MUST(a->smtputf8 == b->smtputf8 && same_handling(&a->handling, &b->handling));
	MUST(a->at_most_once == b->at_most_once && a->head_length == b->head_length);
	MUST(a->facts.size == b->facts.size && a->facts.lines == b->facts.lines);
	MUST(a->facts.longest_line == b->facts.longest_line && a->facts.nul == b->facts.nul);
	MUST(a->facts.eight_bit == b->facts.eight_bit && a->facts.bare_cr == b->facts.bare_cr);
	MUST(a->facts.bare_lf == b->facts.bare_lf && a->facts.open_end == b->facts.open_end);
}

static void same_spans(const struct envelope *a, const struct envelope *b)
{
	MUST(span_eq(a->from, b->from) && span_eq(a->tenant, b->tenant));
	MUST(span_eq(a->account, b->account) && span_eq(a->ticket, b->ticket));
	MUST(span_eq(a->vmta, b->vmta) && span_eq(a->site, b->site));
	MUST(span_eq(a->idempotency_key, b->idempotency_key) && span_eq(a->envid, b->envid));
	MUST(span_eq(a->client_ip, b->client_ip) && span_eq(a->client_helo, b->client_helo));
	MUST(span_eq(a->listener, b->listener) && span_eq(a->ends, b->ends));
}

static void same_arrays(const struct envelope *a, const struct envelope *b)
{
	MUST(a->n_rcpt == b->n_rcpt && a->n_tag == b->n_tag && a->n_part == b->n_part);
	for (size_t i = 0; i < a->n_rcpt; i++) {
		MUST(span_eq(a->rcpt[i].addr, b->rcpt[i].addr));
		MUST(span_eq(a->rcpt[i].orcpt, b->rcpt[i].orcpt));
		MUST(a->rcpt[i].notify == b->rcpt[i].notify);
	}
	for (size_t i = 0; i < a->n_tag; i++)
		MUST(span_eq(a->tag[i], b->tag[i]));
	for (size_t i = 0; i < a->n_part; i++) {
		MUST(a->part[i].segment == b->part[i].segment);
		MUST(a->part[i].offset == b->part[i].offset);
		MUST(a->part[i].length == b->part[i].length && a->part[i].sum == b->part[i].sum);
	}
}

static void no_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		MUST(s.p[i] >= ' ' && s.p[i] != 127);
}

static void check_sane(const struct envelope *e)
{
	MUST(e->n_rcpt <= ENVELOPE_RCPT_MAX && e->n_tag <= ENVELOPE_TAG_MAX);
	MUST(e->n_part <= ENVELOPE_EXTENT_MAX);
	MUST(e->origin <= ORIGIN_SYSTEM && e->body_type <= BODY_BINARYMIME && e->ret <= RET_HDRS);
	no_control(e->from);
	no_control(e->envid);
	for (size_t i = 0; i < e->n_rcpt; i++) {
		no_control(e->rcpt[i].addr);
		no_control(e->rcpt[i].orcpt);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope e, again;
	struct arena a;
	struct buf b;

	arena_init(&a, ARENA_MAX);
	buf_init(&b, STORED_MAX);
	if (envelope_decode(&e, span_of(data, size), &a) == 0) {
		check_sane(&e);
		envelope_encode(&e, &b);
		MUST(!buf_failed(&b));
		MUST(envelope_decode(&again, buf_view(&b), &a) == 0);
		same_scalars(&e, &again);
		same_spans(&e, &again);
		same_arrays(&e, &again);
	}
	buf_fini(&b);
	arena_reset(&a);
	return 0;
}
