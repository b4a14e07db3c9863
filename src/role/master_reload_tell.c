/*
 * Reload, what processes are told: the frames of each step, and who was told what (enum
 * slot_reload). Whether it is time to say it is decided in master_reload.c.
 */
#include "role/master.h"

#include "role/reload.h"

void reload_say(struct slot *s, enum ipc_type type, uint64_t generation)
{
	struct span part;
	struct buf b;

	buf_init(&b, 16);
	proto_put_generation(&b, generation);
	part = buf_view(&b);
	if (s->ipc != NULL)
		ipc_send(s->ipc, type, &part, 1, -1);
	buf_fini(&b);
}

void reload_tell_abandoned(struct master *m, uint64_t generation)
{
	for (size_t i = 0; i < m->n_slot; i++) {
		struct slot *s = &m->slot[i];

		if (s->reload == SLOT_APART || !s->running)
			continue;
		reload_say(s, IPC_ABANDON, generation);
		/* Who has not answered yet owes the answer. */
		if (s->reload != SLOT_ASKED)
			s->reload = SLOT_APART;
	}
}

static void send_listeners(struct slot *s, const struct reloading *r)
{
	for (size_t i = 0; i < r->listeners.n; i++) {
		const struct listener *x = &r->listeners.list[i];
		struct proto_listen l = {r->config->generation, x->number, (uint32_t)x->conf};
		struct span part;
		struct buf b;

		if (!x->shared && x->worker != s->index)
			continue;
		buf_init(&b, 32);
		proto_put_listen(&b, &l);
		part = buf_view(&b);
		ipc_send(s->ipc, IPC_LISTEN, &part, 1, x->fd);
		buf_fini(&b);
	}
}

static void send_config(struct slot *s, const struct reloading *r)
{
	struct span part;
	struct buf b;

	buf_init(&b, 16);
	proto_put_generation(&b, r->config->generation);
	part = buf_view(&b);
	ipc_send(s->ipc, IPC_CONFIG, &part, 1, r->bundle.fd);
	buf_fini(&b);
}

void reload_ask(struct slot *s)
{
	const struct reloading *r = &s->master->reload;

	if (!s->running || !s->ready || s->again || s->ipc == NULL)
		return;
	s->reload = SLOT_ASKED;
	send_config(s, r);
	wires_files(s, &r->files);
	if (s->role == ROLE_SMTPD)
		send_listeners(s, r);
	reload_say(s, IPC_PREPARE, r->config->generation);
}
