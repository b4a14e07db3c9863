/*
 * Pairs of certificate and key: good ones of every kind; each way in which one can be bad, with its
 * own words; and that signatures are those of the key asked for, of the scheme asked for, and of
 * nothing but a digest.
 */
#include "role/vault_keys.h"
#include "role/vault_pair.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW INT64_C(1700000000)

/* ---- what is tried with -----------------------------------------------------------------------
 */

static EVP_PKEY *p256, *p384, *p521, *rsa1024, *rsa2048, *ed25519, *ca_key;
static X509 *ca;

static X509 *certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *signer)
{
	X509 *x = X509_new();
	time_t at = (time_t)NOW;
	X509_EXTENSION *e;
	char san[80];

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + rand());
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
	X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, &at);
	X509_time_adj_ex(X509_getm_notAfter(x), 30, 0, &at);
	snprintf(san, sizeof(san), "DNS:%s,DNS:www.%s", name, name);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(x, signer, signer == ed25519 ? NULL : EVP_sha256()) > 0);
	return x;
}

static int make_all(void **state)
{
	(void)state;
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	p521 = EVP_EC_gen("P-521");
	rsa1024 = EVP_RSA_gen(1024);
	rsa2048 = EVP_RSA_gen(2048);
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	ca_key = EVP_EC_gen("P-256");
	ca = certificate(ca_key, "the-ca", NULL, ca_key);
	return 0;
}

/* PEM of what is given, in that order, as a C string. */
static char *text_of(BIO *b)
{
	char *p, *copy;
	long n = BIO_get_mem_data(b, &p);

	copy = calloc(1, (size_t)n + 1);
	memcpy(copy, p, (size_t)n);
	BIO_free(b);
	return copy;
}

static char *pem_chain(X509 *a, X509 *b, X509 *c)
{
	BIO *out = BIO_new(BIO_s_mem());

	if (a != NULL)
		PEM_write_bio_X509(out, a);
	if (b != NULL)
		PEM_write_bio_X509(out, b);
	if (c != NULL)
		PEM_write_bio_X509(out, c);
	return text_of(out);
}

static char *pem_key(EVP_PKEY *key, const char *password)
{
	BIO *out = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(out, key, password != NULL ? EVP_aes_128_cbc() : NULL,
	    (const uint8_t *)password, password != NULL ? (int)strlen(password) : 0, NULL, NULL);
	return text_of(out);
}

static char *pem_key_traditional(EVP_PKEY *key, bool locked)
{
	BIO *out = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey_traditional(out, key, locked ? EVP_aes_128_cbc() : NULL,
	    (const uint8_t *)"x1234", locked ? 5 : 0, NULL, NULL);
	return text_of(out);
}

static int load(const char *chain, const char *key, struct pair *p, char reason[PAIR_REASON])
{
	return pair_load(span_str(chain), span_str(key), p, reason);
}

/* Is refused, with these words in the reason, and leaves nothing behind. */
static void refused(const char *chain, const char *key, const char *words)
{
	char reason[PAIR_REASON] = "";
	struct pair p;

	assert_int_equal(load(chain, key, &p, reason), GW_EFORMAT);
	if (strstr(reason, words) == NULL)
		print_error("said: %s\nwanted: %s\n", reason, words);
	assert_non_null(strstr(reason, words));
	assert_null(p.key);
	assert_int_equal(p.n_chain, 0);
}

/* ---- good ones --------------------------------------------------------------------------------
 */

static void good(EVP_PKEY *key)
{
	X509 *x = certificate(key, "mx.test", ca, ca_key);
	char *chain = pem_chain(x, ca, NULL), *text[2];
	char reason[PAIR_REASON] = "";
	struct pair p;

	text[0] = pem_key(key, NULL);
	text[1] = pem_key_traditional(key, false);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(load(chain, text[i], &p, reason), 0);
		assert_string_equal(reason, "");
		assert_int_equal(p.n_chain, 2);
		assert_string_equal(p.names, "mx.test www.mx.test");
		assert_int_equal(p.not_before, NOW - 86400);
		assert_int_equal(p.not_after, NOW + 30 * 86400);
		assert_int_equal(EVP_PKEY_eq(p.key, key), 1);
		pair_free(&p);
		pair_free(&p);
		free(text[i]);
	}
	free(chain);
	X509_free(x);
}

