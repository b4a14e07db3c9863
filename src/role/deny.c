#include "role/deny.h"

#include "base/clock.h"
#include "base/cursor.h"

enum { NET6 = 8, FIRST = 600, LONGEST = 86400 }; /* octets; seconds */

#define FORGET (LONGEST * USEC_PER_SEC)

static struct blotter_addr net_of(const struct blotter_addr *addr)
{
	static const struct blotter_addr four = {{[10] = 0xff, [11] = 0xff}};
	struct blotter_addr net = *addr;

	if (memcmp(addr->b, four.b, 12) != 0)
		memset(net.b + NET6, 0, sizeof(net.b) - NET6);
	return net;
}

static struct deny *row_of(struct deny_table *t, const struct blotter_addr *net)
{
	for (size_t i = 0; i < t->n; i++) {
		if (memcmp(&t->row[i].net, net, sizeof(*net)) == 0)
			return &t->row[i];
	}
	return NULL;
}

static struct deny *new_row(struct deny_table *t, const struct blotter_addr *net)
{
	struct deny *d = &t->row[0];

	if (t->n < DENY_MAX) {
		d = &t->row[t->n++];
	} else {
		for (size_t i = 1; i < t->n; i++) {
			if (t->row[i].last < d->last)
				d = &t->row[i];
		}
	}
	*d = (struct deny){.net = *net};
	return d;
}

static int64_t period(unsigned crashes)
{
	int64_t s = FIRST;

	for (unsigned i = 2; i < crashes && s < LONGEST; i++)
		s *= 2;
	return (s < LONGEST ? s : LONGEST) * USEC_PER_SEC;
}

const struct deny *deny_blame(struct deny_table *t, const struct blotter_addr *addr, int64_t now)
{
	struct blotter_addr net = net_of(addr);
	struct deny *d;

	if (blotter_addr_local(addr))
		return NULL; /* local programs share it */
	d = row_of(t, &net);
	if (d != NULL && now - d->last > FORGET + period(d->crashes))
		*d = (struct deny){.net = net};
	if (d == NULL)
		d = new_row(t, &net);
	d->crashes++;
	d->last = now;
	if (d->crashes < 2)
		return NULL;
	d->until = now + period(d->crashes);
	return d;
}

const struct deny *deny_find(
    const struct deny_table *t, const struct blotter_addr *addr, int64_t now)
{
	struct blotter_addr net = net_of(addr);

	for (size_t i = 0; i < t->n; i++) {
		if (t->row[i].until > now && memcmp(&t->row[i].net, &net, sizeof(net)) == 0)
			return &t->row[i];
	}
	return NULL;
}

void deny_put(const struct deny *d, int64_t now, struct buf *out)
{
	int64_t left = d->until > now ? (d->until - now + USEC_PER_SEC - 1) / USEC_PER_SEC : 0;

	buf_add(out, d->net.b, sizeof(d->net.b));
	put_u32(out, (uint32_t)left);
	put_u32(out, d->crashes);
}

int deny_take(struct deny_table *t, struct span payload, int64_t now)
{
	struct cursor c = cursor_of(payload);
	struct span addr = get_bytes(&c, sizeof(struct blotter_addr));
	uint32_t left = get_u32(&c), crashes = get_u32(&c);
	struct blotter_addr net;
	struct deny *d;

	if (!cursor_done(&c) || left > LONGEST)
		return GW_EFORMAT;
	memcpy(net.b, addr.p, sizeof(net.b));
	net = net_of(&net);
	d = row_of(t, &net);
	if (d == NULL)
		d = new_row(t, &net);
	d->crashes = crashes;
	d->last = now;
	d->until = now + left * USEC_PER_SEC;
	return 0;
}
