/* The end of data: what the size of a message decides about it. */
#include "flow/accept.h"

#include "flow/route.h"

static void refuse(struct verdict *v, const struct route *r)
{
	v->ok = false;
	v->reply = REPLY(550, 5, 4, 4, "No route for a message of this size");
	v->reason = "no_route";
	if (r == NULL)
		return;
	v->reply = route_reply(r->target.reply);
	v->reason = "route_rejects";
	v->place = r->target.place;
}

/* Where it goes has nothing to do with routes. */
static bool is_ours(const struct config *c, struct span addr)
{
	struct address a;

	return address_parse(addr, &a) < 0 || a.kind == ADDRESS_BARE ||
	       config_domain(c, span_skip(addr, addr.n - a.domain.n)) != NULL ||
	       accept_fault(c, a.local, a.domain) != FAULT_NONE;
}

void accept_size(const struct config *c, const struct accept_client *client,
    const struct rcpt *rcpt, size_t n, uint64_t size, struct verdict *v)
{
	struct route_ask ask = {.from = client->from, .account = client->login, .size = size};

	memset(v, 0, sizeof(*v));
	v->ok = true;
	if (!config_routes_by_size(c))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct route *r = NULL;

		ask.addr = rcpt[i].addr;
		ask.from = rcpt[i].from.n > 0 ? rcpt[i].from : client->from;
		if (is_ours(c, ask.addr) || route_fate(c, &ask, &r) == ROUTE_TAKES) {
			v->ok = true;
			return;
		}
		if (i == 0)
			refuse(v, r);
	}
}
