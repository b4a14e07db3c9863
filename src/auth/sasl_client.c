#include "auth/sasl_client.h"

#include "base/base64.h"

#include <openssl/crypto.h>
#include <stdio.h>

static const char *const names[LOGIN_MECHANISMS] = {[LOGIN_SCRAM_PLUS] = "SCRAM-SHA-256-PLUS",
    [LOGIN_SCRAM] = "SCRAM-SHA-256",
    [LOGIN_PLAIN] = "PLAIN",
    [LOGIN_LOGIN] = "LOGIN"};

const char *login_name(enum login_mechanism m)
{
	gw_assert(m < LOGIN_MECHANISMS);
	return names[m];
}

int login_best(uint32_t offered, uint32_t allowed, bool can_bind)
{
	for (int m = 0; m < LOGIN_MECHANISMS; m++) {
		if ((offered & allowed & LOGIN_BIT(m)) && (m != LOGIN_SCRAM_PLUS || can_bind))
			return m;
	}
	return -1;
}

/* ---- start and end ----------------------------------------------------------------------------
 */

static void make_nonce(const uint8_t random[18], char nonce[SCRAM_CLIENT_NONCE + 1])
{
	struct buf text;

	buf_init(&text, SCRAM_CLIENT_NONCE);
	base64_encode(span_of(random, 18), &text);
	span_to_cstr(buf_view(&text), nonce, SCRAM_CLIENT_NONCE + 1);
	buf_fini(&text);
}

/* RFC 5802 section 6: "y" tells a server that offered the binding that its offer did not arrive. */
static void make_header(const struct login_wish *w, bool plus, char to[40])
{
	if (plus)
		snprintf(to, 40, "p=%s,,", w->binding->name);
	else
		snprintf(to, 40, "%s,,", w->tls && !w->plus_offered ? "y" : "n");
}

static void start_scram(struct sasl_client *c, const struct login_wish *w)
{
	bool plus = w->mechanism == LOGIN_SCRAM_PLUS;
	struct span bound = plus ? span_of(w->binding->octets, w->binding->n) : SPAN_NONE;
	char nonce[SCRAM_CLIENT_NONCE + 1], header[40];

	make_nonce(w->random, nonce);
	make_header(w, plus, header);
	scram_client_init(&c->scram, w->user, w->password, header, bound, nonce);
	if (w->iterations > 0)
		c->scram.most = w->iterations;
	c->scram_used = true;
}

const char *sasl_client_init(struct sasl_client *c, const struct login_wish *w)
{
	*c = (struct sasl_client){
	    .mechanism = w->mechanism, .user = w->user, .password = w->password};
	if (span_find(w->user, 0) >= 0 || span_find(w->password, 0) >= 0)
		return "name or password with an octet 0";
	if (w->mechanism == LOGIN_SCRAM_PLUS && (w->binding == NULL || w->binding->n == 0))
		return "SCRAM-SHA-256-PLUS needs TLS to be bound to";
	if (w->mechanism == LOGIN_SCRAM_PLUS || w->mechanism == LOGIN_SCRAM)
		start_scram(c, w);
	else
		c->proven = true; /* these prove nothing of the server */
	return NULL;
}

void sasl_client_fini(struct sasl_client *c)
{
	if (c->scram_used)
		scram_client_fini(&c->scram);
	OPENSSL_cleanse(c, sizeof(*c));
}

/* ---- messages ---------------------------------------------------------------------------------
 */

bool sasl_client_first(struct sasl_client *c, struct buf *out)
{
	switch (c->mechanism) {
	case LOGIN_PLAIN:
		buf_add_byte(out, 0);
		buf_add_span(out, c->user);
		buf_add_byte(out, 0);
		buf_add_span(out, c->password);
		return true;
	case LOGIN_SCRAM_PLUS:
	case LOGIN_SCRAM: scram_client_first(&c->scram, out); return true;
	case LOGIN_LOGIN:
	case LOGIN_MECHANISMS: break;
	}
	return false;
}

/* RFC 4954 section 4: the server's proof comes with a challenge, to which the answer is empty. */
static const char *answer_scram(struct sasl_client *c, struct span challenge, struct buf *out)
{
	if (c->step++ == 0)
		return scram_client_proof(&c->scram, challenge, out);
	if (c->proven || !scram_client_check(&c->scram, challenge))
		return "the server does not prove that it knows the password";
	c->proven = true;
	return NULL;
}

const char *sasl_client_answer(struct sasl_client *c, struct span challenge, struct buf *out)
{
	if (c->mechanism == LOGIN_SCRAM || c->mechanism == LOGIN_SCRAM_PLUS)
		return answer_scram(c, challenge, out);
	if (c->mechanism != LOGIN_LOGIN || c->step >= 2)
		return "the server asks for more than the mechanism has";
	buf_add_span(out, c->step++ == 0 ? c->user : c->password);
	return NULL;
}

bool sasl_client_proven(const struct sasl_client *c)
{
	return c->proven;
}
