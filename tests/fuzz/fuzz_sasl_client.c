/*
 * The client's side of a login against a hostile server. Checked:
 * - nothing that was not computed with the password counts as proof;
 * - the password is in no message of SCRAM; PLAIN and LOGIN say it once;
 * - answers stay below their ceiling, and nothing is answered behind a mistake.
 *
 * Byte 0: the mechanism, and whether our nonce is put before the first challenge. Challenges are
 * parted by 0xff.
 */
#include "auth/sasl_client.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

enum { MOST = 8, WITH_NONCE = 4 };

static const struct login_binding binding = {"tls-unique", "0123456789ab", 12};
static const char secret[] = "Zq7#Zq7#Zq7#";

static unsigned said(struct span text)
{
	unsigned n = 0;

	for (; text.n >= sizeof(secret) - 1; text = span_skip(text, 1))
		n += span_starts(text, span_str(secret));
	return n;
}

/* "r=" and our nonce, so that the rest of a challenge is looked at. */
static void add_nonce(struct span first, struct buf *to)
{
	while (first.n > 2 && !span_starts(first, SPAN("r=")))
		first = span_skip(first, 1);
	buf_add_span(to, first);
}

static struct span take(struct span *rest)
{
	ptrdiff_t at = span_find(*rest, 0xff);
	struct span one = at < 0 ? *rest : span_first(*rest, (size_t)at);

	*rest = at < 0 ? SPAN_NONE : span_skip(*rest, (size_t)at + 1);
	return one;
}

static void talk(struct sasl_client *c, struct span rest, bool nonce)
{
	bool scram = c->mechanism == LOGIN_SCRAM || c->mechanism == LOGIN_SCRAM_PLUS;
	bool known = said(rest) > 0; /* a server that says it itself may hear it again */
	unsigned told = 0;
	struct buf out, in;

	buf_init(&out, LOGIN_MESSAGE_MAX);
	buf_init(&in, LOGIN_MESSAGE_MAX);
	if (sasl_client_first(c, &out)) {
		told += said(buf_view(&out));
		if (nonce)
			add_nonce(buf_view(&out), &in);
	}
	MUST(sasl_client_proven(c) == !scram);
	for (int i = 0; i < MOST && rest.n > 0; i++) {
		buf_add_span(&in, take(&rest));
		buf_clear(&out);
		if (sasl_client_answer(c, buf_view(&in), &out) != NULL)
			break;
		MUST(!buf_failed(&out));
		told += said(buf_view(&out));
		buf_clear(&in);
	}
	MUST(known || told <= (scram ? 0 : 1));
	MUST(!scram || !sasl_client_proven(c)); /* who could, without the password? */
	buf_fini(&out);
	buf_fini(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct login_wish w = {.user = SPAN("u=s,er"),
	    .password = span_str(secret),
	    .tls = true,
	    .binding = &binding,
	    .iterations = 4100,
	    .random = "17 random octets."};
	struct sasl_client c;

	if (size == 0)
		return 0;
	w.mechanism = (enum login_mechanism)(data[0] % LOGIN_MECHANISMS);
	MUST(sasl_client_init(&c, &w) == NULL);
	talk(&c, span_of(data + 1, size - 1), data[0] & WITH_NONCE);
	sasl_client_fini(&c);
	return 0;
}
