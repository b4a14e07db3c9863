#include "net/tls_sessions.h"

#include <openssl/crypto.h>
#include <stdlib.h>

void tls_sessions_init(struct tls_sessions *s, uint64_t seed)
{
	map_init(&s->by_key, seed);
	TAILQ_INIT(&s->list);
	s->octets = 0;
}

static void forget(struct tls_sessions *s, struct tls_kept *k)
{
	map_del(&s->by_key, k->key);
	TAILQ_REMOVE(&s->list, k, link);
	s->octets -= k->n;
	OPENSSL_cleanse(k->octets, k->n);
	free(k);
}

void tls_sessions_clear(struct tls_sessions *s)
{
	struct tls_kept *k;

	while ((k = TAILQ_FIRST(&s->list)) != NULL)
		forget(s, k);
}

void tls_sessions_fini(struct tls_sessions *s)
{
	tls_sessions_clear(s);
	map_fini(&s->by_key);
}

void tls_sessions_drop(struct tls_sessions *s, struct span key)
{
	struct tls_kept *k = map_get(&s->by_key, key);

	if (k != NULL)
		forget(s, k);
}

static void make_room(struct tls_sessions *s, size_t n)
{
	struct tls_kept *k;

	while ((k = TAILQ_FIRST(&s->list)) != NULL &&
	       (map_len(&s->by_key) >= TLS_SESSIONS_MAX || s->octets + n > TLS_SESSIONS_OCTETS_MAX))
		forget(s, k);
}

void tls_sessions_keep(struct tls_sessions *s, const struct tls_kept *k)
{
	size_t n = k->key.n + k->session.n;
	struct tls_kept *copy;

	tls_sessions_drop(s, k->key);
	if (k->key.n == 0 || k->key.n > TLS_SESSION_KEY_MAX || k->session.n == 0 ||
	    k->session.n > TLS_SESSION_OCTETS)
		return;
	make_room(s, n);
	copy = gw_calloc(1, sizeof(*copy) + n);
	*copy = *k;
	copy->n = n;
	memcpy(copy->octets, k->key.p, k->key.n);
	memcpy(copy->octets + k->key.n, k->session.p, k->session.n);
	copy->key = span_of(copy->octets, k->key.n);
	copy->session = span_of(copy->octets + k->key.n, k->session.n);
	map_put(&s->by_key, copy->key, copy);
	TAILQ_INSERT_TAIL(&s->list, copy, link);
	s->octets += n;
}

const struct tls_kept *tls_sessions_find(struct tls_sessions *s, struct span key, int64_t now)
{
	struct tls_kept *k = map_get(&s->by_key, key);

	if (k == NULL || now < k->until)
		return k;
	forget(s, k);
	return NULL;
}
