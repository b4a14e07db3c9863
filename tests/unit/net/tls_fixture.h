/*
 * A server with its signer, and a client of OpenSSL at the other end of a socket, all in one
 * process. Keys and certificates are made when they are wanted.
 */
#ifndef GW_TEST_NET_TLS_FIXTURE_H
#define GW_TEST_NET_TLS_FIXTURE_H

#include "unit/base/helper.h"

#include "net/signer.h"
#include "net/stream.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEYS_MAX = 16, SHAKES_MAX = 200, DER_MAX = 8192 };

struct tls_world {
	struct tls_server *server;
	struct signer *signer;
	SSL_CTX *clients;
	EVP_PKEY *key[KEYS_MAX]; /* what the signer knows; by number */
	unsigned asked;
	unsigned pause; /* milliseconds before an answer */
};

/* ---- the signer ---- */

static inline const EVP_MD *tls_digest(unsigned digest)
{
	return digest == SIGNER_SHA256 ? EVP_sha256()
				       : (digest == SIGNER_SHA384 ? EVP_sha384() : EVP_sha512());
}

static inline ptrdiff_t tls_sign(
    void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX])
{
	struct tls_world *w = arg;
	size_t n = SIGNER_SIGNATURE_MAX;
	EVP_PKEY *key = r->key < KEYS_MAX ? w->key[r->key] : NULL;
	EVP_PKEY_CTX *c = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	bool ok = c != NULL && EVP_PKEY_sign_init(c) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(c, tls_digest(r->digest)) == 1;

	__atomic_add_fetch(&w->asked, 1, __ATOMIC_RELAXED);
	if (w->pause > 0)
		usleep(w->pause * 1000);
	if (ok && r->scheme == SIGNER_RSA_PSS)
		ok = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_PKEY_is_a(key, r->scheme == SIGNER_ECDSA ? "EC" : "RSA") &&
	     EVP_PKEY_sign(c, to, &n, r->value, r->octets) == 1;
	EVP_PKEY_CTX_free(c);
	return ok ? (ptrdiff_t)n : GW_EPERM;
}

static inline void tls_connect_signer(struct tls_world *w)
{
	int fd[2];

	assert_int_equal(signer_pair(fd), 0);
	tls_server_signer(w->server, fd[0]);
	signer_serve(w->signer, fd[1]);
}

/* ---- certificates ---- */

static inline void tls_add_names(X509 *x, const char *names)
{
	X509_EXTENSION *e =
	    names ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names) : NULL;

	if (e != NULL)
		X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* kind: "P-256", "P-384", "P-521" or the bits of an RSA key; names: "DNS:a,DNS:b" or NULL. The DER
 * and its length. */
static inline size_t tls_make(
    struct tls_world *w, unsigned number, const char *kind, const char *names, uint8_t der[DER_MAX])
{
	EVP_PKEY *key = kind[0] == 'P' ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind)
				       : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(kind));
	X509 *x = X509_new();
	int n;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), (long)number + 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	tls_add_names(x, names);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	EVP_PKEY_free(w->key[number]);
	w->key[number] = key;
	n = i2d_X509(x, NULL);
	assert_in_range(n, 1, DER_MAX);
	i2d_X509(x, &der);
	X509_free(x);
	return (size_t)n;
}

static inline int tls_install(struct tls_world *w, uint32_t index, unsigned number,
    const char *kind, const char *names, bool fallback)
{
	uint8_t der[DER_MAX];
	struct span chain = span_of(der, tls_make(w, number, kind, names, der));

	return tls_server_certificate(w->server, index, number, &chain, 1, fallback);
}

/* ---- the world ---- */

static inline int tls_setup(void **state)
{
	struct tls_world *w = gw_calloc(1, sizeof(*w));

	w->server = tls_server_new();
	w->signer = signer_start(tls_sign, w);
	w->clients = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(
	    w->clients, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	tls_connect_signer(w);
	*state = w;
	return 0;
}

static inline int tls_teardown(void **state)
{
	struct tls_world *w = *state;

	signer_stop(&w->signer);
	tls_server_free(&w->server);
	SSL_CTX_free(w->clients);
	for (int i = 0; i < KEYS_MAX; i++)
		EVP_PKEY_free(w->key[i]);
	free(w);
	return 0;
}

/* ---- a connection ---- */

struct tls_talk {
	struct stream s;
	SSL *client;
	int fd; /* the client's */
	const char *why;
	int server_is, client_is; /* 1: handshake done, < 0 failed */
};

static inline void tls_plain(struct tls_talk *k)
{
	int fd[2];

	*k = (struct tls_talk){.why = ""};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	stream_init(&k->s, fd[0]);
	k->fd = fd[1];
}

static inline void tls_begin(struct tls_world *w, struct tls_talk *k)
{
	tls_plain(k);
	assert_int_equal(stream_start_tls(&k->s, w->server), 0);
	k->client = SSL_new(w->clients);
	SSL_set_fd(k->client, k->fd);
	SSL_set_connect_state(k->client);
}

static inline int tls_client_step(SSL *client)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(client);
	if (n == 1)
		return 1;
	n = SSL_get_error(client, n);
	return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Both in turn until both are done or one failed. */
static inline bool tls_shake(struct tls_talk *k)
{
	for (int i = 0; i < SHAKES_MAX && !(k->server_is && k->client_is); i++) {
		if (k->client_is == 0)
			k->client_is = tls_client_step(k->client);
		if (k->server_is == 0)
			k->server_is = stream_handshake(&k->s, &k->why);
	}
	return k->server_is == 1 && k->client_is == 1;
}

static inline void tls_end(struct tls_talk *k)
{
	SSL_free(k->client);
	stream_close(&k->s);
	close(k->fd);
	ERR_clear_error();
}

/* One line there, one back. */
static inline bool tls_works(struct tls_talk *k)
{
	uint8_t got[16];

	return SSL_write(k->client, "ping", 4) == 4 && stream_read(&k->s, got, 16) == 4 &&
	       memcmp(got, "ping", 4) == 0 && stream_write(&k->s, SPAN("pong!")) == 5 &&
	       SSL_read(k->client, got, 16) == 5 && memcmp(got, "pong!", 5) == 0;
}

#endif
