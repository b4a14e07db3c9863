/* The channel to the vault: answers to logins, accounts, certificates, keys of tickets. */
#include "role/accounts_frame.h"
#include "role/smtpd_auth.h"
#include "role/smtpd_callout.h"
#include "role/smtpd_tls.h"

/* A file of accounts that makes no sense is the vault's fault, and the old ones stay. */
static void take_accounts(struct smtpd *d, const struct ipc_frame *f)
{
	if (accounts_frame_take(f, &d->accounts) == 0)
		auth_offer(d);
}

static int take(struct smtpd *d, const struct ipc_frame *f)
{
	switch (f->type) {
	case IPC_CERTIFICATE: return smtpd_tls_certificate(d, f->payload);
	case IPC_CERTIFICATES: return smtpd_tls_certificates(d, f->payload);
	case IPC_TICKET_KEYS: return smtpd_tls_ticket_keys(d, f->payload);
	case IPC_CHECKED: return auth_checked(d, f->payload);
	case IPC_CALLED: return callout_called(d, f->payload);
	case IPC_ACCOUNTS: take_accounts(d, f); return 0;
	default: return 0;
	}
}

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	if (take(arg, f) < 0)
		ipc_end(c, "bad_payload");
}

/* What it said stays in force; who waits for an answer gets none. */
static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct smtpd *d = arg;

	(void)c;
	(void)why;
	ipc_free(&d->vault);
	auth_vault_gone(d);
}

void smtpd_vault_peer(struct smtpd *d, int fd)
{
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = d};

	if (d->vault != NULL) /* its end was not seen yet */
		on_closed(d, d->vault, "replaced");
	d->vault = ipc_new(d->loop, fd, ROLE_SMTPD, ROLE_VAULT, 0, &owner);
}
