/* What EHLO offers, and what therefore may be used. */
#include "smtp/server-private.h"

#include "base/rfc3339.h"
#include "smtp/sasl.h"

#define SECOND INT64_C(1000000)

/* The bits of the mechanisms a client may use now. */
uint32_t server_mechanisms(const struct server *s)
{
	const struct server_config *c = s->config;

	if (c->auth == SERVER_AUTH_NEVER || (c->auth == SERVER_AUTH_TLS && !s->tls))
		return 0;
	if (s->tls && s->binds)
		return c->mechanisms;
	return c->mechanisms & ~SASL_BIT(SCRAM_SHA_256_PLUS);
}

bool server_offers(const struct server *s, enum extension e)
{
	uint32_t bit = UINT32_C(1) << e;

	if (!(s->config->extensions & bit) || (bit & EXT_GRANTED & ~s->granted))
		return false;
	switch (e) {
	/* Without BDAT there is no way to bring it. */
	case EXT_BINARYMIME: return s->config->extensions & EXT_BIT(CHUNKING);
	/* RFC 6531 section 3.1: who takes UTF-8 in headers takes octets above 127 in bodies. */
	case EXT_SMTPUTF8: return s->config->extensions & EXT_BIT(EIGHTBITMIME);
	/* RFC 8689 section 2. */
	case EXT_REQUIRETLS: return s->tls;
	case EXT_FUTURERELEASE: return s->config->future_release > 0;
	case EXT_STARTTLS: return s->config->starttls && !s->tls;
	case EXT_AUTH: return server_mechanisms(s) != 0;
	case EXT_ATRN: return s->config->turns;
	default: return true;
	}
}

void server_list_mechanisms(const struct server *s, struct buf *text)
{
	uint32_t offered = server_mechanisms(s);

	for (unsigned m = 0; m < SASL_COUNT; m++) {
		if (offered & UINT32_C(1) << m)
			buf_addf(text, " %s", sasl_rows[m].name);
	}
}

/* RFC 4865 section 3: the longest time, and when that would be. */
static void add_release(const struct server *s, struct buf *text)
{
	int64_t most = s->config->future_release;

	buf_addf(text, " %lld ", (long long)(most / SECOND));
	rfc3339_put(text, s->now + s->config->wall_ahead + most);
}

static void add_extension(const struct server *s, enum extension e, struct buf *text)
{
	buf_addf(text, "\n%s", ehlo_rows[e].keyword);
	if (e == EXT_SIZE && s->config->message_size)
		buf_addf(text, " %llu", (unsigned long long)s->config->message_size);
	else if (e == EXT_DELIVERBY && s->config->by_least)
		buf_addf(text, " %u", s->config->by_least);
	else if (e == EXT_LIMITS)
		buf_addf(
		    text, " MAILMAX=%u RCPTMAX=%u", s->config->transactions, s->config->recipients);
	else if (e == EXT_FUTURERELEASE)
		add_release(s, text);
	else if (e == EXT_AUTH)
		server_list_mechanisms(s, text);
}

void server_ehlo(const struct server *s, struct buf *text)
{
	for (unsigned e = 0; e < EXT_COUNT; e++) {
		if (server_offers(s, (enum extension)e))
			add_extension(s, (enum extension)e, text);
	}
	server_ehlo_xclient(s, text);
}
