/* The vault: start, jail, channels. */
#include "role/vault.h"

#include "base/clock.h"
#include "base/log.h"

#include <sodium.h>
#include <unistd.h>

/* ---- channels -------------------------------------------------------------------------------- */

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct vault_peer *p = arg;

	if ((f->type == IPC_CHECK && vault_check(p->vault, p, f->payload) < 0) ||
	    (f->type == IPC_CALLOUT && vault_callout(p->vault, p, f->payload) < 0))
		ipc_end(c, "bad_payload");
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct vault_peer *p = arg;

	(void)c;
	(void)why;
	/* Master brings another one when the other side is back. */
	ipc_free(&p->ipc);
}

static struct vault_peer *peer_at(struct vault *v, enum role role, unsigned index)
{
	switch (role) {
	case ROLE_QUEUE: return &v->queue;
	case ROLE_CONTROL: return &v->control;
	case ROLE_SMTPD: return index < v->boot->workers ? &v->smtpd[index] : NULL;
	default: return NULL;
	}
}

static void tell_everything(struct vault *v, struct vault_peer *p, enum role role)
{
	if (role == ROLE_SMTPD)
		vault_tls_tell(v, p);
	if (role == ROLE_CONTROL)
		vault_tls_report(v);
	else
		vault_users_tell(v, p);
}

static void on_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct vault *v = arg;
	struct vault_peer *p = peer_at(v, role, index);
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = p};

	if (p == NULL) {
		close(fd);
		return;
	}
	ipc_free(&p->ipc);
	p->vault = v;
	p->index = index;
	p->number = ++v->last_number;
	p->ipc = ipc_new(v->loop, fd, ROLE_VAULT, role, index, &owner);
	tell_everything(v, p, role);
}

static void on_signer(void *arg, unsigned index, int fd)
{
	struct vault *v = arg;

	if (index < v->boot->workers && v->signer[index] != NULL)
		signer_serve(v->signer[index], fd);
	else
		close(fd);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* One key for each purpose, from the one in the file. */
static void derive(uint8_t out[32], const uint8_t key[32], uint64_t number)
{
	if (crypto_kdf_derive_from_key(out, 32, number, "gwticket", key) != 0)
		die("vault: no key can be derived");
}

static void take_ticket_key(struct vault *v, int fd)
{
	enum { TICKETS = 1, NOBODY = 2 };
	struct span s;
	const char *why;

	if (vault_read(fd, TICKET_KEY, &s, &why) < 0 || s.n != TICKET_KEY)
		die("vault: the key of the tickets cannot be read");
	derive(v->ticket_key, s.p, TICKETS);
	/* Salts of names that do not exist must be the same after a restart: those of accounts are.
	 */
	derive(v->checks.secret, s.p, NOBODY);
	v->has_ticket_key = true;
	vault_unread(&s);
	close(fd);
}

static void on_file(void *arg, const struct proto_file *f, int fd)
{
	struct vault *v = arg;

	switch ((enum file_kind)f->kind) {
	case FILE_CERTIFICATE:
	case FILE_KEY: vault_tls_file(v, f, fd); break;
	case FILE_USERS: vault_users_file(v, fd); break;
	case FILE_TICKET_KEY: take_ticket_key(v, fd); break;
	default: close(fd);
	}
}

static void on_dovecot(void *arg, struct span payload, int fd)
{
	vault_lookups_take(arg, payload, fd);
}

/* ---- reload ---------------------------------------------------------------------------------- */

static bool check(void *arg, struct reload *r)
{
	(void)arg;
	return vault_tls_check(r);
}

static void change(void *arg, struct reload *r, struct config *old)
{
	(void)r;
	vault_tls_change(arg, old);
	vault_users_change(arg, old);
	vault_lookups_change(arg, old);
}

static void changed(void *arg)
{
	vault_tls_changed(arg);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* Threads that used the library end before it is taken down. */
static void on_stop(void *arg)
{
	struct vault *v = arg;

	for (unsigned i = 0; i < v->boot->workers; i++)
		signer_stop(&v->signer[i]);
	master_link_done(&v->master);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void enter_jail(struct vault *v)
{
	struct sandbox box;

	/* What libraries read from files they read here; threads are born behind the walls. */
	v->keys = vault_keys_new();
	boot_sandbox(v->boot, v->config, &box);
	sandbox_confine(&box);
	vault_tls_prepare(v);
	vault_checks_prepare(v);
	sandbox_seal(&box);
}

int role_vault(struct loop *l, struct boot *b)
{
	struct vault *v = gw_calloc(1, sizeof(*v));

	v->loop = l;
	v->boot = b;
	v->config = boot_config(b);
	v->public_fd = -1;
	enter_jail(v);
	vault_checks_start(v);
	vault_tls_start(v);
	vault_lookups_start(v);
	for (size_t i = 0; i < b->n_signer; i++)
		on_signer(v, b->signer[i].index, b->signer[i].fd);
	for (size_t i = 0; i < b->n_peer; i++)
		on_peer(v, b->peer[i].role, b->peer[i].index, b->peer[i].fd);
	v->master = (struct master_link){.peer = on_peer,
	    .stop = on_stop,
	    .signer = on_signer,
	    .file = on_file,
	    .dovecot = on_dovecot,
	    .config = &v->config,
	    .check = check,
	    .change = change,
	    .changed = changed,
	    .arg = v};
	master_link_start(&v->master, l, b);
	return 0;
}