static void good_pairs(void **state)
{
	(void)state;
	good(p256);
	good(p384);
	good(rsa2048);
}

/* Text around, DOS line ends, the key in the same file, parameters before the key. */
static void files_as_people_have_them(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	char *chain = pem_chain(x, NULL, NULL), *key = pem_key(p256, NULL), all[8192], dos[8192];
	char reason[PAIR_REASON];
	struct pair p;
	size_t n = 0;

	(void)state;
	snprintf(all, sizeof(all), "Subject: mx.test\n%s\n# the key\n%s%s", chain,
	    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", key);
	assert_int_equal(load(all, all, &p, reason), 0);
	pair_free(&p);
	for (const char *c = all; *c != '\0' && n < sizeof(dos) - 2; c++) {
		if (*c == '\n')
			dos[n++] = '\r';
		dos[n++] = *c;
	}
	dos[n] = '\0';
	assert_int_equal(load(dos, dos, &p, reason), 0);
	pair_free(&p);
	free(chain);
	free(key);
	X509_free(x);
}

/* ---- bad ones ---------------------------------------------------------------------------------
 */

static void bad_keys(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	char *chain = pem_chain(x, ca, NULL), *key;

	(void)state;
	refused(chain, "", "the key file is empty");
	refused(chain, "hello\n", "the key file is not PEM");
	refused(chain, chain, "there is no private key");
	key = pem_key(p256, "secret");
	refused(chain, key, "the key is encrypted");
	free(key);
	key = pem_key_traditional(p256, true);
	refused(chain, key, "the key is encrypted");
	free(key);
	key = pem_key(p384, NULL);
	refused(chain, key, "the key belongs to another certificate");
	free(key);
	key = pem_key(ca_key, NULL);
	refused(chain, key, "the chain is in the wrong order: the key belongs to");
	free(key);
	key = pem_key(p521, NULL);
	refused(chain, key, "another curve");
	free(key);
	key = pem_key(rsa1024, NULL);
	refused(chain, key, "too short");
	free(key);
	key = pem_key(ed25519, NULL);
	refused(chain, key, "neither RSA nor EC");
	free(key);
	free(chain);
	X509_free(x);
}

/* At no length is a part of a file taken for a whole one. */
static void cut_keys(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	char *chain = pem_chain(x, ca, NULL), *key = pem_key(p256, NULL);
	size_t n = strlen(key);

	(void)state;
	for (size_t i = 0; i + 2 < n; i++) {
		char reason[PAIR_REASON] = "";
		struct pair p;

		assert_int_equal(
		    pair_load(span_str(chain), span_of(key, i), &p, reason), GW_EFORMAT);
		assert_true(reason[0] != '\0');
	}
	free(chain);
	free(key);
	X509_free(x);
}

static void cut_chains(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	char *chain = pem_chain(x, ca, NULL), *alone = pem_chain(x, NULL, NULL);
	char *key = pem_key(p256, NULL);
	size_t n = strlen(chain), one = strlen(alone);

	(void)state;
	for (size_t i = 0; i + 2 < n; i++) {
		char reason[PAIR_REASON] = "";
		struct pair p;
		int err = pair_load(span_of(chain, i), span_str(key), &p, reason);

		/* Just behind the first it is a chain of one; in the middle of the second it is
		 * none. */
		if (err == 0) {
			assert_int_equal(p.n_chain, 1);
			assert_true(i >= one - 1 && i <= one + 27);
			pair_free(&p);
		}
	}
	free(chain);
	free(alone);
	free(key);
	X509_free(x);
}

static void bad_chains(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	X509 *other = certificate(p384, "other.test", ca, ca_key);
	char *key = pem_key(p256, NULL), *chain, *der_text;
	uint8_t *der = NULL;
	char reason[PAIR_REASON];
	struct pair p;
	int n;

	(void)state;
	refused("", key, "the certificate file is empty");
	refused("x", key, "the certificate file is not PEM");
	refused(key, key, "there is no certificate");
	chain = pem_chain(ca, x, NULL);
	refused(chain, key, "the chain is in the wrong order");
	free(chain);
	chain = pem_chain(x, other, ca);
	refused(chain, key, "each certificate must be followed by its issuer");
	free(chain);
	chain = pem_chain(other, ca, NULL);
	refused(chain, key, "the key belongs to another certificate");
	free(chain);
	/* DER, as some programs write it. */
	n = i2d_X509(x, &der);
	assert_int_equal(pair_load(span_of(der, (size_t)n), span_str(key), &p, reason), GW_EFORMAT);
	assert_non_null(strstr(reason, "not PEM"));
	OPENSSL_free(der);
	der = NULL;
	n = i2d_PrivateKey(p256, &der);
	chain = pem_chain(x, NULL, NULL);
	assert_int_equal(
	    pair_load(span_str(chain), span_of(der, (size_t)n), &p, reason), GW_EFORMAT);
	assert_non_null(strstr(reason, "not PEM"));
	OPENSSL_free(der);
	/* One octet damaged. */
	der_text = strdup(chain);
	der_text[200] = der_text[200] == 'A' ? 'B' : 'A';
	refused(der_text, key, "");
	free(der_text);
	free(chain);
	free(key);
	X509_free(other);
	X509_free(x);
}

static void endless_chains(void **state)
{
	X509 *x = certificate(p256, "mx.test", ca, ca_key);
	char *one = pem_chain(x, NULL, NULL), *root = pem_chain(ca, NULL, NULL);
	char *key = pem_key(p256, NULL), *all = calloc(1, 40 * 1024);

	(void)state;
	strcat(all, one);
	for (int i = 0; i < 12; i++)
		strcat(all, root);
	refused(all, key, "more than 10");
	free(all);
	all = calloc(1, PAIR_TEXT_MAX + 2);
	memset(all, 'x', PAIR_TEXT_MAX + 1);
	refused(all, key, "larger than 1 MiB");
	refused(one, all, "larger than 1 MiB");
	free(all);
	free(one);
	free(root);
	free(key);
	X509_free(x);
}

static void one_of_its_own(void **state)
{
	struct pair p;
	const uint8_t *at;
	X509 *x;

	(void)state;
	pair_self_signed("mx.example.com", NOW, &p);
	assert_int_equal(p.n_chain, 1);
	assert_string_equal(p.names, "mx.example.com");
	assert_true(p.not_before < NOW && p.not_after > NOW + 300 * INT64_C(86400));
	at = p.chain[0].p;
	x = d2i_X509(NULL, &at, (long)p.chain[0].n);
	assert_int_equal(X509_verify(x, p.key), 1);
	assert_int_equal(X509_check_host(x, "mx.example.com", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "other.example.com", 0, 0, NULL), 0);
	X509_free(x);
	pair_free(&p);
	/* The longest name there is. */
	{
		char name[254];

		memset(name, 'a', sizeof(name) - 1);
		name[253] = '\0';
		for (size_t i = 60; i < 250; i += 61)
			name[i] = '.';
		pair_self_signed(name, NOW, &p);
		pair_free(&p);
	}
}

/* ---- signatures -------------------------------------------------------------------------------
 */

static bool verifies(EVP_PKEY *key, const struct signer_request *r, const uint8_t *s, size_t n)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	const EVP_MD *md = r->digest == SIGNER_SHA256   ? EVP_sha256()
			   : r->digest == SIGNER_SHA384 ? EVP_sha384()
							: EVP_sha512();
	bool good;

	EVP_PKEY_verify_init(c);
	EVP_PKEY_CTX_set_signature_md(c, md);
	if (r->scheme == SIGNER_RSA_PSS) {
		EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST);
	}
	good = EVP_PKEY_verify(c, s, n, r->value, r->octets) == 1;
	EVP_PKEY_CTX_free(c);
	return good;
}

