/* What connects a process with the others: channels, sockets for signatures, files. */
#include "role/master.h"

#include "net/signer.h"
#include "role/means.h"

#include <unistd.h>

enum { FILE_FRAME = 64 };

/* ---- connections to the others -------------------------------------------------------------- */

static bool between(const struct slot *a, const struct slot *b, enum role x, enum role y)
{
	return (a->role == x && b->role == y) || (a->role == y && b->role == x);
}

/* Everybody works with the queue; receivers ask the vault, and status shows its certificates;
 * receivers and senders ask for names, receivers senders who is known elsewhere, and operators for
 * what happened. */
static bool connected(const struct slot *a, const struct slot *b)
{
	return (a->role == ROLE_QUEUE) != (b->role == ROLE_QUEUE) ||
	       between(a, b, ROLE_SMTPD, ROLE_VAULT) || between(a, b, ROLE_CONTROL, ROLE_VAULT) ||
	       between(a, b, ROLE_SMTPD, ROLE_RESOLVER) || between(a, b, ROLE_SMTPD, ROLE_SENDER) ||
	       between(a, b, ROLE_SENDER, ROLE_RESOLVER) ||
	       between(a, b, ROLE_CONTROL, ROLE_HISTORY);
}

/* Receivers have their handshakes signed by the vault, over a socket of its own. */
static bool signs(const struct slot *a, const struct slot *b)
{
	return between(a, b, ROLE_SMTPD, ROLE_VAULT);
}

/* Two for the channel to us, two for each of its peers, and what is open for a moment only. */
bool wires_possible(const struct slot *s)
{
	const struct master *m = s->master;
	unsigned n = 2 + 2;

	for (size_t i = 0; i < m->n_slot; i++)
		n += (connected(s, &m->slot[i]) ? 2 : 0) + (signs(s, &m->slot[i]) ? 2 : 0);
	return means_descriptors(n);
}

static bool connect_to(struct slot *s, struct slot *other)
{
	uint8_t who[2] = {(uint8_t)s->role, (uint8_t)s->index};
	struct boot *b = &s->boot;
	int fd[2];

	if (ipc_pair(fd) < 0)
		return false;
	gw_assert(b->n_peer < BOOT_PEERS_MAX);
	b->peer[b->n_peer++] = (struct boot_peer){other->role, other->index, fd[0]};
	/* If that channel is over, the other one is dying: it gets a new pair when it is back. */
	ipc_send(other->ipc, IPC_PEER, &(struct span){who, sizeof(who)}, 1, fd[1]);
	close(fd[1]);
	return true;
}

/* As with channels: one end for each side. */
static bool connect_signer(struct slot *s, struct slot *other)
{
	unsigned receiver = s->role == ROLE_SMTPD ? s->index : other->index;
	uint8_t who[2] = {(uint8_t)s->role, (uint8_t)s->index};
	struct boot *b = &s->boot;
	int fd[2];

	if (signer_pair(fd) < 0)
		return false;
	gw_assert(b->n_signer < WORKERS_MAX);
	b->signer[b->n_signer].index = receiver;
	b->signer[b->n_signer++].fd = fd[0];
	ipc_send(other->ipc, IPC_SIGNER, &(struct span){who, sizeof(who)}, 1, fd[1]);
	close(fd[1]);
	return true;
}

bool wires_connect(struct slot *s)
{
	struct master *m = s->master;

	for (size_t i = 0; i < m->n_slot; i++) {
		struct slot *other = &m->slot[i];

		if (!other->running || other->ipc == NULL)
			continue;
		if (connected(s, other) && !connect_to(s, other))
			return false;
		if (signs(s, other) && !connect_signer(s, other))
			return false;
	}
	return true;
}

/* ---- files ---------------------------------------------------------------------------------- */

void wires_file(struct slot *s, const struct file_watch *w, const struct watched_file *f)
{
	struct proto_file file = {.kind = (uint8_t)f->kind,
	    .index = f->index,
	    .stamp = f->stamp,
	    .generation = w->generation};
	struct span part;
	struct buf b;

	if (!(f->roles >> s->role & 1) || s->ipc == NULL || !s->running)
		return;
	buf_init(&b, FILE_FRAME);
	proto_put_file(&b, &file);
	part = buf_view(&b);
	ipc_send(s->ipc, IPC_FILE, &part, 1, f->fd);
	buf_fini(&b);
}

void wires_files(struct slot *s, const struct file_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		wires_file(s, w, &w->file[i]);
}
