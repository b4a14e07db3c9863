/*
 * A provider of OpenSSL whose private keys are elsewhere. It implements the least that a TLS server
 * asks for: what a key looks like from outside (that is its public half, which the certificate
 * has), and the signature of a handshake under EC or RSA. There is no decryption, no raw private
 * operation, and no way to get a private key out, since there is none.
 */
#include "net/tls-private.h"

#include "base/clock.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdlib.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, LATE_PAUSE = 5 };

#define PARAM_KEY "godwit-key"

struct key {
	EVP_PKEY *public_key;
	struct tls_signer *signer;
	uint32_t number;
};

/* ---- keymgmt: what a key is ------------------------------------------------------------------ */

static void *key_new(void *provider)
{
	(void)provider;
	return calloc(1, sizeof(struct key));
}

static void key_free(void *arg)
{
	struct key *k = arg;

	if (k != NULL)
		EVP_PKEY_free(k->public_key);
	free(k);
}

static int key_has(const void *arg, int selection)
{
	const struct key *k = arg;

	(void)selection;
	return k != NULL && k->public_key != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct key *x = a, *y = b;

	(void)selection;
	return EVP_PKEY_eq(x->public_key, y->public_key) == 1;
}

static int key_get_params(void *arg, OSSL_PARAM params[])
{
	const struct key *k = arg;

	return EVP_PKEY_get_params(k->public_key, params);
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)provider;
	return params;
}

/* Only tls_key_new() can fill a key: what other providers would give has no such parameter. */
static int key_import(void *arg, int selection, const OSSL_PARAM params[])
{
	struct key *k = arg;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_KEY);

	(void)selection;
	if (p == NULL || p->data_type != OSSL_PARAM_OCTET_STRING || p->data_size != sizeof(*k))
		return 0;
	memcpy(k, p->data, sizeof(*k));
	if (EVP_PKEY_up_ref(k->public_key) == 1)
		return 1;
	k->public_key = NULL;
	return 0;
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
	    OSSL_PARAM_octet_string(PARAM_KEY, NULL, 0), OSSL_PARAM_END};

	(void)selection;
	return types;
}

/* The public half, for comparing it with the one of the certificate. */
static int key_export(void *arg, int selection, OSSL_CALLBACK *give, void *to)
{
	const struct key *k = arg;
	OSSL_PARAM *params = NULL;
	int ok;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	if (EVP_PKEY_todata(k->public_key, EVP_PKEY_PUBLIC_KEY, &params) != 1)
		return 0;
	ok = give(params, to);
	OSSL_PARAM_free(params);
	return ok;
}

static const OSSL_PARAM *key_export_types(int selection)
{
	static const OSSL_PARAM types[] = {
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};
	static const OSSL_PARAM none[] = {OSSL_PARAM_END};

	return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? none : types;
}

static const char *ec_signature_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *rsa_signature_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

#define FN(id, fn) \
	{ \
		OSSL_FUNC_##id, (void (*)(void))(fn) \
	}
#define KEY_FUNCTIONS \
	FN(KEYMGMT_NEW, key_new), FN(KEYMGMT_FREE, key_free), FN(KEYMGMT_HAS, key_has), \
	    FN(KEYMGMT_MATCH, key_match), FN(KEYMGMT_GET_PARAMS, key_get_params), \
	    FN(KEYMGMT_GETTABLE_PARAMS, key_gettable), FN(KEYMGMT_IMPORT, key_import), \
	    FN(KEYMGMT_IMPORT_TYPES, key_import_types), FN(KEYMGMT_EXPORT, key_export), \
	    FN(KEYMGMT_EXPORT_TYPES, key_export_types)

static const OSSL_DISPATCH ec_key[] = {
    KEY_FUNCTIONS, FN(KEYMGMT_QUERY_OPERATION_NAME, ec_signature_name), {0, NULL}};
