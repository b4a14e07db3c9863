/* The addresses of a host: which of them are used, and in which order. */
#include "flow/hosts-private.h"

/* ---- this machine ------------------------------------------------------------------------- */

static size_t octets_of(sa_family_t family)
{
	return family == AF_INET ? 4 : 16;
}

/* ::ffff:192.0.2.1 is 192.0.2.1 for everybody who connects to it. */
static struct host_address plain(const struct host_address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct host_address p = *a;

	if (a->family != AF_INET6 || memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
		return p;
	p.family = AF_INET;
	memcpy(p.bytes, a->bytes + sizeof(mapped), 4);
	return p;
}

static bool is_self_address(const struct hosts *h, const struct host_address *found)
{
	struct host_address a = plain(found);

	for (size_t i = 0; h->p->self != NULL && i < h->p->self->n_address; i++) {
		const struct host_address *own = &h->p->self->address[i];

		if (own->family == a.family && (own->port == 0 || own->port == a.port) &&
		    memcmp(own->bytes, a.bytes, octets_of(a.family)) == 0)
			return true;
	}
	return false;
}

/* ---- addresses of a host ------------------------------------------------------------------ */

bool hosts_family(const struct hosts *h, enum family f)
{
	if (f == V4)
		return !h->p->no_v4 && h->p->wish != FAMILY_V6_ONLY;
	return !h->p->no_v6 && h->p->wish != FAMILY_V4_ONLY;
}

/* Is it one to connect to? Notes why not. */
static bool usable(struct hosts *h, struct entry *e, const struct host_address *a)
{
	if (!hosts_given(h) && is_self_address(h, a))
		e->self = true;
	if (!hosts_given(h) && !h->p->private_ok && address_is_private(a)) {
		h->only_private = true;
		return false;
	}
	return true;
}

static struct host_address address_of(const struct dns_record *r, enum family f, uint16_t port)
{
	struct host_address a = {.family = f == V4 ? AF_INET : AF_INET6, .port = port};

	if (f == V4)
		memcpy(a.bytes, &r->address.a, 4);
	else
		memcpy(a.bytes, &r->address.aaaa, 16);
	return a;
}

/* In the order in which DNS has them (RFC 5321 section 5.1), from any of them on: resolvers turn
 * the list round at each question so that all are used, a cache does not. */
int entry_take(struct hosts *h, struct entry *e, enum family f, const struct dns_answer *a)
{
	size_t from = a->n_record > 0 ? (size_t)(dice_roll(&h->dice) % a->n_record) : 0, n = 0;
	size_t most = a->n_record < HOST_ADDRESSES_MAX ? a->n_record : HOST_ADDRESSES_MAX;
	struct host_address *list = arena_alloc(h->arena, most * sizeof(*list));

	if (list == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < a->n_record; i++) {
		const struct dns_record *r = &a->record[(from + i) % a->n_record];
		struct host_address x = address_of(r, f, e->port);

		if (usable(h, e, &x) && n < most)
			list[n++] = x;
	}
	e->of[f].address = list;
	e->of[f].n = n;
	return 0;
}

bool entry_take_literal(struct hosts *h, struct entry *e)
{
	struct host_address a = {.port = e->port};
	struct host_address *copy;
	enum family f;

	a.family = config_ip(e->name, a.bytes);
	if (a.family == AF_UNSPEC)
		return false;
	f = a.family == AF_INET ? V4 : V6;
	copy = arena_alloc(h->arena, sizeof(*copy));
	e->of[V4].asked = e->of[V6].asked = true;
	if (copy == NULL) {
		h->trouble = true;
	} else if (!hosts_family(h, f)) {
		h->family_missing = true;
	} else if (usable(h, e, &a)) {
		*copy = a;
		e->of[f].address = copy;
		e->of[f].n = 1;
	}
	return true;
}

/* ---- into the list ------------------------------------------------------------------------ */

static void add_turn(struct host_address *to, size_t *n, const struct found *f, size_t at)
{
	if (at < f->n && *n < HOST_ADDRESSES_MAX)
		to[(*n)++] = f->address[at];
}

void entry_list(struct hosts *h, const struct entry *e)
{
	enum family first = h->p->wish == FAMILY_V4_FIRST ? V4 : V6;
	const struct found *a = &e->of[first], *b = &e->of[V6 + V4 - first];
	size_t n = 0;
	struct host_address *list;

	if (a->n + b->n == 0)
		return;
	list = arena_alloc(h->arena, (a->n + b->n) * sizeof(*list));
	if (list == NULL) {
		hosts_trouble(h, SPAN("out of memory"));
		return;
	}
	for (size_t i = 0; i < HOST_ADDRESSES_MAX; i++) {
		add_turn(list, &n, a, i);
		add_turn(list, &n, b, i);
	}
	h->list[h->n_list++] = (struct host){.name = e->name,
	    .canonical = e->canonical,
	    .preference = e->preference,
	    .port = e->port,
	    .secure = e->secure,
	    .vouched = e->vouched,
	    .address = list,
	    .n_address = n};
}
