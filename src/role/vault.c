/* The vault: start, channels. */
#include "role/vault.h"

#include <unistd.h>

static void on_peer(void *arg, enum role role, unsigned index, int fd)
{
	(void)arg;
	(void)role;
	(void)index;
	close(fd);
}

static void enter_jail(struct vault *v)
{
	struct sandbox box;

	boot_sandbox(v->boot, v->config, &box);
	sandbox_confine(&box);
	sandbox_seal(&box);
}

int role_vault(struct loop *l, struct boot *b)
{
	struct vault *v = gw_calloc(1, sizeof(*v));

	v->loop = l;
	v->boot = b;
	v->config = boot_config(b);
	enter_jail(v);
	for (size_t i = 0; i < b->n_peer; i++)
		on_peer(v, b->peer[i].role, b->peer[i].index, b->peer[i].fd);
	v->master = (struct master_link){.peer = on_peer, .arg = v};
	master_link_start(&v->master, l, b);
	return 0;
}
