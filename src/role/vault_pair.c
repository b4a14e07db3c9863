#include "role/vault_pair.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RSA_BITS_LEAST = 2048, RSA_BITS_MOST = 8192, SERIAL_BITS = 127 };
/* Before now, for clients whose clock is behind; and how long, since it is made at each start. */
enum { SELF_SIGNED_BEFORE = 86400, SELF_SIGNED_DAYS = 365, SECONDS_A_DAY = 86400 };

static int refuse(char reason[PAIR_REASON], const char *text)
{
	snprintf(reason, PAIR_REASON, "%s", text);
	ERR_clear_error();
	return GW_EFORMAT;
}

void pair_free(struct pair *p)
{
	EVP_PKEY_free(p->key);
	for (size_t i = 0; i < p->n_chain; i++)
		OPENSSL_free((void *)(uintptr_t)p->chain[i].p);
	*p = (struct pair){0};
}

/* ---- the key ------------------------------------------------------------------------------- */

/* Nobody is there to be asked. */
static int no_password(char *to, int size, int writing, void *asked)
{
	(void)to;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static bool has_line(struct span text, const char *line)
{
	return text.n > 0 && memmem(text.p, text.n, line, strlen(line)) != NULL;
}

static const char *why_no_key(struct span text, bool encrypted)
{
	if (encrypted)
		return "the key is encrypted; a server cannot be asked for its password";
	if (text.n == 0)
		return "the key file is empty";
	if (!has_line(text, "-----BEGIN "))
		return "the key file is not PEM";
	if (!has_line(text, "PRIVATE KEY-----"))
		return "there is no private key in the key file";
	return "the private key cannot be read: it is damaged, or of an unknown kind";
}

static EVP_PKEY *read_key(struct span text, char reason[PAIR_REASON])
{
	bool encrypted = false;
	BIO *in = text.n > 0 ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	EVP_PKEY *key =
	    in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_password, &encrypted);

	BIO_free(in);
	if (key == NULL)
		(void)refuse(reason, why_no_key(text, encrypted));
	return key;
}

static bool is_curve(const EVP_PKEY *key, const char *name)
{
	char group[64];
	size_t n = 0;

	return EVP_PKEY_get_utf8_string_param(
		   key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) == 1 &&
	       strcmp(group, name) == 0;
}

static int judge_key(const EVP_PKEY *key, char reason[PAIR_REASON])
{
	int bits = EVP_PKEY_get_bits(key);

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_EC:
		if (is_curve(key, SN_X9_62_prime256v1) || is_curve(key, SN_secp384r1))
			return 0;
		return refuse(reason, "the key is EC of another curve than P-256 and P-384");
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_LEAST)
			return refuse(reason, "the RSA key is too short: 2048 bits at the least");
		/* Each handshake would take the time of fifty. */
		if (bits > RSA_BITS_MOST)
			return refuse(reason, "the RSA key is too long: 8192 bits at the most");
		return 0;
	default: return refuse(reason, "the key is neither RSA nor EC P-256 or P-384");
	}
}

/* ---- the chain ----------------------------------------------------------------------------- */

static const char *why_no_certificate(struct span text)
{
	if (text.n == 0)
		return "the certificate file is empty";
	if (!has_line(text, "-----BEGIN "))
		return "the certificate file is not PEM";
	if (!has_line(text, "-----BEGIN CERTIFICATE-----") &&
	    !has_line(text, "-----BEGIN TRUSTED CERTIFICATE-----") &&
	    !has_line(text, "-----BEGIN X509 CERTIFICATE-----"))
		return "there is no certificate in the certificate file";
	return "a certificate cannot be read: the file is damaged or cut off";
}

/* All of them: a file that ends in the middle of one is not taken for a shorter chain. */
static int read_chain(
    struct span text, X509 *chain[PROTO_CHAIN_MAX], size_t *n, char reason[PAIR_REASON])
{
	BIO *in = text.n > 0 ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	X509 *x;