static void signatures(void **state)
{
	struct vault_keys *k = vault_keys_new();
	uint8_t out[SIGNER_SIGNATURE_MAX];
	EVP_PKEY *keys[] = {p256, p384, rsa2048};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(keys); i++) {
		uint32_t number;

		EVP_PKEY_up_ref(keys[i]);
		number = vault_keys_add(k, keys[i]);
		assert_true(number != 0);
		for (unsigned scheme = 0; scheme < 5; scheme++) {
			for (unsigned digest = 0; digest < 5; digest++) {
				struct signer_request r = {.key = number,
				    .scheme = (uint8_t)scheme,
				    .digest = (uint8_t)digest,
				    .octets = (uint8_t)signer_digest_octets(digest),
				    .value = {1, 2, 3}};
				bool may = digest <= SIGNER_DIGEST_MAX &&
					   (keys[i] == rsa2048 ? scheme == SIGNER_RSA_PSS ||
								     scheme == SIGNER_RSA_PKCS1
							       : scheme == SIGNER_ECDSA);
				ptrdiff_t n = vault_keys_sign(k, &r, out);

				assert_int_equal(n > 0, may);
				if (may)
					assert_true(verifies(keys[i], &r, out, (size_t)n));
				/* Not a digest: too short, too long, none. */
				r.octets ^= 1;
				assert_true(vault_keys_sign(k, &r, out) < 0);
				r.octets = 0;
				assert_true(vault_keys_sign(k, &r, out) < 0);
				r.octets = 255;
				assert_true(vault_keys_sign(k, &r, out) < 0);
			}
		}
	}
	vault_keys_free(&k);
}