static const OSSL_DISPATCH rsa_key[] = {
    KEY_FUNCTIONS, FN(KEYMGMT_QUERY_OPERATION_NAME, rsa_signature_name), {0, NULL}};

/* ---- signature ------------------------------------------------------------------------------- */

struct signing {
	const struct key *key; /* lent by the operation */
	enum signer_scheme scheme;
	enum signer_digest digest;
};

static void *ec_signing_new(void *provider, const char *properties)
{
	struct signing *g = calloc(1, sizeof(*g));

	(void)provider;
	(void)properties;
	if (g != NULL)
		g->scheme = SIGNER_ECDSA;
	return g;
}

static void *rsa_signing_new(void *provider, const char *properties)
{
	struct signing *g = ec_signing_new(provider, properties);

	if (g != NULL)
		g->scheme = SIGNER_RSA_PKCS1;
	return g;
}

static void signing_free(void *arg)
{
	free(arg);
}

static const struct digest_name {
	const char *name, *other;
	enum signer_digest digest;
} digest_names[] = {
    {"SHA256", "SHA2-256", SIGNER_SHA256},
    {"SHA384", "SHA2-384", SIGNER_SHA384},
    {"SHA512", "SHA2-512", SIGNER_SHA512},
};

static bool set_digest(struct signing *g, const char *name)
{
	for (size_t i = 0; name != NULL && i < GW_ARRAY_LEN(digest_names); i++) {
		const struct digest_name *d = &digest_names[i];

		g->digest = d->digest;
		if (OPENSSL_strcasecmp(name, d->name) == 0 ||
		    OPENSSL_strcasecmp(name, d->other) == 0)
			return true;
	}
	return false;
}

/* The library gives such values as a number or as a word. */
static bool is_value(const OSSL_PARAM *p, int number, const char *word)
{
	const char *text;
	int value;

	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_get_utf8_string_ptr(p, &text) && strcmp(text, word) == 0;
	return OSSL_PARAM_get_int(p, &value) && value == number;
}

static bool set_padding(struct signing *g, const OSSL_PARAM *p)
{
	if (is_value(p, RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS))
		g->scheme = SIGNER_RSA_PSS;
	else if (is_value(p, RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15))
		g->scheme = SIGNER_RSA_PKCS1;
	else
		return false;
	return true;
}

static int signing_set_params(void *arg, const OSSL_PARAM params[])
{
	struct signing *g = arg;
	const OSSL_PARAM *p;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p != NULL && !set_padding(g, p))
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	/* TLS knows no other length of the salt, and so does the signer. */
	return p == NULL || is_value(p, RSA_PSS_SALTLEN_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
}

static const OSSL_PARAM *signing_settable(void *arg, void *provider)
{
	static const OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END};

	(void)arg;
	(void)provider;
	return params;
}

static int signing_init(void *arg, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *g = arg;

	g->key = key;
	return key != NULL && set_digest(g, digest) && signing_set_params(g, params);
}

/* Nobody waits a second time for a signer that let us wait in vain, as all sessions wait with him.
 */
static ptrdiff_t ask(struct tls_signer *s, const struct signer_request *r, uint8_t *to, size_t room)
{
	ptrdiff_t n = GW_EBUSY;

	if (s->late_until == 0 || signer_was_late(s->fd) || clock_now() >= s->late_until) {
		s->late_until = 0;
		n = signer_ask(s->fd, r, to, room);
		if (n == GW_EBUSY)
			s->late_until = clock_now() + LATE_PAUSE * USEC_PER_SEC;
	}
	if (n < 0)
		s->failures++;
	return n;
}

/* The whole text at once; without `to` the answer is how long a signature can be. */
static int signing_sign(
    void *arg, unsigned char *to, size_t *n, size_t room, const unsigned char *text, size_t length)
{
	struct signing *g = arg;
	const struct key *k = g->key;
	struct signer_request r = {.key = k->number, .scheme = g->scheme, .digest = g->digest};
	size_t octets = 0;
	ptrdiff_t got;

	if (to == NULL) {
		*n = (size_t)EVP_PKEY_get_size(k->public_key);
		return 1;
	}
	if (EVP_Q_digest(k->signer->lib, digest_names[g->digest].name, NULL, text, length, r.value,
		&octets) != 1)
		return 0;
	r.octets = (uint8_t)octets;
	got = ask(k->signer, &r, to, room);
	if (got < 0)
		return 0;
	*n = (size_t)got;
	return 1;
}

