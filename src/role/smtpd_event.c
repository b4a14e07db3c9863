#include "role/smtpd_event.h"

#include <stdlib.h>

enum { EVENT_MEMORY = 64 << 10 };

static void keep(struct kept_event *k, struct span *s)
{
	if (s->n > 0)
		*s = arena_dup(&k->arena, *s);
}

struct kept_event *kept_event_of(const struct server_event *ev)
{
	struct kept_event *k = gw_calloc(1, sizeof(*k));
	struct server_event *e = &k->event;

	gw_assert(ev->type == SERVER_MAIL || ev->type == SERVER_RCPT);
	arena_init(&k->arena, EVENT_MEMORY);
	*e = *ev;
	e->facts = NULL;
	keep(k, &e->name);
	keep(k, &e->address.local);
	keep(k, &e->address.domain);
	keep(k, &e->envid);
	keep(k, &e->orcpt);
	keep(k, &e->data);
	gw_assert(!k->arena.overflow);
	return k;
}

void kept_event_free(struct kept_event **e)
{
	if (*e == NULL)
		return;
	arena_reset(&(*e)->arena);
	free(*e);
	*e = NULL;
}
