/* The channel to the vault: certificates, keys of tickets. */
#include "role/smtpd_tls.h"

static int take(struct smtpd *d, const struct ipc_frame *f)
{
	if (f->type == IPC_CERTIFICATE)
		return smtpd_tls_certificate(d, f->payload);
	if (f->type == IPC_TICKET_KEYS)
		return smtpd_tls_ticket_keys(d, f->payload);
	return 0;
}

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	if (take(arg, f) < 0)
		ipc_end(c, "bad_payload");
}

/* What it said stays in force. */
static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct smtpd *d = arg;

	(void)c;
	(void)why;
	ipc_free(&d->vault);
}

void smtpd_vault_peer(struct smtpd *d, int fd)
{
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = d};

	if (d->vault != NULL) /* its end was not seen yet */
		on_closed(d, d->vault, "replaced");
	d->vault = ipc_new(d->loop, fd, ROLE_SMTPD, ROLE_VAULT, 0, &owner);
}
