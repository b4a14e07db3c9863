/* The channel to the vault: answers to logins, accounts, certificates. */
#include "role/accounts_frame.h"
#include "role/smtpd_auth.h"

#include <unistd.h>

static void take_accounts(struct smtpd *d, const struct ipc_frame *f)
{
	if (accounts_frame_take(f, &d->accounts) == 0)
		auth_offer(d);
}

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct smtpd *d = arg;

	if (f->type == IPC_ACCOUNTS)
		take_accounts(d, f);
	else if (f->type == IPC_CHECKED && auth_checked(d, f->payload) < 0)
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
