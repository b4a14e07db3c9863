/*
 * What the files of the vault share. The vault alone holds private keys and password hashes. It
 * hears of the world through its channels only: what a broken receiver can ask of it is one
 * signature of a TLS handshake, or whether one password is right.
 *
 * vault.c: start, jail, channels. vault_tls.c: the pairs and the keys of session tickets.
 * vault_users.c: the accounts. vault_check.c: logins. vault_line.c: passwords that wait for a
 * thread. vault_lookup.c: what Dovecot is asked, over the links of vault_dovecot.c. vault_read.c:
 * files. With vault_pair, vault_keys, vault_logins and vault_workers, which know nothing of
 * channels.
 */
#ifndef GW_ROLE_VAULT_H
#define GW_ROLE_VAULT_H

#include "auth/accounts.h"
#include "auth/guess.h"
#include "auth/ticket.h"
#include "net/signer.h"
#include "role/role.h"
#include "role/vault_dovecot.h"
#include "role/vault_keys.h"
#include "role/vault_logins.h"
#include "role/vault_pair.h"
#include "role/vault_workers.h"

#include <sys/queue.h>

enum { VAULT_WORKERS = 2, VAULT_REASON = PAIR_REASON, USERS_DIGEST = 32 };

struct vault;
struct vault_lookups;

/* A channel; the number tells one from the next at the same place. */
struct vault_peer {
	struct vault *vault;
	struct ipc *ipc; /* NULL: not there now */
	unsigned index;
	uint64_t number;
};

/* A tls statement, or the self-signed pair. */
struct vault_pair {
	int fd[2]; /* certificate, key: what is to be tried when both have one stamp; -1: none */
	uint64_t stamp[2], tried;
	uint32_t key, old_key; /* 0: none. The old one serves handshakes under way. */
	int64_t not_before, not_after;
	char names[PAIR_NAMES],
	    reason[PAIR_REASON]; /* reason: why the last one was refused, or "" */
	uint8_t *frame;          /* CERTIFICATE, as it was sent; NULL: none */
	size_t n_frame;
};

struct check;
TAILQ_HEAD(check_list, check);

struct vault_checks {
	struct guess *guess;
	struct logins *logins;
	struct vault_workers *workers;
	/* Those that wait: from addresses that were right before, and the others. */
	struct check_list known, unknown;
	size_t n;           /* of both */
	uint8_t secret[32]; /* of salts and choices for names that do not exist */
};

struct vault {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct vault_peer queue, control, smtpd[WORKERS_MAX];
	uint64_t last_number;
	struct master_link master;

	struct vault_keys *keys;
	struct signer *signer[WORKERS_MAX];
	uint32_t *retired; /* keys of the configuration before: of handshakes under way */
	size_t n_retired;
	struct vault_pair *pair; /* one for each tls statement, and the self-signed one behind */
	struct proto_ticket_keys session_keys;
	struct timer rotate, look_at_expiry;

	struct accounts *accounts;          /* NULL: no good users file yet, or none at all */
	uint64_t version;                   /* of them */
	uint8_t users_digest[USERS_DIGEST]; /* of the file they are from */
	int public_fd;                      /* sealed memfd; -1: none */
	struct vault_checks checks;
	struct vault_lookups *lookups; /* vault_lookup.c */

	uint8_t ticket_key[TICKET_KEY];
	bool has_ticket_key;
};

/* ---- vault_read.c */

/* The content of a plain file, from its beginning; *s is in memory that is wiped and given back by
 * vault_unread(). 0; GW_EIO and GW_EFULL (larger than most) with the reason. */
int vault_read(int fd, size_t most, struct span *s, const char **why) gw_checked;
void vault_unread(struct span *s);
/* A sealed memory file with this content, or -1. */
int vault_seal(const char *name, struct span s) gw_checked;

/* ---- vault_tls.c */

