/* Between sasl.c (the machine, PLAIN, LOGIN) and sasl_scram.c (the messages of SCRAM). */
#ifndef GW_SMTP_SASL_PRIVATE_H
#define GW_SMTP_SASL_PRIVATE_H

#include "smtp/sasl.h"

enum sasl_state {
	SASL_S_FIRST, /* nothing was heard of the client */
	SASL_S_LOGIN_SECRET,
	SASL_S_SCRAM_SALT,  /* sasl_salt() is due */
	SASL_S_SCRAM_FINAL, /* the proof is due */
	SASL_S_SCRAM_SIGN,  /* sasl_signature() is due */
	SASL_S_SCRAM_HEARD, /* the client's empty answer to it is due */
	SASL_S_OVER,
};

/* Ends the exchange. */
enum sasl_step sasl_end(struct sasl *s, enum sasl_step step, const char *why);
/* Replaces the content, all of the room taken before so that no copy stays behind. False: it is
 * longer than max. */
bool sasl_keep(struct buf *b, struct span octets, size_t max);
/* Well-formed UTF-8 without controls; what a name or an authzid may be. */
bool sasl_text(struct span s);

enum sasl_step scram_first(struct sasl *s, struct span message);
enum sasl_step scram_final(struct sasl *s, struct span message);

#endif