	*n = 0;
	ERR_clear_error();
	while (in != NULL && *n < PROTO_CHAIN_MAX &&
	       (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
		chain[(*n)++] = x;
	if (*n == PROTO_CHAIN_MAX && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		X509_free(x);
		BIO_free(in);
		return refuse(reason, "the chain has more than 10 certificates");
	}
	BIO_free(in);
	if (*n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return refuse(reason, why_no_certificate(text));
	ERR_clear_error();
	return 0;
}

static int judge_chain(X509 *const chain[], size_t n, const EVP_PKEY *key, char reason[PAIR_REASON])
{
	if (X509_check_private_key(chain[0], key) != 1) {
		for (size_t i = 1; i < n; i++) {
			if (X509_check_private_key(chain[i], key) == 1)
				return refuse(reason,
				    "the chain is in the wrong order: the key belongs to a "
				    "certificate that is not the first");
		}
		return refuse(reason, "the key belongs to another certificate");
	}
	for (size_t i = 1; i < n; i++) {
		if (X509_check_issued(chain[i], chain[i - 1]) != X509_V_OK)
			return refuse(reason,
			    "the chain is in the wrong order: each certificate must be followed by "
			    "its issuer");
	}
	return 0;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void add_name(char *out, const ASN1_STRING *name)
{
	size_t have = strlen(out), more = (size_t)ASN1_STRING_length(name);

	if (have + more + 2 > PAIR_NAMES)
		return;
	if (have > 0)
		out[have++] = ' ';
	span_to_cstr(span_of(ASN1_STRING_get0_data(name), more), out + have, more + 1);
}

static void take_names(const X509 *leaf, char *out)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

		if (g->type == GEN_DNS)
			add_name(out, g->d.dNSName);
	}
	GENERAL_NAMES_free(all);
}

static int take_chain(X509 *const chain[], size_t n, struct pair *p)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char *der = NULL;
		int len = i2d_X509(chain[i], &der);

		if (len <= 0)
			return GW_EFORMAT;
		p->chain[p->n_chain++] = span_of(der, (size_t)len);
	}
	p->not_before = seconds_of(X509_get0_notBefore(chain[0]));
	p->not_after = seconds_of(X509_get0_notAfter(chain[0]));
	take_names(chain[0], p->names);
	return 0;
}

/* ---- the outside --------------------------------------------------------------------------- */

static int load_with(struct span certificates, EVP_PKEY *key, struct pair *p, char *reason)
{
	X509 *chain[PROTO_CHAIN_MAX];
	size_t n;
	int err = read_chain(certificates, chain, &n, reason);

	if (err == 0)
		err = judge_chain(chain, n, key, reason);
	if (err == 0 && take_chain(chain, n, p) < 0)
		err = refuse(reason, "a certificate cannot be written down");
	for (size_t i = 0; i < n; i++)
		X509_free(chain[i]);
	return err;
}

int pair_load(
    struct span certificates, struct span key_text, struct pair *p, char reason[PAIR_REASON])
{
	EVP_PKEY *key;
	int err;

	*p = (struct pair){0};
	reason[0] = '\0';
	if (certificates.n > PAIR_TEXT_MAX || key_text.n > PAIR_TEXT_MAX)
		return refuse(reason, "the file is larger than 1 MiB");
	key = read_key(key_text, reason);
	if (key == NULL)
		return GW_EFORMAT;
	p->key = key;
	err = judge_key(key, reason);
	if (err == 0)
		err = load_with(certificates, key, p, reason);
	if (err < 0)
		pair_free(p);
	return err;
}

/* A host name is letters, digits, dots and hyphens: it needs no quoting here. */
static void add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (e == NULL || X509_add_ext(x, e, -1) != 1)
		die("vault: the self-signed certificate cannot be made");
	X509_EXTENSION_free(e);
}

static void set_serial(X509 *x)
{
	BIGNUM *n = BN_new();

	if (n == NULL || BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
	    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) == NULL)
		die("vault: no random serial number");
	BN_free(n);
}

/* The common name has room for 64 octets; the subjectAltName is what counts. */
static void set_subject(X509 *x, const char *hostname)
{
	X509_NAME *name = X509_get_subject_name(x);
	const char *cn = strlen(hostname) <= 64 ? hostname : "godwit";
	char san[300];

	if (X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) != 1 ||
	    X509_set_issuer_name(x, name) != 1)
		die("vault: the self-signed certificate cannot be made");
	snprintf(san, sizeof(san), "DNS:%s", hostname);
	add_extension(x, NID_subject_alt_name, san);
	add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
}

static X509 *make_certificate(const char *hostname, int64_t now, EVP_PKEY *key)
{
	X509 *x = X509_new();
	time_t at = (time_t)now;

	if (x == NULL || X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, key) != 1 ||
	    X509_time_adj_ex(X509_getm_notBefore(x), 0, -SELF_SIGNED_BEFORE, &at) == NULL ||
	    X509_time_adj_ex(X509_getm_notAfter(x), SELF_SIGNED_DAYS, 0, &at) == NULL)
		die("vault: the self-signed certificate cannot be made");
	set_serial(x);
	set_subject(x, hostname);
	if (X509_sign(x, key, EVP_sha256()) <= 0)
		die("vault: the self-signed certificate cannot be signed");
	return x;
}

void pair_self_signed(const char *hostname, int64_t now, struct pair *p)
{
	X509 *x;

	*p = (struct pair){.key = EVP_EC_gen(SN_X9_62_prime256v1)};
	if (p->key == NULL)
		die("vault: no key can be made");
	x = make_certificate(hostname, now, p->key);
	if (take_chain(&x, 1, p) < 0)
		die("vault: the self-signed certificate cannot be written down");
	X509_free(x);
}
