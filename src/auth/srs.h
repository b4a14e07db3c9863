/*
 * The Sender Rewriting Scheme: what is forwarded to somebody else's domain gets a return path of
 * ours, so that SPF holds there, and reports to it find the way back.
 *
 *	alice@there.example  ->  SRS0=HHHHHH=TT=there.example=alice@ours.example
 *	SRS0=...@first.example  ->  SRS1=HHHHHH=first.example==...@ours.example
 *
 * TT: the day, modulo 1024, base32. HHHHHH: of an HMAC-SHA1 over what follows, in base64; nobody
 * who has not the secret can make us send anywhere. Of what came rewritten already only the first
 * forwarder is kept: a report skips all others (M. Wong, "Sender Rewriting Scheme", 2004; the form
 * is that of libsrs2 with a hash of six characters). Only what was once made here comes back, and
 * for `age` only.
 *
 * Pure: the day is an argument. The secret is borrowed. Its first line signs, all lines are taken,
 * so that it can be changed: a new line in front, the old one goes after `age`.
 */
#ifndef GW_AUTH_SRS_H
#define GW_AUTH_SRS_H

#include "base/buf.h"
#include "mail/address.h"

enum {
	SRS_HASH = 6,          /* characters: 36 bits, or 31 where somebody lost the case */
	SRS_SECRET_MAX = 4096, /* octets of the file */
	SRS_SECRET_MIN = 8,    /* of a line */
	SRS_SECRETS_MAX = 8,   /* lines */
};

struct srs {
	struct span secret[SRS_SECRETS_MAX]; /* the first signs */
	size_t n_secret;
	struct span domain; /* lower case */
	unsigned age;       /* days */
};

/* The lines of the file that are not empty. 0; GW_EFORMAT: none, too many, or one too short. */
int srs_secrets(struct srs *s, struct span text) gw_checked;

/*
 * The return path for what `from` (canonical, not empty) sent and we forward on that day
 * (days since 1970), appended. GW_EFULL: its local part would be longer than mail allows;
 * GW_EFORMAT: no address.
 */
int srs_forward(const struct srs *s, struct span from, int64_t day, struct buf *out) gw_checked;

enum srs_verdict {
	SRS_GOOD,
	SRS_NONE,   /* no such address: neither SRS0 nor SRS1 */
	SRS_BROKEN, /* its parts are not there */
	SRS_FORGED, /* the hash is wrong */
	SRS_OLD,    /* it was made too long ago, or in the future */
};
/* Does it look like one? local: without quotes. */
bool srs_looks(struct span local) gw_checked;
/* Where a report to this local part goes, appended (canonical) when it is good. */
enum srs_verdict srs_reverse(
    const struct srs *s, struct span local, int64_t day, struct buf *out) gw_checked;

#endif
