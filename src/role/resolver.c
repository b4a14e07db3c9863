/*
 * The resolver: answers what DNS says. It holds no file and no mail; what it knows is lost when it
 * ends, and nothing else: those who asked ask its successor again.
 */
#include "role/resolver.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

/* Master has a dead asker running again within 5 s. Where only the channel was cut, nobody brings
 * another: then it is us who must come again. */
#define ASKER_PATIENCE (15 * USEC_PER_SEC)

/* ---- those who ask -------------------------------------------------------------------------- */

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct asker *a = arg;

	if (f->type == IPC_DNS_ASK && ask_take(a, f->payload) < 0)
		ipc_end(c, "bad_payload");
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct asker *a = arg;

	(void)c;
	(void)why;
	ipc_free(&a->ipc);
	ask_forget(a);
	timer_set(&a->lost, loop_now(a->resolver->loop) + ASKER_PATIENCE);
}

static void lost(void *arg)
{
	struct asker *a = arg;

	log_error("resolver: no channel to %s %u for %d s, starting again", role_names[a->role],
	    a->index, (int)(ASKER_PATIENCE / USEC_PER_SEC));
	loop_stop(a->resolver->loop, 1);
}

static struct asker *find_asker(struct resolver *r, enum role role, unsigned index)
{
	struct asker *a;

	TAILQ_FOREACH(a, &r->askers, link)
	{
		if (a->role == role && a->index == index)
			return a;
	}
	gw_assert(r->n_askers < ASKERS_MAX);
	a = gw_calloc(1, sizeof(*a));
	a->resolver = r;
	a->role = role;
	a->index = index;
	TAILQ_INIT(&a->wants);
	TAILQ_INIT(&a->ready);
	timer_start(&a->lost, r->loop, lost, a);
	TAILQ_INSERT_TAIL(&r->askers, a, link);
	r->n_askers++;
	return a;
}

static void on_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct resolver *r = arg;
	struct asker *a = find_asker(r, role, index);
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = a};

	if (a->ipc != NULL) /* its end was not seen yet */
		on_closed(a, a->ipc, "replaced");
	timer_set(&a->lost, INT64_MAX);
	a->ipc = ipc_new(r->loop, fd, ROLE_RESOLVER, role, index, &owner);
}

/* ---- start and end -------------------------------------------------------------------------- */

static void on_stop(void *arg)
{
	struct resolver *r = arg;

	master_link_done(&r->master);
}

int role_resolver(struct loop *l, struct boot *b)
{
	struct resolver *r = gw_calloc(1, sizeof(*r));
	struct sandbox box;

	r->loop = l;
	r->boot = b;
	r->config = boot_config(b);
	TAILQ_INIT(&r->askers);
	ask_start(r);
	boot_sandbox(b, r->config, &box);
	r->engine = engine_new(l, r->config);
	sandbox_confine(&box);
	sandbox_seal(&box);
	for (size_t i = 0; i < b->n_peer; i++)
		on_peer(r, b->peer[i].role, b->peer[i].index, b->peer[i].fd);
	r->master =
	    (struct master_link){.peer = on_peer, .stop = on_stop, .config = &r->config, .arg = r};
	master_link_start(&r->master, l, b);
	return 0;
}
