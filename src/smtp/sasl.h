/*
 * The server side of a SASL exchange (RFC 4422) as a pure machine: decoded messages of the client
 * in, challenges and questions out. It knows no password: the owner asks who does (the vault) and
 * tells the answer. Memory only while an exchange is on; ceilings on each part; nothing of it is
 * left when it is over (sasl_fini).
 *
 *	sasl_init; step = has_initial ? sasl_feed(initial) : sasl_start()
 *	SASL_CHALLENGE: 334 with sasl_message(), then sasl_feed() what the client answers
 *	SASL_ASK_...: ask, then sasl_salt(), sasl_signature(), or the end of it
 *
 * A step that is not SASL_CHALLENGE and not answered by one of those two ends the exchange: feeding
 * more gives SASL_MALFORMED. Spans are valid until the next call.
 */
#ifndef GW_SMTP_SASL_H
#define GW_SMTP_SASL_H

#include "base/buf.h"

enum sasl_mechanism {
#define MECHANISM(id, name, rfc, doc) SASL_##id,
#include "smtp/sasl.def"
#undef MECHANISM
	SASL_COUNT
};
struct sasl_row {
	const char *name;
	unsigned rfc;
	const char *doc;
};
extern const struct sasl_row sasl_rows[SASL_COUNT];
#define SASL_BIT(id) (UINT32_C(1) << SASL_##id)
/* The mechanism of a name (any case), or -1. */
int sasl_find(struct span name);

enum {
	SASL_NAME_MAX = 255,
	SASL_SECRET_MAX = 1024,                   /* a password */
	SASL_MESSAGE_MAX = 4096,                  /* either way, decoded */
	SASL_EVIDENCE_MAX = 3 * SASL_MESSAGE_MAX, /* an AuthMessage */
	SASL_NONCE = 30,
	SASL_BINDING_MAX = 64,
};

enum sasl_step {
	SASL_CHALLENGE,    /* say sasl_message() with 334, feed the answer */
	SASL_ASK_PASSWORD, /* sasl_name, sasl_secret: is it right? then 235 or 535 */
	SASL_ASK_SALT,     /* sasl_name: salt and iterations of it; then sasl_salt() */
	SASL_ASK_PROOF,    /* sasl_name, sasl_secret (the AuthMessage), sasl_proof; then
			      sasl_signature() */
	SASL_DONE,         /* SCRAM: the client has heard our signature: 235 */
	SASL_MALFORMED,    /* 501 5.5.2; sasl_why() */
	SASL_REFUSED, /* 535: makes sense, may not be (another authzid, a wrong binding); sasl_why()
		       */
};

/* What the exchange is bound to: octets of the TLS channel, by the names of RFC 5929 and 9266. */
struct sasl_binding {
	struct span exporter, unique; /* n == 0: none of that kind */
	bool offered;                 /* the -PLUS mechanism was in the list the client saw */
};

struct sasl {
	uint32_t magic;
	enum sasl_mechanism mechanism;
	uint8_t state;
	bool offered;
	struct span exporter, unique; /* into binding[] */
	uint8_t binding[2][SASL_BINDING_MAX];
	uint8_t nonce[SASL_NONCE];
	size_t nonces; /* length of both nonces in our first message */
	struct buf name, secret, proof, message;
	struct buf bare; /* client-first-message-bare */
	struct buf bind; /* what c= has to be: the GS2 header and the binding */
	const char *why;
};

/* nonce: random, printable without ','. The binding is copied; the struct must not be moved. */
void sasl_init(struct sasl *s, enum sasl_mechanism m, const struct sasl_binding *b,
    const uint8_t nonce[SASL_NONCE]);
/* Overwrites what was secret. */
void sasl_fini(struct sasl *s);
/* The first step when the client sent no initial response. */
enum sasl_step sasl_start(struct sasl *s);
/* A message of the client, decoded; the caller overwrites it. */
enum sasl_step sasl_feed(struct sasl *s, struct span message);
/* Answers SASL_ASK_SALT; also for a name that does not exist. */
enum sasl_step sasl_salt(struct sasl *s, struct span salt, uint32_t iterations);
/* Answers SASL_ASK_PROOF: it was right, and this is the server's. */
enum sasl_step sasl_signature(struct sasl *s, struct span signature);

struct span sasl_message(const struct sasl *s);
struct span sasl_name(const struct sasl *s);
struct span sasl_secret(const struct sasl *s);
struct span sasl_proof(const struct sasl *s);
const char *sasl_why(const struct sasl *s);

#endif
