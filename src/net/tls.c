#include "net/tls-private.h"

#include "base/cursor.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

enum { SESSION_LIFE = 7200, TICKETS_GIVEN = 1, DNS_NAME_MAX = 255 };

/* ---- certificates ---------------------------------------------------------------------------- */

struct tls_certificate {
	uint32_t index;
	bool fallback, is_rsa;
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	char **name; /* lower case */
	size_t n_name;
};

static void certificate_fini(struct tls_certificate *c)
{
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	for (size_t i = 0; i < c->n_name; i++)
		free(c->name[i]);
	free(c->name);
	*c = (struct tls_certificate){0};
}

static X509 *parse_one(struct tls_server *t, struct span der)
{
	const unsigned char *p = der.p;
	X509 *x = X509_new_ex(t->lib, NULL);

	if (x == NULL || d2i_X509(&x, &p, (long)der.n) == NULL) {
		/* A failed d2i has freed it. */
		return NULL;
	}
	if (p == der.p + der.n)
		return x;
	X509_free(x);
	return NULL;
}

static int parse_chain(
    struct tls_server *t, const struct span *chain, size_t n, struct tls_certificate *c)
{
	c->chain = sk_X509_new_null();
	c->leaf = n > 0 ? parse_one(t, chain[0]) : NULL;
	if (c->chain == NULL || c->leaf == NULL)
		return GW_EFORMAT;
	for (size_t i = 1; i < n; i++) {
		X509 *x = parse_one(t, chain[i]);

		if (x == NULL || sk_X509_push(c->chain, x) == 0) {
			X509_free(x);
			return GW_EFORMAT;
		}
	}
	return 0;
}

/* A name of the certificate: lower case, no NUL inside. */
static void keep_name(struct tls_certificate *c, struct span name)
{
	char *copy;

	if (name.n == 0 || name.n > DNS_NAME_MAX || span_find(name, 0) >= 0 ||
	    c->n_name == TLS_NAMES_MAX)
		return;
	copy = gw_calloc(1, name.n + 1);
	for (size_t i = 0; i < name.n; i++)
		copy[i] = (char)ascii_lower(name.p[i]);
	c->name = gw_realloc(c->name, (c->n_name + 1) * sizeof(*c->name));
	c->name[c->n_name++] = copy;
}

/* RFC 6125 section 6.4.4: the subject's common name does not count any more. */
static void keep_names(struct tls_certificate *c)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

		if (g->type == GEN_DNS)
			keep_name(c, span_of(ASN1_STRING_get0_data(g->d.dNSName),
					 (size_t)ASN1_STRING_length(g->d.dNSName)));
	}
	GENERAL_NAMES_free(all);
}

/* Would a connection take it? The library has rules of its own about what is too weak. */
static bool is_usable(struct tls_server *t, const struct tls_certificate *c)
{
	SSL *probe = SSL_new(t->ctx);
	bool ok = probe != NULL && SSL_use_cert_and_key(probe, c->leaf, c->key, c->chain, 1) == 1;

	SSL_free(probe);
	return ok;
}

static int certificate_make(struct tls_server *t, const struct span *chain, size_t n, uint32_t key,
    struct tls_certificate *c)
{
	EVP_PKEY *public_key;

	if (n > TLS_CHAIN_MAX || parse_chain(t, chain, n, c) < 0)
		return GW_EFORMAT;
	public_key = X509_get0_pubkey(c->leaf);
	c->key = public_key ? tls_key_new(&t->keys, &t->signer, public_key, key) : NULL;
	if (c->key == NULL || !is_usable(t, c))
		return GW_EFORMAT;
	c->is_rsa = EVP_PKEY_is_a(c->key, "RSA");
	keep_names(c);
	return 0;
}

/* Where it stands in the list, or would. */
static size_t place_of(const struct tls_server *t, uint32_t index)
{
	size_t i = 0;

	while (i < t->n_certificate && t->certificate[i].index < index)
		i++;
	return i;
}

static struct tls_certificate *slot_of(struct tls_server *t, uint32_t index)
{
	size_t at = place_of(t, index);
	struct tls_certificate *c;

