/*
 * What the files of the vault share. The vault alone holds private keys and password hashes. It
 * hears of the world through its channels only: what a broken receiver can ask of it is one
 * signature of a TLS handshake, or whether one password is right.
 *
 * vault.c: start, jail, channels. vault_tls.c: the pairs and the keys of session tickets.
 * vault_users.c: the accounts. vault_check.c: logins. vault_read.c: files. With vault_pair,
 * vault_keys, vault_logins and vault_workers, which know nothing of channels.
 */
#ifndef GW_ROLE_VAULT_H
#define GW_ROLE_VAULT_H

#include "auth/accounts.h"
#include "auth/guess.h"
#include "auth/ticket.h"
#include "net/signer.h"
#include "role/role.h"
#include "role/vault_keys.h"
#include "role/vault_logins.h"
#include "role/vault_pair.h"
#include "role/vault_workers.h"

#include <sys/queue.h>

enum { VAULT_WORKERS = 2, VAULT_REASON = PAIR_REASON };

struct vault;

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
	struct vault_pair *pair; /* one for each tls statement, and the self-signed one behind */
	struct proto_ticket_keys session_keys;
	struct timer rotate, look_at_expiry;

	struct accounts *accounts; /* NULL: no good users file yet, or none at all */
	uint64_t version;          /* of them */
	int public_fd;             /* sealed memfd; -1: none */
	struct vault_checks checks;

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
/* Everything it is to know. */
void vault_tls_tell(struct vault *v, struct vault_peer *receiver);
/* The state of all pairs, to the control role. */
void vault_tls_report(struct vault *v);

/* ---- vault_users.c */

void vault_users_file(struct vault *v, int fd);
void vault_users_tell(struct vault *v, struct vault_peer *p);

/* ---- vault_check.c */

void vault_checks_prepare(struct vault *v);
void vault_checks_start(struct vault *v);
/* 0, or GW_EFORMAT: the channel is to end. */
int vault_check(struct vault *v, struct vault_peer *p, struct span payload) gw_checked;
/* The accounts are others: what was found out about the old ones is void. */
void vault_checks_forget(struct vault *v);

#endif
