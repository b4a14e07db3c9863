#include "flow/callout.h"

#include "base/map.h"

#include <stdlib.h>
#include <sys/queue.h>

enum callout_verdict callout_judge(const struct reply *r)
{
	if (r->code / 100 == 2)
		return CALLOUT_KNOWN;
	if (r->code / 100 != 5)
		return CALLOUT_AWAY;
	/* Of 5.1.x two are about the address behind MAIL, which many servers judge at RCPT. */
	if (r->esc[0] == 5 && r->esc[1] == 1)
		return r->esc[2] == 7 || r->esc[2] == 8 ? CALLOUT_AWAY : CALLOUT_UNKNOWN;
	/* RFC 3463 section 3.3: 5.2.1 is a mailbox that takes nothing any more. */
	if (r->esc[0] == 5 && !(r->esc[1] == 0 && r->esc[2] == 0) &&
	    !(r->esc[1] == 2 && r->esc[2] == 1))
		return CALLOUT_AWAY;
	return r->code == 550 || r->code == 551 || r->code == 553 ? CALLOUT_UNKNOWN : CALLOUT_AWAY;
}

/* ---- answers --------------------------------------------------------------------------------- */

struct answer {
	TAILQ_ENTRY(answer) link;
	struct span key; /* domain, NUL, address: behind this struct */
	int64_t until;
	bool known;
	uint8_t bytes[];
};

struct callout_cache {
	struct map map;
	TAILQ_HEAD(, answer) all; /* the oldest first */
	size_t most;
};

struct callout_cache *callout_cache_new(size_t most, uint64_t seed)
{
	struct callout_cache *c = gw_calloc(1, sizeof(*c));

	map_init(&c->map, seed);
	TAILQ_INIT(&c->all);
	c->most = most;
	return c;
}

static void drop_answer(struct callout_cache *c, struct answer *a)
{
	map_del(&c->map, a->key);
	TAILQ_REMOVE(&c->all, a, link);
	free(a);
}

void callout_cache_free(struct callout_cache **pc)
{
	struct callout_cache *c = *pc;
	struct answer *a;

	if (c == NULL)
		return;
	while ((a = TAILQ_FIRST(&c->all)) != NULL)
		drop_answer(c, a);
	map_fini(&c->map);
	free(c);
	*pc = NULL;
}

static struct answer *make_answer(struct span domain, struct span addr)
{
	struct answer *a = gw_calloc(1, sizeof(*a) + domain.n + 1 + addr.n);

	memcpy(a->bytes, domain.p, domain.n);
	memcpy(a->bytes + domain.n + 1, addr.p, addr.n);
	a->key = span_of(a->bytes, domain.n + 1 + addr.n);
	return a;
}

bool callout_cache_find(
    struct callout_cache *c, struct span domain, struct span addr, int64_t now, bool *known)
{
	struct answer *probe = make_answer(domain, addr), *a = map_get(&c->map, probe->key);

	free(probe);
	if (a != NULL && a->until <= now) {
		drop_answer(c, a);
		a = NULL;
	}
	if (a == NULL)
		return false;
	*known = a->known;
	return true;
}

