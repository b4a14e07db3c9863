#include "role/vault_keys.h"

#include "base/metric.h"
#include "role/sandbox.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

/* Room for some hundred RSA keys. Beyond it loading a key fails, and nothing else. */
enum { SECURE_HEAP = 4 << 20, SECURE_LEAST = 32 };

struct entry {
	uint32_t number;
	EVP_PKEY *key;
};

struct vault_keys {
	uint32_t magic;
	uint32_t last;
	pthread_mutex_t lock; /* guards the list */
	struct entry *list;
	size_t n, cap;
};

#define VAULT_KEYS_MAGIC GW_MAGIC('V', 'K', 'E', 'Y')

/* OpenSSL keeps the secret numbers of keys in memory that is locked and never dumped. A machine
 * that permits no locked memory is no reason to have no TLS. Sanitizers do not look for pointers
 * in there, and would call what they lead to lost. */
static void set_memory_apart(void)
{
	if (sandbox_possible() && CRYPTO_secure_malloc_initialized() == 0)
		(void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
}

struct vault_keys *vault_keys_new(void)
{
	struct vault_keys *k = gw_calloc(1, sizeof(*k));
	unsigned char seed[sizeof(k->last)];

	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_CIPHERS |
				OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
	    NULL);
	set_memory_apart();
	/* Receivers live longer than a vault: the numbers of this one are not those of the last. */
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("vault: no random bytes");
	memcpy(&k->last, seed, sizeof(seed));
	k->magic = VAULT_KEYS_MAGIC;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

void vault_keys_free(struct vault_keys **kp)
{
	struct vault_keys *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	gw_check_magic(k, VAULT_KEYS_MAGIC);
	for (size_t i = 0; i < k->n; i++)
		EVP_PKEY_free(k->list[i].key);
	pthread_mutex_destroy(&k->lock);
	free(k->list);
	k->magic = 0;
	free(k);
}

/* With the lock held. */
static struct entry *find(struct vault_keys *k, uint32_t number)
{
	for (size_t i = 0; i < k->n; i++) {
		if (k->list[i].number == number)
			return &k->list[i];
	}
	return NULL;
}

/* With the lock held. */
static void append(struct vault_keys *k, EVP_PKEY *key)
{
	if (k->n == k->cap) {
		k->cap = k->cap == 0 ? 8 : 2 * k->cap;
		k->list = gw_realloc(k->list, k->cap * sizeof(*k->list));
	}
	do {
		k->last++;
	} while (k->last == 0 || find(k, k->last) != NULL);
	k->list[k->n++] = (struct entry){k->last, key};
}

uint32_t vault_keys_add(struct vault_keys *k, EVP_PKEY *key)
{
	uint32_t number = 0;

	gw_check_magic(k, VAULT_KEYS_MAGIC);
	pthread_mutex_lock(&k->lock);
	if (k->n < VAULT_KEYS_MAX) {
		append(k, key);
		number = k->last;
	}
	pthread_mutex_unlock(&k->lock);
	if (number == 0)
		EVP_PKEY_free(key);
	return number;
}

void vault_keys_drop(struct vault_keys *k, uint32_t number)
{
	struct entry *e;
	EVP_PKEY *key = NULL;

	gw_check_magic(k, VAULT_KEYS_MAGIC);
	pthread_mutex_lock(&k->lock);
	e = find(k, number);
	if (e != NULL) {
		key = e->key;
		*e = k->list[--k->n];
	}
	pthread_mutex_unlock(&k->lock);
	EVP_PKEY_free(key);
}

/* ---- signing: on the signer's threads ------------------------------------------------------- */

static EVP_PKEY *borrow(struct vault_keys *k, uint32_t number)
{
	EVP_PKEY *key = NULL;
	struct entry *e;

	pthread_mutex_lock(&k->lock);
	e = find(k, number);
	if (e != NULL && EVP_PKEY_up_ref(e->key) == 1)
		key = e->key;
	pthread_mutex_unlock(&k->lock);
	return key;
}

static const EVP_MD *digest_of(const struct signer_request *r)
{
	const EVP_MD *md;

	switch ((enum signer_digest)r->digest) {
	case SIGNER_SHA256: md = EVP_sha256(); break;
	case SIGNER_SHA384: md = EVP_sha384(); break;
	case SIGNER_SHA512: md = EVP_sha512(); break;
	default: return NULL;
	}
	/* The value is a digest and nothing of another length: no other use of the key is to be
	 * had. */
	return r->octets == EVP_MD_get_size(md) ? md : NULL;
}

/* PKCS #1 v1.5 is with the DigestInfo, so it can be no decryption and no raw signature. */
static bool set_scheme(EVP_PKEY_CTX *c, enum signer_scheme scheme, const EVP_MD *md)
{
	if (EVP_PKEY_CTX_set_signature_md(c, md) <= 0)
		return false;
	switch (scheme) {
	case SIGNER_RSA_PSS:
		return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_mgf1_md(c, md) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0;
	case SIGNER_RSA_PKCS1: return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0;
	default: return true;
	}
}

static bool fits(const EVP_PKEY *key, uint8_t scheme)
{
	int wanted = scheme == SIGNER_ECDSA ? EVP_PKEY_EC : EVP_PKEY_RSA;

	return scheme <= SIGNER_SCHEME_MAX && EVP_PKEY_get_base_id(key) == wanted &&
	       EVP_PKEY_get_size(key) <= SIGNER_SIGNATURE_MAX;
}

static ptrdiff_t sign_with(EVP_PKEY *key, const struct signer_request *r, uint8_t *to)
{
	const EVP_MD *md = digest_of(r);
	size_t n = SIGNER_SIGNATURE_MAX;
	EVP_PKEY_CTX *c;
	bool done;

	if (md == NULL || !fits(key, r->scheme))
		return GW_EPERM;
	c = EVP_PKEY_CTX_new(key, NULL);
	done = c != NULL && EVP_PKEY_sign_init(c) > 0 && set_scheme(c, r->scheme, md) &&
	       EVP_PKEY_sign(c, to, &n, r->value, r->octets) > 0;
	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return done ? (ptrdiff_t)n : GW_EIO;
}

ptrdiff_t vault_keys_sign(
    void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX])
{
	struct vault_keys *k = arg;
	EVP_PKEY *key;
	ptrdiff_t n;

	gw_check_magic(k, VAULT_KEYS_MAGIC);
	key = borrow(k, r->key);
	if (key == NULL)
		return GW_ENOENT;
	n = sign_with(key, r, to);
	EVP_PKEY_free(key);
	if (n > 0)
		metric_add(METRIC_HANDSHAKE_SIGNATURES, 1);
	return n;
}
