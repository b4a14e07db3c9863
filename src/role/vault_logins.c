#include "role/vault_logins.h"

#include "base/map.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/queue.h>

struct login {
	TAILQ_ENTRY(login) link;
	uint8_t digest[LOGIN_DIGEST];
	int64_t until;
};
TAILQ_HEAD(login_list, login);

/* Oldest first. Two tables: a flood of wrong ones must not push out the right ones. */
struct table {
	struct map map;
	struct login_list list;
	int64_t keep;
};

struct logins {
	uint32_t magic;
	uint8_t key[crypto_generichash_KEYBYTES];
	size_t most; /* of each table */
	struct table right, wrong;
};

#define LOGINS_MAGIC GW_MAGIC('L', 'O', 'G', 'I')

static void table_init(struct table *t, int64_t keep)
{
	map_init(&t->map, randombytes_random());
	TAILQ_INIT(&t->list);
	t->keep = keep;
}

static void table_drop(struct table *t, struct login *x)
{
	map_del(&t->map, span_of(x->digest, LOGIN_DIGEST));
	TAILQ_REMOVE(&t->list, x, link);
	free(x);
}

static void table_clear(struct table *t)
{
	struct login *x;

	while ((x = TAILQ_FIRST(&t->list)) != NULL)
		table_drop(t, x);
}

static void table_add(struct table *t, size_t most, const uint8_t *digest, int64_t now)
{
	struct login *x = map_get(&t->map, span_of(digest, LOGIN_DIGEST));

	if (x != NULL)
		table_drop(t, x);
	else if (map_len(&t->map) == most)
		table_drop(t, TAILQ_FIRST(&t->list));
	x = gw_calloc(1, sizeof(*x));
	memcpy(x->digest, digest, LOGIN_DIGEST);
	x->until = now + t->keep;
	map_put(&t->map, span_of(x->digest, LOGIN_DIGEST), x);
	TAILQ_INSERT_TAIL(&t->list, x, link);
}

static bool table_has(const struct table *t, const uint8_t *digest, int64_t now)
{
	const struct login *x = map_get(&t->map, span_of(digest, LOGIN_DIGEST));

	return x != NULL && now < x->until;
}

struct logins *logins_new(size_t most, int64_t proven_for, int64_t disproven_for)
{
	struct logins *l = gw_calloc(1, sizeof(*l));

	if (sodium_init() < 0)
		die("libsodium cannot be used");
	gw_assert(most > 0);
	l->magic = LOGINS_MAGIC;
	l->most = most;
	randombytes_buf(l->key, sizeof(l->key));
	table_init(&l->right, proven_for);
	table_init(&l->wrong, disproven_for);
	return l;
}

void logins_free(struct logins **lp)
{
	struct logins *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	logins_clear(l);
	map_fini(&l->right.map);
	map_fini(&l->wrong.map);
	sodium_memzero(l->key, sizeof(l->key));
	l->magic = 0;
	free(l);
}

void logins_digest(
    const struct logins *l, struct span name, struct span password, uint8_t digest[LOGIN_DIGEST])
{
	crypto_generichash_state state;
	uint64_t n = name.n;

	gw_check_magic(l, LOGINS_MAGIC);
	crypto_generichash_init(&state, l->key, sizeof(l->key), LOGIN_DIGEST);
	/* The length first: no name and password together read like another two. */
	crypto_generichash_update(&state, (const uint8_t *)&n, sizeof(n));
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = ascii_lower(name.p[i]);

		crypto_generichash_update(&state, &c, 1);
	}
	crypto_generichash_update(&state, password.p, password.n);
	crypto_generichash_final(&state, digest, LOGIN_DIGEST);
	sodium_memzero(&state, sizeof(state));
}

int logins_find(const struct logins *l, const uint8_t digest[LOGIN_DIGEST], int64_t now)
{
	gw_check_magic(l, LOGINS_MAGIC);
	if (table_has(&l->right, digest, now))
		return 1;
	return table_has(&l->wrong, digest, now) ? 0 : GW_ENOENT;
}

void logins_add(struct logins *l, const uint8_t digest[LOGIN_DIGEST], bool right, int64_t now)
{
	gw_check_magic(l, LOGINS_MAGIC);
	table_add(right ? &l->right : &l->wrong, l->most, digest, now);
}

void logins_clear(struct logins *l)
{
	gw_check_magic(l, LOGINS_MAGIC);
	table_clear(&l->right);
	table_clear(&l->wrong);
}

void logins_keep(struct logins *l, int64_t proven_for, int64_t disproven_for)
{
	gw_check_magic(l, LOGINS_MAGIC);
	l->right.keep = proven_for;
	l->wrong.keep = disproven_for;
}

size_t logins_len(const struct logins *l)
{
	return map_len(&l->right.map) + map_len(&l->wrong.map);
}
