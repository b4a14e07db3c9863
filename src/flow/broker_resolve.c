/*
 * Addresses of ours that the queue itself sends to: who wrote a message gets a report about it, who
 * owns a list. Receivers ask the same tables at RCPT; here nobody can be refused any more, so where
 * the tables have no answer the address stays as it is.
 */
#include "flow/broker-private.h"

#include "flow/derive-private.h"

enum { DAY_SECONDS = 86400 };

void broker_tables(struct broker *b, const struct known *tables)
{
	b->known = *tables;
}

static struct resolved_to as_it_is(struct span addr, struct arena *a)
{
	struct rcpt *one = arena_alloc(a, sizeof(*one));

	if (one != NULL)
		*one = (struct rcpt){.addr = addr};
	return (struct resolved_to){.rcpt = one, .n = one != NULL};
}

static struct resolved_to taken(const struct resolved *r, struct arena *a)
{
	struct resolved_to to = {.rcpt = arena_alloc(a, r->n_taken * sizeof(*to.rcpt))};

	for (const struct recipient_end *e = r->first; to.rcpt != NULL && e != NULL; e = e->next) {
		if (e->fate == FATE_TAKEN || e->fate == FATE_HELD)
			to.rcpt[to.n++] = (struct rcpt){.addr = e->addr, .from = e->from};
	}
	return to;
}

/* Tables come a moment after the start. */
static bool is_too_early(const struct resolved *r)
{
	for (const struct recipient_end *e = r->first; e != NULL; e = e->next) {
		if (e->fate == FATE_REFUSED && e->reply.code / 100 == 4)
			return true;
	}
	return false;
}

static bool resolve(struct broker *b, struct span addr, struct span from, bool forwards,
    struct arena *a, struct resolved_to *to)
{
	struct known k = b->known;
	struct verdict v = {.ok = true};
	struct address parsed;
	struct resolved r;

	if (k.config == NULL || address_parse(addr, &parsed) < 0 || parsed.kind == ADDRESS_LITERAL)
		return false;
	k.accounts = b->accounts;
	k.from = from;
	k.forwards = forwards;
	k.day = (b->now + b->wall_ahead) / 1000000 / DAY_SECONDS;
	recipient_resolve(&k, &parsed, a, &r, &v);
	*to = (struct resolved_to){.n = 0};
	if (v.ok && r.n_taken > 0)
		*to = taken(&r, a);
	to->later = is_too_early(&r);
	return true;
}

struct resolved_to resolve_to(struct broker *b, struct span addr, struct span from, struct arena *a)
{
	struct resolved_to to;

	return resolve(b, addr, from, false, a, &to) && to.n > 0 ? to : as_it_is(addr, a);
}

struct resolved_to resolve_forward(
    struct broker *b, struct span addr, struct span from, struct arena *a)
{
	struct resolved_to to;

	return resolve(b, addr, from, true, a, &to) ? to : as_it_is(addr, a);
}