static const OSSL_DISPATCH ec_signature[] = {FN(SIGNATURE_NEWCTX, ec_signing_new),
    FN(SIGNATURE_FREECTX, signing_free), FN(SIGNATURE_DIGEST_SIGN_INIT, signing_init),
    FN(SIGNATURE_DIGEST_SIGN, signing_sign), {0, NULL}};
static const OSSL_DISPATCH rsa_signature[] = {FN(SIGNATURE_NEWCTX, rsa_signing_new),
    FN(SIGNATURE_FREECTX, signing_free), FN(SIGNATURE_DIGEST_SIGN_INIT, signing_init),
    FN(SIGNATURE_DIGEST_SIGN, signing_sign), FN(SIGNATURE_SET_CTX_PARAMS, signing_set_params),
    FN(SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable), {0, NULL}};

/* ---- the provider ---------------------------------------------------------------------------- */

#define PROPERTIES "provider=godwit"

static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, ec_key, "EC keys of the signer"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, rsa_key, "RSA keys of the signer"},
    {NULL, NULL, NULL, NULL}};
static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", PROPERTIES, ec_signature, "ECDSA by the signer"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, rsa_signature, "RSA by the signer"},
    {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **functions, void **provider)
{
	static const OSSL_DISPATCH table[] = {FN(PROVIDER_QUERY_OPERATION, query), {0, NULL}};

	(void)in;
	*functions = table;
	*provider = (void *)(uintptr_t)handle;
	return 1;
}

int tls_keys_init(struct tls_keys *k)
{
	k->lib = OSSL_LIB_CTX_new();
	if (k->lib == NULL || OSSL_PROVIDER_add_builtin(k->lib, "godwit", start) != 1)
		return GW_ENOMEM;
	k->provider = OSSL_PROVIDER_load(k->lib, "godwit");
	return k->provider != NULL ? 0 : GW_ENOMEM;
}

void tls_keys_fini(struct tls_keys *k)
{
	if (k->provider != NULL)
		OSSL_PROVIDER_unload(k->provider);
	OSSL_LIB_CTX_free(k->lib);
	*k = (struct tls_keys){0};
}

/* ---- a key ----------------------------------------------------------------------------------- */

static const char *kind_of(const EVP_PKEY *public_key)
{
	char group[32] = "";
	int bits = EVP_PKEY_get_bits(public_key);

	if (EVP_PKEY_is_a(public_key, "RSA"))
		return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? "RSA" : NULL;
	if (!EVP_PKEY_is_a(public_key, "EC") ||
	    EVP_PKEY_get_group_name(public_key, group, sizeof(group), NULL) != 1)
		return NULL;
	return strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ? "EC" : NULL;
}

EVP_PKEY *tls_key_new(
    struct tls_keys *k, struct tls_signer *s, EVP_PKEY *public_key, uint32_t number)
{
	struct key value = {.public_key = public_key, .signer = s, .number = number};
	OSSL_PARAM params[] = {
	    OSSL_PARAM_octet_string(PARAM_KEY, &value, sizeof(value)), OSSL_PARAM_END};
	const char *kind = kind_of(public_key);
	EVP_PKEY_CTX *ctx = kind ? EVP_PKEY_CTX_new_from_name(k->lib, kind, NULL) : NULL;
	EVP_PKEY *made = NULL;

	if (ctx != NULL && (EVP_PKEY_fromdata_init(ctx) != 1 ||
			       EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) != 1))
		made = NULL;
	EVP_PKEY_CTX_free(ctx);
	return made;
}
