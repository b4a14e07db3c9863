/* What EHLO offers, and what therefore may be used. */
#include "smtp/server-private.h"

#include "smtp/sasl.h"

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
	if (!(s->config->extensions & UINT32_C(1) << e))
		return false;
	switch (e) {
	case EXT_STARTTLS: return s->config->starttls && !s->tls;
	case EXT_AUTH: return server_mechanisms(s) != 0;
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

static void add_extension(const struct server *s, enum extension e, struct buf *text)
{
	buf_addf(text, "\n%s", ehlo_rows[e].keyword);
	if (e == EXT_SIZE && s->config->message_size)
		buf_addf(text, " %llu", (unsigned long long)s->config->message_size);
	else if (e == EXT_LIMITS)
		buf_addf(
		    text, " MAILMAX=%u RCPTMAX=%u", s->config->transactions, s->config->recipients);
	else if (e == EXT_AUTH)
		server_list_mechanisms(s, text);
}

void server_ehlo(const struct server *s, struct buf *text)
{
	for (unsigned e = 0; e < EXT_COUNT; e++) {
		if (server_offers(s, (enum extension)e))
			add_extension(s, (enum extension)e, text);
	}
}
