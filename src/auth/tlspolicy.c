#include "auth/tlspolicy.h"

#include <stdio.h>

/* Was it to be begun, and does it stand now? */
static const char *missing(const struct tls_seen *s)
{
	if (!s->offered)
		return "the host does not offer STARTTLS";
	if (s->refused)
		return "the host refuses STARTTLS";
	return NULL;
}

static bool verified(const struct tls_seen *s)
{
	return s->shaken && s->chain && s->name;
}

static const char *slug(const struct tls_seen *s)
{
	return s->why != NULL ? s->why : "bad_handshake";
}

static enum tls_verdict stop(
    const struct tls_policy *p, const char *what, const char *more, char *text, size_t n)
{
	static const char *const demands[] = {[TLS_DEMAND_NONE] = "No TLS",
	    [TLS_DEMAND_TRY] = "TLS",
	    [TLS_DEMAND_ENCRYPT] = "TLS",
	    [TLS_DEMAND_VERIFY] = "TLS with a verified certificate",
	    [TLS_DEMAND_FINGERPRINT] = "TLS with a known certificate"};

	snprintf(text, n, "%s is required (%s): %s%s", demands[p->demand], p->source, what, more);
	return TLS_STOP;
}

static enum tls_verdict judge_certificate(
    const struct tls_policy *p, const struct tls_seen *s, char *text, size_t n)
{
	char what[300];

	if (p->demand == TLS_DEMAND_FINGERPRINT)
		return s->pinned
			   ? TLS_GO_ON
			   : stop(p, "the certificate has none of the fingerprints", "", text, n);
	if (p->demand != TLS_DEMAND_VERIFY || verified(s))
		return TLS_GO_ON;
	snprintf(what, sizeof(what),
	    "the certificate is not good for %.*s: ", SPAN_ARG(span_first(p->name, 200)));
	return stop(p, what, s->why != NULL ? s->why : "not_verified", text, n);
}

enum tls_verdict tls_judge(
    const struct tls_policy *p, const struct tls_seen *s, char *text, size_t n)
{
	const char *lacks = missing(s);

	gw_assert(n > 0);
	text[0] = '\0';
	if (p->demand == TLS_DEMAND_NONE)
		return TLS_IN_CLEAR;
	if (s->shaken)
		return judge_certificate(p, s, text, n);
	if (p->demand == TLS_DEMAND_TRY)
		return TLS_IN_CLEAR;
	if (lacks != NULL)
		return stop(p, lacks, "", text, n);
	return stop(p, "the handshake failed: ", slug(s), text, n);
}

uint8_t tls_failure_detail(const struct tls_seen *s)
{
	return missing(s) != NULL ? 4 : 5;
}

static const char *quality(const struct tls_policy *p, const struct tls_seen *s)
{
	if (p->demand == TLS_DEMAND_FINGERPRINT && s->pinned)
		return "/fingerprint";
	return verified(s) ? "/verified" : "";
}

const char *tls_result(
    const struct tls_policy *p, const struct tls_seen *s, const char *version, char *text, size_t n)
{
	struct span v = span_str(version);
	char unused[400];

	if (span_starts(v, SPAN("TLSv")))
		v = span_skip(v, 4);
	if (p->demand == TLS_DEMAND_NONE || !s->offered)
		snprintf(text, n, "none");
	else if (s->refused)
		snprintf(text, n, "failed:refused");
	else if (!s->shaken)
		snprintf(text, n, "failed:%s", slug(s));
	else if (tls_judge(p, s, unused, sizeof(unused)) == TLS_STOP)
		snprintf(text, n, "failed:%s",
		    p->demand == TLS_DEMAND_FINGERPRINT ? "wrong_fingerprint"
							: (s->why ? s->why : "not_verified"));
	else
		snprintf(text, n, "%.*s%s", SPAN_ARG(v), quality(p, s));
	return text;
}