	if (at < t->n_certificate && t->certificate[at].index == index)
		return &t->certificate[at];
	if (t->n_certificate == TLS_CERTIFICATES_MAX)
		return NULL;
	t->certificate = gw_realloc(t->certificate, (t->n_certificate + 1) * sizeof(*c));
	c = &t->certificate[at];
	memmove(c + 1, c, (t->n_certificate - at) * sizeof(*c));
	t->n_certificate++;
	*c = (struct tls_certificate){0};
	return c;
}

int tls_server_certificate(struct tls_server *t, uint32_t index, uint32_t key,
    const struct span *chain, size_t n, bool fallback)
{
	struct tls_certificate made = {.index = index, .fallback = fallback}, *slot;
	int status;

	gw_check_magic(t, TLS_SERVER_MAGIC);
	ERR_clear_error();
	status = certificate_make(t, chain, n, key, &made);
	ERR_clear_error();
	slot = status == 0 ? slot_of(t, index) : NULL;
	if (slot == NULL) {
		certificate_fini(&made);
		return status < 0 ? status : GW_EFULL;
	}
	certificate_fini(slot);
	*slot = made;
	return 0;
}

void tls_server_clear(struct tls_server *t)
{
	for (size_t i = 0; i < t->n_certificate; i++)
		certificate_fini(&t->certificate[i]);
	t->n_certificate = 0;
}

bool tls_server_ready(const struct tls_server *t)
{
	return t->n_certificate > 0;
}

bool tls_server_trusted(const struct tls_server *t)
{
	for (size_t i = 0; i < t->n_certificate; i++) {
		if (!t->certificate[i].fallback)
			return true;
	}
	return false;
}

/* ---- which one ------------------------------------------------------------------------------- */

/* How well it fits the name: 2 the name itself, 1 by a wildcard, 0 not. */
static int fit(const struct tls_certificate *c, struct span name)
{
	ptrdiff_t dot = span_find(name, '.');
	int best = 0;

	for (size_t i = 0; i < c->n_name && best < 2; i++) {
		struct span own = span_str(c->name[i]);

		if (span_eq_case(own, name))
			best = 2;
		else if (dot > 0 && span_starts(own, SPAN("*.")) &&
			 span_eq_case(span_skip(own, 1), span_skip(name, (size_t)dot)))
			best = 1;
	}
	return best;
}

/* The best one for this name; kind: 0 any, else one whose key is RSA (1) or EC (2). */
static const struct tls_certificate *find(
    const struct tls_server *t, struct span name, int kind, bool fallbacks)
{
	const struct tls_certificate *found = NULL;
	int best = 0;

	for (size_t i = 0; i < t->n_certificate && best < 2; i++) {
		const struct tls_certificate *c = &t->certificate[i];
		int how;

		if (c->fallback != fallbacks || (kind != 0 && c->is_rsa != (kind == 1)))
			continue;
		how = fit(c, name);
		if (how > best) {
			best = how;
			found = c;
		}
	}
	return found;
}

