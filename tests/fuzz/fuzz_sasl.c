/*
 * The SASL machine fed by a hostile client, and base64. Checked:
 * - what PLAIN asks about is what stands in the message, cut at its NULs;
 * - no proof is asked about whose message lacks our nonce or the binding of this connection, and
 *   the evidence is both first messages and the last one without its proof;
 * - nothing goes on behind an end; ceilings hold;
 * - base64 that is taken is the one text of its octets.
 *
 * Byte 0: the mechanism, and which bindings there are. Messages are parted by 0xff.
 */
#include "base/base64.h"
#include "smtp/sasl.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

enum { MAX = 1 << 16 };

static const uint8_t nonce[SASL_NONCE + 1] = "0123456789abcdefghijklmnopqrst";

struct world {
	struct sasl sasl;
	struct sasl_binding binding;
	struct buf first, ours; /* the first message of the client, and our answer to it */
	bool over;
};

static void check_base64(struct span text)
{
	struct buf octets, again;

	buf_init(&octets, MAX);
	buf_init(&again, MAX);
	if (base64_decode(text, &octets) == 0) {
		base64_encode(buf_view(&octets), &again);
		MUST(span_eq(buf_view(&again), text));
	} else {
		MUST(buf_len(&octets) == 0);
	}
	buf_fini(&octets);
	buf_fini(&again);
}

static void check_password(struct world *w, struct span message)
{
	struct span name = sasl_name(&w->sasl), secret = sasl_secret(&w->sasl);
	struct buf want;

	MUST(name.n > 0 && name.n <= SASL_NAME_MAX && span_find(name, 0) < 0);
	MUST(secret.n > 0 && secret.n <= SASL_SECRET_MAX && span_find(secret, 0) < 0);
	if (w->sasl.mechanism == SASL_LOGIN) {
		MUST(span_eq(secret, message));
		MUST(span_eq(name, buf_view(&w->first)));
		return;
	}
	buf_init(&want, MAX);
	if (span_find(message, 0) > 0)
		buf_add_span(&want, span_first(message, name.n));
	buf_add_byte(&want, 0);
	buf_add_span(&want, name);
	buf_add_byte(&want, 0);
	buf_add_span(&want, secret);
	MUST(span_eq(buf_view(&want), message));
	buf_fini(&want);
}

/* "c=" of the header and, if it says so, the octets of this very connection. */
static void check_binding(struct world *w, struct span message)
{
	struct span first = buf_view(&w->first), header = first;
	struct buf want;
	size_t commas = 0, n = 0;

	while (commas < 2)
		commas += first.p[n++] == ',';
	header.n = n;
	buf_init(&want, MAX);
	buf_add_span(&want, header);
	if (span_starts(header, SPAN("p=tls-exporter,")))
		buf_add_span(&want, w->binding.exporter);
	else if (span_starts(header, SPAN("p=tls-unique,")))
		buf_add_span(&want, w->binding.unique);
	else
		MUST(w->sasl.mechanism == SASL_SCRAM_SHA_256);
	struct buf text;

	buf_init(&text, MAX);
	buf_add_str(&text, "c=");
	base64_encode(buf_view(&want), &text);
	buf_add_str(&text, ",r=");
	MUST(span_starts(message, buf_view(&text)));
	buf_fini(&want);
	buf_fini(&text);
}

static void check_proof(struct world *w, struct span message)
{
	struct span evidence = sasl_secret(&w->sasl), ours = buf_view(&w->ours), r;
	size_t head;

	check_binding(w, message);
	MUST(sasl_proof(&w->sasl).n == 32);
	MUST(evidence.n <= SASL_EVIDENCE_MAX);
	/* ours is r=NONCES,s=...; the message has ,r=NONCES in it */
	r = span_first(ours, (size_t)span_find(ours, ','));
	MUST(memmem(message.p, message.n, r.p, r.n) != NULL);
	MUST(memmem(r.p, r.n, nonce, SASL_NONCE) != NULL);
	MUST(memmem(evidence.p, evidence.n, ours.p, ours.n) != NULL);
	head =
	    (size_t)((const uint8_t *)memmem(evidence.p, evidence.n, ours.p, ours.n) - evidence.p);
	MUST(head >= 1 && evidence.p[head - 1] == ',');
	MUST(memmem(w->first.mem, buf_len(&w->first), evidence.p, head - 1) != NULL);
	MUST(span_starts(message, span_skip(evidence, head + ours.n + 1)));
}

static void take(struct world *w, enum sasl_step step, struct span message)
{
	MUST(!w->over || step == SASL_MALFORMED);
	switch (step) {
	case SASL_CHALLENGE: MUST(sasl_message(&w->sasl).n <= SASL_MESSAGE_MAX); break;
	case SASL_ASK_PASSWORD: check_password(w, message); break;
	case SASL_ASK_SALT:
		MUST(sasl_name(&w->sasl).n > 0);
		step = sasl_salt(&w->sasl, SPAN("saltsaltsaltsalt"), 4096);
		buf_add_span(&w->ours, sasl_message(&w->sasl));
		break;
	case SASL_ASK_PROOF:
		check_proof(w, message);
		step = sasl_signature(&w->sasl, SPAN("0123456789abcdef0123456789abcdef"));
		break;
	case SASL_DONE: MUST(message.n == 0 && buf_len(&w->ours)); break;
	case SASL_MALFORMED:
	case SASL_REFUSED: MUST(sasl_why(&w->sasl)[0]); break;
	}
	w->over |= step != SASL_CHALLENGE;
}

static void converse(struct world *w, struct span in)
{
	bool first = true;

	do {
		ptrdiff_t end = span_find(in, 0xff);
		struct span message = end < 0 ? in : span_first(in, (size_t)end);

		in = span_skip(in, message.n + 1);
		check_base64(message);
		if (first)
			buf_add_span(&w->first, message);
		first = false;
		take(w, sasl_feed(&w->sasl, message), message);
	} while (in.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;

	if (size < 1)
		return 0;
	w = (struct world){0};
	w.binding.offered = data[0] & 4;
	w.binding.exporter = data[0] & 8 ? SPAN("the exporter") : SPAN_NONE;
	w.binding.unique = data[0] & 16 ? SPAN("unique") : SPAN_NONE;
	buf_init(&w.first, 1 << 24);
	buf_init(&w.ours, MAX);
	sasl_init(&w.sasl, data[0] % 4, &w.binding, nonce);
	if (data[0] & 32)
		take(&w, sasl_start(&w.sasl), SPAN_NONE);
	converse(&w, span_of(data + 1, size - 1));
	sasl_fini(&w.sasl);
	buf_fini(&w.first);
	buf_fini(&w.ours);
	return 0;
}
