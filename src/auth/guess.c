#include "auth/guess.h"

#include "base/map.h"

#include <stdlib.h>
#include <sys/queue.h>

enum { KEY = 16, NET6 = 8, NAME_MAX_OCTETS = 256 };

/* An address, a name or both, hashed to one length: names are the client's, and long. */
struct entry {
	TAILQ_ENTRY(entry) link;
	uint8_t key[KEY];
	unsigned wrong;
	int64_t since; /* wrong was counted up to then */
	int64_t until; /* it waits */
};
TAILQ_HEAD(entry_list, entry);

/* The entry not asked for the longest is the first of the list. */
struct table {
	struct map map;
	struct entry_list list;
	size_t most;
};

struct guess {
	uint32_t magic;
	struct guess_limits limits;
	uint64_t seed;
	struct table address, account, known;
};

#define GUESS_MAGIC GW_MAGIC('G', 'U', 'E', 'S')

/* ---- keys ---------------------------------------------------------------------------------- */

/* Whoever has one address of an IPv6 network has all of them. */
static void key_of_address(const uint8_t ip[16], uint8_t key[KEY])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(key, ip, KEY);
	if (memcmp(ip, mapped, sizeof(mapped)) != 0)
		memset(key + NET6, 0, KEY - NET6);
}

static void key_of_bytes(const struct guess *g, struct span bytes, uint8_t key[KEY])
{
	uint64_t half[2] = {map_hash(bytes, g->seed), map_hash(bytes, ~g->seed)};

	memcpy(key, half, KEY);
}

static size_t lower(struct span name, uint8_t out[NAME_MAX_OCTETS])
{
	size_t n = name.n < NAME_MAX_OCTETS ? name.n : NAME_MAX_OCTETS;

	for (size_t i = 0; i < n; i++)
		out[i] = ascii_lower(name.p[i]);
	return n;
}

static void key_of_account(const struct guess *g, struct span name, uint8_t key[KEY])
{
	uint8_t text[NAME_MAX_OCTETS];

	key_of_bytes(g, span_of(text, lower(name, text)), key);
}

static void key_of_pair(
    const struct guess *g, const uint8_t ip[16], struct span name, uint8_t key[KEY])
{
	uint8_t text[KEY + NAME_MAX_OCTETS];

	key_of_address(ip, text);
	key_of_bytes(g, span_of(text, KEY + lower(name, text + KEY)), key);
}

/* ---- tables -------------------------------------------------------------------------------- */

static void table_init(struct table *t, size_t most, uint64_t seed)
{
	map_init(&t->map, seed);
	TAILQ_INIT(&t->list);
	t->most = most > 0 ? most : 1;
}

static void table_drop(struct table *t, struct entry *e)
{
	map_del(&t->map, span_of(e->key, KEY));
	TAILQ_REMOVE(&t->list, e, link);
	free(e);
}

static void table_fini(struct table *t)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(&t->list)) != NULL)
		table_drop(t, e);
	map_fini(&t->map);
}

static struct entry *table_find(const struct table *t, const uint8_t key[KEY])
{
	return map_get(&t->map, span_of(key, KEY));
}

static void table_touch(struct table *t, struct entry *e)
{
	TAILQ_REMOVE(&t->list, e, link);
	TAILQ_INSERT_TAIL(&t->list, e, link);
}

static struct entry *table_need(struct table *t, const uint8_t key[KEY], int64_t now)
{
	struct entry *e = table_find(t, key);

	if (e != NULL) {
		table_touch(t, e);
		return e;
	}
	if (map_len(&t->map) == t->most)
		table_drop(t, TAILQ_FIRST(&t->list));
	e = gw_calloc(1, sizeof(*e));
	memcpy(e->key, key, KEY);
	e->since = now;
	map_put(&t->map, span_of(e->key, KEY), e);
	TAILQ_INSERT_TAIL(&t->list, e, link);
	return e;
}

/* ---- counting ------------------------------------------------------------------------------ */