static bool use(SSL *ssl, const struct tls_certificate *c)
{
	return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

/* The client's first message was read: 1 go on, 0 fail. */
static int choose_certificate(SSL *ssl, void *arg)
{
	struct tls_server *t = arg;
	struct span name = span_str(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	bool fallbacks = !tls_server_trusted(t);
	const struct tls_certificate *first = find(t, name, 0, fallbacks), *second;

	if (t->n_certificate == 0)
		return 0;
	if (first == NULL) {
		first = &t->certificate[0];
		name = first->n_name > 0 ? span_str(first->name[0]) : SPAN_NONE;
	}
	second = find(t, name, first->is_rsa ? 2 : 1, fallbacks);
	return use(ssl, first) && (second == NULL || use(ssl, second));
}

/* RFC 6066 section 3: the name is acknowledged; which certificate it gets is said above. */
static int take_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets --------------------------------------------------------------------------------- */

void tls_server_tickets(struct tls_server *t, const struct tls_ticket_key *key, size_t n)
{
	gw_assert(n <= TLS_TICKET_KEYS_MAX);
	OPENSSL_cleanse(t->ticket, sizeof(t->ticket));
	if (n > 0)
		memcpy(t->ticket, key, n * sizeof(*key));
	t->n_ticket = n;
}

static int find_ticket_key(const struct tls_server *t, const uint8_t name[16])
{
	for (size_t i = 0; i < t->n_ticket; i++) {
		if (CRYPTO_memcmp(t->ticket[i].name, name, sizeof(t->ticket[i].name)) == 0)
			return (int)i;
	}
	return -1;
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *k)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
	    OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
	    OSSL_PARAM_END};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* AES-256-CBC, then HMAC-SHA-256 (RFC 5077 section 4). -1: failed; 0: no ticket, or not ours; 1:
 * done; 2: done, and give the client a new one. */
static int ticket_keys(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int at = encrypt ? (t->n_ticket > 0 ? 0 : -1) : find_ticket_key(t, name);
	struct tls_ticket_key *k = &t->ticket[at < 0 ? 0 : at];
	EVP_CIPHER *aes;
	int ok;

	if (at < 0)
		return 0;
	if (encrypt) {
		memcpy(name, k->name, sizeof(k->name));
		if (RAND_bytes_ex(t->lib, iv, 16, 0) != 1)
			return -1;
	}
	aes = EVP_CIPHER_fetch(t->lib, "AES-256-CBC", NULL);
	ok = aes != NULL && EVP_CipherInit_ex2(cipher, aes, k->cipher, iv, encrypt, NULL) == 1 &&
	     set_mac(mac, k);
	EVP_CIPHER_free(aes);
	if (!ok)
		return -1;
	return at > 0 ? 2 : 1;
}

/* ---- start and end --------------------------------------------------------------------------- */

static bool set_up(struct tls_server *t)
{
	SSL_CTX *c = t->ctx;

	SSL_CTX_set_app_data(c, t);
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
				   SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
	SSL_CTX_clear_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
	/* Without AUTO_RETRY a read takes one record, so that no client can keep us in it. */
	SSL_CTX_clear_mode(c, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(c, SESSION_LIFE);
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_cb(c, choose_certificate, t);
	SSL_CTX_set_security_level(c, 2);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") == 1 &&
	       SSL_CTX_set_ciphersuites(c, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
					   "TLS_AES_128_GCM_SHA256") == 1 &&
	       SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384") == 1 &&
	       SSL_CTX_set1_sigalgs_list(c, "ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA256:"
					    "RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:"
					    "RSA+SHA384:RSA+SHA512:ECDSA+SHA512") == 1 &&
	       SSL_CTX_set_tlsext_servername_callback(c, take_name) == 1 &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(c, ticket_keys) == 1 &&
	       SSL_CTX_set_session_id_context(c, (const unsigned char *)"godwit", 6) == 1;
}

struct tls_server *tls_server_new(void)
{
	struct tls_server *t = gw_calloc(1, sizeof(*t));

	t->magic = TLS_SERVER_MAGIC;
	t->signer.fd = -1;
	/* A file of the machine must not decide what we speak; and threads may outlive exit(). */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		die("OpenSSL cannot be started");
	t->lib = t->signer.lib = OSSL_LIB_CTX_new();
	t->provider = t->lib ? OSSL_PROVIDER_load(t->lib, "default") : NULL;
	if (t->provider == NULL || tls_keys_init(&t->keys) < 0)
		die("OpenSSL: no provider");
	t->ctx = SSL_CTX_new_ex(t->lib, NULL, TLS_server_method());
	if (t->ctx == NULL || !set_up(t) || !tls_warm_up(t))
		die("OpenSSL cannot do what TLS needs: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	return t;
}

void tls_server_free(struct tls_server **pt)
{
	struct tls_server *t = *pt;

	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n_certificate; i++)
		certificate_fini(&t->certificate[i]);
	free(t->certificate);
	tls_server_tickets(t, NULL, 0);
	tls_server_signer(t, -1);
	SSL_CTX_free(t->ctx);
	tls_keys_fini(&t->keys);
	OSSL_PROVIDER_unload(t->provider);
	OSSL_LIB_CTX_free(t->lib);
	free(t);
	*pt = NULL;
}

void tls_server_signer(struct tls_server *t, int fd)
{
	if (t->signer.fd >= 0)
		close(t->signer.fd);
	t->signer.fd = fd;
	t->signer.late_until = 0;
}

SSL *tls_server_session(struct tls_server *t, int fd)
{
	SSL *ssl;

	gw_check_magic(t, TLS_SERVER_MAGIC);
	ssl = SSL_new(t->ctx);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	if (t->n_ticket == 0)
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_num_tickets(ssl, t->n_ticket > 0 ? TICKETS_GIVEN : 0);
	SSL_set_accept_state(ssl);
	return ssl;
}