void callout_cache_put(struct callout_cache *c, struct span domain, struct span addr, bool known,
    int64_t until, int64_t now)
{
	struct answer *a = make_answer(domain, addr), *old = map_get(&c->map, a->key);

	if (old != NULL)
		drop_answer(c, old);
	while (map_len(&c->map) >= c->most ||
	       ((old = TAILQ_FIRST(&c->all)) != NULL && old->until <= now))
		drop_answer(c, TAILQ_FIRST(&c->all));
	a->known = known;
	a->until = until;
	map_put(&c->map, a->key, a);
	TAILQ_INSERT_TAIL(&c->all, a, link);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool callout_same(const struct domain *a, const struct domain *b)
{
	const struct recipients_lookup *x = a->lookup, *y = b->lookup;

	if (a->recipients != b->recipients || x == NULL || y == NULL)
		return false;
	return same_text(x->at.host, y->at.host) && x->at.port == y->at.port &&
	       same_text(x->at.unix_path, y->at.unix_path) && x->lmtp == y->lmtp &&
	       same_text(x->from, y->from) && x->cache == y->cache && x->negative == y->negative;
}

const struct domain *callout_domain(const struct config *c, struct span name)
{
	const struct domain *d = config_domain(c, name);

	return d != NULL && span_eq(span_str(d->name), name) ? d : NULL;
}

static bool is_void(const struct answer *a, const struct config *old, const struct config *next)
{
	struct span name = span_first(a->key, (size_t)span_find(a->key, 0));
	const struct domain *was = callout_domain(old, name), *is = callout_domain(next, name);

	return was == NULL || is == NULL || !callout_same(was, is);
}

void callout_cache_change(
    struct callout_cache *c, const struct config *old, const struct config *next)
{
	struct answer *a, *after;

	for (a = TAILQ_FIRST(&c->all); a != NULL; a = after) {
		after = TAILQ_NEXT(a, link);
		if (is_void(a, old, next))
			drop_answer(c, a);
	}
}

size_t callout_cache_count(const struct callout_cache *c)
{
	return map_len(&c->map);
}

/* ---- clients --------------------------------------------------------------------------------- */

struct guest {
	TAILQ_ENTRY(guest) link;
	uint8_t net[16];
	unsigned open, unknown;
	int64_t since; /* of "unknown" */
};

struct guesses {
	struct map map;
	TAILQ_HEAD(, guest) all; /* the oldest first */
	size_t most;
};

struct guesses *guesses_new(size_t most, uint64_t seed)
{
	struct guesses *g = gw_calloc(1, sizeof(*g));

	map_init(&g->map, seed);
	TAILQ_INIT(&g->all);
	g->most = most;
	return g;
}

static struct span net_key(const struct guest *x)
{
	return span_of(x->net, sizeof(x->net));
}

static void drop_guest(struct guesses *g, struct guest *x)
{
	map_del(&g->map, net_key(x));
	TAILQ_REMOVE(&g->all, x, link);
	free(x);
}

void guesses_free(struct guesses **pg)
{
	struct guesses *g = *pg;
	struct guest *x;

	if (g == NULL)
		return;
	while ((x = TAILQ_FIRST(&g->all)) != NULL)
		drop_guest(g, x);
	map_fini(&g->map);
	free(g);
	*pg = NULL;
}

static bool is_nobody(const uint8_t ip[16])
{
	static const uint8_t nobody[16];

	return memcmp(ip, nobody, sizeof(nobody)) == 0;
}

static void set_net(struct guest *x, const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(x->net, 0, sizeof(x->net));
	memcpy(x->net, ip, memcmp(ip, mapped, sizeof(mapped)) == 0 ? 16 : 8);
}

static struct guest *find_guest(struct guesses *g, const uint8_t ip[16])
{
	struct guest key;

	set_net(&key, ip);
	return map_get(&g->map, net_key(&key));
}

static struct guest *make_guest(struct guesses *g, const uint8_t ip[16], int64_t now)
{
	struct guest *x = gw_calloc(1, sizeof(*x)), *old, *next;

	/* Whose minute is over, or, where there are too many, whose began first. */
	for (old = TAILQ_FIRST(&g->all); old != NULL; old = next) {
		next = TAILQ_NEXT(old, link);
		if (map_len(&g->map) < g->most && now - old->since < GUESSES_TIME)
			break;
		drop_guest(g, old);
	}
	set_net(x, ip);
	x->since = now;
	map_put(&g->map, net_key(x), x);
	TAILQ_INSERT_TAIL(&g->all, x, link);
	return x;
}

bool guesses_begin(struct guesses *g, const uint8_t ip[16], int64_t now)
{
	struct guest *x;

	if (is_nobody(ip))
		return true;
	x = find_guest(g, ip);
	if (x == NULL)
		x = make_guest(g, ip, now);
	if (now - x->since >= GUESSES_TIME) {
		x->unknown = 0;
		x->since = now;
		TAILQ_REMOVE(&g->all, x, link);
		TAILQ_INSERT_TAIL(&g->all, x, link);
	}
	if (x->open >= GUESSES_OPEN || x->unknown + x->open >= GUESSES_UNKNOWN)
		return false;
	x->open++;
	return true;
}

void guesses_end(struct guesses *g, const uint8_t ip[16], bool unknown, int64_t now)
{
	struct guest *x = is_nobody(ip) ? NULL : find_guest(g, ip);

	(void)now;
	if (x == NULL)
		return;
	x->open -= x->open > 0;
	x->unknown += unknown;
}
