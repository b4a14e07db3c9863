/*
 * How well must the channel to this host be protected, and was it? The one place where what a
 * route says, and later MTA-STS (RFC 8461) and DANE (RFC 7672), become one demand, and where the
 * outcome of a handshake is judged. Pure.
 */
#ifndef GW_AUTH_TLSPOLICY_H
#define GW_AUTH_TLSPOLICY_H

#include "base/span.h"

enum tls_demand {
	TLS_DEMAND_NONE,    /* never TLS */
	TLS_DEMAND_TRY,     /* TLS where it is offered, any certificate; plain text if it fails */
	TLS_DEMAND_ENCRYPT, /* TLS or nothing, any certificate */
	TLS_DEMAND_VERIFY,  /* TLS with a certificate of the right name from a trusted authority */
	TLS_DEMAND_FINGERPRINT, /* TLS with one of these certificates */
	TLS_DEMAND_MAX = TLS_DEMAND_FINGERPRINT,
};

enum { TLS_FINGERPRINT = 32 /* SHA-256 of the certificate, DER */, TLS_FINGERPRINTS_MAX = 16 };

struct tls_policy {
	enum tls_demand demand;
	struct span name; /* VERIFY: what the certificate must be for; SNI for all */
	const uint8_t (*fingerprint)[TLS_FINGERPRINT];
	size_t n_fingerprint;
	const char *source; /* who demands it: "route", "shape", "default"; later "sts", "dane" */
};

/* What was seen of a host in one attempt. */
struct tls_seen {
	bool offered;    /* STARTTLS was in the reply to EHLO; or TLS is spoken from the start */
	bool refused;    /* STARTTLS was answered with something else than 220 */
	bool shaken;     /* the handshake came to its end */
	bool chain;      /* the chain ends at a trusted authority, dates are good */
	bool name;       /* and the certificate has the name */
	bool pinned;     /* the certificate is one of the fingerprints */
	const char *why; /* of a handshake that failed, or a chain that is not good: a slug */
};

enum tls_verdict {
	TLS_GO_ON,    /* the channel is as good as demanded */
	TLS_IN_CLEAR, /* go on without TLS: on this connection, or (shaking failed) on a new one */
	TLS_STOP,     /* this host is not good enough now: try the next, else defer */
};

/* Where it ended: without an offer, with a refusal, a failed handshake, or one that stands. What to
 * do; (TLS_STOP) why, in words for the sender of the message. */
enum tls_verdict tls_judge(
    const struct tls_policy *p, const struct tls_seen *s, char *text, size_t n);
/* Of a TLS_STOP: the last number of the enhanced code, 4.7.4 (TLS is not to be had) or 4.7.5 (it is
 * not good enough), RFC 3463 section 3.8. */
uint8_t tls_failure_detail(const struct tls_seen *s);

/* The result of an attempt, for log, trace and reports: "none", "1.3", "1.2/verified",
 * "1.3/fingerprint", "failed:SLUG" (also where the message then went in plain text); into text.
 * version as stream_tls_version() has it. Returns text. */
const char *tls_result(const struct tls_policy *p, const struct tls_seen *s, const char *version,
    char *text, size_t n);

#endif