/* Threads: between the two steps of the jail. */
void vault_tls_prepare(struct vault *v);
void vault_tls_start(struct vault *v);
/* A file of a pair; fd is owned from here on. */
void vault_tls_file(struct vault *v, const struct proto_file *f, int fd);
/* Reload: can all pairs be used? Else r->why. Then: those that were are on their way out; then: the
 * new ones are all there. */
bool vault_tls_check(struct reload *r) gw_checked;
void vault_tls_change(struct vault *v, const struct config *old);
void vault_tls_changed(struct vault *v);
/* Everything it is to know. */
void vault_tls_tell(struct vault *v, struct vault_peer *receiver);
/* The state of all pairs, to the control role. */
void vault_tls_report(struct vault *v);

/* ---- vault_users.c */

void vault_users_file(struct vault *v, int fd);
void vault_users_tell(struct vault *v, struct vault_peer *p);
/* Reload: if the users statement is another one, nothing that was known of users holds any more. */
void vault_users_change(struct vault *v, const struct config *old);

/* ---- vault_check.c */

void vault_checks_prepare(struct vault *v);
void vault_checks_start(struct vault *v);
/* 0, or GW_EFORMAT: the channel is to end. */
int vault_check(struct vault *v, struct vault_peer *p, struct span payload) gw_checked;
/* The accounts are others: what was found out about the old ones is void. */
void vault_checks_forget(struct vault *v);
/* Reload: they are somewhere else. */
void vault_checks_change(struct vault *v);
/* May it be checked now? Else it was told to come later. */
bool vault_may_try(struct vault *v, struct vault_peer *p, uint64_t request, const uint8_t ip[16],
    struct span name) gw_checked;
/* Beyond the password: NULL, or why this account may not log in now. */
const char *vault_forbidden(const struct account *a, const uint8_t ip[16]) gw_checked;
/* Of an account chosen by this name, which does not exist. */
struct span vault_decoy_hash(const struct vault *v, struct span name) gw_checked;

/* ---- vault_line.c */

/* Passwords of one address that are checked at a time: it cannot take the places of all others. */
enum { CHECKS_OF_ADDRESS = 64, VAULT_PASSWORD_MAX = 1024 };
/* The whole network, for IPv6. */
bool vault_same_address(const uint8_t a[16], const uint8_t b[16]);
/* For one more, from this address. */
bool vault_line_has_room(const struct vault_checks *k, const uint8_t ip[16]) gw_checked;
/* a: the account of that name, or NULL; digest: of name and password (vault_logins.h). */
void vault_line_up(struct vault *v, struct vault_peer *p, const struct proto_check *in,
    const struct account *a, const uint8_t digest[LOGIN_DIGEST]);
/* A thread is done with one; arg is the vault. */
void vault_hashed(void *arg, struct vault_job *j);

/* ---- vault_lookup.c: users that Dovecot knows */

void vault_lookups_start(struct vault *v);
/* Reload: who is asked no more is forgotten, and what he said. */
void vault_lookups_change(struct vault *v, const struct config *old);
/* What was found out of logins is void. */
void vault_lookups_forget(struct vault *v);
/* A socket that was wanted; fd is owned. */
void vault_lookups_take(struct vault *v, struct span payload, int fd);
/* A CALLOUT frame: 0 or GW_EFORMAT. */
int vault_callout(struct vault *v, struct vault_peer *p, struct span payload) gw_checked;
/* A name and its password, which are sane and within the limits on guessing: answered now or later.
 */
void vault_ask_dovecot(struct vault *v, struct vault_peer *p, const struct proto_check *in);

/* ---- vault_check.c: for what was found out elsewhere. p NULL: nobody waits any more. */
/* signature: of SCRAM, or empty. */
void vault_say_good(struct vault *v, struct vault_peer *p, uint64_t request, struct span account,
    struct span signature);
void vault_say_login(struct vault *v, struct vault_peer *p, uint64_t request, struct span account);
void vault_say(
    struct vault_peer *p, uint64_t request, enum check_status status, const char *reason);

#endif