static void forget(const struct guess *g, struct entry *e, int64_t now)
{
	int64_t times = now > e->since ? (now - e->since) / g->limits.forget : 0;

	if (times >= (int64_t)e->wrong) {
		e->wrong = 0;
		e->since = now;
		return;
	}
	e->wrong -= (unsigned)times;
	e->since += times * g->limits.forget;
}

static void count_wrong(
    const struct guess *g, struct entry *e, unsigned most, int64_t longest, int64_t now)
{
	int64_t wait = g->limits.first_wait;

	forget(g, e, now);
	e->wrong++;
	if (e->wrong < most)
		return;
	for (unsigned i = most; i < e->wrong && wait < longest; i++)
		wait *= 2;
	e->until = now + (wait < longest ? wait : longest);
}

/* Being asked for keeps an entry: what is attacked must not be pushed out by other names. */
static bool waits(struct table *t, const uint8_t key[KEY], int64_t now)
{
	struct entry *e = table_find(t, key);

	if (e == NULL)
		return false;
	table_touch(t, e);
	return now < e->until;
}

/* ---- the outside --------------------------------------------------------------------------- */

struct guess *guess_new(const struct guess_limits *l, uint64_t seed)
{
	struct guess *g = gw_calloc(1, sizeof(*g));

	gw_assert(l->forget > 0 && l->first_wait > 0 && l->last_wait >= l->first_wait);
	gw_assert(l->account_wait >= l->first_wait && l->account_wait <= l->last_wait);
	gw_assert(l->last_wait < INT64_MAX / 4 && l->per_address > 0 && l->per_account > 0);
	g->magic = GUESS_MAGIC;
	g->limits = *l;
	g->seed = seed;
	table_init(&g->address, l->addresses, seed);
	table_init(&g->account, l->accounts, seed);
	table_init(&g->known, l->accounts, seed);
	return g;
}

void guess_free(struct guess **gp)
{
	struct guess *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	gw_check_magic(g, GUESS_MAGIC);
	table_fini(&g->address);
	table_fini(&g->account);
	table_fini(&g->known);
	g->magic = 0;
	free(g);
}

enum guess_verdict guess_ask(
    struct guess *g, const uint8_t ip[16], struct span account, int64_t now)
{
	uint8_t key[KEY];

	gw_check_magic(g, GUESS_MAGIC);
	key_of_address(ip, key);
	if (waits(&g->address, key, now))
		return GUESS_ADDRESS_LIMIT;
	key_of_account(g, account, key);
	if (waits(&g->account, key, now) && !guess_knows(g, ip, account))
		return GUESS_ACCOUNT_LIMIT;
	return GUESS_GO;
}

void guess_wrong(struct guess *g, const uint8_t ip[16], struct span account, int64_t now)
{
	uint8_t key[KEY];

	gw_check_magic(g, GUESS_MAGIC);
	key_of_address(ip, key);
	count_wrong(
	    g, table_need(&g->address, key, now), g->limits.per_address, g->limits.last_wait, now);
	key_of_account(g, account, key);
	count_wrong(g, table_need(&g->account, key, now), g->limits.per_account,
	    g->limits.account_wait, now);
}

void guess_right(struct guess *g, const uint8_t ip[16], struct span account, int64_t now)
{
	uint8_t key[KEY];

	gw_check_magic(g, GUESS_MAGIC);
	key_of_pair(g, ip, account, key);
	table_need(&g->known, key, now);
}

bool guess_knows(const struct guess *g, const uint8_t ip[16], struct span account)
{
	uint8_t key[KEY];

	gw_check_magic(g, GUESS_MAGIC);
	key_of_pair(g, ip, account, key);
	return table_find(&g->known, key) != NULL;
}

size_t guess_len(const struct guess *g)
{
	gw_check_magic(g, GUESS_MAGIC);
	return map_len(&g->address.map) + map_len(&g->account.map) + map_len(&g->known.map);
}