static void keys_come_and_go(void **state)
{
	struct vault_keys *k = vault_keys_new();
	struct signer_request r = {
	    .scheme = SIGNER_ECDSA, .digest = SIGNER_SHA256, .octets = 32, .value = {9}};
	uint8_t out[SIGNER_SIGNATURE_MAX];
	uint32_t last = 0, number = 0;

	(void)state;
	assert_int_equal(vault_keys_sign(k, &r, out), GW_ENOENT);
	for (int i = 0; i < VAULT_KEYS_MAX; i++) {
		EVP_PKEY_up_ref(p256);
		number = vault_keys_add(k, p256);
		assert_true(number != 0 && number != last);
		last = number;
	}
	EVP_PKEY_up_ref(p256);
	assert_int_equal(vault_keys_add(k, p256), 0);
	r.key = number;
	assert_true(vault_keys_sign(k, &r, out) > 0);
	vault_keys_drop(k, number);
	vault_keys_drop(k, number);
	assert_int_equal(vault_keys_sign(k, &r, out), GW_ENOENT);
	vault_keys_free(&k);
}

/* Threads sign while the loop adds and drops: no signature is of another key, none is of one that
 * is gone. */
struct race {
	struct vault_keys *keys;
	_Atomic uint32_t now;
	_Atomic bool over;
	_Atomic unsigned good, gone;
};

static void *signs(void *arg)
{
	struct race *x = arg;
	struct signer_request r = {
	    .scheme = SIGNER_ECDSA, .digest = SIGNER_SHA256, .octets = 32, .value = {9}};
	uint8_t out[SIGNER_SIGNATURE_MAX];

	while (!x->over) {
		ptrdiff_t n;

		r.key = x->now;
		n = vault_keys_sign(x->keys, &r, out);
		if (n == GW_ENOENT)
			x->gone++;
		else if (n > 0 && verifies(p256, &r, out, (size_t)n))
			x->good++;
		else
			return x;
	}
	return NULL;
}

static void threads_and_the_loop(void **state)
{
	struct race x = {.keys = vault_keys_new()};
	pthread_t t[2];
	void *bad;

	(void)state;
	pthread_create(&t[0], NULL, signs, &x);
	pthread_create(&t[1], NULL, signs, &x);
	for (int i = 0; i < 20000 || (x.good < 100 && i < 1000000); i++) {
		uint32_t before = x.now;

		EVP_PKEY_up_ref(p256);
		x.now = vault_keys_add(x.keys, p256);
		vault_keys_drop(x.keys, before);
		/* Now and then one stays long enough to be used. */
		if (i % 64 == 0)
			sched_yield();
		if (i % 1024 == 0)
			usleep(500);
	}
	x.over = true;
	for (size_t i = 0; i < 2; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_true(x.good > 0);
	vault_keys_free(&x.keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(good_pairs),
	    cmocka_unit_test(files_as_people_have_them), cmocka_unit_test(bad_keys),
	    cmocka_unit_test(cut_keys), cmocka_unit_test(cut_chains), cmocka_unit_test(bad_chains),
	    cmocka_unit_test(endless_chains), cmocka_unit_test(one_of_its_own),
	    cmocka_unit_test(signatures), cmocka_unit_test(keys_come_and_go),
	    cmocka_unit_test(threads_and_the_loop)};

	return cmocka_run_group_tests(tests, make_all, NULL);
}
