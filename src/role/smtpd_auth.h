/*
 * Logins at the receiver: the SASL exchange of a session (smtp/sasl.h) and its questions to the
 * vault. The receiver never learns whether a name exists, a password is wrong or an account is
 * suspended but for the log: there is one reply to all of them.
 *
 * An exchange (struct auth) lives from AUTH to its verdict; what a login left behind (struct
 * login) as long as the session. A question to the vault has a number; its answer may come when
 * the session is gone.
 */
#ifndef GW_ROLE_SMTPD_AUTH_H
#define GW_ROLE_SMTPD_AUTH_H

#include "role/smtpd.h"
#include "smtp/sasl.h"

enum { AUTH_PATIENCE = 10000000 /* microseconds for an answer */, AUTH_FAILURES_MAX = 3 };

/* Who logged in: the account as the users file has it, and the vault's proof of it. */
struct login {
	struct span account, ticket; /* behind the struct */
	uint8_t bytes[];
};

/* To be put into session.login, or freed. ticket: may be empty. */
struct login *auth_login(struct span account, struct span ticket);
/* SERVER_AUTH, SERVER_AUTH_LINE, SERVER_AUTH_GONE. */
void auth_event(struct session *s, const struct server_event *ev);
/* The session ends, or begins anew under TLS. */
void auth_forget(struct session *s);
/* When auth_time is wanted; INT64_MAX if it is not. */
int64_t auth_deadline(const struct session *s);
void auth_time(struct session *s, int64_t now);

/* The vault's answer: 0 or GW_EFORMAT. */
int auth_checked(struct smtpd *d, struct span payload);
void auth_vault_gone(struct smtpd *d);
/* Sets what all listeners offer: called when accounts or certificates are new. */
void auth_offer(struct smtpd *d);

#endif
