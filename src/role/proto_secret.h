/*
 * Payloads of the frames between master, receivers and the vault (net/messages.def), as
 * role/proto.h has those of mail. The same rules: 0 or GW_EFORMAT, decoded spans point into the
 * payload, the bytes are hostile.
 */
#ifndef GW_ROLE_PROTO_SECRET_H
#define GW_ROLE_PROTO_SECRET_H

#include "base/cursor.h"

/* ---- FILE: which of the files of the configuration --------------------------------------------
 */

enum file_kind {
	FILE_CERTIFICATE, /* index in config.tls; to the vault */
	FILE_KEY,         /* the same */
	FILE_USERS,       /* to the vault */
	FILE_RECIPIENTS,  /* index in config.domain; to receivers and the queue */
	FILE_ALIASES,     /* the same; config.n_domain: that of all domains */
	FILE_SECRET,      /* index in config.secret: a login at another server; to senders */
	FILE_SRS,         /* what return paths are signed with; to receivers and the queue */
	FILE_TICKET_KEY,  /* of the spool, not of the configuration; to the vault */
	FILE_KIND_MAX = FILE_TICKET_KEY,
};
struct proto_file {
	uint8_t kind;
	uint32_t index;
	uint64_t stamp; /* of this state of the file: certificate and key of a pair that were seen
			   at one time have the same */
	uint64_t generation; /* of the configuration that the index is of */
};
void proto_put_file(struct buf *b, const struct proto_file *f);
int proto_get_file(struct span in, struct proto_file *f) gw_checked;

/* What a job calls the login that is in the file with this path. */
uint32_t secret_number(const char *path) gw_checked;

/* ---- CERTIFICATE --------------------------------------------------------------------------------
 */

enum { PROTO_CHAIN_MAX = 10 };
struct proto_certificate {
	uint64_t generation; /* of the configuration that the index is of */
	uint32_t index;      /* in config.tls; PROTO_SELF_SIGNED */
	uint32_t key; /* what the signer calls its private key; a new number for each new pair */
	struct span chain[PROTO_CHAIN_MAX]; /* DER, the leaf first */
	size_t n_chain;
};
#define PROTO_SELF_SIGNED UINT32_MAX
void proto_put_certificate(struct buf *b, const struct proto_certificate *c);
int proto_get_certificate(struct span in, struct proto_certificate *c) gw_checked;

/* CERTIFICATES: all pairs of this generation were told. */
struct proto_certificates {
	uint64_t generation;
	uint32_t n; /* tls statements; those that are in force have an index below that */
};
void proto_put_certificates(struct buf *b, const struct proto_certificates *c);
int proto_get_certificates(struct span in, struct proto_certificates *c) gw_checked;

/* ---- TICKET_KEYS --------------------------------------------------------------------------------
 */

enum { TICKET_NAME = 16, TICKET_MAC = 32, TICKET_CIPHER = 32, TICKET_KEYS_MAX = 3 };
struct proto_ticket_key {
	uint8_t name[TICKET_NAME], mac[TICKET_MAC], cipher[TICKET_CIPHER];
};
struct proto_ticket_keys {
	struct proto_ticket_key key[TICKET_KEYS_MAX]; /* the first one encrypts */
	size_t n;
};
void proto_put_ticket_keys(struct buf *b, const struct proto_ticket_keys *k);
int proto_get_ticket_keys(struct span in, struct proto_ticket_keys *k) gw_checked;

/* ---- PAIRS: what the vault tells the control role
 * -------------------------------------------------
 */

enum pair_state {
	PAIR_GOOD,
	PAIR_REFUSED,     /* never was a good one */
	PAIR_KEPT,        /* the last one was refused, an earlier one is in force */
	PAIR_SELF_SIGNED, /* index means nothing */
	PAIR_STATE_MAX = PAIR_SELF_SIGNED,
};
struct proto_pair {
	uint32_t index; /* in config.tls */
	uint8_t state;
	int64_t not_after;  /* seconds, Unix time; 0 if there is none */
	struct span names;  /* those of the certificate, blanks between */
	struct span reason; /* why the last one was refused */
};
void proto_put_pair(struct buf *b, const struct proto_pair *p);
/* One after another: 1, or 0 at the end. */
int proto_get_pair(struct cursor *c, struct proto_pair *p) gw_checked;

/* ---- CHECK and CHECKED ---------------------------------------------------------------------- */

enum check_kind {
	CHECK_PASSWORD,    /* name, secret: the password */
	CHECK_SCRAM_FIRST, /* name: CHECK_SALT is the answer, also for a name that does not exist */
	CHECK_SCRAM_FINAL, /* name, secret: the AuthMessage of RFC 5802 section 3, proof */
	CHECK_KIND_MAX = CHECK_SCRAM_FINAL,
};
struct proto_check {
	uint64_t request; /* chosen by the receiver */
	uint8_t kind;
	uint8_t ip[16]; /* of the client; IPv4 as ::ffff:a.b.c.d */
	struct span name, secret, proof;
};
void proto_put_check(struct buf *b, const struct proto_check *c);
int proto_get_check(struct span in, struct proto_check *c) gw_checked;

enum check_status {
	CHECK_GOOD,  /* account, ticket; for SCRAM the server's signature */
	CHECK_SALT,  /* salt, iterations */
	CHECK_WRONG, /* unknown name, wrong password, suspended, closed: 535 and one text for all */
	CHECK_LATER, /* too many wrong ones before, or too many at once: 454 */
	CHECK_STATUS_MAX = CHECK_LATER,
};
struct proto_checked {
	uint64_t request;
	uint8_t status;
	uint32_t iterations;
	struct span account; /* its name as the users file has it */
	struct span ticket;  /* proof of the login, opaque; kept in the envelope */
	struct span salt, signature;
	struct span reason; /* a slug for the log: "bad_password", "no_such_user", "suspended",
			       "address_limit", "account_limit", "busy" */
};
void proto_put_checked(struct buf *b, const struct proto_checked *c);
int proto_get_checked(struct span in, struct proto_checked *c) gw_checked;

#endif
